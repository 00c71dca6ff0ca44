#pragma once
// The order in which a kernel wants a convolution's weights. Packing permutes and never pads: every order takes the
// same bytes, so memory does not depend on the kernels.

#include "core/graph/dtype.h"
#include "core/model/parameters.h"

#include <cstddef>
#include <vector>

namespace spikescope {

// Packed elements are counted by nested loops, outermost first; an axis moves `stride` elements in the checkpoint's
// row-major [out][in][kh][kw].
struct PackedAxis {
    std::uint64_t extent = 1, stride = 1;
};
using WeightPacking = std::vector<PackedAxis>;

WeightPacking packAsStored(std::uint64_t elements);
WeightPacking packTapInOut(std::uint64_t out, std::uint64_t in, std::uint64_t taps); // [tap][in][out]
WeightPacking packOutTapIn(std::uint64_t out, std::uint64_t in, std::uint64_t taps); // [out][tap][in]

// Writes packed elements [begin, begin + count) as `dtype` to `out`.
void packWeights(const ParameterValues& values, const WeightPacking& packing, DType dtype, std::uint64_t begin,
                 std::uint64_t count, std::byte* out);

} // namespace spikescope
