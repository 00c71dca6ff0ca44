#pragma once
// Approximate tiling: tiles of the output are made one after another, each as if it were a picture of its own, and
// added to a band of the output whose rows leave as soon as no tile adds to them any more. Memory is that of the tiles
// in flight and of the band, however large the output is.

#include "core/program/lowered_calls.h"

namespace spikescope {

// `graph`: of the whole output, for its weights and sizes. `merged`: see lower().
LoweredCalls lowerInTiles(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged);

} // namespace spikescope
