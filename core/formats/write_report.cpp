#include "core/formats/write_report.h"

#include "core/formats/json_text.h"
#include "core/formats/report_schema.h"
#include "core/timeline/driver_truth.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <concepts>
#include <functional>

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

// Values as the summary has them.
template <class Value> Json jsonOf(const Value& value) {
    if constexpr (NamedEnum<Value>)
        return name(value);
    else if constexpr (std::same_as<Value, double>)
        return finite(value);
    else
        return value;
}
template <class Fields, class From> void addFields(Json& json, const Fields& fields, const From& from) {
    const auto add = [&](const auto& field) {
        json[std::string(field.name)] = jsonOf(std::invoke(field.member, from));
    };
    std::apply([&](const auto&... all) { (add(all), ...); }, fields);
}

Json deviceJson(const Recording& recording) {
    Json device = Json::object();
    addFields(device, report::device.fields, recording.device);
    device["heap_bytes"] = recording.spaces[deviceSpace].bytes;
    return device;
}

Json spacesJson(const Recording& recording) {
    const std::vector<SpacePeak> peaks = spacePeaks(recording);
    Json spaces = Json::array();
    for (std::size_t i = 0; i < peaks.size(); ++i) {
        Json& space = spaces.emplace_back(Json::object());
        addFields(space, report::spaces.fields, recording.spaces[i]);
        space["allocated_bytes"] = peaks[i].allocated;
        space["reserved_bytes"] = peaks[i].reserved;
    }
    return spaces;
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
    Json json = Json::object();
    addFields(json, report::failure.fields, *failure);
    return json;
}

// The summary but for its last two fields, the layers and the failure.
Json summaryHead(const Recording& recording) {
    Json controls = Json::object();
    for (const auto& [control, value] : recording.controls) controls[control] = value;
    Json predicted = nullptr;
    if (recording.predicted) addFields(predicted = Json::object(), report::predicted.fields, *recording.predicted);
    Json head{{"schema", report::schema}};
    addFields(head, report::summary.fields, recording);
    addFields(head, report::tiling.fields, recording);
    if (!recording.notes.empty()) addFields(head, report::notes.fields, recording);
    head["device"] = deviceJson(recording);
    head["spaces"] = spacesJson(recording);
    head["controls"] = std::move(controls);
    head["peak"] = peakJson(findPeak(recording));
    head["host_traffic_bytes"] = recording.hostTraffic();
    head["phases"] = phasesJson(recording);
    head["predicted"] = std::move(predicted);
    head["driver"] = driverJson(recording);
    return head;
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

// Values as tables have them.
template <class Field, class Row>
decltype(auto) cellOf(const Field& field, const Row& row, const Recording& recording) {
    const auto& value = std::invoke(field.member, row);
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (NamedEnum<Value>) {
        return name(value);
    } else if constexpr (std::same_as<Value, std::uint32_t>) {
        const bool out = (field.index == report::Index::Layer && value >= recording.layers.size()) ||
                         (field.index == report::Index::Tensor && value >= recording.tensors.size());
        return out ? std::nullopt : std::optional<std::uint64_t>(value);
    } else {
        return (value);
    }
}

class RecordingText {
public:
    RecordingText(JsonText& text, const Recording& recording)
        : m_text(text)
        , m_recording(recording) {}

    template <class... Members, class Rows> void add(const report::Table<Members...>& schema, const Rows& rows) {
        key(schema.path);
        JsonTable table(m_text, schema.columns);
        for (const auto& row : rows)
            std::apply([&](const auto&... fields) { table.add(cellOf(fields, row, m_recording)...); }, schema.fields);
        table.close();
    }
    template <class... Members> void add(const report::Object<Members...>& schema) {
        const auto one = [&](const auto& field) {
            key(field.name);
            m_text.value(std::invoke(field.member, m_recording));
        };
        std::apply([&](const auto&... fields) { (one(fields), ...); }, schema.fields);
    }
    void close() { m_text.raw("}"); }

private:
    void key(std::string_view path) {
        m_text.raw(m_first ? "{\"" : ",\"").raw(path.substr(path.rfind('.') + 1)).raw("\":");
        m_first = false;
    }

    JsonText& m_text;
    const Recording& m_recording;
    bool m_first = true;
};

void appendRecording(JsonText& text, const Recording& recording) {
    RecordingText tables(text, recording);
    tables.add(report::controls, recording.controls); // apart from the summary's object, which a reader may sort
    tables.add(report::spaces, recording.spaces);
    tables.add(report::layers);
    tables.add(report::tensors, recording.tensors);
    tables.add(report::ops, recording.ops);
    tables.add(report::tiles, recording.tiles);
    tables.add(report::events, recording.events);
    tables.add(report::samples, recording.samples);
    tables.add(report::barriers, recording.barriers);
    tables.close();
}

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

} // namespace spikescope
