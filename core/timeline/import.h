#pragma once
// Reads what reportJson() wrote. Reports come from other machines and other people, so nothing in them is trusted.

#include "core/base/error.h"
#include "core/memory/recording.h"

#include <string>

namespace spikescope {

// At most 2 GiB, 64 Mi values and 32 levels of nesting. Every index is inside its table, events are in the order of
// their ops, and the allocated, reserved and workspace bytes of each event follow from the event before. BadInput names
// the file and the field; Io when the file cannot be opened; OutOfHostMemory when it does not fit.
[[nodiscard]] Result<Recording> readReport(const std::string& path);

} // namespace spikescope
