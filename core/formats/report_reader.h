#pragma once
// Reads objects and tables of a report by the lists of its schema, and checks what every version must hold to.

#include "core/formats/report_schema.h"
#include "core/formats/report_table.h"

#include <concepts>
#include <functional>

namespace spikescope {

class ReportReader {
public:
    explicit ReportReader(const ReportSource& source)
        : m_source(source) {}

    const ReportSource& source() const { return m_source; }
    bool has(std::string_view path) const { return m_source.outline.find(path) != nullptr; }

    template <class... Members, class Into>
    Result<void> readObject(const report::Object<Members...>& schema, Into& into) const {
        TRY(const ReportField object, fieldAt(m_source, schema.path));
        Result<void> result;
        const auto one = [&](const auto& field) {
            const Result<ReportField> found = object.member(schema.path, field.name);
            result =
                found ? read(*found, field, std::invoke(field.member, into)) : tl::unexpected<Error>(found.error());
            return result.has_value();
        };
        std::apply([&](const auto&... fields) { (void)(one(fields) && ...); }, schema.fields);
        return result;
    }

    template <class... Members> Result<ReportTable> open(const report::Table<Members...>& schema) const {
        return ReportTable::open(m_source, schema.path, schema.columns);
    }
    // The row that the table is at.
    template <class... Members, class Row>
    Result<void> readRow(const ReportTable& table, const report::Table<Members...>& schema, Row& into) const {
        return readCells(table, schema.fields, into, std::index_sequence_for<Members...>());
    }
    template <class... Members, class Row>
    Result<void> readRows(const report::Table<Members...>& schema, std::vector<Row>& into) const {
        TRY(ReportTable table, open(schema));
        into.reserve(table.mostRows());
        while (true) {
            TRY(const bool more, table.next());
            if (!more) return {};
            CHECK(readRow(table, schema, into.emplace_back()));
        }
    }

    // The tables that all versions have in common but for names and columns.
    template <class... Members> Result<void> readTiles(const report::Table<Members...>& schema) {
        TRY(ReportTable table, open(schema));
        recording.tiles.reserve(table.mostRows());
        while (true) {
            TRY(const bool more, table.next());
            if (!more) return {};
            CHECK(readRow(table, schema, recording.tiles.emplace_back()));
            CHECK(checkTile(table));
        }
    }
    // The last tile has ops behind those of the one before, or the same ones.
    Result<void> checkTile(const ReportTable& table) const;
    // All of an event but its totals; `before` is the event before it.
    Result<void> checkEvent(const ReportTable& table, const Event& event, const Event& before) const;
    // What an event does to totals: whose they are, is the caller's to know.
    struct Change {
        bool grows = false;
        std::uint64_t allocated = 0, reserved = 0, workspace = 0;
    };
    Change changeBy(const Event& event) const;
    // Whether a running total is what the one before it and this event's bytes make it.
    static Result<void> follows(const ReportTable& table, std::string_view column, std::uint64_t stated,
                                std::uint64_t before, std::uint64_t bytes, bool grows);

    Recording recording; // what has been read so far: indices are checked against it

private:
    template <class Fields, class Row, std::size_t... column>
    Result<void> readCells(const ReportTable& table, const Fields& fields, Row& into,
                           std::index_sequence<column...>) const {
        Result<void> result;
        const auto one = [&](const ReportField& cell, const auto& field) {
            Result<void> done = read(cell, field, std::invoke(field.member, into));
            if (done) return true;
            result = std::move(done);
            return false;
        };
        (void)(one(table.cell(column), std::get<column>(fields)) && ...);
        return result;
    }

    template <class Field, class Value>
    Result<void> read(const ReportField& from, const Field& field, Value& into) const {
        if constexpr (NamedEnum<Value>) {
            TRY(into, from.named<Value>());
        } else if constexpr (std::same_as<Value, std::uint32_t>) {
            TRY(into, index(from, field.index));
        } else if constexpr (std::same_as<Value, std::uint64_t>) {
            TRY(into, from.unsignedNumber(field.largest));
        } else if constexpr (std::same_as<Value, std::int64_t>) {
            TRY(into, from.time());
        } else if constexpr (std::same_as<Value, double>) {
            TRY(into, from.milliseconds());
        } else if constexpr (std::same_as<Value, bool>) {
            TRY(into, from.boolean());
        } else if constexpr (std::same_as<Value, std::string>) {
            TRY(into, from.string());
        } else if constexpr (std::same_as<Value, std::optional<std::uint64_t>>) {
            if (from.value.kind == JsonKind::Null) return {};
            TRY(into, from.unsignedNumber());
        } else {
            return readItems(from, into);
        }
        return {};
    }
    static Result<void> readItems(const ReportField& array, std::vector<std::string>& into);
    static Result<void> readItems(const ReportField& array, std::vector<std::uint64_t>& into);
    Result<std::uint32_t> index(const ReportField& from, report::Index kind) const;

    const ReportSource& m_source;
};

// What differs in files of spikescope.run/1: tensors, ops, tiles, events and the failure's code. The rest is read.
Result<void> readTablesOfVersion1(ReportReader& reader);
Result<void> readFailureOfVersion1(ReportReader& reader);

} // namespace spikescope
