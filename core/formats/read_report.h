#pragma once
// Reads what reportJson() wrote. Reports come from other machines and other people, so nothing in them is trusted.

#include "core/base/error.h"
#include "core/formats/read_progress.h"
#include "core/memory/recording.h"

#include <string>
#include <string_view>

namespace spikescope {

// Of spikescope.run/2, and of /1 as well. At most 2 GiB, 64 Mi values, 32 levels of nesting and 64 memory spaces. Every
// index is inside its table, events are in the order of their ops, and the allocated, reserved and workspace bytes of
// each event follow from those of its space before. BadInput names
// the file and the field; Io when the file cannot be opened; OutOfHostMemory when it does not fit; Cancelled when
// `progress` says so.
[[nodiscard]] Result<Recording> readReport(const std::string& path, const ReadProgress& progress = {});

// The same for a text in memory; `fileName` is for messages.
[[nodiscard]] Result<Recording> parseReport(std::string_view json, const std::string& fileName,
                                            const ReadProgress& progress = {});

} // namespace spikescope
