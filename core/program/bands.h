#pragma once
// Exact tiling: maps are made in bands of rows, and every band of a map exists before the statistics that a norm takes
// of it are used. What is kept between norms are whole maps, in memory that follows one chain from block to block; all
// else is made again, band by band, as often as it is needed.
//
//   graph ─► stages: a map that is kept, or whose statistics a norm wants ─► bands of its rows
//         ─► for each band the part of the graph that makes these rows from kept maps ─► lowerInto()

#include "core/program/lowered_calls.h"

namespace spikescope {

// Of one picture; `controls.tile` are stripes. `merged`: see lower().
LoweredCalls lowerInBands(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged);
// Calls of that, without the calls: as many for every band of a stage as for its first one.
struct BandCount {
    std::uint64_t bands = 0; // of the stage that has most
    std::uint64_t calls = 0;
};
BandCount countInBands(const Graph& graph, const Controls& controls);

} // namespace spikescope
