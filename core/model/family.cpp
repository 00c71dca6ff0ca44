#include "core/model/family.h"

#include "core/base/text.h"
#include "core/model/autoencoder_kl.h"
#include "core/model/autoencoder_tiny.h"

#include <algorithm>

namespace spikescope {

namespace {

constexpr std::uint64_t tinyFactor = 8;

Family kl(std::string_view name, std::uint32_t latentChannels, double scaling, double shift, bool quantConv) {
    return {.name = name,
            .latentChannels = latentChannels,
            .scaling = scaling,
            .shift = shift,
            .decoder = usualDecoder(latentChannels, quantConv),
            .encoder = usualEncoder(latentChannels, quantConv)};
}
Family tiny(std::string_view name, std::uint32_t latentChannels) {
    return {.name = name, .backbone = Backbone::Tiny, .latentChannels = latentChannels, .decoder = {}, .encoder = {}};
}

constexpr std::string_view otherKlName = "kl";

// Scaling and shift as the pipelines' model configurations give them.
std::vector<Family> makeTable() {
    Family flux2 = kl("flux2", 32, 1, 0, true), taef2 = tiny("taef2", 32);
    flux2.packedLatents = true;
    taef2.pooledBlocks = true;
    return {kl("flux1", 16, 0.3611, 0.1159, false),
            kl("sd15", 4, 0.18215, 0, true),
            kl("sdxl", 4, 0.13025, 0, true),
            kl("sd3", 16, 1.5305, 0.0609, false),
            kl("z-image", 16, 0.3611, 0.1159, false),
            flux2,
            tiny("taesd", 4),
            tiny("taef1", 16),
            taef2,
            kl(otherKlName, 4, 1, 0, true)};
}

} // namespace

KlHalf usualDecoder(std::uint32_t latentChannels, bool quantConv) {
    return {.levels = {{128, 3}, {256, 3}, {512, 3}, {512, 3}}, .codeChannels = latentChannels, .quantConv = quantConv};
}
KlHalf usualEncoder(std::uint32_t latentChannels, bool quantConv) {
    return {
        .levels = {{128, 2}, {256, 2}, {512, 2}, {512, 2}}, .codeChannels = 2 * latentChannels, .quantConv = quantConv};
}

std::string_view halfName(VaeTask task) { return task == VaeTask::Decode ? "decoder" : "encoder"; }

std::string describe(const KlHalf& half) {
    std::vector<std::string> levels;
    for (const KlHalf::Level& level : half.levels)
        levels.push_back(
            fmt::format("{}×{}{}", level.channels, level.resnets, level.attention ? " with attention" : ""));
    return joined(levels, ", ") + (half.midAttention ? "; attention in the middle" : "; no attention in the middle") +
           (half.quantConv ? "; quant conv" : "; no quant conv");
}

std::uint64_t Family::factor(VaeTask task) const {
    if (backbone == Backbone::Tiny) return tinyFactor;
    return half(task).factor();
}

std::span<const Family> families() {
    static const std::vector<Family> table = makeTable();
    return table;
}

const Family* findFamily(std::string_view name) {
    const auto found = std::ranges::find(families(), name, &Family::name);
    return found == families().end() ? nullptr : &*found;
}

const Family& otherKl() { return *findFamily(otherKlName); }

std::uint64_t sizeMultiple(const Family& family, VaeTask task) {
    return family.factor(task) * (family.packedLatents ? 2 : 1);
}

Result<Graph> buildGraph(const Family& family, VaeTask task, std::uint64_t width, std::uint64_t height,
                         std::uint64_t batch) {
    const std::uint64_t multiple = sizeMultiple(family, task);
    if (width == 0 || height == 0 || width % multiple != 0 || height % multiple != 0)
        return fail(ErrorCode::BadUsage, "size {}x{}: {} takes positive multiples of {} pixels", width, height,
                    family.name, multiple);
    constexpr std::uint64_t largest = 65536;
    if (width > largest || height > largest)
        return fail(ErrorCode::BadUsage, "size {}x{}: at most {} pixels to a side are possible", width, height,
                    largest);
    if (batch == 0 || batch > 1024) return fail(ErrorCode::BadUsage, "batch {}: 1 to 1024 are possible", batch);
    const Shape picture{.n = batch, .h = height, .w = width, .c = 3};
    const std::uint64_t factor = family.factor(task);
    const Shape latents{.n = batch, .h = height / factor, .w = width / factor, .c = family.latentChannels};
    if (family.backbone == Backbone::Kl)
        return task == VaeTask::Decode ? klDecoder(family.decoder, latents)
                                       : klEncoder(family.encoder, family.latentChannels, picture);
    return task == VaeTask::Decode ? tinyDecoder(family, latents) : tinyEncoder(family, picture);
}

Result<std::vector<Weight>> halfWeights(const Family& family, VaeTask task) {
    const std::uint64_t side = sizeMultiple(family, task);
    TRY(Graph graph, buildGraph(family, task, side, side, 1));
    return std::move(graph.weights);
}

} // namespace spikescope
