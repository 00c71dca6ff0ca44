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
    // What every kernel's encoding needs at hand.
    struct Target {
        const Program& program;
        const Bindings& bindings;
        std::vector<Dispatch>& dispatches;

        const Tensor& tensor(TensorId id) const { return program.tensor(id); }
        const BoundTensor& bound(TensorId id) const { return bindings[program.storage(id).index]; }
        std::uint64_t address(TensorId id) const { return bound(id).address + tensor(id).offset; }
        std::uint64_t address(std::optional<TensorId> id) const { return id ? address(*id) : 0; }
    };

    // out = activation(a b + bias + residual): rows of `a` [.., inner] from aRow on, rows of `b` [.., columns] from
    // bRow on (with columns that are no multiple of four: b [columns][inner], bRow 0), to rows of `out` from outRow on,
    // at which the residual is read too.
    struct Matmul {
        TensorId a, b, out;
        std::optional<TensorId> bias, residual;
        std::uint64_t aRow = 0, bRow = 0, outRow = 0;
        std::uint64_t rows = 0, inner = 0, columns = 0;
        Activation activation = Activation::None;
        bool inPlace = false; // rows of `out` are the first columns of rows of `a`
    };
    virtual Result<void> matmul(const Matmul& product, const Target& target);
    // `planes` products without bias, residual and activation, rows 0: those of plane i follow the ones of i - 1.
    virtual Result<void> matmulPlanes(const Matmul& first, std::uint64_t planes, const Target& target);
    Result<void> matmulEach(Matmul plane, std::uint64_t planes, const Target& target); // the same, one by one

    // Of rows that follow each other closely.
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
    // Rows of `out` from outAddress on are the sums of [rows][count][channels] of fp32 at `parts`.
    Result<void> sumParts(std::uint64_t parts, TensorId out, std::uint64_t outAddress, std::uint64_t rows,
                          std::uint64_t count, const Target& target);
    virtual Result<void> softmax(const Target& target, TensorId scores, std::uint32_t rows, std::uint32_t keys,
                                 std::uint32_t stride);
    // Convolutions from or to so few channels that they are no multiple of four.
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
    // From so many slices of partials to coefficients.
    Result<void> gatherStats(const GroupNormStatsCall& call, std::uint64_t slices, const Target& target);
    Result<void> tanhClamp(const TanhClampCall& call, const Target& target);
    Result<void> blend(const BlendCall& call, const Target& target);

    // The largest index that a shader forms in 32 bits before it widens it to an address, for each base that may have a
    // large one; Unsupported where it does not fit, for the picture would be wrong.
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
        // Not what fills a struct up behind its last member, which is never the same: dispatches are compared.
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
// What a convolution or a product does with its sums before it stores them.
template <class Call> void addEpilogue(std::vector<Define>& defines, const Call& call, const Program& program) {
    if (call.bias) defines.push_back({"BIAS", "1"});
    if (call.residual) defines.push_back({"RESIDUAL", shaderType(program.tensor(*call.residual).dtype)});
    addActivation(defines, call.activation);
}
// What is outside of the stored map of a convolution that folds its doubling, from what is outside of the doubled one.
inline std::int32_t foldedPad(std::int32_t pad) { return (pad + 1) / 2; }
// Shaders count in ints.
constexpr std::uint64_t indexEnd = std::uint64_t{1} << 31;

} // namespace spikescope
