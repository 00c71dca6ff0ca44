#include "core/timeline/import.h"

#include "core/base/checked.h"
#include "core/base/mapped_file.h"
#include "core/timeline/report_table.h"

#include <array>
#include <new>

namespace spikescope {

namespace {

constexpr std::uint64_t largestFile = std::uint64_t{2} << 30;
constexpr std::uint64_t largestSide = 65536; // of an output, in elements

constexpr std::array<std::string_view, 2> controlColumns{"name", "value"};
constexpr std::array<std::string_view, 7> tensorColumns{"name", "layer", "category", "dtype", "shape", "bytes", "host"};
constexpr std::array<std::string_view, 9> opColumns{"name",         "layer",    "phase",  "dtype",        "flops",
                                                    "output_bytes", "begin_ns", "end_ns", "traffic_bytes"};
constexpr std::array<std::string_view, 2> repeatedColumns{"op", "times"};
constexpr std::array<std::string_view, 7> partColumns{"picture", "x", "y", "width", "height", "first_op", "last_op"};
constexpr std::array<std::string_view, 12> eventColumns{
    "event",           "phase",          "tensor",          "op",         "address",    "size_bytes",
    "allocated_bytes", "reserved_bytes", "workspace_bytes", "host_bytes", "free_bytes", "largest_free_bytes"};
constexpr std::array<std::string_view, 3> sampleColumns{"event", "driver_bytes", "process_bytes"};
constexpr std::array<std::string_view, 1> barrierColumns{"event"};

// What an op's name says in files that have no kinds; of a replay names are those of functions.
OpKind kindOf(std::string_view op) {
    if (op.starts_with("conv")) return OpKind::Convolution;
    if (op == "upsample") return OpKind::Copy;
    return valueNamed<OpKind>(op).value_or(OpKind::Compute);
}

class Reader {
public:
    explicit Reader(const ReportSource& source)
        : m_root{source.outline.root(), source, "", "the file"} {}

    Result<Recording> read() {
        if (m_root.value.kind != JsonKind::Object) return m_root.wrong("is not an object");
        TRY(const ReportField schemaField, m_root.member("", "schema"));
        TRY(const std::string schema, schemaField.string());
        if (schema != "spikescope.run/1") return schemaField.wrong("is {}, not 'spikescope.run/1'", quote(schema));
        if (m_root.source.outline.find("recording") == nullptr)
            return fail(ErrorCode::BadInput,
                        "{}: a summary without 'recording'; write the file with --report instead of --json",
                        quote(m_root.source.fileName));
        CHECK(readSummary());
        TRY(const ReportField recording, m_root.member("", "recording"));
        CHECK(readControls(recording));
        CHECK(readLayers(recording));
        CHECK(readTensors(recording));
        CHECK(readOps(recording));
        // Reports of earlier versions have neither.
        if (m_root.source.outline.find("recording.repeated")) CHECK(readRepeated(recording));
        if (m_root.source.outline.find("recording.parts")) CHECK(readParts(recording));
        CHECK(readEvents(recording));
        CHECK(readSamples(recording));
        CHECK(readBarriers(recording));
        CHECK(readFailure());
        return std::move(m_recording);
    }

private:
    Result<void> readSummary() {
        TRY(const ReportField kind, m_root.member("", "kind"));
        TRY(m_recording.kind, kind.named<RecordingKind>());
        TRY(const ReportField device, m_root.member("", "device"));
        CHECK(set(m_recording.device.name, device, "device", "name"));
        CHECK(set(m_recording.device.driver, device, "device", "driver"));
        CHECK(set(m_recording.device.kernels, device, "device", "kernels"));
        CHECK(set(m_recording.device.heapBytes, device, "device", "heap_bytes"));
        // Reports have not always said it.
        if (m_root.source.outline.find("tiling")) CHECK(readTiling());
        CHECK(set(m_recording.refusals, m_root, "", "refusals"));
        CHECK(set(m_recording.hostPeakBytes, m_root, "", "host_peak_bytes"));
        CHECK(set(m_recording.durationMs, m_root, "", "duration_ms"));
        CHECK(set(m_recording.loadMs, m_root, "", "load_ms"));
        TRY(const ReportField predicted, m_root.member("", "predicted"));
        if (predicted.value.kind != JsonKind::Null) {
            m_recording.predicted.emplace();
            CHECK(set(m_recording.predicted->first, predicted, "predicted", "allocated_bytes"));
            CHECK(set(m_recording.predicted->second, predicted, "predicted", "reserved_bytes"));
        }
        return {};
    }

