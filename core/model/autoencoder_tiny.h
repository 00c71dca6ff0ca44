#pragma once
// The tiny autoencoders (TAESD family): width 64, ReLU, no norms but in taef2's pooled blocks. Parameters by their
// diffusers names, `decoder.layers.N` and `encoder.layers.N`.

#include "core/model/family.h"

namespace spikescope {

Result<Graph> tinyDecoder(const Family& family, Shape latents);
Result<Graph> tinyEncoder(const Family& family, Shape picture);

} // namespace spikescope
