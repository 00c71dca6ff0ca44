#pragma once
// Values of a report with the words that say where they stand, and its tables row by row.

#include "core/base/text.h"
#include "core/formats/report_outline.h"
#include "core/memory/recording.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace spikescope {

// What all values of one report share.
struct ReportSource {
    std::string_view text;
    const std::string& fileName;
    const ReportOutline& outline;
    ProgressMeter& progress;

    JsonCursor inside(const JsonToken& container) const {
        return JsonCursor(text, static_cast<std::size_t>(container.text.data() - text.data()) + 1);
    }
};

// Words are put together only when something is wrong.
struct ReportField {
    const JsonToken& value;
    const ReportSource& source;
    std::string_view where; // "recording.events"
    std::string_view name;  // of a member or column; empty: `where` itself
    std::size_t row = noRow;

    static constexpr std::size_t noRow = static_cast<std::size_t>(-1);

    template <class... Args> tl::unexpected<Error> wrong(fmt::format_string<Args...> text, Args&&... args) const {
        return fail(ErrorCode::BadInput, "{}: {} {}", quote(source.fileName), place(),
                    fmt::format(text, std::forward<Args>(args)...));
    }

    Result<ReportField> member(std::string_view inside, std::string_view key) const; // `inside` is this object's path
    Result<std::string> string() const;
    Result<std::uint64_t> unsignedNumber(std::uint64_t largest = ~std::uint64_t{0}) const;
    Result<std::int64_t> time() const; // in nanoseconds; differences of any two do not overflow
    Result<double> milliseconds() const;
    Result<bool> boolean() const;
    // An index into a table; noIndex for null.
    Result<std::uint32_t> index(std::size_t tableSize, std::string_view table) const;
    // One of the values, by its name.
    template <NamedEnum Enum> Result<Enum> named() const {
        if (value.kind != JsonKind::String) return wrong("is not a string");
        const std::string decoded = value.escaped ? unescaped(value) : std::string();
        const std::string_view wanted = value.escaped ? std::string_view(decoded) : value.text;
        if (const std::optional<Enum> found = valueNamed<Enum>(wanted)) return *found;
        return wrong("has the unknown value {}", quote(wanted));
    }

    std::string path() const; // of a member: the object's, a point and the name

private:
    std::string place() const;
};

// What the path leads to, a literal; refuses with the first key on the way that is missing or no object.
Result<ReportField> fieldAt(const ReportSource& source, std::string_view path);

// The items of an array, in order.
class ReportItems {
public:
    [[nodiscard]] static Result<ReportItems> open(const ReportField& array);

    [[nodiscard]] Result<bool> next(); // false after the last
    const JsonToken& item() const { return m_item; }

private:
    explicit ReportItems(const ReportField& array)
        : m_source(&array.source)
        , m_cursor(array.source.inside(array.value)) {}

    const ReportSource* m_source;
    JsonCursor m_cursor;
    bool m_first = true;
    JsonToken m_item;
};

// {"columns": [...], "rows": [[...], ...]}. Columns are found by name, so later versions can add some.
class ReportTable {
public:
    // `where` is its path. `where` and `columns` are literals, or live as long.
    [[nodiscard]] static Result<ReportTable> open(const ReportSource& source, std::string_view where,
                                                  std::span<const std::string_view> columns);

    // For reserve(): no row has fewer values than there are columns, so a hostile file gains nothing here.
    std::size_t mostRows() const;
    [[nodiscard]] Result<bool> next(); // false after the last row
    ReportField cell(std::size_t column) const {
        return {m_cells[column], *m_source, m_where, m_columns[column], m_row};
    }
    // For messages: one of the columns by its name.
    ReportField cell(std::string_view column) const {
        return cell(static_cast<std::size_t>(std::ranges::find(m_columns, column) - m_columns.begin()));
    }

private:
    ReportTable(const ReportSource& source, const JsonToken& rows, std::string_view where,
                std::span<const std::string_view> columns)
        : m_source(&source)
        , m_where(where)
        , m_columns(columns)
        , m_cells(columns.size() + 1)
        , m_rows(rows.number)
        , m_cursor(source.inside(rows)) {}

    Result<void> findColumns(const ReportField& head);

    const ReportSource* m_source;
    std::string_view m_where;
    std::span<const std::string_view> m_columns;
    std::vector<std::uint8_t> m_slots; // by place in the row, the place in m_cells
    std::vector<JsonToken> m_cells;    // of the row, by column; the last takes what nobody asked for
    std::uint64_t m_rows;
    JsonCursor m_cursor;
    bool m_first = true;
    std::size_t m_row = ReportField::noRow;
};

} // namespace spikescope
