#pragma once
// Reads .safetensors files: an 8-byte little-endian header length, a JSON header, then the tensors' bytes.
// The rules are those of the reference implementation (huggingface/safetensors): tensors neither overlap nor leave
// holes, the last one ends with the file, and an element may lie at any address. Stricter than it: names and fields
// must not repeat, a tensor has the fields dtype, shape and data_offsets and no others, and at most 8 dimensions.

#include "core/base/error.h"
#include "core/tensors/tensor_view.h"

namespace spikescope {

inline constexpr std::uint64_t longestSafetensorsHeader = 100'000'000; // the reference implementation's limit

// Tensors are in the order of their bytes. BadInput for what is wrong with the file, which says how much of an
// incomplete one is missing and what a file of another kind is. fileName only serves messages.
[[nodiscard]] Result<TensorListing> parseSafetensors(std::span<const std::byte> bytes, const std::string& fileName);

} // namespace spikescope
