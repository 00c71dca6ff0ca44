#include "core/backend/backend.h"

#include <fmt/format.h>

namespace spikescope {

std::string Backend::cacheFile(std::string_view what, const std::string& folder) const {
    return fmt::format("{}/{}-{}-{}.json", folder, what, identity(), SPIKESCOPE_VERSION);
}

} // namespace spikescope
