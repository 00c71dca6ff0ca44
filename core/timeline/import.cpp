#include "core/timeline/import.h"

#include "core/base/checked.h"
#include "core/base/mapped_file.h"
#include "core/base/text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <new>
#include <span>

namespace spikescope {

namespace {

// Sorted objects: looking up keys in the order of the file is quadratic, and a hostile file has many keys.
using Json = nlohmann::json;

constexpr std::uint64_t largestFile = std::uint64_t{2} << 30;
constexpr std::size_t deepestNesting = 32;
constexpr std::uint64_t mostValues = std::uint64_t{64} << 20; // about 4 GiB parsed; a million events have ten million

// Bounds on the work of the parser, which itself has none. Correct on valid JSON; the rest the parser refuses.
Result<void> checkShape(const std::string& path, std::string_view text) {
    std::size_t depth = 0;
    std::uint64_t values = 1;
    bool inString = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (inString) {
            if (c == '\\') ++i;
            inString = c != '"';
            continue;
        }
        if (c == '"') inString = true;
        if (c == ',') ++values;
        if (c == '[' || c == '{') {
            ++values;
            if (++depth > deepestNesting)
                return fail(ErrorCode::BadInput, "{}: nested deeper than {} levels at byte {}", quote(path),
                            deepestNesting, i);
        }
        if ((c == ']' || c == '}') && depth > 0) --depth;
    }
    if (values > mostValues)
        return fail(ErrorCode::BadInput, "{}: {} values, more than the limit of {}", quote(path), values, mostValues);
    return {};
}

// A value and the words that say where it stands. Words are put together only when something is wrong.
struct Field {
    const Json& value;
    const std::string& path;
    std::string_view where; // "recording.events"
    std::string_view name;  // of a member or column; empty: `where` itself
    std::size_t row = noRow;

    static constexpr std::size_t noRow = static_cast<std::size_t>(-1);

