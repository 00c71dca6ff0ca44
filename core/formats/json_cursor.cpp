#include "core/formats/json_cursor.h"

#include "core/base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace spikescope {

namespace {

// Bytes that stand for themselves in a string, whatever is beside them.
constexpr std::array<bool, 256> plain = [] {
    std::array<bool, 256> table{};
    for (std::size_t c = 0x20; c < 0x80; ++c) table[c] = c != '"' && c != '\\';
    return table;
}();

std::optional<unsigned> hexDigits(std::string_view text, std::size_t at) {
    if (text.size() < 4 || at > text.size() - 4) return std::nullopt;
    unsigned value = 0;
    const char* const end = text.data() + at + 4;
    if (std::from_chars(text.data() + at, end, value, 16).ptr != end) return std::nullopt;
    return value;
}

bool isHighSurrogate(unsigned unit) { return unit >= 0xd800 && unit < 0xdc00; }
bool isLowSurrogate(unsigned unit) { return unit >= 0xdc00 && unit < 0xe000; }

void appendUtf8(std::string& out, unsigned code) {
    const auto last = [](unsigned bits) { return static_cast<char>(0x80u | (bits & 0x3fu)); };
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0u | code >> 6);
        out += last(code);
    } else if (code < 0x10000) {
        out += static_cast<char>(0xe0u | code >> 12);
        out += last(code >> 6);
        out += last(code);
    } else {
        out += static_cast<char>(0xf0u | code >> 18);
        out += last(code >> 12);
        out += last(code >> 6);
        out += last(code);
    }
}

struct SeesNothing {
    static bool key(const JsonToken&) { return true; }
    static bool value(const JsonToken&) { return true; }
    static bool closed(const JsonToken&) { return true; }
};

} // namespace

std::string unescaped(const JsonToken& string) {
    const std::string_view text = string.text;
    if (!string.escaped) return std::string(text);
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || ++i == text.size()) {
            if (i < text.size()) out += text[i];
            continue;
        }
        switch (text[i]) {
        case 'b': out += '\b'; break;
        case 'f': out += '\f'; break;
        case 'n': out += '\n'; break;
        case 'r': out += '\r'; break;
        case 't': out += '\t'; break;
        case 'u': {
            unsigned code = hexDigits(text, i + 1).value_or(0xfffd);
            i += 4;
            if (isHighSurrogate(code)) {
                code = 0x10000 + ((code - 0xd800) << 10) + (hexDigits(text, i + 3).value_or(0xdc00) & 0x3ffu);
                i += 6;
            }
            appendUtf8(out, code);
            break;
        }
        default: out += text[i]; break;
        }
    }
    return out;
}

bool JsonCursor::value(JsonToken& token) {
    skipSpace();
    if (m_at >= m_text.size()) return wrong();
    if (++m_values > mostValues) return wrong(Problem::Values);
    token.escaped = false;
    token.number = 0;
    const char c = m_text[m_at];
    switch (c) {
    case '"': token.kind = JsonKind::String; return string(token);
    case '[':
    case '{':
        token.kind = c == '[' ? JsonKind::Array : JsonKind::Object;
        token.text = m_text.substr(m_at++, 1);
        return true;
    case 'n': return word(token, "null", JsonKind::Null);
    case 't': return word(token, "true", JsonKind::True);
    case 'f': return word(token, "false", JsonKind::False);
    default: return number(token);
    }
}

bool JsonCursor::end() {
    skipSpace();
    return m_at == m_text.size() || wrong();
}

bool JsonCursor::skip(JsonToken& container) { return walk(container, SeesNothing{}); }

bool JsonCursor::item(bool& first, char close) {
    skipSpace();
    if (m_at >= m_text.size()) return wrong();
    if (m_text[m_at] == close) {
        ++m_at;
        return false;
    }
    if (!first) {
        if (m_text[m_at] != ',') return wrong();
        ++m_at;
    }
    first = false;
    return true;
}

