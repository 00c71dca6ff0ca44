#pragma once
// How many ops a program has, before it is lowered: tiles, pictures and runs multiply. What would take more memory to
// list than there is to spare is merged, see lower(), or refused with the count and with what would not be.

#include "core/graph/graph.h"
#include "core/program/controls.h"

namespace spikescope {

struct OpLimits {
    // A plan of more ops is merged. With its steps and events an op takes 1.5 KiB and a few microseconds.
    std::uint64_t detailed = std::uint64_t{1} << 18;
    std::uint64_t most = std::uint64_t{1} << 20;           // of what is not merged
    std::uint64_t weights = std::uint64_t{1} << 26;        // of tiles that are not merged, 4 bytes each
    std::uint64_t differentTiles = std::uint64_t{1} << 15; // of tiles that are, one of each size
    bool everyEvent = false;                               // is wanted, as a run has them: nothing is merged
};

struct OpCount {
    std::uint64_t parts = 1;     // of a picture
    std::uint64_t pictures = 1;  // one after another
    std::uint64_t ops = 0;       // of all parts, pictures and runs; without loading, and without the output's way out
    std::uint64_t different = 0; // of one of each kind of part
    std::uint64_t sizes = 1;     // of tiles
    std::uint64_t weights = 0;   // of the blends of tiles
};

// `graph`: see lower().
OpCount countOps(const Graph& graph, const Controls& controls);

// Nothing where every part is lowered by itself, a note for the user where equal ones are to be merged; a refusal where
// that is too much, too.
Result<std::optional<std::string>> mergeParts(const Graph& graph, const Controls& controls, const OpLimits& limits);

} // namespace spikescope
