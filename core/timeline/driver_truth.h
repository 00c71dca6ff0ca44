#pragma once
// What the driver says that the process holds of the device's memory, beside what was counted.

#include "core/memory/recording.h"

namespace spikescope {

struct DriverTruth {
    std::uint64_t baseline = 0;         // held before the first event: the driver's own and what was there
    std::uint64_t peak = 0;             // the largest use above the baseline, bytes
    std::uint64_t reserved = 0;         // reserved on the device, without staging, at the same sample
    std::int64_t largestDifference = 0; // use above the baseline − reserved, where it is farthest from 0
};

// From the samples of a run; nothing where the driver does not tell. Staging counts only in `reserved` of a Recording:
// it lies in the machine's memory.
std::optional<DriverTruth> driverTruth(const Recording& recording);

} // namespace spikescope
