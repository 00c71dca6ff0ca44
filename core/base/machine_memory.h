#pragma once
// What the machine has left.

#include <cstdint>

namespace spikescope {

// Bytes that programs can still take without others giving up theirs; the largest number where the system does not say.
std::uint64_t availableMachineMemory();

} // namespace spikescope
