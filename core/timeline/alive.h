#pragma once
// What is alive at an instant of a Recording.

#include "core/memory/recording.h"

namespace spikescope {

struct AliveTensor {
    std::uint32_t tensor = 0;  // index into the Recording's tensors
    std::uint32_t since = 0;   // the event that allocated it
    std::uint64_t bytes = 0;   // as allocated
    std::uint64_t address = 0; // device address
};

// After event `event`; largest first, of equals the older one. The bytes of those in a memory space sum to what is
// allocated there. Empty for an index that is not in the Recording.
std::vector<AliveTensor> aliveAt(const Recording& recording, std::uint32_t event);

// One sentence on what is in a memory space at an event: its total, its largest category, and its largest tensors.
std::string describeMoment(const Recording& recording, std::uint32_t event, std::uint32_t space = deviceSpace);

} // namespace spikescope
