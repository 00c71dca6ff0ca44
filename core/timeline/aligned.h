#pragma once
// The curve of one Recording over the axis of another.
//
// The axis is that of the Recording that is shown, and nothing laid over it makes it wider: a plan of another model, of
// an encode or of many tiles would otherwise leave little room for what one looks at. Layers find each other by module
// path. Where one Recording runs a layer more often than the other, the largest value of all visits is drawn, since
// "what does this layer take" is what is compared. Layers that the shown Recording does not have lie between the
// neighbours that it has; where there is nothing in between, they lie over the neighbour.

#include "core/timeline/axis.h"

namespace spikescope {

// Bytes allocated along an axis: from each place on its value, until the next one.
struct Curve {
    TimelinePtr timeline;
    std::vector<double> places; // never decreasing
    Pyramid values;             // by place
    double begin = 0.0, end = 1.0;
};

Curve curveOf(const Placed& placed); // on its own axis
// Keeps every event's value, or a larger one, so that the highest value is the timeline's peak.
Curve alignedCurve(const TimelinePtr& timeline, const Placed& reference);

// The value of the last place at or before x; nothing before the first one.
std::optional<std::uint64_t> valueAt(const Curve& curve, double x);

} // namespace spikescope
