#pragma once
// Tables as text by RFC 4180: a comma between fields, CRLF after a line, quotes where a field needs them. Numbers are
// unrounded and have a decimal point whatever the locale.

#include "core/base/output_file.h"

#include <cmath>
#include <concepts>
#include <initializer_list>
#include <iterator>

namespace spikescope {

// Fields go in one by one.
class CsvText {
public:
    CsvText& text(std::string_view field) {
        separate();
        if (field.find_first_of(",\"\r\n") == std::string_view::npos) {
            m_text += field;
            return *this;
        }
        m_text += '"';
        for (const char c : field) {
            if (c == '"') m_text += '"';
            m_text += c;
        }
        m_text += '"';
        return *this;
    }
    CsvText& number(std::integral auto value) { return formatted("{}", value); }
    // Without a point where it is whole; nothing for NaN.
    CsvText& number(double value) {
        if (std::isnan(value)) return text("");
        if (value == std::floor(value) && std::abs(value) < 9e15) return number(static_cast<std::int64_t>(value));
        return formatted("{:.12g}", value);
    }
    CsvText& fraction(double value) { return formatted("{:.6f}", value); }
    CsvText& address(std::uint64_t value) { return formatted("{:#x}", value); }
    void endLine() {
        m_text += "\r\n";
        m_first = true;
    }
    void line(std::initializer_list<std::string_view> fields) {
        for (const std::string_view field : fields) text(field);
        endLine();
    }
    const std::string& all() const { return m_text; } // since the last clear()
    void clear() { m_text.clear(); }

private:
    template <class Value> CsvText& formatted(fmt::format_string<Value&> form, Value value) {
        separate();
        fmt::format_to(std::back_inserter(m_text), form, value);
        return *this;
    }
    void separate() {
        if (!m_first) m_text += ',';
        m_first = false;
    }

    std::string m_text;
    bool m_first = true;
};

// A table as a file: row(csv) puts in the fields of each item.
template <class Items, class Row>
[[nodiscard]] Result<void> writeCsv(const std::string& path, std::initializer_list<std::string_view> header,
                                    const Items& items, Row&& row) {
    TRY(OutputFile file, OutputFile::create(path));
    CsvText csv;
    csv.line(header);
    for (const auto& item : items) {
        row(csv, item);
        csv.endLine();
        CHECK(file.write(csv.all()));
        csv.clear();
    }
    CHECK(file.write(csv.all())); // of nothing the header remains
    return file.commit();
}

} // namespace spikescope
