#include "core/run/session.h"

#include "core/base/text.h"
#include "core/program/lower.h"
#include "core/run/tuning.h"
#include "core/timeline/peak.h"

#include <sys/resource.h>

#include <algorithm>

namespace spikescope {

namespace {

constexpr std::uint64_t defaultSide = 1024;

std::uint64_t hostPeakBytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024; // Linux counts in KiB
}

// The family that the controls name, or the checkpoint's own.
Result<const Family*> chooseFamily(const Controls& controls, const Checkpoint* checkpoint,
                                   std::vector<std::string>& notes) {
    const Family* wanted = controls.model.empty() ? nullptr : findFamily(controls.model);
    if (!checkpoint) return wanted ? wanted : &families().front();
    const auto& candidates = checkpoint->candidates();
    std::vector<std::string> names;
    for (const Family* family : candidates) names.emplace_back(family->name);
    if (wanted) {
        if (std::ranges::find(candidates, wanted) == candidates.end())
            return fail(ErrorCode::BadInput, "file {}: its tensors are those of {}, not of model {}",
                        quote(checkpoint->file().fileName()), joined(names, " or "), wanted->name);
        return wanted;
    }
    if (names.size() > 1)
        notes.push_back(fmt::format(
            "the checkpoint's tensors fit {}; taken as {} (--model chooses; they differ in how latents are scaled)",
            joined(names, ", "), names.front()));
    return candidates.front();
}

Result<std::optional<Input>> readInput(const Family& family, const Controls& controls, const InputChoice& choice,
                                       const Parameters& parameters) {
    if (const auto* seed = std::get_if<std::uint64_t>(&choice)) {
        const std::uint64_t width = controls.width ? controls.width : defaultSide,
                            height = controls.height ? controls.height : defaultSide;
        TRY(Input input, syntheticLatents(family, width, height, controls.batch, *seed));
        return input;
    }
    const auto* file = std::get_if<InputFile>(&choice);
    if (!file) return std::optional<Input>{};
    if (controls.op == VaeOp::Encode && isPngName(file->path)) {
        TRY(Picture picture, readPng(file->path));
        return pictureInput(family, std::move(picture));
    }
    TRY(HostTensor tensor, readTensorFile(file->path, file->key));
    if (controls.op == VaeOp::Encode) {
        TRY(Input input, imageInput(std::move(tensor), file->path));
        return input;
    }
    TRY(Input input, latentsInput(family, std::move(tensor), file->scaled, parameters, file->path));
    return input;
}

// A picture within one tile is made whole.
void fallBackFromTiles(Controls& controls, std::vector<std::string>& notes) {
    if (!controls.isTiled() || !controls.tile.covers(controls.width, controls.height)) return;
    notes.push_back(fmt::format("tile {}: the picture has {}x{} pixels, so it is made whole",
                                *controlValue(controls, "tile"), controls.width, controls.height));
    controls.tile = {};
}

// Finds the parameters of a decoder or an encoder and says how each is stored.
Result<void> bindHalf(Job& job, std::vector<Weight>& weights, VaeOp op) {
    const char* half = op == VaeOp::Decode ? "decoder" : "encoder";
    CHECK(job.parameters.bind(weights, fmt::format("the {} {}", job.family->name, half)));
    for (Weight& weight : weights) weight.stored = job.parameters.storedType(weight);
    return {};
}

} // namespace

OutputShape Job::outputShape() const {
    const Shape& shape = program.output;
    return {.n = shape.n, .h = shape.h, .w = shape.w, .c = shape.c};
}

Result<Job> prepare(Controls controls, const InputChoice& choice, OpLimits limits) {
    CHECK(checkControls(controls));
    Job job;
    std::optional<Checkpoint> checkpoint;
    if (!controls.syntheticSeed()) {
        TRY(checkpoint, Checkpoint::open(controls.weights));
        const bool decode = controls.op == VaeOp::Decode;
        if (controls.fullLoad && !(checkpoint->hasDecoder() && checkpoint->hasEncoder()))
            return fail(ErrorCode::BadInput,
                        "file {}: load full needs both halves, it holds {} alone; load decoder goes",
                        quote(controls.weights), checkpoint->hasDecoder() ? "a decoder" : "an encoder");
        if (!(decode ? checkpoint->hasDecoder() : checkpoint->hasEncoder()))
            return fail(ErrorCode::BadInput, "file {}: it holds {} alone, op {} needs the other half",
                        quote(controls.weights), decode ? "an encoder" : "a decoder", decode ? "decode" : "encode");
    }
    TRY(job.family, chooseFamily(controls, checkpoint ? &*checkpoint : nullptr, job.notes));
    job.parameters = checkpoint ? Parameters(std::move(*checkpoint)) : Parameters(*controls.syntheticSeed());

    const auto* file = std::get_if<InputFile>(&choice);
    if (controls.op == VaeOp::Decode && file && file->scaled)
        CHECK(job.parameters.bind(latentStatistics(*job.family), "the packed latents' statistics"));
    TRY(job.input, readInput(*job.family, controls, choice, job.parameters));
    if (job.input) {
        if ((controls.width && controls.width != job.input->width) ||
            (controls.height && controls.height != job.input->height))
            return fail(ErrorCode::BadUsage, "size {}x{}: the input makes {}x{} pixels", controls.width,
                        controls.height, job.input->width, job.input->height);
        if (controls.batch != 1 && controls.batch != job.input->batch)
            return fail(ErrorCode::BadUsage, "batch {}: the input holds {}", controls.batch, job.input->batch);
        controls.width = job.input->width;
        controls.height = job.input->height;
        controls.batch = job.input->batch;
    }
    if (controls.width == 0) controls.width = controls.height = defaultSide;
    controls.model = job.family->name;

    fallBackFromTiles(controls, job.notes);
    // Tiles are of one picture at a time.
    TRY(Graph graph,
        buildGraph(*job.family, controls.op, controls.width, controls.height, controls.isTiled() ? 1 : controls.batch));
    CHECK(bindHalf(job, graph.weights, controls.op));
    std::vector<Weight> unused;
    if (controls.fullLoad) {
        const VaeOp other = controls.op == VaeOp::Decode ? VaeOp::Encode : VaeOp::Decode;
        const std::uint64_t side = sizeMultiple(*job.family);
        TRY(Graph otherHalf, buildGraph(*job.family, other, side, side, 1));
        unused = std::move(otherHalf.weights);
        CHECK(bindHalf(job, unused, other));
    }
    limits.everyEvent = limits.everyEvent || job.input;
    TRY(const std::optional<std::string> merged, mergeParts(graph, controls, limits));
    if (merged) job.notes.push_back(*merged);
    job.program = lower(graph, controls, unused, merged.has_value());
    job.controls = std::move(controls);
    return job;
}

