#pragma once
// Where tiles of an output lie and how much of each of their rows and columns goes into it.

#include "core/program/controls.h"

#include <vector>

namespace spikescope {

// Tiles that share rows or columns, along one axis. Positions are in latents, weights by output element. The weights of
// all tiles that reach an element add up to 1.
struct TileLine {
    std::uint64_t begin = 0, length = 0;
    std::vector<float> weights;
    // Where the next tile's blend begins, in output elements; its length when none is blended in.
    std::uint64_t crossing = 0;
    // Of columns: their weights in rows behind `crossing` of the row of tiles. diffusers blends each tile onto a
    // neighbour that was blended already, which makes corners of four tiles differ from a product of two weights.
    std::vector<float> crossed;
};

struct TileGrid {
    std::vector<TileLine> rows, columns;
};

// Where the tiles lie, without weights, which take memory as all rows and columns of tiles together have.
std::vector<TileGrid> tilePlaces(const Controls& controls, std::uint64_t width, std::uint64_t height);

// One grid for each pass, their weights divided by the number of passes. Width and height of the latents; `scale`:
// output elements for each latent. The tile is not larger than the latents in both directions.
std::vector<TileGrid> tileGrids(const Controls& controls, std::uint64_t width, std::uint64_t height,
                                std::uint64_t scale);

} // namespace spikescope