    std::string place() const {
        std::string text(where);
        if (row != noRow) text += fmt::format(" row {}", row);
        if (!name.empty()) text += (row != noRow ? " column " : text.empty() ? "" : ".") + std::string(name);
        return quote(text);
    }
    template <class... Args> tl::unexpected<Error> wrong(fmt::format_string<Args...> text, Args&&... args) const {
        return fail(ErrorCode::BadInput, "{}: {} {}", quote(path), place(),
                    fmt::format(text, std::forward<Args>(args)...));
    }
};

Result<Field> member(const Field& object, std::string_view where, std::string_view key) {
    if (!object.value.is_object()) return object.wrong("is not an object");
    const auto found = object.value.find(key);
    const Field field{found == object.value.end() ? object.value : *found, object.path, where, key};
    if (found == object.value.end()) return field.wrong("is missing");
    return field;
}

Result<std::string> text(const Field& field) {
    if (!field.value.is_string()) return field.wrong("is not a string");
    return field.value.get<std::string>();
}

Result<std::uint64_t> unsignedNumber(const Field& field, std::uint64_t largest = ~std::uint64_t{0}) {
    if (!field.value.is_number_unsigned()) return field.wrong("is not an unsigned integer");
    const auto value = field.value.get<std::uint64_t>();
    if (value > largest) return field.wrong("is {}, more than {}", value, largest);
    return value;
}

// Nanoseconds. Differences of any two must not overflow.
Result<std::int64_t> time(const Field& field) {
    constexpr std::int64_t farthest = std::int64_t{1} << 62;
    if (!field.value.is_number_integer()) return field.wrong("is not an integer");
    const auto value = field.value.get<std::int64_t>();
    const bool wrapped = field.value.is_number_unsigned() && value < 0;
    if (wrapped || value > farthest || value < -farthest) return field.wrong("is out of range");
    return value;
}

Result<double> milliseconds(const Field& field) {
    if (!field.value.is_number()) return field.wrong("is not a number");
    return field.value.get<double>();
}

// An index into a table, or null.
Result<std::uint32_t> index(const Field& field, std::size_t tableSize, std::string_view table) {
    if (field.value.is_null()) return noIndex;
    TRY(const std::uint64_t value, unsignedNumber(field));
    if (value >= tableSize) return field.wrong("is {}, but there are {} {}", value, tableSize, table);
    return static_cast<std::uint32_t>(value);
}

template <class Enum, std::size_t count> Result<Enum> named(const Field& field, const std::array<Enum, count>& values) {
    if (!field.value.is_string()) return field.wrong("is not a string");
    const auto& wanted = field.value.get_ref<const std::string&>();
    for (Enum value : values)
        if (wanted == name(value)) return value;
    return field.wrong("has the unknown value {}", quote(wanted));
}

constexpr std::array categories{Category::Weights, Category::Activation, Category::Workspace,
                                Category::Image,   Category::Staging,    Category::Resident};
static_assert(categories.size() == categoryCount);
constexpr std::array phases{Phase::Load, Phase::TextEncode, Phase::Denoise, Phase::Decode, Phase::Encode, Phase::Write};
constexpr std::array eventKinds{EventKind::Alloc, EventKind::Free, EventKind::Reserve, EventKind::Return};

// {"columns": [...], "rows": [[...], ...]}. Columns are found by name, so later versions can add some.
template <std::size_t count> class Table {
public:
    [[nodiscard]] static Result<Table> open(const Field& recording, std::string_view key, std::string_view where,
                                            const std::array<std::string_view, count>& columns) {
        TRY(const Field object, member(recording, "recording", key));
        TRY(const Field head, member(object, where, "columns"));
        TRY(const Field body, member(object, where, "rows"));
        if (!head.value.is_array()) return head.wrong("is not an array");
        if (!body.value.is_array()) return body.wrong("is not an array");
        Table table(body.value, object.path, where, columns, head.value.size());
        for (std::size_t i = 0; i < count; ++i) {
            const auto found = std::ranges::find_if(
                head.value, [&](const Json& column) { return column.is_string() && column == columns[i]; });
            if (found == head.value.end()) return head.wrong("lacks {}", quote(columns[i]));
            table.m_places[i] = static_cast<std::size_t>(found - head.value.begin());
        }
        for (std::size_t row = 0; row < body.value.size(); ++row) {
            const Json& cells = body.value[row];
            const Field field{cells, object.path, table.m_where, "", row};
            if (!cells.is_array()) return field.wrong("is not an array");
            if (cells.size() != table.m_width)
                return field.wrong("has {} cells for {} columns", cells.size(), table.m_width);
        }
        return table;
    }

    std::size_t rows() const { return m_rows->size(); }
    Field cell(std::size_t row, std::size_t column) const {
        return {(*m_rows)[row][m_places[column]], *m_path, m_where, m_columns[column], row};
    }

private:
    Table(const Json& rows, const std::string& path, std::string_view where,
          const std::array<std::string_view, count>& columns, std::size_t width)
        : m_rows(&rows)
        , m_path(&path)
        , m_where(where)
        , m_columns(columns)
        , m_width(width) {}

    const Json* m_rows;
    const std::string* m_path;
    std::string_view m_where; // a literal
    std::array<std::string_view, count> m_columns;
    std::array<std::size_t, count> m_places{};
    std::size_t m_width;
};

class Reader {
public:
    Reader(const std::string& path, const Json& root)
        : m_root{root, path, "", "the file"} {}