Recording planJob(const Job& job, const HeapTraits& traits) {
    VirtualHeap heap(traits);
    if (job.controls.enforce) heap.limitTo(*job.controls.budgetBytes);
    return plan(job.program, job.controls, heap);
}

Result<std::unique_ptr<Session>> Session::open(const SessionOptions& options) {
    auto session = std::unique_ptr<Session>(new Session);
    TRY(std::shared_ptr<Instance> instance, Instance::create({.validate = options.validate}));
    TRY(const DeviceReport report, instance->choose(options.device));
    TRY(session->m_device, Device::open(std::move(instance), report));
    TRY(session->m_heap, options.heap(*session->m_device));
    TRY(session->m_shaders, ShaderLibrary::create(*session->m_device, options.cacheFolder));
    session->m_kernels = Kernels::create(*session->m_device, *session->m_shaders, options.kernels);
    session->m_kernels->tiles() = keptTiles(*session, options.cacheFolder);
    session->m_poison = options.poison;
    return session;
}

std::string Session::cacheFile(std::string_view what, const std::string& folder) const {
    std::string uuid;
    for (std::size_t i = 0; i < VK_UUID_SIZE; ++i) uuid += fmt::format("{:02x}", m_device->cacheUuid()[i]);
    return fmt::format("{}/{}-{}-{}-{}.json", folder, what, uuid, kernelSet(), SPIKESCOPE_VERSION);
}

Result<void> Session::runSteps(const Job& job, const ExecutorIo& io, Recording& recording) {
    m_heap->limitTo(job.controls.enforce ? *job.controls.budgetBytes : std::numeric_limits<std::uint64_t>::max());
    if (job.controls.allocatorPolicy() == AllocatorPolicy::Expandable && !m_device->report().sparseBinding)
        return fail(
            ErrorCode::Unsupported,
            "allocator expandable needs sparse binding, which {} lacks; it can be planned, and allocator caching "
            "runs here",
            m_device->report().name);
    Recorder recorder(recording);
    auto allocator = makeAllocator(job.program, job.controls, *m_heap, recorder);
    if (!allocator) {
        recording.failure = failureOf(allocator.error(), job.program, m_heap->bytesFree(), 0);
        return tl::unexpected<Error>(allocator.error());
    }
    Executor* running = nullptr;
    ExecutorIo watched = io;
    if (io.progress)
        watched.progress = [&](Progress progress) {
            progress.recordingSoFar = [&] {
                Recording copy = recording;
                (void)running->readTimes(copy.ops); // without times the curve is still right
                return copy;
            };
            io.progress(progress);
        };
    TRY(const std::unique_ptr<Executor> executor,
        Executor::create(*m_device, *m_heap, *m_kernels, job.program, watched));
    running = executor.get();
    const Result<void> walked = walk(job.program, **allocator, recording, recorder, *executor, io.cancel);
    const Result<void> timed = executor->readTimes(recording.ops);
    recording.loadMs = executor->loadMs();
    CHECK(walked);
    return timed;
}

RunOutcome Session::run(const Job& job, std::span<const std::unique_ptr<OutputSink>> sinks, const CancelFlag& cancel,
                        std::function<void(const Progress&)> progress) {
    RunOutcome outcome;
    Recording& recording = outcome.recording;
    recording.kind = RecordingKind::Run;
    recording.device = {.name = m_device->report().name,
                        .driver = m_device->report().driver,
                        .kernels = std::string(m_kernels->name())};
    recording.spaces[deviceSpace].bytes = m_device->report().heapBytes;
    describe(job.program, job.controls, recording);
    const Peak predicted = findPeak(planJob(job, m_heap->traits()));
    recording.predicted = {predicted.allocated, predicted.reserved};

    Result<void> result = runSteps(job,
                                   {.parameters = job.parameters,
                                    .input = *job.input,
                                    .sinks = sinks,
                                    .cancel = cancel,
                                    .progress = std::move(progress),
                                    .poison = m_poison},
                                   recording);
    if (const std::vector<double> times = recording.opTimes(); !times.empty()) recording.durationMs = times.back();
    recording.hostPeakBytes = hostPeakBytes();
    if (!result) outcome.error = std::move(result.error());
    return outcome;
}

} // namespace spikescope
