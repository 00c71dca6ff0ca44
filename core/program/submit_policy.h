#pragma once
// How calls reach the device. Small ops share a submission, as each costs a GPU some time; long ones are split over
// several, so that a cancel is soon heard and no driver takes the device for hung.

#include <cstdint>

namespace spikescope {

struct SubmitPolicy {
    bool waitForEachOp = false;                 // else several submissions are in flight
    std::uint64_t maxFlops = 1'000'000'000'000; // of one submission
    std::uint64_t maxInFlight = 4;              // submissions
};

} // namespace spikescope