bool JsonCursor::key(JsonToken& token) {
    skipSpace();
    if (m_at >= m_text.size() || m_text[m_at] != '"') return wrong();
    token.kind = JsonKind::String;
    token.escaped = false;
    if (!string(token)) return false;
    skipSpace();
    if (m_at >= m_text.size() || m_text[m_at] != ':') return wrong();
    ++m_at;
    return true;
}

bool JsonCursor::word(JsonToken& token, std::string_view word, JsonKind kind) {
    if (m_text.substr(m_at, word.size()) != word) return wrong();
    token.kind = kind;
    token.text = m_text.substr(m_at, word.size());
    m_at += word.size();
    return true;
}

bool JsonCursor::string(JsonToken& token) {
    const std::size_t begin = ++m_at;
    while (true) {
        std::size_t at = m_at; // of our own: m_at would be stored at every byte
        while (at < m_text.size() && plain[static_cast<unsigned char>(m_text[at])]) ++at;
        m_at = at;
        if (m_at >= m_text.size()) return wrong();
        const char c = m_text[m_at];
        if (c == '"') break;
        if (c == '\\') {
            token.escaped = true;
            if (!escape()) return wrong();
        } else if (!wideCharacter()) {
            return wrong();
        }
    }
    token.text = m_text.substr(begin, m_at++ - begin);
    return true;
}

bool JsonCursor::escape() {
    ++m_at;
    if (m_at >= m_text.size()) return false;
    if (m_text[m_at] != 'u') return std::string_view("\"\\/bfnrt").find(m_text[m_at++]) != std::string_view::npos;
    const auto unit = hexDigits(m_text, m_at + 1);
    if (!unit || isLowSurrogate(*unit)) return false;
    m_at += 5;
    if (!isHighSurrogate(*unit)) return true;
    const auto second = m_text.substr(m_at, 2) == "\\u" ? hexDigits(m_text, m_at + 2) : std::nullopt;
    if (!second || !isLowSurrogate(*second)) return false;
    m_at += 6;
    return true;
}

// A character of more than one byte: the shortest form, no surrogates, nothing beyond U+10FFFF.
bool JsonCursor::wideCharacter() {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(m_text[m_at + i]); };
    const unsigned lead = byte(0);
    const std::size_t size = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (size == 0 || m_text.size() - m_at < size) return false;
    const unsigned lowest = lead == 0xe0   ? 0xa0
                            : lead == 0xf0 ? 0x90
                                           : 0x80,
                   highest = lead == 0xed   ? 0x9f
                             : lead == 0xf4 ? 0x8f
                                            : 0xbf;
    if (byte(1) < lowest || byte(1) > highest) return false;
    for (std::size_t i = 2; i < size; ++i)
        if ((byte(i) & 0xc0u) != 0x80u) return false;
    m_at += size;
    return true;
}

// Half of the time of reading a report goes by here. Whole numbers that surely fit, nearly all there are, take the
// short way.
bool JsonCursor::number(JsonToken& token) {
    const char* const begin = m_text.data() + m_at;
    const char* const end = m_text.data() + m_text.size();
    const bool negative = *begin == '-';
    const char* const firstDigit = negative ? begin + 1 : begin;
    const char* next = firstDigit;
    std::uint64_t value = 0; // wraps around past 19 digits
    for (; next != end; ++next) {
        const unsigned digit = static_cast<unsigned char>(*next) - unsigned{'0'};
        if (digit > 9) break;
        value = value * 10 + digit;
    }
    const auto digits = static_cast<std::size_t>(next - firstDigit);
    const bool goesOn = next != end && (*next == '.' || *next == 'e' || *next == 'E');
    if (goesOn || digits > 18 || (digits > 1 && *firstDigit == '0')) return longNumber(token, digits);
    if (digits == 0) return wrong();
    m_at += static_cast<std::size_t>(next - begin);
    token.kind = negative ? JsonKind::Negative : JsonKind::Unsigned;
    token.text = {begin, next};
    token.number = negative ? 0 - value : value;
    return true;
}

