#pragma once
// Whether what a plan takes is there: on the device, and in the machine's memory, of which a CPU device or an
// integrated GPU takes its share, too.

#include "core/memory/recording.h"

#include <cstdint>
#include <optional>
#include <string>

namespace spikescope {

struct FreeMemory {
    std::uint64_t device = 0, machine = 0; // bytes
    bool shared = false;                   // the device's memory is the machine's
};

struct Shortage {
    std::uint64_t reserved = 0, host = 0; // planned peaks, bytes: held from the driver; tensors in the machine's memory
    std::uint64_t together = 0;           // the peak of their sum, where both are in one memory
    FreeMemory free;
    // The number that is too large, and what there is for it.
    std::uint64_t wanted() const;
    std::uint64_t available() const;
    bool onMachine() const; // the machine's memory is what is short
    std::string sentence() const;
};

// None where all of it fits.
std::optional<Shortage> shortageOf(const Recording& plan, const FreeMemory& free);

} // namespace spikescope
