#pragma once
// Where tiles of an output lie, and the blend weights of their rows and columns.

#include "core/graph/graph.h"
#include "core/program/controls.h"

#include <vector>

namespace spikescope {

// Tiles that share rows or columns, along one axis. Positions are in latents, weights by output element. The weights of
// all tiles that reach an element add up to 1.
struct TileLine {
    std::uint64_t begin = 0, length = 0;
    std::vector<float> weights;
    // Where the next tile's blend ramp begins, in output elements; the tile's length when none is blended in.
    std::uint64_t nextBlendStart = 0;
    // Columns only: weights in rows from nextBlendStart of the row of tiles on. diffusers blends each tile onto a
    // neighbour that was blended already, so corners of four tiles differ from a product of two weights.
    std::vector<float> weightsBelowBlend;
};

struct TileGrid {
    std::vector<TileLine> rows, columns;
};

struct LatentSize {
    std::uint64_t width = 0, height = 0;
    std::uint64_t factor = 8; // pixels for each latent, along one side
};
// Of the graph's input or output, whichever are the latents.
LatentSize latentSize(const Graph& graph);

// Where the tiles lie, without weights, which take memory as all rows and columns of tiles together have.
std::vector<TileGrid> tilePlaces(const Controls& controls, const LatentSize& latents);

// One grid for each pass, their weights divided by the number of passes. `scale`: output elements for each latent. The
// tile is not larger than the latents in both directions.
std::vector<TileGrid> tileGrids(const Controls& controls, const LatentSize& latents, std::uint64_t scale);

} // namespace spikescope
