#include "core/timeline/compare.h"

#include "core/base/text.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <string_view>
#include <unordered_map>

namespace spikescope {

namespace {

using Json = nlohmann::ordered_json;

bool allEqual(const auto& values) { return std::ranges::adjacent_find(values, std::not_equal_to{}) == values.end(); }

// Finds or appends the row of a name; rows keep the order in which their names came.
template <class Row, auto values> class RowsByName {
public:
    explicit RowsByName(std::size_t width)
        : m_width(width) {}

    auto& at(const std::string& name, std::size_t recording) {
        const auto [place, added] = m_places.try_emplace(name, m_rows.size());
        if (added) (m_rows.emplace_back(Row{name, {}}).*values).resize(m_width);
        return (m_rows[place->second].*values)[recording];
    }
    std::vector<Row> take() { return std::move(m_rows); }

private:
    std::size_t m_width;
    std::vector<Row> m_rows;
    std::unordered_map<std::string, std::size_t> m_places;
};

std::string difference(const std::optional<std::uint64_t>& base, const std::optional<std::uint64_t>& bytes) {
    if (!base || !bytes) return "";
    if (*base == *bytes) return "=";
    const bool more = *bytes > *base;
    const std::uint64_t size = more ? *bytes - *base : *base - *bytes;
    std::string text = (more ? "+" : "-") + formatBytes(size);
    if (*base != 0)
        text += fmt::format(" ({}{:.1f} %)", more ? "+" : "-",
                            100.0 * static_cast<double>(size) / static_cast<double>(*base));
    return text;
}

Json differenceJson(const std::optional<std::uint64_t>& base, const std::optional<std::uint64_t>& bytes) {
    if (!base || !bytes) return nullptr;
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (*bytes >= *base) return static_cast<std::int64_t>(std::min(*bytes - *base, largest));
    return -static_cast<std::int64_t>(std::min(*base - *bytes, largest));
}

void addLines(std::vector<std::vector<std::string>>& lines, std::string_view title,
              const std::vector<ComparedBytes>& rows) {
    lines.push_back({});
    lines.push_back({std::string(title)});
    for (const ComparedBytes& row : rows) {
        std::vector<std::string> line{"  " + row.name};
        for (std::size_t i = 0; i < row.bytes.size(); ++i) {
            line.push_back(row.bytes[i] ? formatBytes(*row.bytes[i]) : "-");
            if (i != 0) line.push_back(difference(row.bytes[0], row.bytes[i]));
        }
        lines.push_back(std::move(line));
    }
}

Json bytesJson(const std::vector<ComparedBytes>& rows) {
    Json array = Json::array();
    for (const ComparedBytes& row : rows) {
        Json values = Json::array(), differences = Json::array();
        for (const auto& bytes : row.bytes) {
            values.push_back(bytes ? Json(*bytes) : Json(nullptr));
            differences.push_back(differenceJson(row.bytes[0], bytes));
        }
        array.push_back({{"name", row.name}, {"bytes", std::move(values)}, {"differences", std::move(differences)}});
    }
    return array;
}

} // namespace

Comparison compare(std::span<const LabelledRecording> recordings) {
    std::vector<std::string> labels;
    std::vector<const Recording*> pointers;
    for (const LabelledRecording& labelled : recordings) {
        labels.push_back(labelled.label);
        pointers.push_back(&labelled.recording);
    }
    return compare(labels, pointers);
}

Comparison compare(std::span<const std::string> labels, std::span<const Recording* const> recordings) {
    const std::size_t count = recordings.size();
    Comparison comparison;
    RowsByName<ComparedBytes, &ComparedBytes::bytes> peaks(count), categories(count), layers(count);
    RowsByName<ComparedControl, &ComparedControl::values> controls(count);
    for (std::size_t i = 0; i < count; ++i) {
        const Recording& recording = *recordings[i];
        const Peak peak = findPeak(recording);
        comparison.labels.push_back(labels[i]);
        comparison.failures.push_back(recording.failure ? recording.failure->message : "");
        peaks.at("allocated", i) = peak.allocated;
        peaks.at("reserved", i) = peak.reserved;
        peaks.at("working", i) = peak.working;
        for (std::size_t category = 0; category < categoryCount; ++category)
            categories.at(std::string(name(static_cast<Category>(category))), i) = peak.byCategory[category];
        for (const LayerRow& row : layerTable(recording)) {
            std::optional<std::uint64_t>& bytes = layers.at(row.name, i);
            bytes = std::max(bytes.value_or(0), row.peakBytes);
        }
        for (const auto& [control, value] : recording.controls) controls.at(control, i) = value;
    }
    comparison.peaks = peaks.take();
    comparison.categories = categories.take();
    comparison.layers = layers.take();
    comparison.controls = controls.take();
    std::erase_if(comparison.controls, [](const ComparedControl& control) { return allEqual(control.values); });
    return comparison;
}

std::string compareText(std::span<const LabelledRecording> recordings) {
    Comparison comparison = compare(recordings);
    std::vector<std::vector<std::string>> lines{{""}};
    for (std::size_t i = 0; i < comparison.labels.size(); ++i) {
        lines[0].push_back(comparison.labels[i]);
        if (i != 0) lines[0].push_back("difference");
    }
    addLines(lines, "peak", comparison.peaks);
    addLines(lines, "by category at the peak", comparison.categories);
    const std::size_t layers = comparison.layers.size();
    std::erase_if(comparison.layers, [](const ComparedBytes& layer) { return allEqual(layer.bytes); });
    if (!comparison.layers.empty()) addLines(lines, "by layer", comparison.layers);
    if (!comparison.controls.empty()) lines.push_back({});
    if (!comparison.controls.empty()) lines.push_back({"controls that differ"});
    for (const ComparedControl& control : comparison.controls) {
        std::vector<std::string> line{"  " + control.name};
        for (std::size_t i = 0; i < control.values.size(); ++i) {
            line.push_back(control.values[i].value_or("-"));
            if (i != 0) line.push_back("");
        }
        lines.push_back(std::move(line));
    }

    std::string text = alignedText(lines, 1);
    if (const std::size_t equal = layers - comparison.layers.size(); equal != 0)
        text += fmt::format("\n\n{} layers have the same peak everywhere", equal);
    for (std::size_t i = 0; i < comparison.failures.size(); ++i)
        if (!comparison.failures[i].empty())
            text +=
                fmt::format("\n\n{} failed: {}", printable(comparison.labels[i]), printable(comparison.failures[i]));
    return text;
}

std::string compareJson(std::span<const LabelledRecording> recordings) {
    const Comparison comparison = compare(recordings);
    Json controls = Json::array();
    for (const ComparedControl& control : comparison.controls) {
        Json values = Json::array();
        for (const auto& value : control.values) values.push_back(value ? Json(*value) : Json(nullptr));
        controls.push_back({{"name", control.name}, {"values", std::move(values)}});
    }
    Json failures = Json::array();
    for (const std::string& failure : comparison.failures)
        failures.push_back(failure.empty() ? Json(nullptr) : Json(failure));
    const Json json = {{"schema", "spikescope.compare/1"},       {"labels", comparison.labels},
                       {"peaks", bytesJson(comparison.peaks)},   {"by_category", bytesJson(comparison.categories)},
                       {"layers", bytesJson(comparison.layers)}, {"controls", std::move(controls)},
                       {"failures", std::move(failures)}};
    return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

} // namespace spikescope
