#include "core/backend/run_job.h"

#include "core/timeline/peak.h"

#include <sys/resource.h>

#include <limits>

namespace spikescope {

namespace {

std::uint64_t hostPeakBytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024; // Linux counts in KiB
}

std::uint32_t opsOf(const Program& program) {
    std::uint32_t ops = 0;
    for (const Step& step : program.steps)
        ops += std::holds_alternative<DispatchStep>(step) || std::holds_alternative<FillStep>(step) ||
               std::holds_alternative<UploadStep>(step) || std::holds_alternative<DownloadStep>(step);
    return ops;
}

// The layer that made an output that is not finite, by carrying the job out once more. Nothing of it is recorded; where
// it does not come to an end there is nothing to say.
std::optional<ValueCheck::Overflow> findOverflow(Backend& backend, const Job& job, const CancelFlag& cancel) {
    Recording unused;
    describe(job.program, job.controls, unused);
    Recorder recorder(unused);
    const auto allocator = makeAllocator(job.program, job.controls, backend.heap(), recorder);
    if (!allocator) return std::nullopt;
    ValueCheck values(job.program);
    const RunIo io{.parameters = job.parameters,
                   .input = *job.input,
                   .sinks = {},
                   .cancel = cancel,
                   .progress = {},
                   .values = &values};
    const auto machine = backend.machine(job.program, io);
    if (machine) (void)walk(job.program, **allocator, unused, recorder, **machine, cancel);
    return values.found();
}

Result<void> runSteps(Backend& backend, const Job& job, std::span<const std::unique_ptr<OutputSink>> sinks,
                      const CancelFlag& cancel, const std::function<void(const Progress&)>& progress,
                      Recording& recording) {
    Heap& heap = backend.heap();
    const Program& program = job.program;
    heap.limitTo(job.controls.enforce ? *job.controls.budgetBytes : std::numeric_limits<std::uint64_t>::max());
    if (job.controls.allocatorPolicy() == AllocatorPolicy::Expandable && !backend.facts().sparseMemory)
        return fail(
            ErrorCode::Unsupported,
            "allocator expandable needs sparse binding, which {} lacks; it can be planned, and allocator caching "
            "runs here",
            backend.facts().device.name);
    Recorder recorder(recording);
    auto allocator = makeAllocator(program, job.controls, heap, recorder);
    if (!allocator) {
        recording.failure = failureOf(allocator.error(), program, heap.bytesFree(), 0);
        return tl::unexpected<Error>(allocator.error());
    }
    RunMachine* running = nullptr;
    RunIo io{.parameters = job.parameters, .input = *job.input, .sinks = sinks, .cancel = cancel, .progress = {}};
    if (progress)
        io.progress = [&, total = opsOf(program)](std::uint32_t op, LayerId layer) {
            progress({.done = op, .total = total, .layer = program.layers[layer.index], .recordingSoFar = [&] {
                          Recording copy = recording;
                          (void)running->readTimes(copy.ops); // without times the curve is still right
                          return copy;
                      }});
        };
    TRY(std::unique_ptr<RunMachine> machine, backend.machine(program, io));
    running = machine.get();
    Result<void> walked = walk(program, **allocator, recording, recorder, *machine, cancel);
    const Result<void> timed = machine->readTimes(recording.ops);
    recording.loadMs = machine->loadMs();
    const bool overflowed = !machine->outputIsFinite();
    machine.reset();
    if (!walked && overflowed)
        if (const auto overflow = findOverflow(backend, job, cancel)) {
            walked.error().message += "; " + overflow->sentence;
            recording.failure = failureOf(walked.error(), program, heap.bytesFree(), recording.failure->event,
                                          overflow->tensor, overflow->layer);
        }
    CHECK(walked);
    return timed;
}

} // namespace

RunOutcome runJob(Backend& backend, const Job& job, std::span<const std::unique_ptr<OutputSink>> sinks,
                  const CancelFlag& cancel, const std::function<void(const Progress&)>& progress) {
    RunOutcome outcome;
    Recording& recording = outcome.recording;
    recording.kind = RecordingKind::Run;
    recording.device = backend.facts().device;
    recording.spaces = backend.facts().spaces;
    describe(job.program, job.controls, recording);
    recording.notes = job.notes;
    const Peak predicted = findPeak(planJob(job, backend.heap().traits()));
    recording.predicted = {predicted.allocated, predicted.reserved};

    Result<void> result = runSteps(backend, job, sinks, cancel, progress, recording);
    if (const std::vector<double> times = recording.opTimes(); !times.empty()) recording.durationMs = times.back();
    recording.hostPeakBytes = hostPeakBytes();
    if (!result) outcome.error = std::move(result.error());
    return outcome;
}

} // namespace spikescope
