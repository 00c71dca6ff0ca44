#pragma once
// Where what can be made again is kept: compiled pipelines, measured rates and tiles.

#include <string>

namespace spikescope {

// $XDG_CACHE_HOME/spikescope, or .cache/spikescope in the home; empty where there is no home.
std::string defaultCacheFolder();

} // namespace spikescope
