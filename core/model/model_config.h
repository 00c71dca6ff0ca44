#pragma once
// config.json of a VAE, as diffusers writes it beside the weights.

#include "core/base/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace spikescope {

struct ModelConfig {
    std::string path;
    std::optional<double> scaling, shift;        // scaling_factor, shift_factor
    std::vector<float> latentsMean, latentsStd;  // latents_mean, latents_std, by channel; both or none
    std::optional<std::uint32_t> normGroups;     // norm_num_groups
    std::optional<std::uint32_t> latentChannels; // latent_channels
    struct Half {
        std::optional<std::uint32_t> layersPerBlock; // layers_per_block; decoders have a resnet more
        std::vector<std::uint32_t> blockOutChannels; // block_out_channels, from the image on; empty: not said
    };
    // By the keys of both halves, or those of one: layers_per_up_block, decoder_block_out_channels and their like.
    Half decoder, encoder;
    std::optional<bool> quantConv, postQuantConv;  // use_quant_conv, use_post_quant_conv
    std::optional<bool> midAttention, forceUpcast; // mid_block_add_attention, force_upcast
};

// Nothing when the file is of another kind of model. BadInput when it is no JSON, or a value is not what its key needs.
Result<std::optional<ModelConfig>> readModelConfig(const std::string& path);

} // namespace spikescope
