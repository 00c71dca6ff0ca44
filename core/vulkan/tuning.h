#pragma once
// Tiles of kernels chosen by measuring, for the calls of a program on one device. Never in a run: what is chosen is
// kept in the cache folder, and backends that are opened afterwards take it.

#include "core/vulkan/vulkan_backend.h"

namespace spikescope {

struct TunedTile {
    std::string kernel, call; // of the program; as TileChoices names what the tile is for
    std::string rule, chosen; // tiles
    double ruleMs, chosenMs;  // of the whole call
};

// Times the tiles of each kind of call and leaves those that win in backend.kernels().tiles(); `each` hears of every
// one.
Result<void> tune(VulkanBackend& backend, const Program& program, const std::function<void(const TunedTile&)>& each);

// Keeps the backend's tiles, and forgets rates that were measured with others.
Result<void> keepTiles(VulkanBackend& backend, const std::string& cacheFolder);

} // namespace spikescope
