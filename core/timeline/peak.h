#pragma once
// Where memory was highest. Taken from events, never from samples, in one pass; of equal heights the first counts.

#include "core/memory/recording.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

// Bytes in one memory space by category, in the order of Category; sums to what is allocated there.
using Breakdown = std::array<std::uint64_t, categoryCount>;
// What an event makes of the breakdown of its space before it.
void follow(Breakdown& live, const Recording& recording, const Event& event);

struct Peak {
    // Maxima in bytes, each over all events and not necessarily at the same one. `host` is what tensors hold of the
    // host's memory. All that follows describes the event of the allocated peak.
    std::uint64_t allocated = 0, reserved = 0, working = 0, host = 0;
    double fragmentation = 0.0; // 1 − largest free block / free bytes
    Breakdown byCategory{};     // sums to `allocated`
    std::string layer;          // of the op about to run; without ops, of the tensor
    std::uint32_t opIndex = 0;  // past the end of the ops: the last op
    Phase phase = Phase::Load;
    std::int64_t timeNs = 0;            // device time since the first op
    std::uint32_t eventIndex = noIndex; // noIndex when there are no events
};

// Of one memory space. Everything zero for a Recording without events.
Peak findPeak(const Recording& recording, std::uint32_t space = deviceSpace);

// Maxima of each memory space, in bytes.
struct SpacePeak {
    std::uint64_t allocated = 0, reserved = 0;
};
std::vector<SpacePeak> spacePeaks(const Recording& recording);

struct PhasePeak {
    Phase phase = Phase::Load;
    // Bytes, maxima over the events of this phase. `host` is allocated on the host, `held` the sum of both at one
    // event.
    std::uint64_t allocated = 0, reserved = 0, host = 0, held = 0;
};

// Phases in the order in which they first have an event; a phase without events is not listed.
std::vector<PhasePeak> phasePeaks(const Recording& recording, std::uint32_t space = deviceSpace);

// Empty for an index that is not in the table: a replay may know no layers.
std::string_view layerName(const Recording& recording, std::uint32_t layer);

} // namespace spikescope
