#pragma once
// Kernels on cooperative matrices (tensor cores) for feature maps and weights of one 16-bit type: 3×3 convolutions,
// products and attention. The portable kernels do everything else.

#include "core/kernels/portable_kernels.h"

namespace spikescope {

class CoopmatKernels final : public PortableKernels {
public:
    // types: those of the matrices that the device multiplies.
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
    // A workgroup of conv3x3_coopmat.comp makes `columns` × 16 pixels in 64 `blocks` channels, from 16 `stageBlocks`
    // input channels at a time.
    struct ConvTile {
        std::string_view name;
        std::uint64_t columns, blocks, stageBlocks;

        std::uint64_t channels() const { return 64 * blocks; }
    };
    static const ConvTile convTiles[];
    std::optional<ConvTile> tileOf(const ConvCall& call, const Program& program) const;
    static std::vector<Define> convDefines(const ConvCall& call, const Program& program);
    bool hasFewOutputChannels(const ConvCall& call, const Program& program) const; // for conv3x3_few_coopmat.comp
    bool isPlain3x3(const ConvCall& call, const Program& program) const;
    // Whether all are of one type that the device multiplies.
    bool multiplies(const Program& program, std::initializer_list<TensorId> tensors) const;
    // Tiles cover the pixels of the output, or of the input of a folded convolution.
    static Shape gridOf(const ConvCall& call, const Program& program);
    static std::uint64_t tilesOf(const ConvCall& call, const ConvTile& tile, const Program& program);
    Result<void> convToFewChannels(const ConvCall& call, const Target& target);

    // Whether gemm_coopmat.comp takes the weights of a product as blocks.
    bool takesBlocks(const Program& program, std::initializer_list<TensorId> tensors, std::uint64_t inner,
                     std::uint64_t columns) const;

    // c [m][n] = alpha a [m][k] b, see gemm_coopmat.comp. The first seven members are addresses of first elements.
    struct MatrixProduct {
        std::uint64_t a, b, c, residual = 0, bias = 0, tiles = 0, scales = 0;
        std::uint64_t m = 0, n = 0, k = 0, lda = 0, ldc = 0;
        std::uint64_t splits = 1, splitDepth = 0;     // split-K: each makes n fp32 columns of its own
        std::uint64_t blockStepK = 0, blockStepN = 0; // both 0: b is [k][n]
        // With TAIL_K or TAIL_N the last row or column of blocks of b is stored apart: the number of blocks along that
        // side, and the address of the last ones.
        std::uint64_t blocks = 0, tail = 0;
        float alpha = 1.0f;
        bool largeTiles = false; // only tiles where a workgroup makes at least 128 columns and a warp 64
    };
    Result<void> multiply(const MatrixProduct& product, std::vector<Define> defines, const Target& target);

    // The steps of an attention, and what they share.
    struct Attention;
    std::optional<Attention> planAttention(const AttentionCall& call, const Target& target) const;
    Result<void> arrangeAsBlocks(const Attention& attention, std::uint64_t matrix, std::uint64_t tail,
                                 std::vector<Define> defines, const Target& target);
    Result<void> multiplyByKeys(const Attention& attention, std::uint64_t queries, std::uint64_t keys,
                                std::uint64_t rows, const Target& target);
    Result<void> finishSoftmax(const Attention& attention, std::uint64_t rows, const Target& target);
    Result<void> multiplyByValues(const Attention& attention, std::uint64_t values, TensorId out,
                                  std::uint64_t outAddress, std::uint64_t rows, const Target& target);

    std::vector<DType> m_types;
};

} // namespace spikescope