// `digits` stand before the point, if there is one.
bool JsonCursor::longNumber(JsonToken& token, std::size_t digits) {
    const std::size_t begin = m_at;
    const bool negative = m_text[begin] == '-';
    const std::string_view integer = m_text.substr(begin + (negative ? 1 : 0), digits);
    if (digits == 0 || (digits > 1 && integer.front() == '0')) return wrong();
    m_at += (negative ? 1 : 0) + digits;
    bool point = false, exponent = false;
    if (!fractionFollows(point, exponent)) return wrong();
    token.text = m_text.substr(begin, m_at - begin);

    std::uint64_t value = 0;
    const bool fits = std::from_chars(integer.data(), integer.data() + digits, value).ec == std::errc();
    const bool whole = fits && !point && !exponent && (!negative || value <= std::uint64_t{1} << 63);
    token.kind = !whole ? JsonKind::Fraction : negative ? JsonKind::Negative : JsonKind::Unsigned;
    token.number = negative ? 0 - value : value;
    const bool surelyFinite = digits <= 300 && !exponent;
    if (surelyFinite || std::isfinite(fraction(token))) return true;
    m_at = begin;
    return wrong(Problem::Range);
}

// What may follow the whole part: a point and digits, an exponent, or both.
bool JsonCursor::fractionFollows(bool& point, bool& exponent) {
    const auto at = [&](char lower, char upper) {
        return m_at < m_text.size() && (m_text[m_at] == lower || m_text[m_at] == upper);
    };
    const auto digitsFollow = [&] {
        const std::size_t from = m_at;
        while (m_at < m_text.size() && m_text[m_at] >= '0' && m_text[m_at] <= '9') ++m_at;
        return m_at > from;
    };
    point = at('.', '.');
    if (point) {
        ++m_at;
        if (!digitsFollow()) return false;
    }
    exponent = at('e', 'E');
    if (!exponent) return true;
    ++m_at;
    if (at('+', '-')) ++m_at;
    return digitsFollow();
}

double fraction(const JsonToken& number) {
    const std::string_view text = number.text;
    double value = 0;
    const char* const end = text.data() + text.size();
    if (std::from_chars(text.data(), end, value).ec != std::errc::result_out_of_range) return value;

    // Too large or too small: the power of ten of the first digit that is not zero tells which.
    const std::size_t exponentAt = std::min(text.find_first_of("eE"), text.size());
    const std::string_view digits = text.substr(0, exponentAt);
    const std::size_t leading = std::min(digits.find_first_of("123456789"), digits.size()),
                      point = std::min(digits.find('.'), digits.size());
    std::int64_t power = static_cast<std::int64_t>(point) - static_cast<std::int64_t>(leading);
    std::string_view exponent = text.substr(std::min(exponentAt + 1, text.size()));
    if (exponent.starts_with('+')) exponent.remove_prefix(1);
    constexpr std::int64_t farthest = std::int64_t{1} << 40; // more than a text has digits
    std::int64_t shift = 0;
    if (std::from_chars(exponent.data(), exponent.data() + exponent.size(), shift).ec == std::errc::result_out_of_range)
        power = exponent.starts_with('-') ? -1 : 1;
    else
        power += std::clamp(shift, -farthest, farthest);
    return power > 0 ? std::numeric_limits<double>::infinity() : 0.0;
}

tl::unexpected<Error> JsonCursor::error(const std::string& fileName) const {
    const std::string file = quote(fileName);
    switch (m_problem) {
    case Problem::Depth:
        return fail(ErrorCode::BadInput, "{}: nested deeper than {} levels at byte {}", file, deepestNesting, m_at);
    case Problem::Values:
        return fail(ErrorCode::BadInput, "{}: more values than the limit of {} at byte {}", file, mostValues, m_at);
    case Problem::Range: return fail(ErrorCode::BadInput, "{}: the number at byte {} is out of range", file, m_at);
    case Problem::None:
    case Problem::Syntax: break;
    }
    return fail(ErrorCode::BadInput, "{}: not JSON from byte {} of {} on", file, m_at, m_text.size());
}

} // namespace spikescope