    Result<void> readTiling() {
        TRY(const ReportField tiling, m_root.member("", "tiling"));
        TRY(m_recording.tiling, tiling.named<TilingKind>());
        return {};
    }

    Result<void> readControls(const ReportField& recording) {
        TRY(ReportTable table, ReportTable::open(recording, "controls", "recording.controls", controlColumns));
        while (true) {
            TRY(const bool more, table.next());
            if (!more) break;
            TRY(std::string control, table.cell(0).string());
            TRY(std::string value, table.cell(1).string());
            m_recording.controls.emplace_back(std::move(control), std::move(value));
        }
        return {};
    }

    Result<void> readLayers(const ReportField& recording) {
        TRY(const ReportField layers, recording.member("recording", "layers"));
        return readStrings(m_recording.layers, layers, "recording.layers");
    }

    Result<void> readTensors(const ReportField& recording) {
        TRY(ReportTable table, ReportTable::open(recording, "tensors", "recording.tensors", tensorColumns));
        m_recording.tensors.reserve(table.mostRows());
        while (true) {
            TRY(const bool more, table.next());
            if (!more) break;
            RecordedTensor& tensor = m_recording.tensors.emplace_back();
            TRY(tensor.name, table.cell(0).string());
            TRY(tensor.layer, layer(table.cell(1)));
            TRY(tensor.category, table.cell(2).named<Category>());
            TRY(tensor.dtype, table.cell(3).string());
            CHECK(readShape(tensor.shape, table.cell(4)));
            TRY(tensor.bytes, table.cell(5).unsignedNumber());
            TRY(tensor.host, table.cell(6).boolean());
        }
        return {};
    }

    Result<void> readOps(const ReportField& recording) {
        TRY(ReportTable table, ReportTable::open(recording, "ops", "recording.ops", opColumns));
        m_recording.ops.reserve(table.mostRows());
        while (true) {
            TRY(const bool more, table.next());
            if (!more) break;
            RecordedOp& op = m_recording.ops.emplace_back();
            TRY(op.name, table.cell(0).string());
            if (m_recording.kind != RecordingKind::Replay) op.kind = kindOf(op.name);
            TRY(op.layer, layer(table.cell(1)));
            TRY(op.phase, table.cell(2).named<Phase>());
            TRY(op.dtype, table.cell(3).string());
            TRY(op.flops, table.cell(4).unsignedNumber());
            TRY(op.outputBytes, table.cell(5).unsignedNumber());
            TRY(op.beginNs, table.cell(6).time());
            TRY(op.endNs, table.cell(7).time());
            TRY(op.traffic, table.cell(8).unsignedNumber());
        }
        return {};
    }

    Result<void> readRepeated(const ReportField& recording) {
        TRY(ReportTable table, ReportTable::open(recording, "repeated", "recording.repeated", repeatedColumns));
        while (true) {
            TRY(const bool more, table.next());
            if (!more) return {};
            TRY(const std::uint32_t op, table.cell(0).index(m_recording.ops.size(), "ops"));
            if (op == noIndex) return table.cell(0).wrong("is null");
            TRY(m_recording.ops[op].times, table.cell(1).unsignedNumber());
        }
    }

    Result<void> readParts(const ReportField& recording) {
        TRY(ReportTable table, ReportTable::open(recording, "parts", "recording.parts", partColumns));
        m_recording.tiles.reserve(table.mostRows());
        while (true) {
            TRY(const bool more, table.next());
            if (!more) return {};
            const RecordedTile before = m_recording.tiles.empty() ? RecordedTile{} : m_recording.tiles.back();
            const std::uint64_t free = m_recording.tiles.empty() ? 0 : before.lastOp + std::uint64_t{1};
            RecordedTile& tile = m_recording.tiles.emplace_back();
            OutputArea& area = tile.area;
            std::size_t column = 0;
            for (std::uint64_t* value : {&area.frame, &area.x, &area.y, &area.width, &area.height}) {
                TRY(*value, table.cell(column++).unsignedNumber(largestSide));
            }
            for (std::uint32_t* op : {&tile.firstOp, &tile.lastOp}) {
                const ReportField field = table.cell(column++);
                TRY(*op, field.index(m_recording.ops.size(), "ops"));
                if (*op == noIndex) return field.wrong("is null");
            }
            const bool beside = free > 0 && tile.firstOp == before.firstOp && tile.lastOp == before.lastOp;
            if (!beside && (tile.firstOp < free || tile.lastOp < tile.firstOp))
                return table.cell(6).wrong("is {} from {}; parts have ops behind each other, or the same ones",
                                           tile.lastOp, tile.firstOp);
        }
    }

