// Whole decodes in one process, weights loaded, behind a second of others: medians by size with what
// each kernel took of them, in ms, TFLOP/s and GB/s. With several sizes it is the scaling table: time and memory per
// pixel stay flat but for attention. Takes every control, as the command line does; --json for scripts.
//   decode_bench --sizes 256 512 1024 --preset fastest --runs 9

#include "app/cli/control_options.h"
#include "core/backend/run_job.h"
#include "core/base/median.h"
#include "core/base/text.h"
#include "core/timeline/peak.h"
#include "core/vulkan/vulkan_backend.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace spikescope {
namespace {

struct Options {
    cli::ControlOptions controls;
    std::vector<std::uint64_t> sizes{256, 512, 1024};
    int runs = 9;
    bool portable = false, json = false, byLayer = false;
};

struct KernelSum {
    std::vector<double> ms; // of each run
    double flops = 0, bytes = 0;
    int count = 0;
};

// A GPU that was idle takes a while to reach its clock: so many runs come before those that count.
std::uint64_t warmRuns(double msEach) { return static_cast<std::uint64_t>(std::clamp(1000.0 / msEach, 1.0, 500.0)); }

Result<RunOutcome> runs(VulkanBackend& backend, Controls controls, std::uint64_t count) {
    controls.repeat = count;
    TRY(const Job job, makeJob(controls, InputChoice(std::uint64_t{7})));
    RunOutcome outcome = runJob(backend, job, {}, CancelFlag{});
    if (outcome.error) return tl::unexpected<Error>(*outcome.error);
    return outcome;
}

Result<void> bench(VulkanBackend& backend, const Controls& controls, const Options& options) {
    TRY(const RunOutcome first, runs(backend, controls, 2));
    const std::uint64_t warm = warmRuns(first.recording.durationMs);
    TRY(const RunOutcome outcome, runs(backend, controls, warm + static_cast<std::uint64_t>(options.runs)));
    const Recording& recording = outcome.recording;
    const Peak peak = findPeak(recording);
    std::vector<double> times = recording.opTimes();
    times.erase(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(warm));
    std::map<std::string, KernelSum> kernels;
    int run = -1 - static_cast<int>(warm);
    for (const RecordedOp& op : recording.ops) {
        if (op.phase != Phase::Decode) continue;
        if (op.kind == OpKind::Upload) {
            ++run;
            continue;
        }
        if (run < 0) continue;
        KernelSum& sum = kernels[options.byLayer ? recording.layers[op.layer] + " " + op.name : op.name];
        sum.ms.resize(static_cast<std::size_t>(options.runs));
        sum.ms[static_cast<std::size_t>(run)] += static_cast<double>(op.endNs - op.beginNs) / 1e6;
        if (run > 0) continue;
        sum.flops += static_cast<double>(op.flops);
        sum.bytes += static_cast<double>(op.traffic);
        ++sum.count;
    }
    const double pixels = static_cast<double>(controls.width * controls.height),
                 elements =
                     static_cast<double>(peak.working) / pixels / static_cast<double>(sizeOf(controls.activations));
    const auto [least, most] = std::ranges::minmax(times);
    if (options.json) {
        nlohmann::ordered_json line;
        line["device"] = backend.device().report().name;
        line["driver"] = backend.device().report().driver;
        line["kernels_of"] = backend.facts().device.kernels;
        line["tuned_tiles"] = backend.kernels().tiles().size();
        line["family"] = controls.model;
        line["size"] = controls.width;
        line["ms"] = median(times);
        line["min_ms"] = least;
        line["max_ms"] = most;
        line["allocated"] = peak.allocated;
        line["reserved"] = peak.reserved;
        line["working"] = peak.working;
        line["elements_per_pixel"] = elements;
        for (const auto& [name, sum] : kernels) line["kernels"][name] = median(sum.ms);
        fmt::print("{}\n", line.dump());
        return {};
    }
    fmt::print("{} {}x{} {}: median {:.2f} ms ({:.2f} to {:.2f}), {:.2f} ns a pixel, working {:.1f} elements a pixel, "
               "allocated {}, reserved {}\n",
               controls.model, controls.width, controls.height, name(controls.activations), median(times), least, most,
               1e6 * median(times) / pixels, elements, formatBytes(peak.allocated), formatBytes(peak.reserved));
    std::vector<std::pair<double, std::string>> order;
    for (const auto& [name, sum] : kernels) order.emplace_back(-median(sum.ms), name);
    std::ranges::sort(order);
    for (const auto& [negative, name] : order) {
        const KernelSum& sum = kernels[name];
        fmt::print("  {:<28} {:>3} x {:>9.3f} ms {:>8.2f} TFLOP/s {:>8.1f} GB/s\n", name, sum.count, -negative,
                   sum.flops / -negative / 1e9, sum.bytes / -negative / 1e6);
    }
    return {};
}

Result<void> benchAll(const Options& options) {
    TRY(Controls controls, options.controls.controls());
    TRY(const auto backend,
        VulkanBackend::open(
            {.device = controls.device, .kernels = options.portable ? KernelChoice::Portable : KernelChoice::Best}));
    if (!options.json)
        fmt::print("{}, driver {}, kernels: {}, {} tiles tuned\n", backend->device().report().name,
                   backend->device().report().driver, backend->facts().device.kernels,
                   backend->kernels().tiles().size());
    for (const std::uint64_t size : options.sizes) {
        controls.width = controls.height = size;
        if (controls.model.empty()) controls.model = families().front().name;
        CHECK(bench(*backend, controls, options));
    }
    return {};
}

} // namespace
} // namespace spikescope

int main(int argc, char** argv) {
    spikescope::Options options;
    CLI::App app("Times of whole decodes");
    options.controls.addTo(app, false);
    app.add_option("--sizes", options.sizes, "sides of square pictures");
    app.add_option("--runs", options.runs, "decodes of each size")->check(CLI::Range(1, 1000));
    app.add_flag("--portable", options.portable, "the portable kernels");
    app.add_flag("--json", options.json, "one object a size");
    app.add_flag("--by-layer", options.byLayer, "what each layer took");
    CLI11_PARSE(app, argc, argv);
    const auto done = spikescope::benchAll(options);
    if (!done) fmt::print(stderr, "{}\n", done.error().message);
    return done ? 0 : 1;
}
