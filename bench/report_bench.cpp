// How long a long report takes: 1,000,000 events, 300,000 tensors, 500,000 ops, a quarter of a gigabyte of text. Floor
// to pass: read in 3 s, and written in as much.

#include "core/base/output_file.h"
#include "core/formats/read_report.h"
#include "core/formats/write_report.h"
#include "core/memory/recorder.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <unistd.h>

namespace spikescope {
namespace {

// A tiled decode: every op takes a map and gives one back, and runs of a few ops make a layer.
Recording longRecording() {
    constexpr std::uint32_t ops = 500'000, tensors = 300'000, layers = 200, live = 6, sampleEvery = 100;
    Recording r;
    r.kind = RecordingKind::Run;
    r.device = {.name = "Card", .driver = "1.2", .kernels = "portable"};
    r.spaces[deviceSpace].bytes = std::uint64_t{8} << 30;
    r.controls = {{"model", "flux1"}, {"size", "8192x8192"}, {"tile", "64"}};
    for (std::uint32_t i = 0; i < layers; ++i)
        r.layers.push_back("decoder.up_blocks." + std::to_string(i / 50) + ".resnets." + std::to_string(i % 50) +
                           ".conv1");
    const auto bytes = [](std::uint32_t i) { return 4096 + std::uint64_t{i % 1021} * 65'536; };
    for (std::uint32_t i = 0; i < tensors; ++i)
        r.tensors.push_back({.name = r.layers[i % layers] + ".output." + std::to_string(i),
                             .layer = i % layers,
                             .category = i % 9 == 0 ? Category::Workspace : Category::Activation,
                             .dtype = "F16",
                             .shape = {1, 512, 64 + i % 64, 64},
                             .bytes = bytes(i)});
    r.ops.reserve(ops);
    r.events.reserve(2 * ops);
    Recorder recorder(r);
    recorder.phase(Phase::Decode);
    recorder.reserve(0x7f0000000000, std::uint64_t{1} << 30);
    for (std::uint32_t i = 0; i < ops; ++i) {
        const std::uint32_t taken = i % tensors, given = (i - live) % tensors;
        recorder.freeSpace((std::uint64_t{1} << 30) - bytes(taken), std::uint64_t{1} << 29);
        recorder.alloc(taken, 0x7f0000000000 + std::uint64_t{i % 4096} * 262'144, bytes(taken));
        recorder.op({.name = i % 3 == 0 ? "group_norm" : "conv3x3",
                     .layer = i / 4 % layers,
                     .flops = std::uint64_t{i} * 1'000'003,
                     .outputBytes = bytes(taken),
                     .traffic = 3 * bytes(taken),
                     .dtype = "F16",
                     .beginNs = std::int64_t{i} * 12'345,
                     .endNs = std::int64_t{i} * 12'345 + 11'000});
        if (i >= live) recorder.free(given, 0x7f0000000000 + std::uint64_t{(i - live) % 4096} * 262'144, bytes(given));
        if (i % sampleEvery == 0)
            r.samples.push_back({.event = static_cast<std::uint32_t>(r.events.size()),
                                 .driverBytes = std::uint64_t{2} << 30,
                                 .processBytes = std::uint64_t{1} << 30});
    }
    return r;
}

void writeLongReport(benchmark::State& state) {
    const Recording recording = longRecording();
    std::size_t size = 0;
    for (auto _ : state) {
        const std::string json = reportJson(recording);
        benchmark::DoNotOptimize(json.data());
        size = json.size();
    }
    state.counters["events"] = static_cast<double>(recording.events.size());
    state.counters["bytes"] = static_cast<double>(size);
}

void readLongReport(benchmark::State& state) {
    std::string path = (std::filesystem::temp_directory_path() / "spikescope_bench_XXXXXX").string();
    const int descriptor = ::mkstemp(path.data());
    if (descriptor < 0) return state.SkipWithError("no temporary file");
    ::close(descriptor);
    if (const auto written = writeText(path, reportJson(longRecording())); !written)
        return state.SkipWithError(written.error().message.c_str());
    for (auto _ : state) {
        const auto recording = readReport(path);
        if (!recording) {
            state.SkipWithError(recording.error().message.c_str());
            break;
        }
        benchmark::DoNotOptimize(recording->events.data());
    }
    std::filesystem::remove(path);
}

BENCHMARK(writeLongReport)->Unit(benchmark::kMillisecond);
BENCHMARK(readLongReport)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace spikescope

BENCHMARK_MAIN();
