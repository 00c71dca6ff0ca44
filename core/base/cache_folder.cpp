#include "core/base/cache_folder.h"

#include <cstdlib>

namespace spikescope {

std::string defaultCacheFolder() {
    if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) return std::string(cache) + "/spikescope";
    if (const char* home = std::getenv("HOME"); home && *home) return std::string(home) + "/.cache/spikescope";
    return {};
}

} // namespace spikescope
