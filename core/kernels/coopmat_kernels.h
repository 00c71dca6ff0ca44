#pragma once
// Kernels on cooperative matrices (tensor cores) for maps and weights of one 16-bit type: 3×3 convolutions, products
// and attention. What they cannot do goes to the portable kernels.

#include "core/kernels/portable_kernels.h"

namespace spikescope {

class CoopmatKernels final : public PortableKernels {
public:
    // types: of which the device multiplies matrices.
    CoopmatKernels(Pipelines& pipelines, std::vector<DType> types, std::string name = "cooperative matrices")
        : PortableKernels(pipelines, std::move(name))
        , m_types(std::move(types)) {}

    WeightPacking packing(const ConvCall& call, const Program& program) const override;

protected:
    Result<void> directConv(const ConvCall& call, const Target& target) override;
    std::optional<std::uint64_t> slicesOf(const ConvCall& call, const Program& program) const override;
    Result<void> matmul(const Matmul& product, const Target& target) override;
    Result<void> matmulPlanes(const Matmul& first, std::uint64_t planes, const Target& target) override;
    Result<void> attention(const AttentionCall& call, const Target& target) override;

private:
    // What a workgroup of conv3x3_coopmat.comp makes: `columns` × 16 pixels in 64 `blocks` channels, from 16
    // `stageBlocks` channels at a time.
    struct ConvTile {
        std::string_view name;
        std::uint64_t columns, blocks, stageBlocks;

        std::uint64_t channels() const { return 64 * blocks; }
    };
    static const ConvTile convTiles[];
    std::optional<ConvTile> tileOf(const ConvCall& call, const Program& program) const;
    static std::vector<Define> convDefines(const ConvCall& call, const Program& program);
    bool makesFew(const ConvCall& call, const Program& program) const;
    bool isPlain3x3(const ConvCall& call, const Program& program) const;
    // Whether all are of one type that the device multiplies.
    bool multiplies(const Program& program, std::initializer_list<TensorId> tensors) const;
    // Rows and columns that tiles cover: of the output, or of the input of a folded convolution.
    static Shape gridOf(const ConvCall& call, const Program& program);
    static std::uint64_t tilesOf(const ConvCall& call, const ConvTile& tile, const Program& program);
    Result<void> fewOutputs(const ConvCall& call, const Target& target);

    // Whether the weights of a product are blocks, and how far apart: see gemm_coopmat.comp.
    bool takesBlocks(const Program& program, std::initializer_list<TensorId> tensors, std::uint64_t inner,
                     std::uint64_t columns) const;

    // c [m][n] = alpha a [m][k] b, see gemm_coopmat.comp; addresses of first elements.
    struct MatrixProduct {
        std::uint64_t a, b, c, residual = 0, bias = 0, tiles = 0, scales = 0;
        std::uint64_t m = 0, n = 0, k = 0, lda = 0, ldc = 0;
        std::uint64_t parts = 1, partDepth = 0;       // of k, each into n fp32 columns of its own
        std::uint64_t blockStepK = 0, blockStepN = 0; // both 0: b is [k][n]
        // Of blocks whose last ones lie elsewhere: how many there are on that side, and the address of those.
        std::uint64_t blocks = 0, tail = 0;
        float alpha = 1.0f;
        bool largeTiles = false; // always: a workgroup has to make 128 columns together, or a warp 64
    };
    Result<void> multiply(const MatrixProduct& product, std::vector<Define> defines, const Target& target);

    std::vector<DType> m_types;
};

} // namespace spikescope
