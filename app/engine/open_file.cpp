#include "app/engine/open_file.h"

#include "core/base/mapped_file.h"
#include "core/base/text.h"
#include "core/io/npy.h"
#include "core/job/job.h"
#include "core/model/checkpoint.h"
#include "core/program/planner.h"
#include "core/pytorch/replay.h"
#include "core/timeline/import.h"

namespace spikescope {

namespace {

constexpr std::string_view sessionMark = "{\"schema\":\"spikescope.session/";
constexpr std::size_t mostLatentTensors = 64;

std::string_view beginOf(const MappedFile& file, std::size_t most) {
    const auto bytes = file.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), most)};
}

// What latents or a picture make: makeJob() reads and checks them as a run would.
Result<void> measureInput(OpenedFile& opened, Controls controls, InputSource source, VaeTask op) {
    controls.op = op;
    controls.width = controls.height = 0;
    controls.batch = 1;
    TRY(const Job job, makeJob(controls, InputFile{.path = opened.path, .key = source.key, .scaled = source.scaled}));
    opened.width = job.controls.width;
    opened.height = job.controls.height;
    opened.batch = job.controls.batch;
    opened.notes = job.notes;
    return {};
}

Result<void> openSafetensors(OpenedFile& opened, const Controls& controls, const InputSource& source) {
    TRY(const Safetensors file, Safetensors::open(opened.path));
    const auto checkpoint = Checkpoint::open(opened.path);
    if (checkpoint) {
        opened.kind = OpenedFile::Kind::Checkpoint;
        opened.family = checkpoint->candidates().front()->name;
        opened.decoder = checkpoint->hasDecoder();
        opened.encoder = checkpoint->hasEncoder();
        return {};
    }
    if (file.tensors().size() > mostLatentTensors) return tl::unexpected<Error>(checkpoint.error());
    opened.kind = OpenedFile::Kind::Latents;
    if (file.tensors().size() > 1) {
        for (const TensorView& tensor : file.tensors()) opened.keys.push_back(tensor.name);
        if (!source.key) return {};
    }
    return measureInput(opened, controls, source, VaeTask::Decode);
}

Result<void> openSnapshot(OpenedFile& opened, const Controls& controls) {
    opened.kind = OpenedFile::Kind::Snapshot;
    TRY(const PyTorchSnapshot snapshot, PyTorchSnapshot::open(opened.path));
    Controls rules = controls;
    // The arena needs a plan, which a snapshot has not; PyTorch's own rules stand for it.
    if (rules.allocatorPolicy() == AllocatorPolicy::Arena || rules.allocator == AllocatorPolicy::Auto)
        rules.allocator = AllocatorPolicy::Caching;
    TRY(Replay replayed,
        replay(snapshot, [&](Heap& heap, Recorder& recorder) { return makeDynamicAllocator(rules, heap, recorder); }));
    replayed.recording.controls = {{"allocator", *controlValue(rules, "allocator")}};
    opened.notes = notesOf(snapshot, replayed);
    opened.timeline = std::make_shared<const Timeline>(std::move(replayed.recording));
    return {};
}

Result<void> openAny(OpenedFile& opened, const Controls& controls, const InputSource& source,
                     const std::function<bool(double)>& progress) {
    std::string begin;
    {
        TRY(const MappedFile file, MappedFile::open(opened.path));
        begin = beginOf(file, 64);
    }
    if (begin.starts_with(sessionMark)) {
        opened.kind = OpenedFile::Kind::Session;
        return {};
    }
    if (begin.starts_with("\x89PNG")) {
        opened.kind = OpenedFile::Kind::Picture;
        return measureInput(opened, controls, {.path = opened.path, .key = {}}, VaeTask::Encode);
    }
    if (looksLikeNpy(std::as_bytes(std::span(begin)))) {
        opened.kind = OpenedFile::Kind::Latents;
        return measureInput(opened, controls, source, VaeTask::Decode);
    }
    if (begin.starts_with('{')) {
        opened.kind = OpenedFile::Kind::Recording;
        TRY(Recording recording, readReport(opened.path, progress));
        opened.timeline = std::make_shared<const Timeline>(std::move(recording));
        return {};
    }
    // Pickles begin with the protocol's opcode; older ones are known by their names.
    if (begin.starts_with('\x80') || opened.path.ends_with(".pickle") || opened.path.ends_with(".pkl"))
        return openSnapshot(opened, controls);
    if (opened.path.ends_with(".safetensors") || (begin.size() > 8 && begin[8] == '{'))
        return openSafetensors(opened, controls, source);
    return fail(ErrorCode::BadInput,
                "file {}: neither a checkpoint or latents (.safetensors, .npy), nor a picture (.png), a report or a "
                "session (.json), nor a PyTorch snapshot (.pickle)",
                quote(opened.path));
}

} // namespace

OpenedFile openFile(const std::string& path, const Controls& controls, const InputSource& input,
                    const std::function<bool(double)>& progress) {
    OpenedFile opened{.path = path};
    auto result = openAny(opened, controls, input, progress);
    if (!result) opened.error = std::move(result.error());
    return opened;
}

} // namespace spikescope
