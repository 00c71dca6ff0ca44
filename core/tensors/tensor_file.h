#pragma once
// One tensor of numbers from a file: latents, images, references.

#include "core/base/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace spikescope {

// What a file says of a tensor before its values are read.
struct TensorEntry {
    std::string name;
    std::vector<std::uint64_t> shape;
};

// All tensors of a file that readTensorFile() reads, in the file's order.
[[nodiscard]] Result<std::vector<TensorEntry>> listTensors(const std::string& path);

struct HostTensor {
    std::vector<std::uint64_t> shape; // row-major, at most 8 dimensions
    std::vector<float> values;        // all finite, unless they were asked for as they are
    std::string name;                 // its key; the file's name without folder and suffix for .npy, which has no keys
};

enum class NonFinite { Refuse, Keep };

// .safetensors (F32, F16, BF16) or .npy (float16, float32, float64), told apart by content, then by suffix.
// Without a key the file must hold one tensor. BadInput for other formats, more than 2^32 elements, and unless they
// are kept NaN and infinity, naming the tensor and the place; BadUsage for a key that does not fit the file.
[[nodiscard]] Result<HostTensor> readTensorFile(const std::string& path, const std::optional<std::string>& key,
                                                NonFinite nonFinite = NonFinite::Refuse);

} // namespace spikescope
