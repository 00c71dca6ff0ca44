// What recording costs: 100,000 events, as a run makes them, into an empty Recording. Floor to pass: 1 % of the decode
// that makes them. The second benchmark is the whole host side of such a run, allocator and steps included; set its
// time beside a decode's on the device (engine_bench).

#include "core/memory/caching_allocator.h"
#include "core/program/walk.h"

#include <benchmark/benchmark.h>

namespace spikescope {
namespace {

constexpr std::uint32_t events = 100'000;

void recordEvents(benchmark::State& state) {
    for (auto _ : state) {
        Recording recording;
        recording.events.reserve(events); // as walk() does
        recording.tensors = {{.name = "map", .bytes = 4096}};
        Recorder recorder(recording);
        for (std::uint32_t i = 0; i < events / 2; ++i) {
            recorder.freeSpace(i, i);
            recorder.alloc(0, 4096, 4096);
            recorder.freeSpace(i, i);
            recorder.free(0, 4096, 4096);
        }
        benchmark::DoNotOptimize(recording.events.data());
    }
    state.counters["ns_per_event"] =
        benchmark::Counter(events, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

// A program of 25,000 ops with a map each: 100,000 steps, 50,000 events of tensors beside those of the allocator.
void walkProgram(benchmark::State& state) {
    Program program;
    program.layers = {"layer"};
    constexpr std::uint32_t ops = events / 4;
    for (std::uint32_t i = 0; i <= ops; ++i)
        program.tensors.push_back(
            {.name = "map", .layer = LayerId{0}, .shape = {1, 8, 8, 8}, .bytes = 4096 + 512 * (i % 7)});
    program.steps.push_back(AcquireStep{TensorId{0}});
    for (std::uint32_t i = 0; i < ops; ++i) {
        program.steps.push_back(AcquireStep{TensorId{i + 1}});
        program.calls.push_back({.kernel = CopyCall{.in = TensorId{i}, .out = TensorId{i + 1}}, .layer = LayerId{0}});
        program.steps.push_back(DispatchStep{i});
        program.steps.push_back(ReleaseStep{TensorId{i}});
    }
    program.steps.push_back(ReleaseStep{TensorId{ops}});
    for (auto _ : state) {
        Recording recording;
        describe(program, {}, recording);
        Recorder recorder(recording);
        VirtualHeap heap;
        CachingAllocator allocator(heap, recorder);
        Machine nothing;
        (void)walk(program, allocator, recording, recorder, nothing, CancelFlag{});
        state.counters["events"] = static_cast<double>(recording.events.size());
    }
}

BENCHMARK(recordEvents)->Unit(benchmark::kMillisecond);
BENCHMARK(walkProgram)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace spikescope

BENCHMARK_MAIN();
