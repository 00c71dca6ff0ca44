#pragma once
// Kernels for Mesa's CPU device: subgroups of 8 lanes, inputs through texel buffers (see bench/CPU_KERNELS.md for why).
// The portable kernels do everything else.

#include "core/kernels/portable_kernels.h"

namespace spikescope {

class CpuKernels final : public PortableKernels {
public:
    // maxTexels: of one buffer view, a limit of the device.
    CpuKernels(Pipelines& pipelines, std::uint64_t maxTexels)
        : PortableKernels(pipelines)
        , m_maxTexels(maxTexels) {}

    std::string_view name() const override { return "cpu"; }
    WeightPacking packing(const ConvCall& call, const Program& program) const override;

protected:
    Result<void> matmul(const Matmul& product, const Target& target) override;
    Result<void> matmulPlanes(const Matmul& first, std::uint64_t planes, const Target& target) override {
        return matmulEach(first, planes, target);
    }
    Result<void> directConv(const ConvCall& call, const Target& target) override;
    Result<void> winograd(const ConvCall& call, const Target& target) override;
    Result<void> normStats(const GroupNormStatsCall& call, const Target& target) override;
    Result<void> normApply(const GroupNormApplyCall& call, const Target& target) override;
    Result<void> attention(const AttentionCall& call, const Target& target) override;
    Result<void> softmax(const Target& target, TensorId scores, std::uint32_t rows, std::uint32_t keys,
                         std::uint32_t stride) override;

private:
    bool hasTile(const ConvCall& call, const Program& program) const;
    bool viewable(const Tensor& tensor) const;
    static std::uint64_t texels(const Tensor& tensor);
    TexelView view(const Target& target, TensorId id) const;
    Result<void> conv3x3(const ConvCall& call, const Target& target);
    template <class Push>
    Result<Dispatch> makeTexel(std::string_view shader, const std::vector<Define>& defines, const Push& push,
                               std::vector<TexelView> views);

    std::uint64_t m_maxTexels;
};

} // namespace spikescope
