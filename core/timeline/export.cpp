#include "core/timeline/export.h"

#include "core/base/output_file.h"
#include "core/timeline/driver_truth.h"
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

Json layersJson(const Recording& recording) {
    Json layers = Json::array();
    for (const LayerRow& row : layerTable(recording)) {
        Json::object_t layer; // filled without Json's search for equal keys: there may be a row per op
        layer.reserve(10);
        layer.emplace_back("name", row.name);
        layer.emplace_back("op", row.op);
        layer.emplace_back("phase", name(row.phase));
        layer.emplace_back("dtype", row.dtype);
        layer.emplace_back("begin_ns", row.beginNs);
        layer.emplace_back("end_ns", row.endNs);
        layer.emplace_back("peak_bytes", row.peakBytes);
        layer.emplace_back("workspace_bytes", row.workspaceBytes);
        layer.emplace_back("output_bytes", row.outputBytes);
        layer.emplace_back("flops", row.flops);
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
    return {{"code", failure->code},
            {"message", failure->message},
            {"layer", failure->layer},
            {"tensor", failure->tensor},
            {"bytes_wanted", failure->bytesWanted},
            {"bytes_free", failure->bytesFree},
            {"event", failure->event},
            {"fits", failure->fits}};
}

Json summary(const Recording& recording) {
    Json controls = Json::object();
    for (const auto& [control, value] : recording.controls) controls[control] = value;
    Json predicted = nullptr;
    if (recording.predicted)
        predicted = {{"allocated_bytes", recording.predicted->first}, {"reserved_bytes", recording.predicted->second}};
    return {{"schema", "spikescope.run/1"},
            {"kind", recording.kind},
            {"device",
             {{"name", recording.device.name},
              {"driver", recording.device.driver},
              {"heap_bytes", recording.device.heapBytes},
              {"kernels", recording.device.kernels}}},
            {"controls", std::move(controls)},
            {"peak", peakJson(findPeak(recording))},
            {"phases", phasesJson(recording)},
            {"predicted", std::move(predicted)},
            {"refusals", recording.refusals},
            {"driver", driverJson(recording)},
            {"host_peak_bytes", recording.hostPeakBytes},
            {"duration_ms", finite(recording.durationMs)},
            {"load_ms", finite(recording.loadMs)},
            {"layers", layersJson(recording)},
            {"failure", failureJson(recording.failure)}};
}

// A table says its columns once: a million events stay below 100 MB.
class JsonTable {
public:
    JsonTable(std::initializer_list<const char*> columns, std::size_t rows)
        : m_columns(columns.begin(), columns.end()) {
        m_rows.reserve(rows);
    }

    template <class... Cells> void add(Cells&&... cells) {
        Json::array_t row;
        row.reserve(sizeof...(cells));
        (row.emplace_back(std::forward<Cells>(cells)), ...);
        m_rows.emplace_back(std::move(row));
    }

    Json take() { return {{"columns", std::move(m_columns)}, {"rows", std::move(m_rows)}}; }

private:
    std::vector<std::string> m_columns;
    Json::array_t m_rows;
};

Json indexOrNull(std::uint32_t index, std::size_t tableSize) { return index < tableSize ? Json(index) : Json(nullptr); }

Json recordingJson(const Recording& recording) {
    // Apart from the summary's object, which a reader may sort.
    JsonTable controls({"name", "value"}, recording.controls.size());
    for (const auto& [control, value] : recording.controls) controls.add(control, value);

    JsonTable tensors({"name", "layer", "category", "dtype", "shape", "bytes", "host"}, recording.tensors.size());
    for (const RecordedTensor& tensor : recording.tensors)
        tensors.add(tensor.name, indexOrNull(tensor.layer, recording.layers.size()), name(tensor.category),
                    tensor.dtype, tensor.shape, tensor.bytes, tensor.host);

    JsonTable ops({"name", "layer", "phase", "dtype", "flops", "output_bytes", "begin_ns", "end_ns", "traffic_bytes"},
                  recording.ops.size());
    for (const RecordedOp& op : recording.ops)
        ops.add(op.name, indexOrNull(op.layer, recording.layers.size()), name(op.phase), op.dtype, op.flops,
                op.outputBytes, op.beginNs, op.endNs, op.traffic);

    JsonTable events({"event", "phase", "tensor", "op", "address", "size_bytes", "allocated_bytes", "reserved_bytes",
                      "workspace_bytes", "host_bytes", "free_bytes", "largest_free_bytes"},
                     recording.events.size());
    for (const Event& event : recording.events)
        events.add(name(event.kind), name(event.phase), indexOrNull(event.tensor, recording.tensors.size()), event.op,
                   event.address, event.bytes, event.allocated, event.reserved, event.workspace, event.host,
                   event.freeBytes, event.largestFree);

    JsonTable samples({"event", "driver_bytes", "process_bytes"}, recording.samples.size());
    for (const Sample& sample : recording.samples)
        samples.add(sample.event, sample.driverBytes ? Json(*sample.driverBytes) : Json(nullptr), sample.processBytes);

    return {{"controls", controls.take()}, {"layers", recording.layers}, {"tensors", tensors.take()},
            {"ops", ops.take()},           {"events", events.take()},    {"samples", samples.take()}};
}

std::string dumped(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
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

std::string summaryJson(const Recording& recording) { return dumped(summary(recording), 2); }

std::string reportJson(const Recording& recording) {
    Json report = summary(recording);
    report["recording"] = recordingJson(recording);
    return dumped(report, -1);
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
