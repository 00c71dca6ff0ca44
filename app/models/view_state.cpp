#include "app/models/view_state.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace spikescope {

namespace {

constexpr double shortest = 1e-6; // of everything

} // namespace

Range fitted(Range view, Range all) {
    const double length = std::clamp(view.length(), all.length() * shortest, all.length());
    const double begin = std::clamp(view.begin, all.begin, all.end - length);
    return {begin, begin + length};
}

Range zoomed(Range view, Range all, double at, double factor) {
    const double length = std::clamp(view.length() * factor, all.length() * shortest, all.length());
    const double share = view.length() > 0.0 ? std::clamp((at - view.begin) / view.length(), 0.0, 1.0) : 0.5;
    return fitted({at - share * length, at - share * length + length}, all);
}

Range panned(Range view, Range all, double by) { return fitted({view.begin + by, view.end + by}, all); }

Range showing(Range view, Range all, double at) {
    if (view.contains(at)) return view;
    return fitted({at - view.length() / 2.0, at + view.length() / 2.0}, all);
}

double niceStep(double length, int most) {
    const double least = length / std::max(most, 1);
    if (!(least > 0.0) || !std::isfinite(least)) return 1.0;
    const double power = std::pow(10.0, std::floor(std::log10(least)));
    for (const double multiple : {1.0, 2.0, 5.0})
        if (multiple * power >= least * (1.0 - 1e-9)) return multiple * power;
    return 10.0 * power;
}

ByteScale byteScale(double mostBytes, int mostSteps) {
    struct Unit {
        const char* name;
        double bytes;
    };
    constexpr std::array units{Unit{"B", 1.0}, Unit{"KiB", 1024.0}, Unit{"MiB", 1048576.0}, Unit{"GiB", 1073741824.0},
                               Unit{"TiB", 1099511627776.0}};
    const auto unit =
        std::find_if(units.rbegin(), units.rend() - 1, [&](const Unit& u) { return mostBytes >= u.bytes; });
    ByteScale scale{.unit = unit->bytes, .unitName = QString::fromLatin1(unit->name)};
    const double most = std::max(mostBytes / unit->bytes, 1e-9);
    // Binary units are read best in steps of powers of two from 16 up, and in decimal ones below.
    scale.step = niceStep(most, mostSteps);
    for (double step = 16.0; step <= 1024.0; step *= 2.0)
        if (most / step <= mostSteps && most > 64.0) {
            scale.step = step;
            break;
        }
    if (unit->bytes == 1.0) scale.step = std::max(scale.step, 1.0);
    scale.top = std::ceil(most / scale.step * (1.0 - 1e-12)) * scale.step;
    scale.decimals = scale.step >= 1.0 ? 0 : static_cast<int>(std::ceil(-std::log10(scale.step) - 1e-9));
    return scale;
}

std::vector<ByteTick> byteTicks(const ByteScale& scale) {
    std::vector<ByteTick> ticks;
    const auto count = std::lround(scale.top / scale.step);
    for (long i = 0; i <= count; ++i) {
        const double value = static_cast<double>(i) * scale.step;
        ticks.push_back({.bytes = value * scale.unit,
                         .text = i == 0
                                     ? QStringLiteral("0")
                                     : QStringLiteral("%1 %2").arg(value, 0, 'f', scale.decimals).arg(scale.unitName)});
    }
    return ticks;
}

QString timeLabel(double ns, double stepNs) {
    if (std::abs(ns) >= 1e9 || stepNs >= 1e8) {
        const int decimals = std::clamp(static_cast<int>(std::ceil(9.0 - std::log10(std::max(stepNs, 1.0)))), 0, 9);
        return QStringLiteral("%1 s").arg(ns / 1e9, 0, 'f', decimals);
    }
    const int decimals = std::clamp(static_cast<int>(std::ceil(6.0 - std::log10(std::max(stepNs, 1.0)))), 0, 6);
    return QStringLiteral("%1 ms").arg(ns / 1e6, 0, 'f', decimals);
}

} // namespace spikescope
