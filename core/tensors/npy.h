#pragma once
// Reads NumPy's .npy files, versions 1 to 3: little-endian float16, float32 and float64 in C order.

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

struct NpyArray {
    std::vector<std::uint64_t> shape; // row-major, at most 8 dimensions; empty for a scalar
    std::vector<float> values;        // float64 is rounded; what float32 cannot hold becomes infinite
};

// BadInput for any other kind of array, named; for more than 2^32 elements; and when the file's length differs from
// what its header says, in either direction.
[[nodiscard]] Result<NpyArray> readNpy(const std::string& path);
[[nodiscard]] Result<NpyArray> parseNpy(std::span<const std::byte> bytes, const std::string& fileName);

// Whether the file begins as a .npy file does.
bool looksLikeNpy(std::span<const std::byte> bytes);

} // namespace spikescope
