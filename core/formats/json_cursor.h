#pragma once
// Reads JSON (RFC 8259) token by token from a text that it neither copies nor trusts. It keeps no tree, and nothing it
// does is recursive, so what a text can cost is its length.

#include "core/base/error.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace spikescope {

enum class JsonKind : std::uint8_t { Null, True, False, String, Unsigned, Negative, Fraction, Array, Object };

struct JsonToken {
    JsonKind kind = JsonKind::Null;
    bool escaped = false;     // of a String: `text` has escapes
    std::string_view text;    // as it stands in the file; a String's without the quotes
    std::uint64_t number = 0; // of Unsigned: the value; of Negative: its two's complement; of Array, Object: the items

    bool isContainer() const { return kind == JsonKind::Array || kind == JsonKind::Object; }
};

// A String's text with the escapes replaced. It has been checked before; if the file was changed since, the result is
// another text and nothing worse.
std::string unescaped(const JsonToken& string);

class JsonCursor {
public:
    static constexpr std::size_t deepestNesting = 32;
    static constexpr std::uint64_t mostValues = std::uint64_t{64} << 20; // a million events have twenty million

    explicit JsonCursor(std::string_view text, std::size_t at = 0)
        : m_text(text)
        , m_at(at) {}

    std::size_t at() const { return m_at; }

    // Each returns false where the text is wrong, and error() then says how.
    [[nodiscard]] bool value(JsonToken& token); // of a container the opening bracket alone
    [[nodiscard]] bool end();                   // nothing but white space is left

    // The rest of a container whose bracket value() has taken, which completes its `text` and `number`. `visitor` sees
    // everything inside, in order: key(token), value(token), closed(token) of each container that value() opened.
    // What they return goes on or, false, ends the walk without an error.
    template <class Visitor> [[nodiscard]] bool walk(JsonToken& container, Visitor&& visitor);
    [[nodiscard]] bool skip(JsonToken& container);

    // Steps through an array or object whose bracket value() has taken: whether another item follows, or the end.
    // `first` is the caller's, true at the beginning. False for the end and for wrong text; broken() tells.
    [[nodiscard]] bool item(bool& first, char close);
    [[nodiscard]] bool key(JsonToken& token); // and its colon

    bool broken() const { return m_problem != Problem::None; }
    tl::unexpected<Error> error(const std::string& fileName) const;

private:
    enum class Problem { None, Syntax, Depth, Values, Range };

    void skipSpace() {
        while (m_at < m_text.size() &&
               (m_text[m_at] == ' ' || m_text[m_at] == '\n' || m_text[m_at] == '\r' || m_text[m_at] == '\t'))
            ++m_at;
    }
    bool wrong(Problem problem = Problem::Syntax) {
        m_problem = problem;
        return false;
    }
    bool string(JsonToken& token);
    bool escape();
    bool wideCharacter();
    bool number(JsonToken& token);
    bool longNumber(JsonToken& token, std::size_t digits);
    bool fractionFollows(bool& point, bool& exponent);
    bool word(JsonToken& token, std::string_view word, JsonKind kind);

    std::string_view m_text;
    std::size_t m_at = 0;
    std::uint64_t m_values = 0;
    Problem m_problem = Problem::None;
};

// The value of a number token; zero where it is too small for a double, infinite where too large.
double fraction(const JsonToken& number);

template <class Visitor> bool JsonCursor::walk(JsonToken& container, Visitor&& visitor) {
    std::array<JsonToken, deepestNesting> open; // the containers around this place, outermost first
    std::size_t depth = 1;
    open[0] = container;
    bool first = true;
    while (true) {
        JsonToken& inside = open[depth - 1];
        const bool object = inside.kind == JsonKind::Object;
        if (item(first, object ? '}' : ']')) {
            ++inside.number;
            JsonToken token;
            if (object && (!key(token) || !visitor.key(token))) return false;
            if (!value(token)) return false;
            if (token.isContainer()) {
                if (depth == deepestNesting) {
                    --m_at;
                    return wrong(Problem::Depth);
                }
                open[depth++] = token;
                first = true;
            }
            if (!visitor.value(token)) return false;
            continue;
        }
        if (broken()) return false;
        const auto begin = static_cast<std::size_t>(inside.text.data() - m_text.data());
        inside.text = m_text.substr(begin, m_at - begin);
        if (--depth == 0) {
            container = inside;
            return true;
        }
        first = false; // of the container around
        if (!visitor.closed(inside)) return false;
    }
}

} // namespace spikescope
