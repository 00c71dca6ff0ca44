#pragma once
// The VAE families: what tells them apart, and the graph of their decoder or encoder.

#include "core/base/error.h"
#include "core/graph/graph.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace spikescope {

enum class Backbone : std::uint8_t { Kl, Tiny };
enum class VaeTask : std::uint8_t { Decode, Encode };

struct Family {
    std::string_view name;
    Backbone backbone = Backbone::Kl;
    std::uint32_t latentChannels = 4;
    double scaling = 1.0, shift = 0.0; // decoder input = latents / scaling + shift
    bool quantConv = false;            // 1×1 convolutions at both ends of the latents
    // Pipelines hand over latents packed 2×2 into four times the channels and normalised by running statistics.
    bool packedLatents = false;
    bool pooledBlocks = false; // taef2: blocks at the lowest resolution begin with a normed bottleneck
};

constexpr std::uint64_t spatialFactor = 8; // output pixels for each latent, all families
constexpr double packedNormEps = 1e-4;     // of the running statistics of packed latents

std::span<const Family> families();
const Family* findFamily(std::string_view name);

// Width and height in pixels must be multiples of this.
constexpr std::uint64_t sizeMultiple(const Family& family) { return spatialFactor * (family.packedLatents ? 2 : 1); }

// The input is latents [batch, height/8, width/8, z] as the decoder takes them (unscaled), or a picture
// [batch, height, width, 3]; the output a picture, or moments [batch, height/8, width/8, 2z] (tiny: latents, z).
// width and height are in pixels.
Result<Graph> buildGraph(const Family& family, VaeTask op, std::uint64_t width, std::uint64_t height,
                         std::uint64_t batch);

} // namespace spikescope
