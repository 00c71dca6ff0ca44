#include "core/timeline/export.h"

#include "core/base/output_file.h"
#include "core/timeline/driver_truth.h"
#include "core/timeline/json_text.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <concepts>
#include <initializer_list>
#include <iterator>

namespace spikescope {

namespace {

using Json = nlohmann::ordered_json;

// JSON has no infinity and no NaN, and null would not be read back as a number.
double finite(double value) { return std::isfinite(value) ? value : 0.0; }

Json peakJson(const Peak& peak) {
    Json categories = Json::object();
    for (std::size_t i = 0; i < categoryCount; ++i)
        categories[std::string(name(static_cast<Category>(i)))] = peak.byCategory[i];
    return {{"allocated_bytes", peak.allocated},
            {"reserved_bytes", peak.reserved},
            {"working_bytes", peak.working},
            {"host_bytes", peak.host},
            {"fragmentation", peak.fragmentation},
            {"by_category", std::move(categories)},
            {"layer", peak.layer},
            {"op_index", peak.opIndex},
            {"phase", name(peak.phase)},
            {"time_ns", peak.timeNs}};
}

Json phasesJson(const Recording& recording) {
    Json phases = Json::array();
    for (const PhasePeak& peak : phasePeaks(recording))
        phases.push_back({{"phase", name(peak.phase)},
                          {"allocated_bytes", peak.allocated},
                          {"reserved_bytes", peak.reserved},
                          {"host_bytes", peak.host},
                          {"held_bytes", peak.held}});
    return phases;
}

template <class Add> void eachField(const LayerRow& row, Add&& add) {
    add("name", row.name);
    add("op", row.op);
    add("phase", name(row.phase));
    add("dtype", row.dtype);
    add("begin_ns", row.beginNs);
    add("end_ns", row.endNs);
    add("peak_bytes", row.peakBytes);
    add("workspace_bytes", row.workspaceBytes);
    add("output_bytes", row.outputBytes);
    add("flops", row.flops);
    if (row.times != 1) add("times", row.times);
}

Json layersJson(const Recording& recording) {
    Json layers = Json::array();
    for (const LayerRow& row : layerTable(recording)) {
        Json::object_t layer; // filled without Json's search for equal keys: there may be a row per op
        layer.reserve(11);
        eachField(row, [&](const char* key, const auto& value) { layer.emplace_back(key, value); });
        layers.push_back(std::move(layer));
    }
    return layers;
}

Json driverJson(const Recording& recording) {
    const auto truth = driverTruth(recording);
    if (!truth) return nullptr;
    return {{"baseline_bytes", truth->baseline},
            {"peak_bytes", truth->peak},
            {"reserved_bytes", truth->reserved},
            {"largest_difference_bytes", truth->largestDifference}};
}

Json failureJson(const std::optional<Failure>& failure) {
    if (!failure) return nullptr;
    return {{"code", name(failure->code)},
            {"message", failure->message},
            {"layer", failure->layer},
            {"tensor", failure->tensor},
            {"bytes_wanted", failure->bytesWanted},
            {"bytes_free", failure->bytesFree},
            {"event", failure->event},
            {"fits", failure->fits}};
}

// The summary but for its last two fields, the layers and the failure.
Json summaryHead(const Recording& recording) {
    Json controls = Json::object();
    for (const auto& [control, value] : recording.controls) controls[control] = value;
    Json predicted = nullptr;
    if (recording.predicted)
        predicted = {{"allocated_bytes", recording.predicted->first}, {"reserved_bytes", recording.predicted->second}};
    return {{"schema", "spikescope.run/1"},
            {"kind", name(recording.kind)},
            {"device",
             {{"name", recording.device.name},
              {"driver", recording.device.driver},
              {"heap_bytes", recording.device.heapBytes},
              {"kernels", recording.device.kernels}}},
            {"controls", std::move(controls)},
            {"tiling", name(recording.tiling)},
            {"peak", peakJson(findPeak(recording))},
            {"host_traffic_bytes", recording.hostTraffic()},
            {"phases", phasesJson(recording)},
            {"predicted", std::move(predicted)},
            {"refusals", recording.refusals},
            {"driver", driverJson(recording)},
            {"host_peak_bytes", recording.hostPeakBytes},
            {"duration_ms", finite(recording.durationMs)},
            {"load_ms", finite(recording.loadMs)}};
}

std::string dumped(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

void appendLayers(JsonText& text, const std::vector<LayerRow>& rows) {
    text.raw("[");
    for (const LayerRow& row : rows) {
        if (&row != &rows.front()) text.raw(",");
        JsonObject layer(text);
        eachField(row, [&](std::string_view key, const auto& value) { layer.add(key, value); });
        layer.close();
    }
    text.raw("]");
}

std::optional<std::uint64_t> indexOrNull(std::uint32_t index, std::size_t tableSize) {
    return index < tableSize ? std::optional<std::uint64_t>(index) : std::nullopt;
}

void appendRecording(JsonText& text, const Recording& recording) {
    // Apart from the summary's object, which a reader may sort.
    text.raw(R"({"controls":)");
    JsonTable controls(text, {"name", "value"});
    for (const auto& [control, value] : recording.controls) controls.add(control, value);
    controls.close();

    text.raw(R"(,"layers":)").value(recording.layers);

    text.raw(R"(,"tensors":)");
    JsonTable tensors(text, {"name", "layer", "category", "dtype", "shape", "bytes", "host"});
    for (const RecordedTensor& tensor : recording.tensors)
        tensors.add(tensor.name, indexOrNull(tensor.layer, recording.layers.size()), name(tensor.category),
                    tensor.dtype, tensor.shape, tensor.bytes, tensor.host);
    tensors.close();

    text.raw(R"(,"ops":)");
    JsonTable ops(text,
                  {"name", "layer", "phase", "dtype", "flops", "output_bytes", "begin_ns", "end_ns", "traffic_bytes"});
    for (const RecordedOp& op : recording.ops)
        ops.add(op.name, indexOrNull(op.layer, recording.layers.size()), name(op.phase), op.dtype, op.flops,
                op.outputBytes, op.beginNs, op.endNs, op.traffic);
    ops.close();

    text.raw(R"(,"repeated":)");
    JsonTable repeated(text, {"op", "times"});
    for (std::size_t i = 0; i < recording.ops.size(); ++i)
        if (recording.ops[i].times != 1) repeated.add(i, recording.ops[i].times);
    repeated.close();

    text.raw(R"(,"parts":)");
    JsonTable parts(text, {"picture", "x", "y", "width", "height", "first_op", "last_op"});
    for (const auto& [area, firstOp, lastOp] : recording.tiles)
        parts.add(area.frame, area.x, area.y, area.width, area.height, firstOp, lastOp);
    parts.close();

    text.raw(R"(,"events":)");
    JsonTable events(text, {"event", "phase", "tensor", "op", "address", "size_bytes", "allocated_bytes",
                            "reserved_bytes", "workspace_bytes", "host_bytes", "free_bytes", "largest_free_bytes"});
    for (const Event& event : recording.events)
        events.add(name(event.kind), name(event.phase), indexOrNull(event.tensor, recording.tensors.size()), event.op,
                   event.address, event.bytes, event.allocated, event.reserved, event.workspace, event.host,
                   event.freeBytes, event.largestFree);
    events.close();

    text.raw(R"(,"samples":)");
    JsonTable samples(text, {"event", "driver_bytes", "process_bytes"});
    for (const Sample& sample : recording.samples) samples.add(sample.event, sample.driverBytes, sample.processBytes);
    samples.close();

    text.raw(R"(,"barriers":)");
    JsonTable barriers(text, {"event"});
    for (const std::uint32_t event : recording.barriers) barriers.add(event);
    barriers.close();
    text.raw("}");
}

// Fields go in one by one, lines leave for the file whole.
class CsvWriter {
public:
    [[nodiscard]] static Result<CsvWriter> create(const std::string& path) {
        TRY(OutputFile file, OutputFile::create(path));
        return CsvWriter(std::move(file));
    }

    CsvWriter& text(std::string_view field) {
        separate();
        if (field.find_first_of(",\"\r\n") == std::string_view::npos) {
            m_line.append(field.data(), field.data() + field.size());
            return *this;
        }
        m_line.push_back('"');
        for (char c : field) {
            if (c == '"') m_line.push_back('"');
            m_line.push_back(c);
        }
        m_line.push_back('"');
        return *this;
    }
    template <std::integral T> CsvWriter& number(T value) {
        separate();
        fmt::format_to(std::back_inserter(m_line), "{}", value);
        return *this;
    }
    CsvWriter& fraction(double value) {
        separate();
        fmt::format_to(std::back_inserter(m_line), "{:.6f}", value);
        return *this;
    }
    CsvWriter& address(std::uint64_t value) {
        separate();
        fmt::format_to(std::back_inserter(m_line), "{:#x}", value);
        return *this;
    }
    [[nodiscard]] Result<void> endLine() {
        m_line.push_back('\r');
        m_line.push_back('\n');
        Result<void> written = m_file.write(std::string_view(m_line.data(), m_line.size()));
        m_line.clear();
        m_first = true;
        return written;
    }
    [[nodiscard]] Result<void> header(std::initializer_list<const char*> columns) {
        for (const char* column : columns) text(column);
        return endLine();
    }
    [[nodiscard]] Result<void> commit() { return m_file.commit(); }

private:
    explicit CsvWriter(OutputFile file)
        : m_file(std::move(file)) {}

    void separate() {
        if (!m_first) m_line.push_back(',');
        m_first = false;
    }

    OutputFile m_file;
    fmt::memory_buffer m_line;
    bool m_first = true;
};

} // namespace

std::string summaryJson(const Recording& recording) {
    Json summary = summaryHead(recording);
    summary["layers"] = layersJson(recording);
    summary["failure"] = failureJson(recording.failure);
    return dumped(summary, 2);
}

std::string reportJson(const Recording& recording) {
    const std::vector<LayerRow> rows = layerTable(recording);
    std::string report = dumped(summaryHead(recording), -1);
    report.pop_back(); // the brace: more fields follow
    // About what they take. Too much costs nothing, too little costs copies.
    report.reserve(report.size() + 128 * (recording.events.size() + recording.ops.size() + recording.tensors.size()) +
                   256 * rows.size());
    JsonText text(report);
    text.raw(R"(,"layers":)");
    appendLayers(text, rows);
    text.raw(R"(,"failure":)").raw(dumped(failureJson(recording.failure), -1));
    text.raw(R"(,"recording":)");
    appendRecording(text, recording);
    text.raw("}");
    return report;
}

Result<void> writeEventsCsv(const Recording& recording, const std::string& path) {
    TRY(CsvWriter csv, CsvWriter::create(path));
    CHECK(csv.header({"t_ns", "event", "tensor", "layer", "phase", "category", "address", "size_bytes",
                      "allocated_bytes", "reserved_bytes", "workspace_bytes", "cached_bytes", "free_bytes",
                      "largest_free_bytes", "fragmentation", "host_bytes"}));
    for (const Event& event : recording.events) {
        const RecordedTensor* tensor =
            event.tensor < recording.tensors.size() ? &recording.tensors[event.tensor] : nullptr;
        csv.number(recording.timeNs(event))
            .text(name(event.kind))
            .text(tensor ? std::string_view(tensor->name) : std::string_view())
            .text(tensor ? layerName(recording, tensor->layer) : std::string_view())
            .text(name(event.phase))
            .text(tensor ? name(tensor->category) : std::string_view())
            .address(event.address)
            .number(event.bytes)
            .number(event.allocated)
            .number(event.reserved)
            .number(event.workspace)
            .number(event.cached())
            .number(event.freeBytes)
            .number(event.largestFree)
            .fraction(event.fragmentation())
            .number(event.host);
        CHECK(csv.endLine());
    }
    return csv.commit();
}

Result<void> writeLayersCsv(const Recording& recording, const std::string& path) {
    TRY(CsvWriter csv, CsvWriter::create(path));
    CHECK(csv.header({"layer", "op", "phase", "dtype", "begin_ns", "end_ns", "peak_bytes", "workspace_bytes",
                      "output_bytes", "flops", "first_op", "last_op"}));
    for (const LayerRow& row : layerTable(recording)) {
        csv.text(row.name).text(row.op).text(name(row.phase)).text(row.dtype);
        csv.number(row.beginNs).number(row.endNs).number(row.peakBytes).number(row.workspaceBytes);
        csv.number(row.outputBytes).number(row.flops).number(row.firstOp).number(row.lastOp);
        CHECK(csv.endLine());
    }
    return csv.commit();
}

Result<void> writeText(const std::string& path, std::string_view text) {
    TRY(OutputFile file, OutputFile::create(path));
    CHECK(file.write(text));
    return file.commit();
}

} // namespace spikescope
