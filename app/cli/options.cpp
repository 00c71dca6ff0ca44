#include "app/cli/options.h"

#include "app/cli/commands.h"
#include "core/base/text.h"
#include "core/formats/formats.h"
#include "core/formats/write_report.h"
#include "core/timeline/driver_truth.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"
#include "core/vulkan/vulkan_backend.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>

namespace spikescope::cli {

namespace {

void printText(const Recording& recording) {
    const Peak peak = findPeak(recording);
    const std::vector<LayerRow> rows = layerTable(recording);
    if (!recording.device.name.empty())
        printOutput("device     {} ({}), {} kernels\n", recording.device.name, recording.device.driver,
                    recording.device.kernels);
    printOutput("{}\n", formatLayerTable(rows, peak, rows.size()));
    printOutput("peak       allocated {} ({} B), reserved {} ({} B), working {}\n", formatBytes(peak.allocated),
                peak.allocated, formatBytes(peak.reserved), peak.reserved, formatBytes(peak.working));
    if (peak.fragmentation > 0.0)
        printOutput("           fragmentation {:.0f} % (1 - largest free block / free bytes)\n",
                    100 * peak.fragmentation);
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < categoryCount; ++i)
        if (peak.byCategory[i])
            parts.push_back(fmt::format("{} {}", name(static_cast<Category>(i)), formatBytes(peak.byCategory[i])));
    if (!parts.empty()) printOutput("           at {}: {}\n", peak.layer, joined(parts, ", "));
    for (const PhasePeak& phase : phasePeaks(recording))
        printOutput("phase      {:<11} allocated {}, reserved {}{}\n", name(phase.phase), formatBytes(phase.allocated),
                    formatBytes(phase.reserved),
                    phase.host ? fmt::format(", host {}, together {}", formatBytes(phase.host), formatBytes(phase.held))
                               : std::string());
    if (const std::uint64_t moved = recording.hostTraffic())
        printOutput("bus        {} ({} B) of feature maps to host memory and back\n", formatBytes(moved), moved);
    if (recording.tiling != TilingKind::Off) printOutput("tiling     {}\n", name(recording.tiling));
    if (recording.predicted) {
        const auto [allocated, reserved] = *recording.predicted;
        const bool same = allocated == peak.allocated && reserved == peak.reserved;
        printOutput("predicted  allocated {} B, reserved {} B: {}\n", allocated, reserved,
                    recording.failure    ? "the run ended early"
                    : same               ? "as measured, to the byte"
                    : recording.refusals ? "with more memory than there was, see below"
                                         : "DIFFERENT from what was measured");
    }
    if (recording.refusals && !recording.failure)
        printOutput("refused    {} times; the allocator then gave back what it had cached, and went on\n",
                    recording.refusals);
    if (recording.kind == RecordingKind::Run)
        printOutput("time       {} on the device, load {}, host peak {}\n", formatDuration(recording.durationMs),
                    formatDuration(recording.loadMs), formatBytes(recording.hostPeakBytes));
    if (const auto truth = driverTruth(recording))
        printOutput("driver     {} above the {} it held before; reserved then {}, farthest apart {} B\n",
                    formatBytes(truth->peak), formatBytes(truth->baseline), formatBytes(truth->reserved),
                    truth->largestDifference);
    if (!recording.failure) return;
    printOutput("failure    {}: layer {}, tensor {}, {} wanted, {} free\n", name(recording.failure->code),
                recording.failure->layer, recording.failure->tensor, formatBytes(recording.failure->bytesWanted),
                formatBytes(recording.failure->bytesFree));
    if (recording.failure->code == ErrorCode::OutOfDeviceMemory)
        printOutput("fits with  {}\n", recording.failure->fits.empty() ? "no single flip of a control"
                                                                       : joined(recording.failure->fits, ", "));
}

} // namespace

void OutputOptions::addTo(CLI::App& command) {
    command.add_flag("--json", json, "print the summary as JSON and nothing else")->group("Output");
    for (File& file : written)
        command.add_option(std::string(file.option), file.path, std::string(file.help))->group("Output");
    command.add_option("--fail-over", failOver, "exit with 4 when the reserved peak is over this many GiB")
        ->group("Output");
    command.add_flag("--quiet", quiet, "no progress")->group("Output");
}

