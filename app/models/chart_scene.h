#pragma once
// What the timeline shows, and its decimation to the pixel columns of a chart. Plain maths: no widgets.

#include "app/models/view_state.h"
#include "core/timeline/axis.h"

#include <QList>
#include <QPointF>
#include <QString>

#include <array>

namespace spikescope {

struct OverlayCurve {
    int run = 0; // id, which gives colour and dashes
    QString label;
    Placed placed;
};

struct ChartMarker {
    std::uint32_t event = 0; // of the shown Recording
    QString text;
    bool operator==(const ChartMarker&) const = default;
};

// Immutable once made; models swap it whole.
struct ChartScene {
    AxisKind axis = AxisKind::Ops;
    Placed shown; // no timeline: nothing to show
    QString shownLabel;
    std::optional<Placed> ghost; // the plan of the controls as they stand
    std::vector<OverlayCurve> overlays;
    std::optional<std::uint64_t> budget;
    Range all;              // everything shown
    double mostBytes = 1.0; // of all curves, reserved included
};

// What goes into a scene, before it is placed.
struct SceneParts {
    AxisKind axis = AxisKind::Ops;
    bool overlaysByLayer = true; // else by their own times or ops
    TimelinePtr shown;
    QString shownLabel;
    TimelinePtr ghost;
    struct Overlay {
        int run = 0;
        QString label;
        TimelinePtr timeline;
    };
    std::vector<Overlay> overlays;
    std::optional<std::uint64_t> budget;
};

// Places everything. An axis of time needs a run; a plan alone has op indices instead.
ChartScene makeScene(const SceneParts& parts);

// Stepped curves of one pixel column each; x in axis units, y in bytes. The area of category i lies between
// bounds[i - 1] (for the first, zero) and bounds[i]: in each column the breakdown at the event where allocated is
// largest, so the parts sum to the total shown.
struct StackedPoints {
    std::array<QList<QPointF>, categoryCount> bounds;
};
StackedPoints stackedPoints(const Placed& placed, Range view, std::size_t columns);
// The largest value of each column.
QList<QPointF> curvePoints(const Placed& placed, const Pyramid& values, Range view, std::size_t columns);

// One stretch of the layer or phase band.
struct Band {
    double begin = 0.0, end = 0.0;
    QString text;
    std::uint32_t index = 0; // for its colour
};
std::vector<Band> phaseBands(const Placed& placed);
// Stages while many layers are in view, layers when there is room to name them.
std::vector<Band> layerBands(const Placed& placed, Range view, double pixels);

// The event before or after `event` that moves allocated or reserved.
std::uint32_t neighbour(const Placed& placed, std::uint32_t event, bool forward);

} // namespace spikescope
