#pragma once
// Tiles of kernels chosen by measuring, for the calls of a program on one device. Never in a run: what is chosen is
// kept in the cache folder, and sessions that are opened afterwards take it.

#include "core/run/session.h"

namespace spikescope {

struct TunedTile {
    std::string kernel, call; // of the program; as TileChoices names what the tile is for
    std::string rule, chosen; // tiles
    double ruleMs, chosenMs;  // of the whole call
};

// Times the tiles of each kind of call and leaves those that win in session.kernels().tiles(); `each` hears of every
// one.
Result<void> tune(Session& session, const Program& program, const std::function<void(const TunedTile&)>& each);

// Of this device, its driver and its kernels; empty when there are none, or the file is damaged.
TileChoices keptTiles(const Session& session, const std::string& cacheFolder);
// Keeps the session's tiles, and forgets rates that were measured with others.
Result<void> keepTiles(Session& session, const std::string& cacheFolder);

} // namespace spikescope
