#include "core/timeline/axis.h"

#include <algorithm>
#include <unordered_map>

namespace spikescope {

namespace {

// The begin of every op and the end of the last one, in layers.
std::vector<double> layerPositions(const Recording& recording) {
    const std::vector<LayerVisit> visits = layerVisits(recording);
    std::unordered_map<std::string_view, double> times;
    for (const LayerVisit& visit : visits) times[visit.layer] += 1.0;
    std::vector<double> positions;
    positions.reserve(recording.ops.size() + 1);
    double begin = 0.0;
    for (const LayerVisit& visit : visits) {
        const double width = 1.0 / times[visit.layer];
        for (std::uint32_t op = visit.firstOp; op < visit.endOp; ++op)
            positions.push_back(begin + width * (op - visit.firstOp) / (visit.endOp - visit.firstOp));
        begin += width;
    }
    positions.push_back(begin);
    return positions;
}

// Events from ops: an alloc lies at the begin of the op that it stands before, a free at the end of the one behind it.
void placeEvents(Placed& placed) {
    const Recording& recording = placed.timeline->recording();
    const std::size_t ops = recording.ops.size();
    placed.events.reserve(recording.events.size());
    double at = ops ? placed.opBegins.front() : 0.0;
    for (const Event& event : recording.events) {
        const bool atBegin = event.kind == EventKind::Alloc || event.kind == EventKind::Reserve;
        double x = static_cast<double>(event.op);
        if (ops) {
            if (atBegin && event.op < ops)
                x = placed.opBegins[event.op];
            else
                x = event.op == 0 ? placed.opBegins.front() : placed.opEnds[std::min<std::size_t>(event.op, ops) - 1];
        }
        at = std::max(at, x);
        placed.events.push_back(at);
    }
    placed.begin = ops ? placed.opBegins.front() : 0.0;
    placed.end = std::max({placed.begin, at, ops ? placed.opEnds.back() : 0.0});
    if (placed.end <= placed.begin) placed.end = placed.begin + 1.0;
}

} // namespace

std::string_view name(AxisKind kind) {
    switch (kind) {
    case AxisKind::Time: return "time";
    case AxisKind::Ops: return "ops";
    case AxisKind::Layers: return "layers";
    }
    return "?";
}

std::vector<LayerVisit> layerVisits(const Recording& recording) {
    std::vector<LayerVisit> visits;
    for (std::uint32_t i = 0; i < recording.ops.size(); ++i) {
        const RecordedOp& op = recording.ops[i];
        const std::string_view layer =
            op.phase == Phase::Load ? std::string_view("load") : layerName(recording, op.layer);
        if (visits.empty() || layer != visits.back().layer) visits.push_back({.layer = layer, .firstOp = i});
        visits.back().endOp = i + 1;
    }
    return visits;
}

Placed place(TimelinePtr timeline, AxisKind kind) {
    Placed placed{.timeline = std::move(timeline)};
    const Recording& recording = placed.timeline->recording();
    const std::vector<RecordedOp>& ops = recording.ops;
    placed.opBegins.resize(ops.size());
    placed.opEnds.resize(ops.size());
    if (kind == AxisKind::Time && !placed.timeline->timed()) kind = AxisKind::Ops;
    const std::vector<double> layers = kind == AxisKind::Layers ? layerPositions(recording) : std::vector<double>();
    double least = 0.0;
    for (std::size_t i = 0; i < ops.size(); ++i) {
        const auto index = static_cast<double>(i);
        double begin = index, end = index + 1.0;
        if (kind == AxisKind::Time) {
            begin = static_cast<double>(ops[i].beginNs);
            end = static_cast<double>(ops[i].endNs);
        } else if (kind == AxisKind::Layers) {
            begin = layers[i];
            end = layers[i + 1];
        }
        // Memory has one order, and ops follow it here, those too that ran beside each other or whose clock errs.
        placed.opBegins[i] = least = i == 0 ? begin : std::max(least, begin);
        placed.opEnds[i] = least = std::max(least, end);
    }
    placeEvents(placed);
    return placed;
}

std::optional<Placed> placeAsPartOf(TimelinePtr part, const Placed& whole) {
    const Recording &recording = part->recording(), &all = whole.timeline->recording();
    const std::size_t count = recording.ops.size();
    if (count > all.ops.size()) return std::nullopt;
    for (std::size_t i = 0; i < count; ++i)
        if (recording.ops[i].name != all.ops[i].name ||
            layerName(recording, recording.ops[i].layer) != layerName(all, all.ops[i].layer))
            return std::nullopt;
    Placed placed{.timeline = std::move(part)};
    const auto first = [count](const std::vector<double>& of) {
        return std::vector<double>(of.begin(), of.begin() + static_cast<std::ptrdiff_t>(count));
    };
    placed.opBegins = first(whole.opBegins);
    placed.opEnds = first(whole.opEnds);
    placeEvents(placed);
    return placed;
}

std::uint32_t eventAt(const Placed& placed, double x) {
    const auto above = std::ranges::upper_bound(placed.events, x);
    return above == placed.events.begin() ? noIndex : static_cast<std::uint32_t>(above - placed.events.begin() - 1);
}

std::vector<Column> columnsOf(const std::vector<double>& places, const Pyramid& values, double begin, double end,
                              std::size_t count) {
    std::vector<Column> columns;
    if (places.empty() || count == 0 || !(end > begin)) return columns;
    columns.reserve(count);
    const double width = (end - begin) / static_cast<double>(count);
    const auto edge = [&](std::size_t i) { return i == count ? end : begin + width * static_cast<double>(i); };
    const auto firstFrom = [&](std::size_t from, double x) {
        return static_cast<std::size_t>(
            std::lower_bound(places.begin() + static_cast<std::ptrdiff_t>(from), places.end(), x) - places.begin());
    };
    std::size_t first = firstFrom(0, begin);
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t last = firstFrom(first, edge(i + 1));
        // The last column has its right edge too, where the last frees lie.
        if (i + 1 == count)
            while (last < places.size() && places[last] <= end) ++last;
        if (last > 0) {
            Column column{.x = edge(i), .any = last > first, .last = static_cast<std::uint32_t>(last - 1)};
            const Extremes found = values.extremes(first > 0 ? first - 1 : 0, last);
            column.most = found.most;
            column.least = found.least;
            columns.push_back(column);
        }
        first = last;
    }
    return columns;
}

} // namespace spikescope
