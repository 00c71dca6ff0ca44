#pragma once
// What the timeline shows, and its decimation to the pixel columns of a chart. Plain maths: no widgets.

#include "app/models/view_state.h"
#include "core/timeline/aligned.h"

#include <QList>
#include <QPointF>
#include <QString>

#include <array>

namespace spikescope {

struct OverlayCurve {
    int run = 0; // id, which gives colour and dashes; 0: the plan before the last flip
    QString label;
    Curve curve;
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
    std::optional<Placed> whole; // the plan of a run under way: it gives the axis, the run has the beginning of it
    std::optional<Curve> ghost;  // the plan of the controls as they stand
    std::vector<OverlayCurve> overlays;
    std::optional<std::uint64_t> budget;
    Range all;              // everything shown
    double mostBytes = 1.0; // of all curves, reserved included

    // Whose layers and phases the axis has.
    const Placed& axisOwner() const { return whole ? *whole : shown; }
};

// What goes into a scene, before it is placed.
struct SceneParts {
    AxisKind axis = AxisKind::Ops;
    bool overlaysByLayer = true; // else by their own times or ops
    TimelinePtr shown;
    QString shownLabel;
    TimelinePtr whole; // null: the shown one is no run under way
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
// The largest value of each column; `end`: where the curve ends, whatever the view.
QList<QPointF> curvePoints(const std::vector<double>& places, const Pyramid& values, double end, Range view,
                           std::size_t columns);
QList<QPointF> curvePoints(const Curve& curve, Range view, std::size_t columns);

// One stretch of the layer or phase band.
struct Band {
    double begin = 0.0, end = 0.0;
    QString text;
    std::uint32_t index = 0; // for its colour
};
std::vector<Band> phaseBands(const Placed& placed);
// Tiles where even their stages would be too narrow to be named, then stages, and layers when there is room for them.
std::vector<Band> layerBands(const Placed& placed, Range view, double pixels);

// The event before or after `event`.
std::uint32_t neighbour(const Placed& placed, std::uint32_t event, bool forward);
// The highest event between two places, else the last one before them; noIndex before the first one.
std::uint32_t highestEvent(const Placed& placed, Range range);
// What the plan has allocated where the shown Recording is at this event: at the same event while both have the same
// ones, else at the same place.
std::optional<std::uint64_t> ghostAt(const ChartScene& scene, std::uint32_t event);

} // namespace spikescope
