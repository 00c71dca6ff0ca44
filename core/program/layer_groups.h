#pragma once
// The groups of layers in which people think and in which frameworks put barriers, from the paths of modules.

#include "core/graph/shape.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace spikescope {

// A residual block, an attention, an up- or downsampler; any other layer is a block of its own.
// "decoder.up_blocks.3.resnets.1.conv1" → "decoder.up_blocks.3.resnets.1"
std::string_view blockOf(std::string_view layer);

// conv_in, the middle, each up or down block, and what comes after them ("out"). Tiny autoencoders, whose modules are
// only numbered, have a stage for each size of map.
std::string stageOf(std::string_view layer, const Shape& output);

// The caller of a module keeps the module's input in a variable while it runs. `layers`: of a sequence of ops. The op
// at `user` reads what the op at `maker` made (or, without one, what came from outside); the index of the last op of
// the outermost block, up, down or mid, or the block in it, that the value entered; `user` when it entered none.
std::uint32_t heldUntil(std::span<const std::string_view> layers, std::uint32_t user,
                        std::optional<std::uint32_t> maker);

} // namespace spikescope
