#include "core/formats/report_table.h"

#include <algorithm>

namespace spikescope {

std::string ReportField::path() const {
    return fmt::format("{}{}{}", where, where.empty() || name.empty() ? "" : ".", name);
}

std::string ReportField::place() const {
    if (row == noRow) return quote(path());
    return quote(fmt::format("{} row {}{}{}", where, row, name.empty() ? "" : " column ", name));
}

Result<ReportField> ReportField::member(std::string_view inside, std::string_view key) const {
    if (value.kind != JsonKind::Object) return wrong("is not an object");
    const JsonToken* found = source.outline.find(inside.empty() ? std::string(key) : fmt::format("{}.{}", inside, key));
    const ReportField field{found ? *found : value, source, inside, key};
    if (!found) return field.wrong("is missing");
    return field;
}

Result<ReportField> fieldAt(const ReportSource& source, std::string_view path) {
    if (path.empty()) return ReportField{source.outline.root(), source, "", "the file"};
    const std::size_t dot = path.rfind('.');
    const bool top = dot == std::string_view::npos;
    const std::string_view inside = top ? std::string_view() : path.substr(0, dot);
    TRY(const ReportField object, fieldAt(source, inside));
    return object.member(inside, top ? path : path.substr(dot + 1));
}

Result<std::string> ReportField::string() const {
    if (value.kind != JsonKind::String) return wrong("is not a string");
    return unescaped(value);
}

Result<std::uint64_t> ReportField::unsignedNumber(std::uint64_t largest) const {
    if (value.kind != JsonKind::Unsigned) return wrong("is not an unsigned integer");
    if (value.number > largest) return wrong("is {}, more than {}", value.number, largest);
    return value.number;
}

Result<std::int64_t> ReportField::time() const {
    constexpr std::int64_t farthest = std::int64_t{1} << 62;
    const bool negative = value.kind == JsonKind::Negative;
    if (!negative && value.kind != JsonKind::Unsigned) return wrong("is not an integer");
    const auto nanoseconds = static_cast<std::int64_t>(value.number);
    const bool wrapped = !negative && nanoseconds < 0;
    if (wrapped || nanoseconds > farthest || nanoseconds < -farthest) return wrong("is out of range");
    return nanoseconds;
}

Result<double> ReportField::milliseconds() const {
    if (value.kind != JsonKind::Unsigned && value.kind != JsonKind::Negative && value.kind != JsonKind::Fraction)
        return wrong("is not a number");
    return fraction(value);
}

Result<bool> ReportField::boolean() const {
    if (value.kind != JsonKind::True && value.kind != JsonKind::False) return wrong("is neither true nor false");
    return value.kind == JsonKind::True;
}

Result<std::uint32_t> ReportField::index(std::size_t tableSize, std::string_view table) const {
    if (value.kind == JsonKind::Null) return noIndex;
    TRY(const std::uint64_t found, unsignedNumber());
    if (found >= tableSize) return wrong("is {}, but there are {} {}", found, tableSize, table);
    return static_cast<std::uint32_t>(found);
}

Result<ReportItems> ReportItems::open(const ReportField& array) {
    if (array.value.kind != JsonKind::Array) return array.wrong("is not an array");
    return ReportItems(array);
}

Result<bool> ReportItems::next() {
    const bool more = m_cursor.item(m_first, ']');
    if (more && m_cursor.value(m_item) && m_item.isContainer()) (void)m_cursor.skip(m_item);
    // Read once without an error, so the file has changed since.
    if (m_cursor.broken()) return m_cursor.error(m_source->fileName);
    return more;
}

Result<ReportTable> ReportTable::open(const ReportSource& source, std::string_view where,
                                      std::span<const std::string_view> columns) {
    TRY(const ReportField object, fieldAt(source, where));
    TRY(const ReportField head, object.member(where, "columns"));
    TRY(const ReportField body, object.member(where, "rows"));
    if (head.value.kind != JsonKind::Array) return head.wrong("is not an array");
    if (body.value.kind != JsonKind::Array) return body.wrong("is not an array");
    ReportTable table(source, body.value, where, columns);
    CHECK(table.findColumns(head));
    return table;
}

Result<void> ReportTable::findColumns(const ReportField& head) {
    const std::size_t unwanted = m_columns.size();
    std::vector<bool> found(m_columns.size());
    TRY(ReportItems names, ReportItems::open(head));
    while (true) {
        TRY(const bool more, names.next());
        if (!more) break;
        std::size_t slot = unwanted;
        if (names.item().kind == JsonKind::String)
            slot = static_cast<std::size_t>(std::ranges::find(m_columns, unescaped(names.item())) - m_columns.begin());
        if (slot != unwanted && found[slot]) slot = unwanted; // of equal names the first counts
        if (slot != unwanted) found[slot] = true;
        m_slots.push_back(static_cast<std::uint8_t>(slot));
    }
    for (std::size_t i = 0; i < m_columns.size(); ++i)
        if (!found[i]) return head.wrong("lacks {}", quote(m_columns[i]));
    return {};
}

std::size_t ReportTable::mostRows() const {
    return static_cast<std::size_t>(std::min(m_rows, JsonCursor::mostValues / (m_columns.size() + 1)));
}

Result<bool> ReportTable::next() {
    const std::size_t begin = m_cursor.at();
    if (!m_cursor.item(m_first, ']')) {
        if (m_cursor.broken()) return m_cursor.error(m_source->fileName);
        return false;
    }
    ++m_row;
    JsonToken row;
    if (!m_cursor.value(row)) return m_cursor.error(m_source->fileName);
    const ReportField field{row, *m_source, m_where, "", m_row};
    if (row.kind != JsonKind::Array) return field.wrong("is not an array");
    std::size_t cells = 0;
    bool first = true;
    while (m_cursor.item(first, ']')) {
        JsonToken& cell = m_cells[cells < m_slots.size() ? m_slots[cells] : m_columns.size()];
        if (!m_cursor.value(cell) || (cell.isContainer() && !m_cursor.skip(cell)))
            return m_cursor.error(m_source->fileName);
        ++cells;
    }
    if (m_cursor.broken()) return m_cursor.error(m_source->fileName);
    if (cells != m_slots.size()) return field.wrong("has {} cells for {} columns", cells, m_slots.size());
    if (!m_source->progress.advance(m_cursor.at() - begin)) return fail(ErrorCode::Cancelled, "cancelled");
    return true;
}

} // namespace spikescope
