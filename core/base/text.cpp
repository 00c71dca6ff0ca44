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

namespace {

struct Character {
    std::uint32_t code = 0;
    std::size_t bytes = 0; // in UTF-8; 0: no control character begins here
};

// A character that changes what a terminal shows of others: C0, DEL and C1 controls, marks of direction, and Unicode's
// ends of lines and paragraphs.
Character controlAt(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
    };
    const std::uint32_t first = byte(0), second = byte(1), third = byte(2);
    if (first < 0x20 || first == 0x7f) return {first, 1};
    if (first == 0xc2 && second >= 0x80 && second < 0xa0) return {second, 2};
    if (first != 0xe2 || (second & 0xc0) != 0x80 || (third & 0xc0) != 0x80) return {};
    const std::uint32_t code = 0x2000 | (second & 0x3f) << 6 | (third & 0x3f);
    const auto within = [&](std::uint32_t begin, std::uint32_t end) { return code >= begin && code <= end; };
    if (within(0x200e, 0x200f) || within(0x2028, 0x202e) || within(0x2066, 0x2069)) return {code, 3};
    return {};
}

// `replace` appends what stands for a control character.
template <class Replace> std::string withoutControls(std::string_view text, const Replace& replace) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const Character control = controlAt(text, i);
        if (control.bytes == 0)
            out += text[i];
        else
            replace(out, control);
        i += std::max<std::size_t>(control.bytes, 1);
    }
    return out;
}

} // namespace

std::string visible(std::string_view text) {
    return withoutControls(text, [](std::string& out, const Character& control) {
        if (control.code == '\n' || control.code == '\t')
            out += static_cast<char>(control.code);
        else
            out += fmt::format("\\u{:04x}", control.code);
    });
}

std::string printable(std::string_view text) {
    return withoutControls(text, [](std::string& out, const Character&) { out += '?'; });
}

std::string quote(std::string_view name) {
    constexpr std::size_t longest = 200;
    std::string_view shown = name.substr(0, longest);
    // Not inside a UTF-8 character.
    if (shown.size() < name.size())
        while (!shown.empty() && (static_cast<unsigned char>(name[shown.size()]) & 0xc0u) == 0x80u)
            shown.remove_suffix(1);
    const std::string inside = withoutControls(shown, [](std::string& out, const Character& control) {
        out += control.code < 0x80 ? fmt::format("\\x{:02x}", control.code) : fmt::format("\\u{:04x}", control.code);
    });
    return fmt::format("'{}{}'", inside, shown.size() < name.size() ? "…" : "");
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