    Result<void> readEvents(const ReportField& recording) {
        TRY(ReportTable table, ReportTable::open(recording, "events", "recording.events", eventColumns));
        m_recording.events.reserve(table.mostRows());
        Event before;
        while (true) {
            TRY(const bool more, table.next());
            if (!more) break;
            Event& event = m_recording.events.emplace_back();
            TRY(event.kind, table.cell(0).named<EventKind>());
            TRY(event.phase, table.cell(1).named<Phase>());
            TRY(event.tensor, table.cell(2).index(m_recording.tensors.size(), "tensors"));
            const bool ofTensor = event.kind == EventKind::Alloc || event.kind == EventKind::Free;
            if (ofTensor != (event.tensor != noIndex))
                return table.cell(2).wrong("{} for {}", ofTensor ? "is null" : "is not null", name(event.kind));
            TRY(const std::uint64_t op, table.cell(3).unsignedNumber());
            if (op > m_recording.ops.size())
                return table.cell(3).wrong("is {}, but there are {} ops", op, m_recording.ops.size());
            event.op = static_cast<std::uint32_t>(op);
            if (event.op < before.op)
                return table.cell(3).wrong("is {} after {}; events are in the order of ops", op, before.op);
            TRY(event.address, table.cell(4).unsignedNumber());
            TRY(event.bytes, table.cell(5).unsignedNumber());
            TRY(event.allocated, table.cell(6).unsignedNumber());
            TRY(event.reserved, table.cell(7).unsignedNumber());
            TRY(event.workspace, table.cell(8).unsignedNumber());
            TRY(event.host, table.cell(9).unsignedNumber());
            TRY(event.freeBytes, table.cell(10).unsignedNumber(event.reserved));
            TRY(event.largestFree, table.cell(11).unsignedNumber(event.freeBytes));

            const bool workspace = ofTensor && m_recording.tensors[event.tensor].category == Category::Workspace,
                       host = ofTensor && m_recording.tensors[event.tensor].host;
            const bool grows = event.kind == EventKind::Alloc || event.kind == EventKind::Reserve;
            CHECK(follows(table.cell(6), before.allocated, ofTensor && !host ? event.bytes : 0, grows));
            CHECK(follows(table.cell(7), before.reserved, ofTensor ? 0 : event.bytes, grows));
            CHECK(follows(table.cell(8), before.workspace, workspace ? event.bytes : 0, grows));
            CHECK(follows(table.cell(9), before.host, host ? event.bytes : 0, grows));
            before = event;
        }
        return {};
    }

    Result<void> readSamples(const ReportField& recording) {
        TRY(ReportTable table, ReportTable::open(recording, "samples", "recording.samples", sampleColumns));
        while (true) {
            TRY(const bool more, table.next());
            if (!more) break;
            Sample& sample = m_recording.samples.emplace_back();
            TRY(const std::uint64_t event, table.cell(0).unsignedNumber(m_recording.events.size()));
            sample.event = static_cast<std::uint32_t>(event);
            if (const ReportField driver = table.cell(1); driver.value.kind != JsonKind::Null) {
                TRY(sample.driverBytes, driver.unsignedNumber());
            }
            TRY(sample.processBytes, table.cell(2).unsignedNumber());
        }
        return {};
    }

    Result<void> readBarriers(const ReportField& recording) {
        TRY(ReportTable table, ReportTable::open(recording, "barriers", "recording.barriers", barrierColumns));
        while (true) {
            TRY(const bool more, table.next());
            if (!more) return {};
            TRY(const std::uint64_t event, table.cell(0).unsignedNumber(m_recording.events.size()));
            m_recording.barriers.push_back(static_cast<std::uint32_t>(event));
        }
    }

    Result<void> readFailure() {
        TRY(const ReportField failure, m_root.member("", "failure"));
        if (failure.value.kind == JsonKind::Null) return {};
        Failure& into = m_recording.failure.emplace();
        TRY(const ReportField code, failure.member("failure", "code"));
        TRY(into.code, failureCode(code));
        CHECK(set(into.message, failure, "failure", "message"));
        CHECK(set(into.layer, failure, "failure", "layer"));
        CHECK(set(into.tensor, failure, "failure", "tensor"));
        CHECK(set(into.bytesWanted, failure, "failure", "bytes_wanted"));
        CHECK(set(into.bytesFree, failure, "failure", "bytes_free"));
        TRY(const ReportField event, failure.member("failure", "event"));
        TRY(const std::uint64_t events, event.unsignedNumber(m_recording.events.size()));
        into.event = static_cast<std::uint32_t>(events);
        TRY(const ReportField fits, failure.member("failure", "fits"));
        return readStrings(into.fits, fits, "failure.fits");
    }

