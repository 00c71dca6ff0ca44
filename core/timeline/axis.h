#pragma once
// Where events lie along the horizontal axis, and what a pixel column of it holds.

#include "core/timeline/timeline.h"

#include <optional>
#include <string_view>

namespace spikescope {

// Time: nanoseconds on the device, of runs alone. Ops: how many ops came before. Layers: every layer of the Recording
// has the same width. A layer that runs several times, once for each tile or stripe, shares its width among its visits:
// what is tiled would otherwise take nearly all of the axis.
enum class AxisKind : std::uint8_t { Time, Ops, Layers };
std::string_view name(AxisKind kind);

// Consecutive ops of one layer. Loading is one visit named "load": weights arrive in the order of the file, layers run
// in another.
struct LayerVisit {
    std::string_view layer; // points into the Recording
    std::uint32_t firstOp = 0, endOp = 0;
};
std::vector<LayerVisit> layerVisits(const Recording& recording);

// Positions of one Recording on an axis.
struct Placed {
    TimelinePtr timeline;
    std::vector<double> events;           // by event, never decreasing
    std::vector<double> opBegins, opEnds; // by op
    double begin = 0.0, end = 1.0;        // of everything; end > begin
};

// By its own times, op indices or layers. A Recording without times has op indices for Time.
Placed place(TimelinePtr timeline, AxisKind kind);
// Of a run under way: where the same ops lie in its plan, so that it grows over it. Nothing where the ops are not the
// first ones of `whole`.
std::optional<Placed> placeAsPartOf(TimelinePtr part, const Placed& whole);

// The last event at or before a place; noIndex before the first one.
std::uint32_t eventAt(const Placed& placed, double x);

// What lies in one pixel column. Every place is in exactly one column or outside of the range.
struct Column {
    double x = 0.0;                    // its left edge
    bool any = false;                  // a place lies in it; without any, all three are the last one before it
    std::uint32_t most = 0, least = 0; // indices of the extreme values
    std::uint32_t last = 0;
};

// `count` columns of equal width from `begin` to `end`; those before the first place are left out. `values` by place;
// extremes over the places in a column and the value that it begins with.
std::vector<Column> columnsOf(const std::vector<double>& places, const Pyramid& values, double begin, double end,
                              std::size_t count);

} // namespace spikescope
