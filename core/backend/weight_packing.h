#pragma once
// The order in which a kernel takes a convolution's weights. Packing permutes and never pads: every order has the same
// size, so memory does not depend on the kernels.

#include "core/base/dtype.h"
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

// The same for a folded convolution: a 3×3 convolution of an upsampled feature map is four 2×2 ones of the stored map.
// `packing` permutes their weights [2 · odd row + odd column][pair][2][2] for `pairs` of output and input channels.
// Along each axis the even output takes {w0, w1 + w2} at input offsets -1 and 0, the odd one {w0 + w1, w2} at 0 and 1;
// the sums are in fp32.
void packFoldedWeights(const ParameterValues& values, std::uint64_t pairs, const WeightPacking& packing, DType dtype,
                       std::uint64_t begin, std::uint64_t count, std::byte* out);

// Writes packed elements [begin, begin + count) as `dtype` to `out`.
void packWeights(const ParameterValues& values, const WeightPacking& packing, DType dtype, std::uint64_t begin,
                 std::uint64_t count, std::byte* out);

} // namespace spikescope
