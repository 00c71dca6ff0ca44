#include "core/base/text.h"

#include <fmt/format.h>

namespace spikescope {

std::string formatBytes(std::uint64_t bytes) {
    constexpr double kib = 1024.0, mib = kib * kib, gib = mib * kib;
    const auto value = static_cast<double>(bytes);
    if (bytes < 1024) return fmt::format("{} B", bytes);
    if (value < mib) return fmt::format("{:.2f} KiB", value / kib);
    if (value < gib) return fmt::format("{:.2f} MiB", value / mib);
    return fmt::format("{:.2f} GiB", value / gib);
}

std::string formatDuration(double milliseconds) {
    if (milliseconds < 1000.0) return fmt::format("{:.2f} ms", milliseconds);
    return fmt::format("{:.2f} s", milliseconds / 1000.0);
}

std::string quote(std::string_view name) {
    constexpr std::size_t longest = 120;
    std::string out = "'";
    for (char c : name.substr(0, longest)) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
            out += c;
    }
    out += name.size() > longest ? "…'" : "'";
    return out;
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
    std::string out;
    for (const std::string& part : parts) {
        if (!out.empty()) out += separator;
        out += part;
    }
    return out;
}

} // namespace spikescope