    // Files once knew four codes and "error" for all others.
    static Result<ErrorCode> failureCode(const ReportField& code) {
        if (code.value.kind == JsonKind::String && unescaped(code.value) == "error") return ErrorCode::BadInput;
        return code.named<ErrorCode>();
    }

    static Result<void> readStrings(std::vector<std::string>& into, const ReportField& array, std::string_view where) {
        TRY(ReportItems items, ReportItems::open(array));
        for (std::size_t i = 0;; ++i) {
            TRY(const bool more, items.next());
            if (!more) return {};
            TRY(std::string item, (ReportField{items.item(), array.source, where, "", i}.string()));
            into.push_back(std::move(item));
        }
    }

    static Result<void> readShape(std::vector<std::uint64_t>& into, const ReportField& shape) {
        TRY(ReportItems sizes, ReportItems::open(shape));
        into.reserve(static_cast<std::size_t>(shape.value.number));
        while (true) {
            TRY(const bool more, sizes.next());
            if (!more) return {};
            const ReportField size{sizes.item(), shape.source, shape.where, shape.name, shape.row};
            TRY(const std::uint64_t elements, size.unsignedNumber());
            into.push_back(elements);
        }
    }

    // A replay without layers writes null and means the default.
    Result<std::uint32_t> layer(const ReportField& field) const {
        TRY(const std::uint32_t found, field.index(m_recording.layers.size(), "layers"));
        return found == noIndex && m_recording.layers.empty() ? 0u : found;
    }

    // Whether a running total is what the one before it and this event's bytes make it.
    static Result<void> follows(const ReportField& total, std::uint64_t before, std::uint64_t bytes, bool grows) {
        std::optional<std::uint64_t> expected;
        if (grows)
            expected = checkedAdd(before, bytes);
        else if (bytes <= before)
            expected = before - bytes;
        if (!expected) return total.wrong("would be {} {} {}", before, grows ? "+" : "-", bytes);
        const std::uint64_t stated = total.value.number;
        if (stated != *expected) return total.wrong("is {}, but the events so far make {}", stated, *expected);
        return {};
    }

    static Result<void> set(std::string& into, const ReportField& object, std::string_view where,
                            std::string_view key) {
        TRY(const ReportField field, object.member(where, key));
        TRY(into, field.string());
        return {};
    }
    static Result<void> set(std::uint64_t& into, const ReportField& object, std::string_view where,
                            std::string_view key) {
        TRY(const ReportField field, object.member(where, key));
        TRY(into, field.unsignedNumber());
        return {};
    }
    static Result<void> set(double& into, const ReportField& object, std::string_view where, std::string_view key) {
        TRY(const ReportField field, object.member(where, key));
        TRY(into, field.milliseconds());
        return {};
    }

    ReportField m_root;
    Recording m_recording;
};

} // namespace

Result<Recording> parseReport(std::string_view json, const std::string& fileName, const ReadProgress& progress) {
    if (json.size() > largestFile)
        return fail(ErrorCode::BadInput, "{}: {}, more than the limit of {}", quote(fileName), formatBytes(json.size()),
                    formatBytes(largestFile));
    try {
        ProgressMeter meter(progress, 2 * json.size()); // the outline passes over everything, the tables over most
        TRY(const ReportOutline outline, ReportOutline::read(json, fileName, meter));
        Result<Recording> recording = Reader(ReportSource{json, fileName, outline, meter}).read();
        if (recording && !meter.finish()) return fail(ErrorCode::Cancelled, "cancelled");
        return recording;
    } catch (const std::bad_alloc&) {
        return fail(ErrorCode::OutOfHostMemory, "{}: not enough memory to read {}", quote(fileName),
                    formatBytes(json.size()));
    }
}

Result<Recording> readReport(const std::string& path, const ReadProgress& progress) {
    TRY(const MappedFile file, MappedFile::open(path));
    const std::span<const std::byte> bytes = file.bytes();
    // What has been read need not stay resident beside the Recording that is made from it.
    const ReadProgress dropping = [&](double fraction) {
        file.dropPages(0, bytes.size());
        return !progress || progress(fraction);
    };
    return parseReport({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, dropping);
}

} // namespace spikescope
