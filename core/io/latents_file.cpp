#include "core/io/latents_file.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>

namespace spikescope {

namespace {

// ComfyUI's SaveLatent. The mark is a second tensor; files from before it was introduced hold values × firstScaling.
constexpr std::string_view comfyUiTensor = "latent_tensor", comfyUiMark = "latent_format_version_0";
constexpr double firstScaling = 0.18215;
// kohya's sd-scripts: where an image was cropped stands beside its latents.
constexpr std::string_view sdScriptsMark = "crop_ltrb";
constexpr std::string_view oneTrainerTensor = "latent_image";
constexpr std::array<std::string_view, 5> knownNames{comfyUiTensor, oneTrainerTensor, "latents", "latent", "samples"};

// "latents_64x96", "latents_1x64x96_bfloat16": trainers put frames, rows, columns and the type behind the name.
bool isSizedName(std::string_view name) {
    constexpr std::string_view begin = "latents_", digits = "0123456789";
    if (!name.starts_with(begin)) return false;
    name.remove_prefix(begin.size());
    int numbers = 0;
    for (;; name.remove_prefix(1)) {
        const std::size_t end = std::min(name.find_first_not_of(digits), name.size());
        if (end == 0) return false;
        ++numbers;
        name.remove_prefix(end);
        if (!name.starts_with('x')) break;
    }
    return (numbers == 2 || numbers == 3) &&
           (name.empty() || (name[0] == '_' && name.size() > 1 && name.find('_', 1) == std::string_view::npos));
}

bool isKnownName(std::string_view name) {
    return std::ranges::find(knownNames, name) != knownNames.end() || isSizedName(name);
}

// Which values a file holds, and why that is known.
struct Meaning {
    bool isDecoderInput = false; // else as pipelines hand them over
    double divisor = 1.0;        // of the values, to be what is said above
    std::string reason;          // empty: nothing is known
};

Meaning meaningOf(std::string_view name, std::span<const TensorView> entries, const Family& family) {
    const auto holds = [&](std::string_view begin) {
        return std::ranges::any_of(entries, [&](const TensorView& entry) { return entry.name.starts_with(begin); });
    };
    if (name == comfyUiTensor && holds(comfyUiMark))
        return {.isDecoderInput = true,
                .reason = fmt::format("are ComfyUI's, by the mark '{}' the decoder's input already", comfyUiMark)};
    if (name == comfyUiTensor)
        return {.isDecoderInput = true,
                .divisor = firstScaling,
                .reason = fmt::format("are ComfyUI's, without the mark '{}' the decoder's input times {}", comfyUiMark,
                                      firstScaling)};
    if (name == oneTrainerTensor)
        return {.isDecoderInput = true, .reason = "are of OneTrainer's cache, which are the decoder's input already"};
    if ((name == "latents" || isSizedName(name)) && holds(sdScriptsMark)) {
        // Its FLUX autoencoder scales what it encodes, the others do not.
        const bool scaled = family.latentChannels != 4 && family.name != "sd3";
        return {.isDecoderInput = !scaled,
                .reason = fmt::format("are of sd-scripts' cache ('{}' stands beside them), {}", sdScriptsMark,
                                      scaled ? "scaled as pipelines do" : "which are the decoder's input already")};
    }
    return {};
}

// A tiny autoencoder takes latents as the pipelines of a large one scale them: whose, if it is known.
const Family* scaledAs(const Family& tiny) {
    if (tiny.name == "taesd") return findFamily("sd15");
    if (tiny.name == "taef1") return findFamily("flux1");
    return nullptr;
}

// Makes of the decoder's input of a large autoencoder what `family` takes.
Result<void> takeDecoderInput(LatentsFile& latents, const Family& family, const Meaning& meaning,
                              const std::string& path) {
    std::string done = "so they are not scaled";
    if (meaning.divisor != 1.0) {
        for (float& value : latents.tensor.values) value = static_cast<float>(value / meaning.divisor);
        done = fmt::format("so they are divided by {}", meaning.divisor);
    }
    const auto& shape = latents.tensor.shape;
    // What ComfyUI hands to a decoder of packed latents is packed and normalised.
    const bool packed = (family.packedLatents || family.backbone == Backbone::Tiny) && shape.size() == 4 &&
                        shape[1] == 4 * family.latentChannels;
    latents.scaled = packed;
    if (packed) {
        done = "which for these is packed and normalised";
    } else if (family.backbone == Backbone::Tiny) {
        const Family* as = scaledAs(family);
        if (as == nullptr)
            return fail(ErrorCode::BadInput,
                        "file {}, tensor {}: the values {}, {} takes normalised ones, packed into {} channels",
                        quote(path), quote(latents.tensor.name), meaning.reason, family.name,
                        4 * family.latentChannels);
        for (float& value : latents.tensor.values) value = static_cast<float>((value - as->shift) * as->scaling);
        done =
            fmt::format("so they are scaled as {} does it (by {}), which {} takes", as->name, as->scaling, family.name);
    }
    latents.notes.push_back(fmt::format("file {}, tensor {}: the latents {}, {}", quote(path),
                                        quote(latents.tensor.name), meaning.reason, done));
    return {};
}

} // namespace

Result<std::optional<std::string>> latentsByName(std::span<const TensorView> entries, const std::string& fileName) {
    std::vector<TensorView> known;
    for (const TensorView& entry : entries) {
        if (entry.name == comfyUiTensor) return entry.name;
        if (isKnownName(entry.name)) known.push_back(entry);
    }
    if (known.empty()) return std::nullopt;
    if (known.size() > 1)
        return fail(ErrorCode::BadUsage, "{}: {} tensors may be the latents, so one must be named: {}.",
                    quote(fileName), known.size(), someNames(known, {}));
    return known.front().name;
}

Result<LatentsFile> readLatentsFile(const Family& family, const std::string& path,
                                    const std::optional<std::string>& key, bool scaled) {
    TRY(const TensorFile file, TensorFile::open(path));
    const std::span<const TensorView> entries = file.tensors();
    LatentsFile latents{.tensor = {}, .scaled = scaled, .notes = {}};
    std::optional<std::string> chosen = key;
    if (!chosen && entries.size() > 1) {
        TRY(chosen, latentsByName(entries, path));
        if (chosen && std::ranges::any_of(entries, [&](const TensorView& entry) {
                return entry.name != *chosen && entry.name != comfyUiMark;
            }))
            latents.notes.push_back(fmt::format("file {}: the latents are tensor {}; not read: {}", quote(path),
                                                quote(*chosen), someNames(entries, *chosen)));
    }
    TRY(const TensorView* tensor, chooseTensor(file, chosen));
    TRY(latents.tensor, readTensor(file, *tensor));
    if (!scaled) return latents;
    const Meaning meaning = meaningOf(latents.tensor.name, entries, family);
    if (meaning.isDecoderInput)
        CHECK(takeDecoderInput(latents, family, meaning, path));
    else if (!meaning.reason.empty())
        latents.notes.push_back(
            fmt::format("file {}, tensor {}: the latents {}", quote(path), quote(latents.tensor.name), meaning.reason));
    return latents;
}

} // namespace spikescope
