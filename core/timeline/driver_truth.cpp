#include "core/timeline/driver_truth.h"

#include <algorithm>
#include <cstdlib>

namespace spikescope {

std::optional<DriverTruth> driverTruth(const Recording& recording) {
    std::optional<DriverTruth> truth;
    std::size_t next = 0;
    std::uint64_t staging = 0, reserved = 0;
    for (const Sample& sample : recording.samples) {
        for (; next < sample.event && next < recording.events.size(); ++next) {
            const Event& event = recording.events[next];
            if (event.space == deviceSpace) reserved = event.reserved;
            if (event.tensor >= recording.tensors.size()) continue;
            if (recording.tensors[event.tensor].category != Category::Staging) continue;
            staging = event.kind == EventKind::Alloc ? staging + event.bytes : staging - event.bytes;
        }
        if (!sample.driverBytes) continue;
        if (!truth) truth = DriverTruth{.baseline = *sample.driverBytes};
        const std::uint64_t above = *sample.driverBytes - std::min(*sample.driverBytes, truth->baseline),
                            counted = reserved - staging;
        const auto difference = static_cast<std::int64_t>(above - counted);
        if (std::llabs(difference) > std::llabs(truth->largestDifference)) truth->largestDifference = difference;
        if (above <= truth->peak) continue;
        truth->peak = above;
        truth->reserved = counted;
    }
    return truth;
}

} // namespace spikescope
