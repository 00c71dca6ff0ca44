#include "core/model/family.h"

#include "core/model/autoencoder_kl.h"
#include "core/model/autoencoder_tiny.h"

#include <algorithm>
#include <array>

namespace spikescope {

namespace {

// Scaling and shift as the pipelines' model configurations give them.
constexpr std::array table{
    Family{.name = "flux1", .latentChannels = 16, .scaling = 0.3611, .shift = 0.1159},
    Family{.name = "sd15", .latentChannels = 4, .scaling = 0.18215, .quantConv = true},
    Family{.name = "sdxl", .latentChannels = 4, .scaling = 0.13025, .quantConv = true},
    Family{.name = "sd3", .latentChannels = 16, .scaling = 1.5305, .shift = 0.0609},
    Family{.name = "z-image", .latentChannels = 16, .scaling = 0.3611, .shift = 0.1159},
    Family{.name = "flux2", .latentChannels = 32, .quantConv = true, .packedLatents = true},
    Family{.name = "taesd", .backbone = Backbone::Tiny, .latentChannels = 4},
    Family{.name = "taef1", .backbone = Backbone::Tiny, .latentChannels = 16},
    Family{.name = "taef2", .backbone = Backbone::Tiny, .latentChannels = 32, .pooledBlocks = true},
};

} // namespace

std::span<const Family> families() { return table; }

const Family* findFamily(std::string_view name) {
    const auto found = std::ranges::find(table, name, &Family::name);
    return found == table.end() ? nullptr : &*found;
}

Result<Graph> buildGraph(const Family& family, VaeTask op, std::uint64_t width, std::uint64_t height,
                         std::uint64_t batch) {
    const std::uint64_t multiple = sizeMultiple(family);
    if (width == 0 || height == 0 || width % multiple != 0 || height % multiple != 0)
        return fail(ErrorCode::BadUsage, "size {}x{}: {} takes positive multiples of {} pixels", width, height,
                    family.name, multiple);
    constexpr std::uint64_t largest = 65536;
    if (width > largest || height > largest)
        return fail(ErrorCode::BadUsage, "size {}x{}: at most {} pixels to a side are possible", width, height,
                    largest);
    if (batch == 0 || batch > 1024) return fail(ErrorCode::BadUsage, "batch {}: 1 to 1024 are possible", batch);
    const Shape picture{.n = batch, .h = height, .w = width, .c = 3};
    const Shape latents{
        .n = batch, .h = height / spatialFactor, .w = width / spatialFactor, .c = family.latentChannels};
    if (family.backbone == Backbone::Kl)
        return op == VaeTask::Decode ? klDecoder(family, latents) : klEncoder(family, picture);
    return op == VaeTask::Decode ? tinyDecoder(family, latents) : tinyEncoder(family, picture);
}

} // namespace spikescope