std::vector<NamedFile> OutputOptions::files() const {
    std::vector<NamedFile> files;
    for (const File& file : written)
        files.push_back({.name = std::string(file.option), .path = file.path, .role = NamedFile::Role::Output});
    return files;
}

bool OutputOptions::writesFiles() const {
    return std::ranges::any_of(written, [](const File& file) { return !file.path.empty(); });
}

Result<void> OutputOptions::writeFiles(const Recording& recording) const {
    for (const File& file : written) {
        if (file.path.empty()) continue;
        TRY(const Exporter* exporter, chooseExporter(file.path, file.format));
        CHECK(exporter->write(recording, file.path));
    }
    return {};
}

void OutputOptions::print(const Recording& recording) const {
    if (json)
        printOutput("{}\n", summaryJson(recording));
    else
        printText(recording);
}

Result<std::optional<std::uint64_t>> OutputOptions::limit() const {
    if (failOver.empty()) return std::optional<std::uint64_t>{};
    TRY(const std::uint64_t bytes, parseGiB("fail-over", failOver));
    return bytes;
}

int checkLimit(const Recording& recording, std::optional<std::uint64_t> limit, int otherwise) {
    const Peak peak = findPeak(recording);
    if (!limit || peak.reserved <= *limit) return otherwise;
    printError("spikescope-cli: the reserved peak of {} is over the limit of {}\n", formatBytes(peak.reserved),
               formatBytes(*limit));
    return 4;
}

Result<void> checkFiles(std::initializer_list<std::vector<NamedFile>> files, bool json) {
    using Role = NamedFile::Role;
    std::vector<NamedFile> all;
    for (const std::vector<NamedFile>& some : files) all.insert(all.end(), some.begin(), some.end());
    all.push_back({.name = "standard output", .path = "/dev/stdout", .role = json ? Role::FullStream : Role::Stream});
    all.push_back({.name = "standard error", .path = "/dev/stderr", .role = Role::Stream});
    return checkFilesApart(all);
}

InputFile splitKey(const std::string& text) {
    std::error_code ignored;
    const auto colon = text.rfind(':');
    if (colon == std::string::npos || std::filesystem::exists(text, ignored))
        return {.path = text, .key = std::nullopt};
    return {.path = text.substr(0, colon), .key = text.substr(colon + 1)};
}

Result<DeviceForPlans> deviceForPlans(const Controls& controls) {
    DeviceForPlans device{.backend = nullptr, .traits = {}, .availableBytes = controls.budgetBytes};
    auto backend = VulkanBackend::open({.device = controls.device});
    if (backend) {
        device.backend = std::move(*backend);
        device.traits = device.backend->heap().traits();
        if (!device.availableBytes) device.availableBytes = device.backend->heap().bytesFree();
    } else if (backend.error().code != ErrorCode::NoDevice || !controls.device.empty()) {
        return tl::unexpected<Error>(backend.error());
    }
    return device;
}

std::string signedBytes(std::uint64_t before, std::uint64_t after) {
    if (after == before) return "=";
    return after > before ? "+" + formatBytes(after - before) : "-" + formatBytes(before - after);
}

std::string signedTime(const std::optional<double>& before, const std::optional<double>& after) {
    if (!before || !after) return "?";
    const double change = *after - *before;
    if (std::abs(change) < 0.005 * *before) return "=";
    return (change < 0 ? "-" : "+") + formatDuration(std::abs(change));
}

void outputJson(const nlohmann::ordered_json& json) {
    printOutput("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

namespace {

CancelFlag cancelled;

void onSignal(int) { cancelled.raise(); }

} // namespace

const CancelFlag& cancelledBySignal() {
    std::signal(SIGINT, onSignal);
    std::signal(SIGTERM, onSignal);
    return cancelled;
}

int exitWith(const Error& error) {
    printError("spikescope-cli: {}\n", error.message);
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
