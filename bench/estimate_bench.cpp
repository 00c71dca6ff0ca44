// Predicted against measured times: rates are measured as `advise` measures them, then every preset is estimated and
// run, one pass and repeated ones, in a cache folder of its own. Ends with the median and the largest error.
//   estimate_bench --device nvidia --models flux1 sd15 taef1 --sizes 512 1024 2048

#include "app/cli/control_options.h"
#include "core/advise/advice.h"
#include "core/backend/measured_rates.h"
#include "core/backend/run_job.h"
#include "core/base/median.h"
#include "core/program/presets.h"
#include "core/vulkan/vulkan_backend.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

namespace spikescope {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
    std::string device, cache, only;
    bool ratesOnly = false;
    std::vector<std::string> models{"flux1", "sd15", "taef1"};
    std::vector<std::uint64_t> sizes{512, 1024, 2048};
};

// Of passes before those that count; passes that take longer than `longMs` are not repeated.
constexpr double warmMs = 300.0, longMs = 1500.0;

struct Errors {
    std::string of;
    std::vector<double> errors;
    void add(double predicted, double measured) { errors.push_back(std::abs(predicted / measured - 1.0)); }
    void print() const {
        if (errors.empty()) return;
        fmt::print("{}: {} configurations, median error {:.1f} %, largest {:.1f} %, over 25 %: {}\n", of, errors.size(),
                   100.0 * median(errors), 100.0 * std::ranges::max(errors),
                   std::ranges::count_if(errors, [](double e) { return e > 0.25; }));
    }
};

Result<RunOutcome> ran(Backend& backend, Controls controls, std::uint64_t repeat) {
    controls.repeat = repeat;
    TRY(Job job, makeJob(std::move(controls), InputChoice(std::uint64_t{7})));
    RunOutcome outcome = runJob(backend, job, {}, CancelFlag{});
    if (outcome.error) return tl::unexpected<Error>(*outcome.error);
    return outcome;
}

Result<void> bench(const Options& options) {
    TRY(const auto backend, VulkanBackend::open({.device = options.device, .cacheFolder = options.cache}));
    const bool cpu = backend->facts().cpu;
    fmt::print("{}, driver {}, kernels: {}\n", backend->facts().device.name, backend->facts().device.driver,
               backend->facts().device.kernels);
    Errors once{"one pass"}, repeated{"repeated passes"};
    std::size_t disordered = 0, pairs = 0;
    for (const std::string& model : options.models) {
        Controls controls = defaultControls();
        controls.model = model;
        const auto begin = Clock::now();
        TRY(const MeasuredRates measured,
            measureRates(*backend, controls, {.cacheFolder = options.cache, .progress = {}}));
        const Rates& rates = measured.rates;
        fmt::print("rates for {}: {} samples in {:.1f} s, {} calls left out{}\n", model, measured.added,
                   std::chrono::duration<double>(Clock::now() - begin).count(), measured.left,
                   measured.disagreement.empty() ? "" : "; " + measured.disagreement);
        if (options.ratesOnly) continue;
        for (const std::uint64_t size : options.sizes) {
            std::vector<std::pair<double, double>> times; // predicted, measured
            for (const Preset& preset : presets()) {
                if (!options.only.empty() && options.only != preset.name) continue;
                controls.width = controls.height = size;
                CHECK(applyPreset(controls, preset.name));
                const HeapTraits traits = backend->heap().traits();
                Controls more = controls;
                more.repeat = 3;
                TRY(const PlannedControls planned, planControls(controls, traits, &rates, backend->heap().bytesFree()));
                TRY(const PlannedControls planned3, planControls(more, traits, &rates, backend->heap().bytesFree()));
                // A CPU device takes long: one run has both passes.
                const auto first = ran(*backend, controls, cpu ? 2 : 1);
                if (!first) {
                    fmt::print("{:6} {:22} {:5}  {}\n", model, preset.name, size, first.error().message);
                    continue;
                }
                const double oneMs = first->recording.opTimes().front();
                double againMs = first->recording.durationMs;
                const bool isRepeated = cpu || oneMs < longMs;
                if (isRepeated && !cpu) {
                    const auto count = static_cast<std::uint64_t>(std::clamp(warmMs / oneMs, 1.0, 300.0)) + 4;
                    TRY(const RunOutcome outcome, ran(*backend, controls, count));
                    againMs = outcome.recording.durationMs;
                }
                const double p1 = planned.ms.value_or(0.0), p3 = planned3.ms.value_or(0.0);
                once.add(p1, oneMs);
                if (isRepeated) repeated.add(p3, againMs);
                times.emplace_back(isRepeated ? p3 : p1, againMs);
                fmt::print("{:6} {:22} {:5}  one pass {:10.3f} predicted {:10.3f} ({:+6.1f} %)", model, preset.name,
                           size, oneMs, p1, 100.0 * (p1 / oneMs - 1.0));
                if (isRepeated)
                    fmt::print("  repeated {:10.3f} predicted {:10.3f} ({:+6.1f} %)", againMs, p3,
                               100.0 * (p3 / againMs - 1.0));
                fmt::print("  unknown {:.2f}\n", planned.unknown);
                std::fflush(stdout);
            }
            for (std::size_t i = 0; i < times.size(); ++i)
                for (std::size_t k = 0; k < i; ++k) {
                    const auto [pa, ma] = times[i];
                    const auto [pb, mb] = times[k];
                    if (std::abs(ma / mb - 1.0) < 0.05) continue; // as good as the same
                    ++pairs;
                    disordered += (pa < pb) != (ma < mb);
                }
        }
    }
    once.print();
    repeated.print();
    fmt::print("order: {} of {} pairs of presets are predicted the wrong way round\n", disordered, pairs);
    return {};
}

} // namespace
} // namespace spikescope

int main(int argc, char** argv) {
    spikescope::Options options;
    CLI::App app("Predicted against measured times of all presets");
    app.add_option("--device", options.device, "which Vulkan device");
    app.add_option("--models", options.models, "families");
    app.add_option("--sizes", options.sizes, "sides of square pictures");
    app.add_option("--preset", options.only, "this one alone");
    app.add_option("--cache", options.cache, "where rates and shaders are kept, instead of in a folder that is new");
    app.add_flag("--rates-only", options.ratesOnly, "measure rates and leave");
    CLI11_PARSE(app, argc, argv);
    if (options.cache.empty()) { // a folder that was named is never emptied
        const auto fresh = std::filesystem::temp_directory_path() / "spikescope-estimate-bench";
        std::error_code ignored;
        std::filesystem::remove_all(fresh, ignored);
        options.cache = fresh.string();
    }
    const auto done = spikescope::bench(options);
    if (!done) fmt::print(stderr, "{}\n", done.error().message);
    return done ? 0 : 1;
}
