#pragma once
// Sizes and durations as people read them. Files carry plain bytes and nanoseconds instead.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

std::string formatBytes(std::uint64_t bytes);    // "512 B", "1.50 KiB", "778.90 MiB", "2.00 GiB"
std::string formatDuration(double milliseconds); // "0.85 ms", "12.30 s"
std::string quote(std::string_view name);        // 'name', control characters escaped, cut after 200 bytes
// The text with escapes ("\u001b") in place of characters that a terminal would obey: control characters but line ends
// and tabs, and marks that turn the direction of writing. Names come from files. Inside a string of JSON it stays JSON.
std::string visible(std::string_view text);
// The same with question marks, and line ends and tabs among them: for cells of tables.
std::string printable(std::string_view text);
std::string joined(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string_view> words(std::string_view text); // what blanks separate

} // namespace spikescope
