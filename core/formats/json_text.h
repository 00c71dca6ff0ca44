#pragma once
// JSON put together as text, for tables too long to be held as a tree first. Bytes that are not UTF-8 become U+FFFD.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace spikescope {

class JsonText {
public:
    explicit JsonText(std::string& out)
        : m_out(out) {}

    // Appended as it is.
    JsonText& raw(std::string_view text) {
        m_out += text;
        return *this;
    }

    void value(std::string_view text);
    void value(bool truth) { m_out += truth ? "true" : "false"; }
    void value(std::uint32_t number) { value(std::uint64_t{number}); }
    void value(std::uint64_t number);
    void value(std::int64_t number);
    void value(const std::optional<std::uint64_t>& number); // or null
    void value(std::span<const std::uint64_t> numbers);
    void value(std::span<const std::string> texts);

private:
    std::string& m_out;
};

// {"columns": [...], "rows": [[...], ...]}: columns are named once, so a million events stay below 100 MB.
class JsonTable {
public:
    JsonTable(JsonText& text, std::span<const std::string_view> columns);

    template <class... Cells> void add(const Cells&... cells) {
        m_text.raw(m_first ? "[" : ",[");
        m_first = false;
        bool firstCell = true;
        ((m_text.raw(std::exchange(firstCell, false) ? "" : ","), m_text.value(cells)), ...);
        m_text.raw("]");
    }
    void close() { m_text.raw("]}"); }

private:
    JsonText& m_text;
    bool m_first = true;
};

// An object, member by member; the keys are taken as they are.
class JsonObject {
public:
    explicit JsonObject(JsonText& text)
        : m_text(text) {}

    template <class Value> JsonObject& add(std::string_view key, const Value& value) {
        m_text.raw(m_first ? "{\"" : ",\"").raw(key).raw("\":");
        m_first = false;
        m_text.value(value);
        return *this;
    }
    void close() { m_text.raw(m_first ? "{}" : "}"); }

private:
    JsonText& m_text;
    bool m_first = true;
};

} // namespace spikescope
