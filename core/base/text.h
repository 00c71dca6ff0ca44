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
std::string joined(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string_view> words(std::string_view text); // what blanks separate

} // namespace spikescope
