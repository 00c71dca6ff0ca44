#include "app/engine/open_file.h"

#include "core/base/mapped_file.h"
#include "core/base/text.h"
#include "core/formats/formats.h"
#include "core/io/latents_file.h"
#include "core/io/picture.h"
#include "core/job/job.h"
#include "core/model/checkpoint.h"
#include "core/model/model_files.h"
#include "core/program/planner.h"
#include "core/tensors/file_kind.h"
#include "core/tensors/tensor_file.h"

#include <cctype>

namespace spikescope {

namespace {

constexpr std::string_view sessionMark = "{\"schema\":\"spikescope.session/";
constexpr std::size_t mostLatentTensors = 64;

std::string_view beginOf(const MappedFile& file, std::size_t most) {
    const auto bytes = file.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), most)};
}

// What latents or a picture make: makeJob() reads and checks them as a run would.
Result<void> measureInput(OpenedFile& opened, Controls controls, const InputSource& source, VaeTask op) {
    controls.op = op;
    controls.batch = 1;
    Controls unsized = controls;
    unsized.width = unsized.height = 0;
    const InputFile file{.path = opened.path, .key = source.key, .scaled = source.scaled, .fit = source.fit};
    Result<Job> job = makeJob(std::move(unsized), file);
    // Packed tokens do not say their size: the window's may be meant.
    if (!job && controls.width > 0)
        if (Result<Job> sized = makeJob(controls, file)) job = std::move(sized);
    if (!job) return tl::unexpected<Error>(job.error());
    opened.width = job->controls.width;
    opened.height = job->controls.height;
    opened.batch = job->controls.batch;
    opened.notes = job->notes;
    return {};
}

// A picture of any size: where the encoder does not take it, the ways to make it fit are asked for.
Result<void> openPicture(OpenedFile& opened, const Controls& controls, const InputSource& source) {
    opened.kind = OpenedFile::Kind::Picture;
    const Result<void> measured = measureInput(opened, controls, source, VaeTask::Encode);
    if (measured || source.fit || measured.error().code != ErrorCode::BadUsage) return measured;
    for (std::size_t i = 0; i < enumNames<ImageFit>.size(); ++i) {
        const auto fit = static_cast<ImageFit>(i);
        const InputSource fitted{.path = opened.path, .key = {}, .fit = fit};
        OpenedFile trial{.path = opened.path};
        if (!measureInput(trial, controls, fitted, VaeTask::Encode)) continue;
        opened.choices.push_back(
            {.text = fmt::format("{} to {}x{}", name(fit), trial.width, trial.height), .input = fitted});
    }
    if (opened.choices.empty()) return measured;
    const std::string& message = measured.error().message;
    opened.question = fmt::format("{}. How is it made to fit?", message.substr(0, message.rfind(';')));
    opened.question.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(opened.question.front())));
    return {};
}

Result<void> openCheckpoint(OpenedFile& opened, const Checkpoint& checkpoint) {
    TRY(const Checkpoint::Choice choice, checkpoint.choose(""));
    opened.kind = OpenedFile::Kind::Checkpoint;
    opened.family = choice.family.name;
    opened.notes = choice.notes;
    opened.decoder = checkpoint.hasDecoder();
    opened.encoder = checkpoint.hasEncoder();
    return {};
}

Result<void> openTensors(OpenedFile& opened, const Controls& controls, const InputSource& source) {
    const auto checkpoint = Checkpoint::open(opened.path);
    if (checkpoint) return openCheckpoint(opened, *checkpoint);
    TRY(const TensorFile file, TensorFile::open(opened.path));
    if (file.tensors().size() > mostLatentTensors) return tl::unexpected<Error>(checkpoint.error());
    opened.kind = OpenedFile::Kind::Latents;
    if (file.tensors().size() > 1) {
        const auto byName = latentsByName(file.tensors(), opened.path);
        if (!source.key && !(byName && *byName)) {
            opened.question = fmt::format("{} holds several tensors; which one are the latents?", opened.path);
            for (const TensorView& tensor : file.tensors())
                opened.choices.push_back(
                    {.text = quote(tensor.name), .input = {.path = opened.path, .key = tensor.name}});
            return {};
        }
    }
    return measureInput(opened, controls, source, VaeTask::Decode);
}

Result<void> openRecording(OpenedFile& opened, const Importer& importer, const Controls& controls,
                           const ReadProgress& progress) {
    opened.kind = OpenedFile::Kind::Recording;
    Controls rules = controls;
    // The arena needs a plan, which a trace has not; PyTorch's own rules stand for it.
    if (rules.allocatorPolicy() == AllocatorPolicy::Arena || rules.allocator == AllocatorPolicy::Auto)
        rules.allocator = AllocatorPolicy::Caching;
    const ImportOptions options{
        .progress = progress,
        .makeAllocator = [&](Heap& heap, Recorder& recorder) { return makeDynamicAllocator(rules, heap, recorder); },
        .allocator = *controlValue(rules, "allocator")};
    TRY(Imported imported, importer.read(opened.path, options));
    opened.notes = std::move(imported.notes);
    opened.timeline = std::make_shared<const Timeline>(std::move(imported.recording));
    return {};
}

Result<void> openAny(OpenedFile& opened, const Controls& controls, const InputSource& source,
                     const std::function<bool(double)>& progress) {
    if (isModelFolder(opened.path)) {
        TRY(const Checkpoint checkpoint, Checkpoint::open(opened.path));
        return openCheckpoint(opened, checkpoint);
    }
    std::string begin;
    std::uint64_t size = 0;
    {
        TRY(const MappedFile file, MappedFile::open(opened.path));
        begin = beginOf(file, foreignBeginBytes);
        size = file.bytes().size();
    }
    if (begin.starts_with(sessionMark)) {
        opened.kind = OpenedFile::Kind::Session;
        return {};
    }
    if (isPicture(std::as_bytes(std::span(begin)))) return openPicture(opened, controls, source);
    const auto bytes = std::as_bytes(std::span(begin));
    if (looksLikeTensorFile(bytes, opened.path)) return openTensors(opened, controls, source);
    if (const Importer* importer = importerOf(begin, opened.path))
        return openRecording(opened, *importer, controls, progress);
    if (const auto foreign = describeForeign(bytes, size, opened.path))
        return fail(ErrorCode::BadInput, "file {}: {}", quote(opened.path), *foreign);
    std::vector<std::string> recordings;
    for (const Importer* importer : importers)
        recordings.push_back(fmt::format("{} ({})", importer->title, importer->patterns));
    return fail(ErrorCode::BadInput,
                "file {}: neither a checkpoint or latents (.safetensors, .npy, .npz, .pt, .pth, .ckpt), nor a picture "
                "(PNG, JPEG or WebP), nor a session (.spikescope), nor of a format of recordings: {}",
                quote(opened.path), joined(recordings, ", "));
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
