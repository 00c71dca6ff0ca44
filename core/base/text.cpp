#include "core/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace spikescope {

std::string formatBytes(std::uint64_t bytes) {
    constexpr double kib = 1024.0, mib = kib * kib, gib = mib * kib;
    const auto value = static_cast<double>(bytes);
    if (bytes < 1024) return fmt::format("{} B", bytes);
    // Values that would round to 1024.00 belong to the next unit.
    constexpr double justBelow = 1024.0 - 0.005;
    if (value / kib < justBelow) return fmt::format("{:.2f} KiB", value / kib);
    if (value / mib < justBelow) return fmt::format("{:.2f} MiB", value / mib);
    return fmt::format("{:.2f} GiB", value / gib);
}

std::string formatDuration(double milliseconds) {
    if (milliseconds < 1000.0) return fmt::format("{:.2f} ms", milliseconds);
    return fmt::format("{:.2f} s", milliseconds / 1000.0);
}

std::string quote(std::string_view name) {
    constexpr std::size_t longest = 200;
    std::string_view shown = name.substr(0, longest);
    // Not inside a UTF-8 character.
    if (shown.size() < name.size())
        while (!shown.empty() && (static_cast<unsigned char>(name[shown.size()]) & 0xc0u) == 0x80u)
            shown.remove_suffix(1);
    std::string out = "'";
    for (const char c : shown) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
            out += c;
    }
    out += shown.size() < name.size() ? "…'" : "'";
    return out;
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
    return fmt::format("{}", fmt::join(parts, separator));
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> list;
    while (!text.empty()) {
        const auto blank = text.find(' ');
        list.push_back(text.substr(0, blank));
        text.remove_prefix(std::min(list.back().size() + 1, text.size()));
    }
    return list;
}

} // namespace spikescope
