#pragma once
// How many ops a program has, before it is lowered: tiles, images and passes multiply. A program too long to list is
// merged, see lower(), or refused with the count and with settings that would be accepted.

#include "core/graph/graph.h"
#include "core/program/controls.h"

namespace spikescope {

struct OpLimits {
    // A plan of more ops is merged. With its steps and events an op takes 1.5 KiB and a few microseconds.
    std::uint64_t detailed = std::uint64_t{1} << 18;
    std::uint64_t most = std::uint64_t{1} << 20;           // of a program that is not merged
    std::uint64_t weights = std::uint64_t{1} << 26;        // of blends of tiles that are not merged, 4 bytes each
    std::uint64_t differentTiles = std::uint64_t{1} << 15; // of merged tiles, one of each size
    bool everyEvent = false; // every event is wanted, as a run has them: nothing is merged
};

struct OpCount {
    std::uint64_t tiles = 1;     // or stripes, of an image
    std::uint64_t pictures = 1;  // or images, one after another
    std::uint64_t ops = 0;       // of all tiles, images and passes; without loading and without downloads
    std::uint64_t different = 0; // of one work unit of each kind
    std::uint64_t sizes = 1;     // of tiles
    std::uint64_t weights = 0;   // of the blends of tiles
};

// `graph`: see lower().
OpCount countOps(const Graph& graph, const Controls& controls);

// Nothing where every work unit is lowered by itself, a note for the user where equal ones are to be merged, a refusal
// where even that is too much.
Result<std::optional<std::string>> mergeRepeats(const Graph& graph, const Controls& controls, const OpLimits& limits);

} // namespace spikescope