    Result<Recording> read() {
        if (!m_root.value.is_object()) return m_root.wrong("is not an object");
        TRY(const Field schemaField, member(m_root, "", "schema"));
        TRY(const std::string schema, text(schemaField));
        if (schema != "spikescope.run/1") return schemaField.wrong("is {}, not 'spikescope.run/1'", quote(schema));
        if (!m_root.value.contains("recording"))
            return fail(ErrorCode::BadInput,
                        "{}: a summary without 'recording'; write the file with --report instead of --json",
                        quote(m_root.path));
        CHECK(readSummary());
        TRY(const Field recording, member(m_root, "", "recording"));
        CHECK(readControls(recording));
        CHECK(readLayers(recording));
        CHECK(readTensors(recording));
        CHECK(readOps(recording));
        CHECK(readEvents(recording));
        CHECK(readSamples(recording));
        CHECK(readFailure());
        return std::move(m_recording);
    }

private:
    Result<void> readSummary() {
        TRY(const Field kind, member(m_root, "", "kind"));
        TRY(m_recording.kind, text(kind));
        if (m_recording.kind != "plan" && m_recording.kind != "run" && m_recording.kind != "replay")
            return kind.wrong("has the unknown value {}", quote(m_recording.kind));
        TRY(const Field device, member(m_root, "", "device"));
        CHECK(set(m_recording.device.name, device, "device", "name"));
        CHECK(set(m_recording.device.driver, device, "device", "driver"));
        CHECK(set(m_recording.device.kernels, device, "device", "kernels"));
        CHECK(set(m_recording.device.heapBytes, device, "device", "heap_bytes"));
        CHECK(set(m_recording.refusals, m_root, "", "refusals"));
        CHECK(set(m_recording.hostPeakBytes, m_root, "", "host_peak_bytes"));
        CHECK(set(m_recording.durationMs, m_root, "", "duration_ms"));
        CHECK(set(m_recording.loadMs, m_root, "", "load_ms"));
        TRY(const Field predicted, member(m_root, "", "predicted"));
        if (!predicted.value.is_null()) {
            m_recording.predicted.emplace();
            CHECK(set(m_recording.predicted->first, predicted, "predicted", "allocated_bytes"));
            CHECK(set(m_recording.predicted->second, predicted, "predicted", "reserved_bytes"));
        }
        return {};
    }

    Result<void> readControls(const Field& recording) {
        TRY(const auto table, (Table<2>::open(recording, "controls", "recording.controls", {"name", "value"})));
        for (std::size_t row = 0; row < table.rows(); ++row) {
            TRY(std::string control, text(table.cell(row, 0)));
            TRY(std::string value, text(table.cell(row, 1)));
            m_recording.controls.emplace_back(std::move(control), std::move(value));
        }
        return {};
    }

    Result<void> readLayers(const Field& recording) {
        TRY(const Field layers, member(recording, "recording", "layers"));
        if (!layers.value.is_array()) return layers.wrong("is not an array");
        for (std::size_t i = 0; i < layers.value.size(); ++i) {
            TRY(std::string layer, text(Field{layers.value[i], layers.path, "recording.layers", "", i}));
            m_recording.layers.push_back(std::move(layer));
        }
        return {};
    }

    Result<void> readTensors(const Field& recording) {
        TRY(const auto table, (Table<7>::open(recording, "tensors", "recording.tensors",
                                              {"name", "layer", "category", "dtype", "shape", "bytes", "host"})));
        m_recording.tensors.reserve(table.rows());
        for (std::size_t row = 0; row < table.rows(); ++row) {
            RecordedTensor& tensor = m_recording.tensors.emplace_back();
            TRY(tensor.name, text(table.cell(row, 0)));
            TRY(tensor.layer, layer(table.cell(row, 1)));
            TRY(tensor.category, named(table.cell(row, 2), categories));
            TRY(tensor.dtype, text(table.cell(row, 3)));
            const Field shape = table.cell(row, 4);
            if (!shape.value.is_array()) return shape.wrong("is not an array");
            for (const Json& size : shape.value) {
                TRY(const std::uint64_t elements, unsignedNumber(Field{size, shape.path, shape.where, "shape", row}));
                tensor.shape.push_back(elements);
            }
            TRY(tensor.bytes, unsignedNumber(table.cell(row, 5)));
            const Field host = table.cell(row, 6);
            if (!host.value.is_boolean()) return host.wrong("is neither true nor false");
            tensor.host = host.value.get<bool>();
        }
        return {};
    }

