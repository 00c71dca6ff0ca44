#pragma once
// A Recording as files. JSON and CSV follow the contract in interface.md: plain bytes, nanoseconds, UTF-8. The JSON
// texts have no newline at the end.

#include "core/base/error.h"
#include "core/memory/recording.h"

#include <string>
#include <string_view>

namespace spikescope {

// What --json prints: schema spikescope.run/2 without "recording". Bytes that are not UTF-8 become U+FFFD.
std::string summaryJson(const Recording& recording);

// What --report writes: the summary and, under "recording", all that readReport() needs to make the Recording again.
std::string reportJson(const Recording& recording);

// Tables by RFC 4180: a header line, CRLF, quotes where a field needs them. Errors are Io; the file appears whole or
// not at all.
[[nodiscard]] Result<void> writeEventsCsv(const Recording& recording, const std::string& path);
[[nodiscard]] Result<void> writeLayersCsv(const Recording& recording, const std::string& path);

// Any text, whole or not at all.
[[nodiscard]] Result<void> writeText(const std::string& path, std::string_view text);

} // namespace spikescope
