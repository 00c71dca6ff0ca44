// Whole decodes on one device (SPIKESCOPE_DEVICE, see `spikescope-cli devices`; SPIKESCOPE_KERNELS=portable for that
// set). Times are the device's own. Floor to pass on two CPU cores with Mesa's CPU device: flux1 256×256 fp32 in 12 s.
// Single kernels are kernel_bench's.

#include "core/backend/run_job.h"
#include "core/vulkan/vulkan_backend.h"

#include <benchmark/benchmark.h>

#include <cstdlib>

namespace spikescope {
namespace {

VulkanBackend& backend() {
    static const std::unique_ptr<VulkanBackend> opened = [] {
        const char* device = std::getenv("SPIKESCOPE_DEVICE");
        const char* kernels = std::getenv("SPIKESCOPE_KERNELS");
        auto result =
            VulkanBackend::open({.device = device ? device : "",
                                 .kernels = kernels && std::string_view(kernels) == "portable" ? KernelChoice::Portable
                                                                                               : KernelChoice::Best});
        if (!result) {
            fmt::print(stderr, "{}\n", result.error().message);
            std::exit(3);
        }
        return std::move(*result);
    }();
    return *opened;
}

void decode(benchmark::State& state, const char* family, std::uint64_t side, DType dtype) {
    Controls controls;
    controls.model = family;
    controls.activations = dtype;
    controls.width = controls.height = side;
    auto job = makeJob(controls, std::uint64_t{7});
    const CancelFlag cancel;
    for (auto _ : state) {
        const RunOutcome outcome = runJob(backend(), *job, {}, cancel);
        if (outcome.error) return state.SkipWithError(outcome.error->message.c_str());
        state.SetIterationTime(outcome.recording.durationMs / 1e3);
    }
}

#define DECODE(name, ...)                                                                                              \
    BENCHMARK_CAPTURE(decode, name, __VA_ARGS__)                                                                       \
        ->UseManualTime()                                                                                              \
        ->Unit(benchmark::kMillisecond)                                                                                \
        ->Iterations(1)                                                                                                \
        ->Repetitions(3)                                                                                               \
        ->ReportAggregatesOnly()
DECODE(flux1_256_fp32, "flux1", 256, DType::F32);
DECODE(flux1_256_bf16, "flux1", 256, DType::BF16);
DECODE(taesd_512_fp32, "taesd", 512, DType::F32);

} // namespace
} // namespace spikescope

BENCHMARK_MAIN();
