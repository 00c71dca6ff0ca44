// How long a plan takes: from controls to a complete Recording, no device. Floor to pass: flux1 at 8192×8192 in 20 ms.

#include "core/job/job.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"

#include <benchmark/benchmark.h>

namespace spikescope {
namespace {

void planDecode(benchmark::State& state, const char* family, std::uint64_t side) {
    Controls controls;
    controls.model = family;
    controls.width = controls.height = side;
    for (auto _ : state) {
        auto job = makeJob(controls, std::monostate{});
        const Recording recording = planJob(*job);
        benchmark::DoNotOptimize(findPeak(recording));
        benchmark::DoNotOptimize(layerTable(recording));
    }
}

BENCHMARK_CAPTURE(planDecode, flux1_1024, "flux1", 1024)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(planDecode, flux1_8192, "flux1", 8192)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(planDecode, flux2_8192, "flux2", 8192)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(planDecode, taesd_8192, "taesd", 8192)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace spikescope

BENCHMARK_MAIN();
