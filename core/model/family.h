#pragma once
// The VAE families: what tells them apart, and the graph of their decoder or encoder. A family of the table is a
// preset; a checkpoint gives one with the architecture of its own tensors.

#include "core/base/error.h"
#include "core/graph/graph.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

enum class Backbone : std::uint8_t { Kl, Tiny };
enum class VaeTask : std::uint8_t { Decode, Encode };
inline constexpr std::array bothTasks{VaeTask::Decode, VaeTask::Encode};
// The half of an autoencoder that does it: "decoder" or "encoder".
std::string_view halfName(VaeTask task);

// The decoder or the encoder of a KL autoencoder, by levels of resolution; level 0 has the image's.
struct KlHalf {
    struct Level {
        std::uint32_t channels = 0, resnets = 0;
        bool attention = false; // behind each resnet
        bool operator==(const Level&) const = default;
    };
    static constexpr std::size_t mostLevels = 8;
    static constexpr std::uint32_t mostChannels = 4096, mostResnets = 32;

    std::vector<Level> levels;
    std::uint32_t codeChannels = 0; // at the end of the latents: into the decoder's first convolution, out of the
                                    // encoder's last one (mean and logvar together)
    bool quantConv = false;         // a 1×1 convolution between these and the latents
    bool midAttention = true;
    std::uint32_t normGroups = 32;

    // Pixels for each latent, along one side.
    std::uint64_t factor() const { return std::uint64_t{1} << (levels.size() - 1); }
    bool operator==(const KlHalf&) const = default;
};
// "128×2, 256×2, 512×2, 512×2; attention in the middle": channels and resnets of each level from the image on.
std::string describe(const KlHalf& half);
// 128, 256, 512 and 512 channels: of Stable Diffusion and its descendants.
KlHalf usualDecoder(std::uint32_t latentChannels, bool quantConv);
KlHalf usualEncoder(std::uint32_t latentChannels, bool quantConv);

struct Family {
    std::string_view name;
    Backbone backbone = Backbone::Kl;
    std::uint32_t latentChannels = 4;
    double scaling = 1.0, shift = 0.0; // decoder input = latents / scaling + shift
    // By channel, of config.json; then decoder input = latents * std / scaling + mean. Empty: as above.
    std::vector<float> latentsMean, latentsStd;
    // Pipelines hand over latents packed 2×2 into four times the channels and normalised by running statistics.
    bool packedLatents = false;
    bool pooledBlocks = false; // taef2: blocks at the lowest resolution begin with a normed bottleneck
    KlHalf decoder, encoder;   // of Backbone::Kl

    const KlHalf& half(VaeTask task) const { return task == VaeTask::Decode ? decoder : encoder; }
    KlHalf& half(VaeTask task) { return task == VaeTask::Decode ? decoder : encoder; }
    // Pixels for each latent, along one side.
    std::uint64_t factor(VaeTask task) const;
};

constexpr double packedNormEps = 1e-4; // of the running statistics of packed latents

std::span<const Family> families();
const Family* findFamily(std::string_view name);
// Of the table, the KL autoencoder that is none of the others: "kl".
const Family& otherKl();

// Width and height in pixels must be multiples of this.
std::uint64_t sizeMultiple(const Family& family, VaeTask task);

// The input is latents [batch, height/factor, width/factor, z] as the decoder takes them (unscaled), or a picture
// [batch, height, width, 3]; the output a picture, or moments [batch, height/factor, width/factor, 2z] (tiny: latents,
// z). width and height are in pixels.
Result<Graph> buildGraph(const Family& family, VaeTask task, std::uint64_t width, std::uint64_t height,
                         std::uint64_t batch);
// The parameters of a half, which are those of its graph at any size.
Result<std::vector<Weight>> halfWeights(const Family& family, VaeTask task);

} // namespace spikescope
