#pragma once
// What part of the timeline is looked at, and the numbers on its axes. Plain maths: no widgets.

#include <QString>

#include <cstdint>
#include <optional>
#include <vector>

namespace spikescope {

struct Range {
    double begin = 0.0, end = 1.0;
    double length() const { return end - begin; }
    bool contains(double x) const { return x >= begin && x <= end; }
    bool operator==(const Range&) const = default;
};

// `view` made `factor` times as long around `at`, inside of `all` and no shorter than a millionth of it.
Range zoomed(Range view, Range all, double at, double factor);
// Moved, without leaving `all`.
Range panned(Range view, Range all, double by);
// Brought into `all`, as long as it fits.
Range fitted(Range view, Range all);
// So that `at` is visible, in the middle when it was not.
Range showing(Range view, Range all, double at);

// Ticks of an axis of bytes: from 0, in one unit, at steps people read.
struct ByteScale {
    double unit = 1024.0 * 1024.0; // bytes
    QString unitName = QStringLiteral("MiB");
    double step = 1.0, top = 1.0; // in units; top is a multiple of step and at least the value asked for
    int decimals = 0;
};
// With at most `mostSteps` steps: as many as there is room for labels.
ByteScale byteScale(double mostBytes, int mostSteps = 6);
struct ByteTick {
    double bytes = 0.0;
    QString text;
};
std::vector<ByteTick> byteTicks(const ByteScale& scale); // from 0 to the top

// Ticks of any other axis: the step that gives at most `most` intervals, 1, 2 or 5 times a power of ten.
double niceStep(double length, int most);

// "12.3 ms", "1.234 s": as exact as a step of `stepNs` needs.
QString timeLabel(double ns, double stepNs);

} // namespace spikescope
