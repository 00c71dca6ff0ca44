#pragma once
// Where events lie along the horizontal axis, and what a pixel column of it holds.

#include "core/timeline/timeline.h"

#include <string>

namespace spikescope {

// Time: nanoseconds on the device, of runs alone. Ops: how many ops came before. Layers: every layer has the same
// width, so that different lowerings of a model lie above each other.
enum class AxisKind : std::uint8_t { Time, Ops, Layers };
std::string_view name(AxisKind kind);

// The layers of several Recordings in one order: the first one's, and what only others have where they have it. A layer
// that runs more than once (a tile, a replayed function) stands there as often.
class LayerSlots {
public:
    explicit LayerSlots(std::span<const TimelinePtr> timelines);

    const std::vector<std::string>& names() const { return m_names; }
    // The begin of every op of timeline `index` and the end of the last one, in slots; never decreasing. One slot
    // has width 1.
    const std::vector<double>& opPositions(std::size_t index) const { return m_positions[index]; }

private:
    std::vector<std::string> m_names;
    std::vector<std::vector<double>> m_positions;
};

// Positions of one Recording on an axis.
struct Placed {
    TimelinePtr timeline;
    std::vector<double> events;           // by event, never decreasing
    std::vector<double> opBegins, opEnds; // by op
    double begin = 0.0, end = 1.0;        // of everything; end > begin
};

// By its own times, op indices or slots. A Recording without times has op indices for Time.
Placed place(TimelinePtr timeline, AxisKind kind, const std::vector<double>& slotPositions);
// On the axis of another Recording, layer above layer.
Placed placeOnto(TimelinePtr timeline, const std::vector<double>& slotPositions, const Placed& reference,
                 const std::vector<double>& referenceSlots);

// The last event at or before a place; noIndex before the first one.
std::uint32_t eventAt(const Placed& placed, double x);

// What lies in one pixel column. Every event is in exactly one column or outside of the range.
struct Column {
    double x = 0.0;                    // its left edge
    bool any = false;                  // an event lies in it; without any, all three are the last event before it
    std::uint32_t most = 0, least = 0; // events with the extreme value
    std::uint32_t last = 0;
};

// `count` columns of equal width from `begin` to `end`; those before the first event are left out. Extremes of
// `values`, which is one of the timeline's pyramids, over the events in a column and the value that it begins with.
std::vector<Column> columnsOf(const Placed& placed, const Pyramid& values, double begin, double end, std::size_t count);

} // namespace spikescope
