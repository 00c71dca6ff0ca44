#pragma once
// What a fuzz target holds to be true, whatever its input.

#include <cstdlib>

namespace spikescope {

inline void require(bool condition) {
    if (!condition) std::abort();
}

} // namespace spikescope
