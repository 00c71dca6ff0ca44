#pragma once
// Kernels that are right on every device: buffer device addresses, no optional feature.

#include "core/base/checked.h"
#include "core/kernels/kernels.h"
#include "shaders/limits.h"
#include "shaders/push_constants.h"

namespace spikescope {

using push::uint; // as shaders say

class PortableKernels : public Kernels {
public:
    // The name says why these, where others were expected.
    explicit PortableKernels(Pipelines& pipelines, std::string name = "portable")
        : m_pipelines(pipelines)
        , m_name(std::move(name)) {}

    std::string_view name() const override { return m_name; }
    WeightPacking packing(const ConvCall& call, const Program& program) const override;
    Result<void> encode(const KernelCall& call, const Program& program, const Bindings& bindings,
                        std::vector<Dispatch>& dispatches) override;

protected:
    // The program, its memory and the dispatches that a call appends to.
    struct Target {
        const Program& program;
        const Bindings& bindings;
        std::vector<Dispatch>& dispatches;

        const Tensor& tensor(TensorId id) const { return program.tensor(id); }
        const BoundTensor& bound(TensorId id) const { return bindings[program.storage(id).index]; }
        std::uint64_t address(TensorId id) const { return bound(id).address + tensor(id).offset; }
        std::uint64_t address(std::optional<TensorId> id) const { return id ? address(*id) : 0; }
    };

    // out = activation(a b + bias + residual). Rows of `a` [rows][inner] begin at aRow, those of `b` [inner][columns]
    // at bRow, those of `out` and of the residual at outRow. Where `columns` is no multiple of four, b is
    // [columns][inner] and bRow 0.
    struct Matmul {
        TensorId a, b, out;
        std::optional<TensorId> bias, residual;
        std::uint64_t aRow = 0, bRow = 0, outRow = 0;
        std::uint64_t rows = 0, inner = 0, columns = 0;
        Activation activation = Activation::None;
        bool inPlace = false; // rows of `out` are the first columns of rows of `a`
    };
    virtual Result<void> matmul(const Matmul& product, const Target& target);
    // `planes` products without bias, residual and activation. `first` is the first one, with rows 0; the rows of each
    // plane follow those of the one before.
    virtual Result<void> matmulPlanes(const Matmul& first, std::uint64_t planes, const Target& target);
    Result<void> matmulEach(Matmul plane, std::uint64_t planes, const Target& target); // the same, one by one

    // Rows without gaps.
    static push::Product denseProduct(const Matmul& m, const Target& target);
    Result<void> product(const push::Product& product, std::vector<Define> defines, const Target& target,
                         std::uint32_t phases = 1);
    virtual Result<void> directConv(const ConvCall& call, const Target& target); // Folded too
    // Slices of call.stats that directConv() writes itself; nothing when it leaves the statistics to normStats().
    virtual std::optional<std::uint64_t> slicesOf(const ConvCall& /*call*/, const Program& /*program*/) const {
        return std::nullopt;
    }
    virtual Result<void> normStats(const GroupNormStatsCall& call, const Target& target);
    virtual Result<void> normApply(const GroupNormApplyCall& call, const Target& target);
    virtual Result<void> attention(const AttentionCall& call, const Target& target);
    // Split-K: rows of `out`, from outAddress on, become the sums over fp32 [rows][count][channels] at `splits`.
    Result<void> sumSplits(std::uint64_t splits, TensorId out, std::uint64_t outAddress, std::uint64_t rows,
                           std::uint64_t count, const Target& target);
    virtual Result<void> softmax(const Target& target, TensorId scores, std::uint32_t rows, std::uint32_t keys,
                                 std::uint32_t stride);
    // Convolutions from or to a number of channels that is no multiple of four.
    struct FewChannelsTypes {
        DType in, weight, out;
    };
    Result<void> fewChannels(const push::FewChannels& push, std::uint32_t kernel, const FewChannelsTypes& types,
                             Activation activation, const std::optional<ConvCall::NormOnLoad>& norm,
                             const Target& target);
    Result<void> conv(const ConvCall& call, const Target& target);
    Result<void> im2col(const ConvCall& call, const Target& target);
    virtual Result<void> winograd(const ConvCall& call, const Target& target);
    Result<void> copy(const CopyCall& call, const Target& target);
    Result<void> activation(const ActivationCall& call, const Target& target);
    static bool isProduct(const ConvCall& call); // 1×1, pixel by pixel
    static Matmul productOf(const ConvCall& call, const Target& target);
    Result<void> matmulInPlace(const Matmul& product, const Target& target);
    // Merges the moments of `slices` slices to the coefficients of a norm.
    Result<void> gatherStats(const GroupNormStatsCall& call, std::uint64_t slices, const Target& target);
    Result<void> tanhClamp(const TanhClampCall& call, const Target& target);
    Result<void> blend(const BlendCall& call, const Target& target);