    Result<void> readOps(const Field& recording) {
        TRY(const auto table, (Table<9>::open(recording, "ops", "recording.ops",
                                              {"name", "layer", "phase", "dtype", "flops", "output_bytes", "begin_ns",
                                               "end_ns", "traffic_bytes"})));
        m_recording.ops.reserve(table.rows());
        for (std::size_t row = 0; row < table.rows(); ++row) {
            RecordedOp& op = m_recording.ops.emplace_back();
            TRY(op.name, text(table.cell(row, 0)));
            TRY(op.layer, layer(table.cell(row, 1)));
            TRY(op.phase, named(table.cell(row, 2), phases));
            TRY(op.dtype, text(table.cell(row, 3)));
            TRY(op.flops, unsignedNumber(table.cell(row, 4)));
            TRY(op.outputBytes, unsignedNumber(table.cell(row, 5)));
            TRY(op.beginNs, time(table.cell(row, 6)));
            TRY(op.endNs, time(table.cell(row, 7)));
            TRY(op.traffic, unsignedNumber(table.cell(row, 8)));
        }
        return {};
    }

    Result<void> readEvents(const Field& recording) {
        TRY(const auto table,
            (Table<12>::open(recording, "events", "recording.events",
                             {"event", "phase", "tensor", "op", "address", "size_bytes", "allocated_bytes",
                              "reserved_bytes", "workspace_bytes", "host_bytes", "free_bytes", "largest_free_bytes"})));
        m_recording.events.reserve(table.rows());
        Event before;
        for (std::size_t row = 0; row < table.rows(); ++row) {
            Event& event = m_recording.events.emplace_back();
            TRY(event.kind, named(table.cell(row, 0), eventKinds));
            TRY(event.phase, named(table.cell(row, 1), phases));
            TRY(event.tensor, index(table.cell(row, 2), m_recording.tensors.size(), "tensors"));
            const bool ofTensor = event.kind == EventKind::Alloc || event.kind == EventKind::Free;
            if (ofTensor != (event.tensor != noIndex))
                return table.cell(row, 2).wrong("{} for {}", ofTensor ? "is null" : "is not null", name(event.kind));
            TRY(const std::uint64_t op, unsignedNumber(table.cell(row, 3)));
            if (op > m_recording.ops.size())
                return table.cell(row, 3).wrong("is {}, but there are {} ops", op, m_recording.ops.size());
            event.op = static_cast<std::uint32_t>(op);
            if (event.op < before.op)
                return table.cell(row, 3).wrong("is {} after {}; events are in the order of ops", op, before.op);
            TRY(event.address, unsignedNumber(table.cell(row, 4)));
            TRY(event.bytes, unsignedNumber(table.cell(row, 5)));
            TRY(event.allocated, unsignedNumber(table.cell(row, 6)));
            TRY(event.reserved, unsignedNumber(table.cell(row, 7)));
            TRY(event.workspace, unsignedNumber(table.cell(row, 8)));
            TRY(event.host, unsignedNumber(table.cell(row, 9)));
            TRY(event.freeBytes, unsignedNumber(table.cell(row, 10), event.reserved));
            TRY(event.largestFree, unsignedNumber(table.cell(row, 11), event.freeBytes));

            const bool workspace = ofTensor && m_recording.tensors[event.tensor].category == Category::Workspace,
                       host = ofTensor && m_recording.tensors[event.tensor].host;
            const bool grows = event.kind == EventKind::Alloc || event.kind == EventKind::Reserve;
            CHECK(follows(table.cell(row, 6), before.allocated, ofTensor && !host ? event.bytes : 0, grows));
            CHECK(follows(table.cell(row, 7), before.reserved, ofTensor ? 0 : event.bytes, grows));
            CHECK(follows(table.cell(row, 8), before.workspace, workspace ? event.bytes : 0, grows));
            CHECK(follows(table.cell(row, 9), before.host, host ? event.bytes : 0, grows));
            before = event;
        }
        return {};
    }

    Result<void> readSamples(const Field& recording) {
        TRY(const auto table,
            (Table<3>::open(recording, "samples", "recording.samples", {"event", "driver_bytes", "process_bytes"})));
        for (std::size_t row = 0; row < table.rows(); ++row) {
            Sample& sample = m_recording.samples.emplace_back();
            TRY(const std::uint64_t event, unsignedNumber(table.cell(row, 0), m_recording.events.size()));
            sample.event = static_cast<std::uint32_t>(event);
            if (const Field driver = table.cell(row, 1); !driver.value.is_null()) {
                TRY(sample.driverBytes, unsignedNumber(driver));
            }
            TRY(sample.processBytes, unsignedNumber(table.cell(row, 2)));
        }
        return {};
    }

