#pragma once
// Approximate tiling: each tile is computed as if it were an image of its own and blended into a band, a ring buffer of
// rows of the output. Rows are downloaded as soon as no later tile reaches them, so memory is that of the tiles in
// flight and of the band, however large the output is.

#include "core/program/lowered_calls.h"

namespace spikescope {

// `graph`: of the whole output, for its weights and sizes. `merged`: see lower().
LoweredCalls lowerInTiles(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged);

} // namespace spikescope
