#include "core/job/job.h"

#include "core/base/text.h"
#include "core/io/latents_file.h"
#include "core/io/picture.h"
#include "core/program/lower.h"
#include "core/tensors/tensor_file.h"

#include <algorithm>

namespace spikescope {

namespace {

Result<Input> readLatents(const Family& family, const Controls& controls, const InputFile& file, Parameters& parameters,
                          std::vector<std::string>& notes) {
    TRY(LatentsFile latents, readLatentsFile(family, file.path, file.key, file.scaled));
    notes.insert(notes.end(), latents.notes.begin(), latents.notes.end());
    if (latents.scaled) CHECK(parameters.bind(latentStatistics(family), "the packed latents' statistics"));
    return latentsInput(family, std::move(latents.tensor), latents.scaled, parameters, file.path,
                        {controls.width, controls.height});
}

Result<Input> readImage(const Family& family, const Controls& controls, const InputFile& file,
                        std::vector<std::string>& notes) {
    TRY(const bool isPicture, isPictureFile(file.path));
    if (!isPicture) {
        if (file.fit)
            return fail(ErrorCode::BadUsage, "fit-image {}: file {} holds tensors, which are encoded as they are",
                        name(*file.fit), quote(file.path));
        TRY(HostTensor tensor, readTensorFile(file.path, file.key));
        return imageInput(std::move(tensor), file.path);
    }
    if (file.key)
        return fail(ErrorCode::BadUsage, "file {}: a picture holds no tensors, so {} cannot be chosen",
                    quote(file.path), quote(*file.key));
    TRY(Picture picture, readPicture(file.path));
    TRY(picture, fitPicture(std::move(picture), sizeMultiple(family, VaeTask::Encode),
                            {controls.width, controls.height}, file.fit, family.name, file.path));
    notes.insert(notes.end(), picture.notes.begin(), picture.notes.end());
    return pictureInput(family, std::move(picture));
}

Result<std::optional<Input>> readInput(const Family& family, const Controls& controls, const InputChoice& choice,
                                       Parameters& parameters, std::vector<std::string>& notes) {
    if (const auto* seed = std::get_if<std::uint64_t>(&choice)) {
        const std::uint64_t width = controls.width ? controls.width : defaultControls().width,
                            height = controls.height ? controls.height : defaultControls().height;
        TRY(Input input, syntheticLatents(family, width, height, controls.batch, *seed));
        return input;
    }
    const auto* file = std::get_if<InputFile>(&choice);
    if (!file) return std::optional<Input>{};
    if (controls.op == VaeTask::Decode) {
        TRY(Input input, readLatents(family, controls, *file, parameters, notes));
        return input;
    }
    TRY(Input input, readImage(family, controls, *file, notes));
    return input;
}

// An image that fits into one tile is decoded without tiles.
void fallBackFromTiles(Controls& controls, std::vector<std::string>& notes) {
    if (!controls.isTiled() || !controls.tile.covers(controls.width, controls.height)) return;
    notes.push_back(fmt::format("tile {}: the picture has {}x{} pixels, so it is made whole",
                                *controlValue(controls, "tile"), controls.width, controls.height));
    controls.tile = {};
}

// Tiles are whole latents, of which some VAEs have fewer than one for eight pixels.
Result<void> checkTileUnits(const Controls& controls, std::uint64_t factor) {
    if (!controls.isTiled() || controls.isStriped() || factor <= tileUnit) return {};
    const std::uint64_t unit = controls.tileGrid == TileArrangement::ThreePasses ? 2 * factor : factor;
    if (controls.tile.height % unit != 0 || controls.tile.width % unit != 0 || controls.overlap % factor != 0)
        return fail(
            ErrorCode::BadUsage,
            "tile {}, overlap {}: this VAE has a latent for {} pixels, so sides of tiles are multiples of {} and "
            "overlaps of {}",
            *controlValue(controls, "tile"), controls.overlap, factor, unit, factor);
    return {};
}

// Finds the parameters of a decoder or an encoder and says how each is stored.
Result<void> bindHalf(Job& job, std::vector<Weight>& weights, VaeTask op) {
    CHECK(job.parameters.bind(weights, fmt::format("the {} {}", job.family.name, halfName(op))));
    for (Weight& weight : weights) weight.stored = job.parameters.storedType(weight);
    return {};
}

} // namespace

OutputShape Job::outputShape() const {
    const Shape& shape = program.output;
    return {.n = shape.n, .h = shape.h, .w = shape.w, .c = shape.c};
}

Result<Job> makeJob(Controls controls, const InputChoice& choice, OpLimits limits) {
    CHECK(checkControls(controls));
    Job job;
    std::optional<Checkpoint> checkpoint;
    if (!controls.syntheticSeed()) {
        TRY(checkpoint, Checkpoint::open(controls.weights));
        const bool decode = controls.op == VaeTask::Decode;
        if (controls.load == LoadPolicy::Full && !(checkpoint->hasDecoder() && checkpoint->hasEncoder()))
            return fail(ErrorCode::BadInput,
                        "file {}: load full needs both halves, it holds {} alone; load decoder goes",
                        quote(controls.weights), checkpoint->hasDecoder() ? "a decoder" : "an encoder");
        if (!checkpoint->has(controls.op))
            return fail(ErrorCode::BadInput, "file {}: it holds {} alone, op {} needs the other half",
                        quote(controls.weights), decode ? "an encoder" : "a decoder", decode ? "decode" : "encode");
    }
    if (checkpoint) {
        TRY(Checkpoint::Choice chosen, checkpoint->choose(controls.model));
        job.family = std::move(chosen.family);
        job.notes = std::move(chosen.notes);
    } else {
        job.family = *findFamily(controls.model.empty() ? defaultControls().model : controls.model);
    }
    job.parameters = checkpoint ? Parameters(std::move(*checkpoint)) : Parameters(*controls.syntheticSeed());

    TRY(job.input, readInput(job.family, controls, choice, job.parameters, job.notes));
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
    if (controls.width == 0) {
        controls.width = defaultControls().width;
        controls.height = defaultControls().height;
    }
    controls.model = job.family.name;

    fallBackFromTiles(controls, job.notes);
    CHECK(checkTileUnits(controls, job.family.factor(controls.op)));
    // Tiles are of one image at a time.
    TRY(Graph graph,
        buildGraph(job.family, controls.op, controls.width, controls.height, controls.isTiled() ? 1 : controls.batch));
    CHECK(bindHalf(job, graph.weights, controls.op));
    std::vector<Weight> unused;
    if (controls.load == LoadPolicy::Full) {
        const VaeTask other = controls.op == VaeTask::Decode ? VaeTask::Encode : VaeTask::Decode;
        TRY(unused, halfWeights(job.family, other));
        CHECK(bindHalf(job, unused, other));
    }
    limits.everyEvent = limits.everyEvent || job.input;
    TRY(const std::optional<std::string> merged, mergeRepeats(graph, controls, limits));
    if (merged) job.notes.push_back(*merged);
    job.program = lower(graph, controls, unused, merged.has_value());
    job.controls = std::move(controls);
    return job;
}

Recording planJob(const Job& job, const HeapTraits& traits) {
    VirtualHeap heap(traits);
    if (job.controls.enforce) heap.limitTo(*job.controls.budgetBytes);
    Recording recording = plan(job.program, job.controls, heap);
    recording.notes = job.notes;
    return recording;
}

} // namespace spikescope
