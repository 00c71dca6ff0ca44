#include "core/formats/json_text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace spikescope {

namespace {

bool isPlain(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

} // namespace

void JsonText::value(std::string_view text) {
    // Names are ASCII nearly always; the library knows what to do with the others.
    if (!std::ranges::all_of(text, isPlain)) {
        m_out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        return;
    }
    m_out += '"';
    m_out += text;
    m_out += '"';
}

void JsonText::value(std::uint64_t number) {
    const fmt::format_int digits(number);
    m_out.append(digits.data(), digits.size());
}

void JsonText::value(std::int64_t number) {
    const fmt::format_int digits(number);
    m_out.append(digits.data(), digits.size());
}

void JsonText::value(const std::optional<std::uint64_t>& number) {
    if (number)
        value(*number);
    else
        m_out += "null";
}

void JsonText::value(std::span<const std::uint64_t> numbers) {
    m_out += '[';
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (i != 0) m_out += ',';
        value(numbers[i]);
    }
    m_out += ']';
}

void JsonText::value(std::span<const std::string> texts) {
    m_out += '[';
    for (std::size_t i = 0; i < texts.size(); ++i) {
        if (i != 0) m_out += ',';
        value(texts[i]);
    }
    m_out += ']';
}

JsonTable::JsonTable(JsonText& text, std::span<const std::string_view> columns)
    : m_text(text) {
    m_text.raw("{\"columns\":[");
    for (const std::string_view& column : columns) {
        if (&column != &columns.front()) m_text.raw(",");
        m_text.value(column);
    }
    m_text.raw("],\"rows\":[");
}

} // namespace spikescope
