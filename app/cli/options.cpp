#include "app/cli/options.h"

#include "core/base/text.h"
#include "core/timeline/export.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace spikescope::cli {

namespace {

// A configuration is an object of control names with strings or numbers.
Result<void> applyConfig(Controls& controls, const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return fail(ErrorCode::BadInput, "file {}: cannot be opened", quote(path));
    constexpr std::uintmax_t most = 1 << 20;
    std::error_code ignored;
    if (std::filesystem::file_size(path, ignored) > most)
        return fail(ErrorCode::BadInput, "file {}: a configuration has at most 1 MiB", quote(path));
    const auto json = nlohmann::json::parse(file, nullptr, false);
    if (!json.is_object()) return fail(ErrorCode::BadInput, "file {}: not a JSON object of controls", quote(path));
    for (const auto& [key, value] : json.items()) {
        if (!value.is_string() && !value.is_number())
            return fail(ErrorCode::BadInput, "file {}: control {} is neither a string nor a number", quote(path),
                        quote(key));
        CHECK(setControl(controls, key, value.is_string() ? value.get<std::string>() : value.dump()));
    }
    return {};
}

void printText(const Recording& recording) {
    const Peak peak = findPeak(recording);
    const std::vector<LayerRow> rows = layerTable(recording);
    if (!recording.device.name.empty())
        fmt::print("device     {} ({}), {} kernels\n", recording.device.name, recording.device.driver,
                   recording.device.kernels);
    fmt::print("{}\n", formatLayerTable(rows, peak, rows.size()));
    fmt::print("peak       allocated {} ({} B), reserved {} ({} B), working {}\n", formatBytes(peak.allocated),
               peak.allocated, formatBytes(peak.reserved), peak.reserved, formatBytes(peak.working));
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < categoryCount; ++i)
        if (peak.byCategory[i])
            parts.push_back(fmt::format("{} {}", name(static_cast<Category>(i)), formatBytes(peak.byCategory[i])));
    fmt::print("           at {}: {}\n", peak.layer, joined(parts, ", "));
    if (recording.predicted) {
        const auto [allocated, reserved] = *recording.predicted;
        const bool same = allocated == peak.allocated && reserved == peak.reserved;
        fmt::print("predicted  allocated {} B, reserved {} B: {}\n", allocated, reserved,
                   recording.failure ? "the run ended early"
                   : same            ? "as measured, to the byte"
                                     : "DIFFERENT from what was measured");
    }
    if (recording.kind == "run")
        fmt::print("time       {} on the device, load {}, host peak {}\n", formatDuration(recording.durationMs),
                   formatDuration(recording.loadMs), formatBytes(recording.hostPeakBytes));
    if (recording.failure)
        fmt::print("failure    {}: layer {}, tensor {}, {} wanted, {} free\n", recording.failure->code,
                   recording.failure->layer, recording.failure->tensor, formatBytes(recording.failure->bytesWanted),
                   formatBytes(recording.failure->bytesFree));
}

} // namespace

void ControlOptions::addTo(CLI::App& command, bool withOp) {
    values.reserve(controlTable().size());
    for (const ControlInfo& info : controlTable()) {
        if (info.name == "op" && !withOp) continue;
        auto& [controlName, text] = values.emplace_back(info.name, "");
        command.add_option(fmt::format("--{}", controlName), text, fmt::format("{} ({})", info.help, info.values))
            ->group("Controls");
    }
    command.add_option("--config", configFile, "JSON file with controls by name; single options override it")
        ->group("Controls");
}

Result<Controls> ControlOptions::controls() const {
    Controls controls;
    if (!configFile.empty()) CHECK(applyConfig(controls, configFile));
    for (const auto& [controlName, text] : values)
        if (!text.empty()) CHECK(setControl(controls, controlName, text));
    return controls;
}

void OutputOptions::addTo(CLI::App& command) {
    command.add_flag("--json", json, "print the summary as JSON and nothing else")->group("Output");
    command.add_option("--report", report, "write the whole recording to FILE.json")->group("Output");
    command.add_option("--csv", csv, "write the events to FILE.csv")->group("Output");
    command.add_option("--layers", layers, "write the per-layer table to FILE.csv")->group("Output");
    command.add_option("--fail-over", failOver, "exit with 4 when the reserved peak is over this many GiB")
        ->group("Output");
    command.add_flag("--quiet", quiet, "no progress")->group("Output");
}

Result<void> OutputOptions::writeFiles(const Recording& recording) const {
    if (!report.empty()) CHECK(writeText(report, reportJson(recording)));
    if (!csv.empty()) CHECK(writeEventsCsv(recording, csv));
    if (!layers.empty()) CHECK(writeLayersCsv(recording, layers));
    return {};
}

Result<void> OutputOptions::print(const Recording& recording) const {
    if (json)
        fmt::print("{}\n", summaryJson(recording));
    else
        printText(recording);
    if (std::fflush(stdout) != 0) return fail(ErrorCode::Io, "writing to standard output failed");
    return {};
}

Result<std::optional<std::uint64_t>> OutputOptions::limit() const {
    if (failOver.empty()) return std::optional<std::uint64_t>{};
    TRY(const std::uint64_t bytes, parseGiB("fail-over", failOver));
    return bytes;
}

InputFile splitKey(const std::string& text) {
    std::error_code ignored;
    const auto colon = text.rfind(':');
    if (colon == std::string::npos || std::filesystem::exists(text, ignored))
        return {.path = text, .key = std::nullopt};
    return {.path = text.substr(0, colon), .key = text.substr(colon + 1)};
}

int exitWith(const Error& error) {
    fmt::print(stderr, "spikescope-cli: {}\n", error.message);
    switch (error.code) {
    case ErrorCode::BadUsage:
    case ErrorCode::BadInput:
    case ErrorCode::Io: return 1;
    case ErrorCode::OutOfDeviceMemory:
    case ErrorCode::OutOfHostMemory: return 2;
    case ErrorCode::NoDevice:
    case ErrorCode::DeviceLost:
    case ErrorCode::Unsupported: return 3;
    case ErrorCode::Cancelled: return 130;
    }
    return 1;
}

} // namespace spikescope::cli
