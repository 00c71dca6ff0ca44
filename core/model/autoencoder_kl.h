#pragma once
// The KL autoencoder of Stable Diffusion and its descendants: resnet blocks of 128, 256, 512, 512 channels, one
// attention in the middle, GroupNorm of 32 groups. Parameters by their diffusers names.

#include "core/model/family.h"

namespace spikescope {

Result<Graph> klDecoder(const Family& family, Shape latents);
Result<Graph> klEncoder(const Family& family, Shape picture);

} // namespace spikescope
