// The engine on one device (SPIKESCOPE_DEVICE, see `spikescope-cli devices`; SPIKESCOPE_KERNELS=portable for that set):
// rates of single convolutions as they run inside a decode, and whole decodes. Times are the device's own. Floors to
// pass on two CPU cores with Mesa's CPU device: conv3x3 80 GFLOP/s, flux1 256×256 fp32 in 12 s. The cases named large
// are for GPUs and take minutes on a CPU: --benchmark_filter=-large leaves them out.

#include "core/program/lower.h"
#include "core/run/session.h"

#include <benchmark/benchmark.h>

#include <cstdlib>

namespace spikescope {
namespace {

Session& session() {
    static const std::unique_ptr<Session> opened = [] {
        const char* device = std::getenv("SPIKESCOPE_DEVICE");
        const char* kernels = std::getenv("SPIKESCOPE_KERNELS");
        auto result =
            Session::open({.device = device ? device : "",
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

// Random input and synthetic weights: zeros can run faster than real data.
Job convJob(std::uint64_t side, std::uint64_t in, std::uint64_t out, std::uint32_t kernel, bool upsample, DType dtype,
            ConvLowering lowering = ConvLowering::Direct, UpsampleLowering doubling = UpsampleLowering::Fused) {
    GraphBuilder builder;
    const ValueId input = builder.input({.n = 1, .h = side, .w = side, .c = in});
    // A 1×1 convolution before it and one to three channels after it bring the map into and out of `dtype`.
    ValueId x = builder.conv("before", input, in, 1);
    if (upsample) x = builder.upsample("measured", x);
    x = builder.conv("measured", x, out, kernel);
    x = builder.conv("after", x, 4, 1);
    Job job;
    job.controls.activations = dtype;
    job.controls.conv = lowering;
    job.controls.upsample = doubling;
    job.controls.width = job.controls.height = side;
    job.family = &families().front();
    job.parameters = Parameters(7);
    job.program = lower(*builder.finish(x), job.controls);
    job.input = *syntheticLatents({.name = "map", .latentChannels = static_cast<std::uint32_t>(in)},
                                  side * spatialFactor, side * spatialFactor, 1, 7);
    return job;
}

void conv(benchmark::State& state, std::uint64_t side, std::uint64_t in, std::uint64_t out, std::uint32_t kernel,
          bool upsample, DType dtype, ConvLowering lowering = ConvLowering::Direct,
          UpsampleLowering doubling = UpsampleLowering::Fused) {
    const Job job = convJob(side, in, out, kernel, upsample, dtype, lowering, doubling);
    const std::uint64_t pixels = side * side * (upsample ? 4 : 1);
    const CancelFlag cancel;
    double flops = 0;
    for (auto _ : state) {
        const RunOutcome outcome = session().run(job, {}, cancel);
        if (outcome.error) return state.SkipWithError(outcome.error->message.c_str());
        for (const RecordedOp& op : outcome.recording.ops)
            if (op.phase == Phase::Decode && outcome.recording.layers[op.layer] == "measured") {
                state.SetIterationTime(static_cast<double>(op.endNs - op.beginNs) / 1e9);
                // Of the convolution as it stands in the model, whatever a lowering saves.
                flops += 2.0 * static_cast<double>(pixels * in * out * kernel * kernel);
            }
    }
    state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
}

void decode(benchmark::State& state, const char* family, std::uint64_t side, DType dtype) {
    Controls controls;
    controls.model = family;
    controls.activations = dtype;
    controls.width = controls.height = side;
    auto job = prepare(controls, std::uint64_t{7});
    const CancelFlag cancel;
    for (auto _ : state) {
        const RunOutcome outcome = session().run(*job, {}, cancel);
        if (outcome.error) return state.SkipWithError(outcome.error->message.c_str());
        state.SetIterationTime(outcome.recording.durationMs / 1e3);
    }
}

#define CONV(name, ...)                                                                                                \
    BENCHMARK_CAPTURE(conv, name, __VA_ARGS__)                                                                         \
        ->UseManualTime()                                                                                              \
        ->Unit(benchmark::kMillisecond)                                                                                \
        ->Repetitions(5)                                                                                               \
        ->ReportAggregatesOnly()
CONV(3x3_128_128_at_128, 128, 128, 128, 3, false, DType::F32);
CONV(3x3_512_512_at_32, 32, 512, 512, 3, false, DType::F32);
CONV(3x3_256_256_at_128, 128, 256, 256, 3, false, DType::F32);
CONV(3x3_256_128_at_256, 256, 256, 128, 3, false, DType::F32);
CONV(3x3_upsampled_256_256_at_128, 64, 256, 256, 3, true, DType::F32);
CONV(3x3_128_128_at_128_bf16, 128, 128, 128, 3, false, DType::BF16);
CONV(3x3_128_128_at_128_fp16, 128, 128, 128, 3, false, DType::F16);
CONV(1x1_256_128_at_256, 256, 256, 128, 1, false, DType::F32);
CONV(3x3_im2col_128_128_at_128, 128, 128, 128, 3, false, DType::F32, ConvLowering::Im2col);
CONV(3x3_winograd_128_128_at_128, 128, 128, 128, 3, false, DType::F32, ConvLowering::Winograd);
CONV(3x3_winograd_128_128_at_256, 256, 128, 128, 3, false, DType::F32, ConvLowering::Winograd);
CONV(3x3_winograd_512_512_at_64, 64, 512, 512, 3, false, DType::F32, ConvLowering::Winograd);
CONV(3x3_folded_256_256_at_128, 64, 256, 256, 3, true, DType::F32, ConvLowering::Direct, UpsampleLowering::Folded);
CONV(large_3x3_128_128_at_1024, 1024, 128, 128, 3, false, DType::F32);
CONV(large_3x3_256_256_at_512, 512, 256, 256, 3, false, DType::F32);
CONV(large_3x3_512_512_at_256, 256, 512, 512, 3, false, DType::F32);
CONV(large_3x3_128_128_at_1024_bf16, 1024, 128, 128, 3, false, DType::BF16);
CONV(large_3x3_256_256_at_512_bf16, 512, 256, 256, 3, false, DType::BF16);
CONV(large_3x3_512_512_at_256_bf16, 256, 512, 512, 3, false, DType::BF16);
CONV(large_1x1_512_512_at_128, 128, 512, 512, 1, false, DType::F32);

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
