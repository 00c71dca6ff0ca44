#pragma once
// Convolutions with what is fused into them.

#include "core/graph/shape.h"
#include "core/program/calls/group_norm.h"

namespace spikescope {

enum class ConvMethod : std::uint8_t {
    Direct,   // no workspace
    Folded,   // 3×3 after 2× upsampling as four 2×2 convolutions of the stored input, one for each parity of row and
              // column
    Im2col,   // 3×3: columns [rows × out width, 9 × in channels], tap by tap, then a matrix product
    Winograd, // 3×3, stride 1: F(6×6, 3×3)
};
// Output rows and columns of one Winograd tile, and input rows and columns that it reads.
constexpr std::uint64_t winogradTile = 6, winogradReach = winogradTile + 2;
// Channels of a pixel that one workgroup of any kernel computes together.
constexpr std::uint64_t maxChannelsInPlace = 128;

// out = activation(conv(upsampled in) + bias + residual); out may be the residual. A 1×1 convolution to at most
// maxChannelsInPlace channels may write within its input.
struct ConvCall {
    TensorId in, weight, out;
    std::optional<TensorId> bias, residual;
    std::uint32_t kernel = 3, stride = 1;
    // Rows above and columns left of the input (upsampled, if it is) at which the first output pixel begins to read;
    // pixels outside of the input are zero. Negative: rows and columns of the input that are skipped, when input and
    // output are stripes. Odd for a folded convolution.
    std::int32_t padTop = 1, padLeft = 1;
    bool upsample = false; // the input is read as if upsampled 2× by nearest neighbour
    Activation activation = Activation::None;
    ConvMethod method = ConvMethod::Direct;

    // Im2col: `chunkRows` rows of output at a time, counted over all images; dtype of the input.
    std::optional<TensorId> columns;
    std::uint64_t chunkRows = 0;
    // Winograd, all in the dtype of the input, t tiles over all images: the input padded to whole tiles
    // [n, 6 tilesY + 2, 6 tilesX + 2, in], filters [64, in, out], inputs [64, t, in] and products [64, t, out].
    struct Winograd {
        TensorId padded, filters, inputs, products;
    };
    std::optional<Winograd> winograd;
    // Direct, 3×3: the input is read as activation(in * scale + shift).
    struct NormOnLoad {
        TensorId coefficients;
        Activation activation = Activation::None;
        bool isLastUse = false; // no later call reads the input: kernels may norm it in place
    };
    std::optional<NormOnLoad> norm;
    // Statistics of the output for the norm after it; at least convSlices() slices.
    std::optional<GroupNormStatsCall> stats;

    // Copies as a framework with another layout makes them: the input is copied and read there; the result is written
    // to a copy and copied on to `out`.
    std::optional<TensorId> inCopy, outCopy;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    OpKind op() const { return OpKind::Convolution; }
    std::uint64_t flops(const Program& program) const;
    std::uint64_t traffic(const Program& program) const;
};

// Slices that a convolution may need for the statistics of its output: one for each tile of its kernel.
std::uint64_t convSlices(const Shape& out);

} // namespace spikescope
