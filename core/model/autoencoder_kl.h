#pragma once
// The KL autoencoder of latent diffusion models: levels of resnets, attention in the middle, GroupNorm. Parameters by
// their diffusers names.

#include "core/model/family.h"

namespace spikescope {

Result<Graph> klDecoder(const KlHalf& half, Shape latents);
// Mean and logvar of latentChannels each.
Result<Graph> klEncoder(const KlHalf& half, std::uint64_t latentChannels, Shape picture);

} // namespace spikescope
