#pragma once
// What single flips of a control do to the peak: advice as a table. core/advise/advice.h makes it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace spikescope {

struct Flip {
    std::string control, from, to;
    std::uint64_t allocated = 0, reserved = 0; // peaks with the flip, bytes
    std::string layer;                         // of the allocated peak
    std::optional<double> ms;                  // of decode or encode
    bool fits = true; // into the room that was asked about, and into the device's largest block
};

struct Advice {
    std::uint64_t allocated = 0, reserved = 0; // peaks of the configuration itself, bytes
    std::optional<double> ms;
    bool fits = true;
    std::vector<Flip> flips; // the smallest allocated peak first, then the smallest reserved one and the shortest time
};

} // namespace spikescope
