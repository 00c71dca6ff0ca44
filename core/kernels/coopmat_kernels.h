#pragma once
// Kernels on cooperative matrices (tensor cores) for bf16 maps with bf16 weights: 3×3 convolutions, products and
// attention. What they cannot do goes to the portable kernels.

#include "core/kernels/portable_kernels.h"

namespace spikescope {

class CoopmatKernels final : public PortableKernels {
public:
    using PortableKernels::PortableKernels;

    std::string_view name() const override { return "cooperative matrices"; }
    WeightPacking packing(const ConvCall& call, const Program& program) const override;

    // Whether this device's matrices give what the portable kernels give: one small convolution by both. The order in
    // which lanes hold a matrix is the driver's own affair, and this is how one finds out that it is another.
    static Result<bool> agree(Device& device, ShaderLibrary& library);

protected:
    Result<void> directConv(const ConvCall& call, const Target& target) override;
    std::optional<std::uint64_t> slicesOf(const ConvCall& call, const Program& program) const override;
    Result<void> matmul(const Matmul& product, const Target& target) override;
    Result<void> attention(const AttentionCall& call, const Target& target) override;

private:
    // What a workgroup of conv3x3_coopmat.comp makes: `columns` × 16 pixels in 64 `blocks` channels.
    struct Tile {
        std::uint64_t columns = 8, blocks = 2, stageBlocks = 2;

        std::uint64_t channels() const { return 64 * blocks; }
    };
    static std::optional<Tile> tileOf(const ConvCall& call, const Program& program);
    static bool makesFew(const ConvCall& call, const Program& program);
    // Rows and columns that tiles cover: of the output, or of the input of a folded convolution.
    static const Shape& gridOf(const ConvCall& call, const Program& program);
    static std::uint64_t tilesOf(const ConvCall& call, const Tile& tile, const Program& program);
    Result<void> fewOutputs(const ConvCall& call, const Target& target);

    // c [m][n] = alpha a [m][k] b, see gemm_coopmat.comp; addresses of first elements.
    struct Product {
        std::uint64_t a, b, c, residual = 0, bias = 0;
        std::uint64_t m = 0, n = 0, k = 0, lda = 0, ldc = 0;
        std::uint64_t parts = 1; // of k, each into n fp32 columns of its own
        float alpha = 1.0f;
        bool wholeRows = false; // c lies within a: a workgroup has to read all of a row before it writes
    };
    Result<void> product(const Product& product, std::vector<Define> defines, const Target& target);
};

} // namespace spikescope