    Result<void> readFailure() {
        TRY(const Field failure, member(m_root, "", "failure"));
        if (failure.value.is_null()) return {};
        Failure& into = m_recording.failure.emplace();
        CHECK(set(into.code, failure, "failure", "code"));
        CHECK(set(into.message, failure, "failure", "message"));
        CHECK(set(into.layer, failure, "failure", "layer"));
        CHECK(set(into.tensor, failure, "failure", "tensor"));
        CHECK(set(into.bytesWanted, failure, "failure", "bytes_wanted"));
        CHECK(set(into.bytesFree, failure, "failure", "bytes_free"));
        TRY(const Field event, member(failure, "failure", "event"));
        TRY(const std::uint64_t events, unsignedNumber(event, m_recording.events.size()));
        into.event = static_cast<std::uint32_t>(events);
        TRY(const Field fits, member(failure, "failure", "fits"));
        if (!fits.value.is_array()) return fits.wrong("is not an array");
        for (std::size_t i = 0; i < fits.value.size(); ++i) {
            TRY(std::string flip, text(Field{fits.value[i], fits.path, "failure.fits", "", i}));
            into.fits.push_back(std::move(flip));
        }
        return {};
    }

    // A replay without layers writes null and means the default.
    Result<std::uint32_t> layer(const Field& field) const {
        TRY(const std::uint32_t found, index(field, m_recording.layers.size(), "layers"));
        return found == noIndex && m_recording.layers.empty() ? 0u : found;
    }

    // Whether a running total is what the one before it and this event's bytes make it.
    static Result<void> follows(const Field& total, std::uint64_t before, std::uint64_t bytes, bool grows) {
        std::optional<std::uint64_t> expected;
        if (grows)
            expected = checkedAdd(before, bytes);
        else if (bytes <= before)
            expected = before - bytes;
        if (!expected) return total.wrong("would be {} {} {}", before, grows ? "+" : "-", bytes);
        const auto stated = total.value.get<std::uint64_t>();
        if (stated != *expected) return total.wrong("is {}, but the events so far make {}", stated, *expected);
        return {};
    }

    static Result<void> set(std::string& into, const Field& object, std::string_view where, std::string_view key) {
        TRY(const Field field, member(object, where, key));
        TRY(into, text(field));
        return {};
    }
    static Result<void> set(std::uint64_t& into, const Field& object, std::string_view where, std::string_view key) {
        TRY(const Field field, member(object, where, key));
        TRY(into, unsignedNumber(field));
        return {};
    }
    static Result<void> set(double& into, const Field& object, std::string_view where, std::string_view key) {
        TRY(const Field field, member(object, where, key));
        TRY(into, milliseconds(field));
        return {};
    }

    Field m_root;
    Recording m_recording;
};

} // namespace

Result<Recording> readReport(const std::string& path) {
    TRY(const MappedFile file, MappedFile::open(path));
    const std::span<const std::byte> bytes = file.bytes();
    if (bytes.size() > largestFile)
        return fail(ErrorCode::BadInput, "{}: {}, more than the limit of {}", quote(path), formatBytes(bytes.size()),
                    formatBytes(largestFile));
    const std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    CHECK(checkShape(path, content));
    try {
        const Json root = Json::parse(content);
        return Reader(path, root).read();
    } catch (const Json::parse_error& error) {
        return fail(ErrorCode::BadInput, "{}: not JSON from byte {} of {} on", quote(path), error.byte, bytes.size());
    } catch (const Json::exception&) { // a number beyond the range of double
        return fail(ErrorCode::BadInput, "{}: a number is out of range", quote(path));
    } catch (const std::bad_alloc&) {
        return fail(ErrorCode::OutOfHostMemory, "{}: not enough memory to read {}", quote(path),
                    formatBytes(bytes.size()));
    }
}

} // namespace spikescope
