#pragma once
// A Recording as JSON, schema spikescope.run/2 (report_schema.h): plain bytes, nanoseconds, UTF-8. Without a newline at
// the end. Bytes that are not UTF-8 become U+FFFD.

#include "core/memory/recording.h"

#include <string>

namespace spikescope {

// What --json prints: all but "recording".
std::string summaryJson(const Recording& recording);

// What --report writes: the summary and, under "recording", all that readReport() needs to make the Recording again.
std::string reportJson(const Recording& recording);

} // namespace spikescope