    // `end`: the largest index that a shader computes in 32 bits before it widens it to an address, for each of its
    // tensors that may be large. Unsupported where it does not fit, for the picture would be wrong.
    struct Index {
        std::string_view of;
        std::uint64_t end;
    };
    static Result<void> checkIndices(std::string_view shader, std::initializer_list<Index> indices);

    // One dispatch of `threads` threads in groups of `groupSize`, without descriptors.
    template <class Push>
    Result<void> add(const Target& target, std::string_view shader, const std::vector<Define>& defines,
                     const Push& push, std::uint64_t threads, std::uint64_t groupSize) {
        TRY(Dispatch dispatch, make(shader, defines, push));
        setGroups(dispatch, threads, groupSize);
        target.dispatches.push_back(std::move(dispatch));
        return {};
    }
    template <class Push>
    Result<Dispatch> make(std::string_view shader, const std::vector<Define>& defines, const Push& push,
                          Pipelines::Inputs inputs = Pipelines::Inputs::Addresses) {
        static_assert(sizeof(Push) <= pushBytes && std::is_trivially_copyable_v<Push>);
        Dispatch dispatch;
        TRY(dispatch.pipeline, m_pipelines.pipeline(shader, defines, inputs));
        if (const std::uint32_t bytes = dispatch.pipeline.pushSize;
            bytes && roundUp(bytes, 8u) != roundUp<std::uint32_t>(sizeof push, 8))
            return fail(ErrorCode::Unsupported, "shader {} takes {} bytes of push constants, not {}", shader, bytes,
                        sizeof push);
        // Without the padding after the last member, whose value is undefined: dispatches are compared.
        const std::size_t known = dispatch.pipeline.pushSize;
        std::memcpy(dispatch.push.data(), &push, known ? known : sizeof push);
        dispatch.pushSize = sizeof push;
        return dispatch;
    }
    static void setGroups(Dispatch& dispatch, std::uint64_t threads, std::uint64_t groupSize);

    Pipelines& m_pipelines;

private:
    std::string m_name;
};

// Defines of shaders/defines.glsl: names of storage types, activations and norms.
std::string shaderType(DType dtype);
void addActivation(std::vector<Define>& defines, Activation activation);
void addNorm(std::vector<Define>& defines, const std::optional<ConvCall::NormOnLoad>& norm);
// Defines of the epilogue of a convolution or a product: bias, residual, activation.
template <class Call> void addEpilogue(std::vector<Define>& defines, const Call& call, const Program& program) {
    if (call.bias) defines.push_back({"BIAS", "1"});
    if (call.residual) defines.push_back({"RESIDUAL", shaderType(program.tensor(*call.residual).dtype)});
    addActivation(defines, call.activation);
}
// Padding before the stored feature map of a folded convolution, from the padding before the upsampled one.
inline std::int32_t foldedPad(std::int32_t pad) { return (pad + 1) / 2; }
// Shaders count in ints.
constexpr std::uint64_t indexEnd = std::uint64_t{1} << 31;

} // namespace spikescope
