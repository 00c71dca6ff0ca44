#include "core/kernels/portable_kernels.h"

#include "core/base/checked.h"

#include <algorithm>
#include <numeric>

namespace spikescope {

std::string shaderType(DType dtype) {
    switch (dtype) {
    case DType::F32: return "F32";
    case DType::F16: return "F16";
    case DType::BF16: return "BF16";
    }
    return {};
}

void addActivation(std::vector<Define>& defines, Activation activation) {
    if (activation == Activation::Silu) defines.push_back({"ACTIVATION_SILU", "1"});
    if (activation == Activation::Relu) defines.push_back({"ACTIVATION_RELU", "1"});
}

void addNorm(std::vector<Define>& defines, const std::optional<ConvCall::NormOnLoad>& norm) {
    if (!norm) return;
    defines.push_back({"NORM", "1"});
    if (norm->activation == Activation::Silu) defines.push_back({"NORM_SILU", "1"});
    if (norm->activation == Activation::Relu) defines.push_back({"NORM_RELU", "1"});
}

void PortableKernels::setGroups(Dispatch& dispatch, std::uint64_t threads, std::uint64_t groupSize) {
    // Vulkan promises 65535 groups to an axis; shaders fold x and y into one number.
    constexpr std::uint64_t longest = 65535;
    const std::uint64_t groups = divideUp(threads, groupSize);
    const std::uint64_t x = std::min(groups, longest);
    dispatch.groups = {narrow<uint>(x), narrow<uint>(divideUp(groups, x)), 1};
}

Result<void> PortableKernels::checkIndices(std::string_view shader, std::initializer_list<Index> indices) {
    for (const auto& [of, end] : indices)
        if (end > indexEnd)
            return fail(ErrorCode::Unsupported, "{} counts up to {} in {}, more than the {} that it can", shader, end,
                        of, indexEnd);
    return {};
}

Result<void> PortableKernels::encode(const KernelCall& call, const Program& program, const Bindings& bindings,
                                     std::vector<Dispatch>& dispatches) {
    const Target target{program, bindings, dispatches};
    return std::visit(
        [&](const auto& c) -> Result<void> {
            using T = std::decay_t<decltype(c)>;
            if constexpr (std::is_same_v<T, ConvCall>)
                return conv(c, target);
            else if constexpr (std::is_same_v<T, GroupNormStatsCall>) {
                CHECK(normStats(c, target));
                return gatherStats(c, c.slices, target);
            } else if constexpr (std::is_same_v<T, GroupNormApplyCall>)
                return normApply(c, target);
            else if constexpr (std::is_same_v<T, AttentionCall>)
                return attention(c, target);
            else if constexpr (std::is_same_v<T, TanhClampCall>)
                return tanhClamp(c, target);
            else if constexpr (std::is_same_v<T, ActivationCall>)
                return activation(c, target);
            else if constexpr (std::is_same_v<T, BlendCall>)
                return blend(c, target);
            else if constexpr (std::is_same_v<T, TransferCall>)
                return {};
            else
                return copy(c, target);
        },
        call);
}

Result<void> PortableKernels::normStats(const GroupNormStatsCall& call, const Target& target) {
    const Tensor& in = target.tensor(call.in);
    const std::uint64_t perGroup = in.shape.c / call.groups;
    // A round of the shader has 128 blocks of four channels, which must hold whole groups.
    constexpr std::uint64_t roundChannels = 512;
    const bool isWhole = perGroup % 4 == 0 && (in.shape.c <= roundChannels || roundChannels % perGroup == 0);
    if (in.shape.c % 4 != 0 || std::lcm(perGroup, std::uint64_t{4}) > roundChannels)
        return fail(ErrorCode::Unsupported, "no kernel norms groups of {} of {} channels", perGroup, in.shape.c);
    std::vector<Define> defines{{"IN", shaderType(in.dtype)}};
    if (!isWhole) defines.push_back({"ANY_GROUP", "1"});
    const push::GroupNormStats push{.inAddress = target.address(call.in),
                                    .partialsAddress = target.address(call.partials),
                                    .pictures = narrow<uint>(in.shape.n),
                                    .slices = narrow<uint>(call.slices),
                                    .groups = call.groups,
                                    .channels = narrow<uint>(in.shape.c),
                                    .pixels = in.shape.pixels(),
                                    .stride = narrow<uint>(in.stride() / 4)};
    return add(target, "group_norm_stats.comp", defines, push, in.shape.n * call.slices, 1);
}

Result<void> PortableKernels::gatherStats(const GroupNormStatsCall& call, std::uint64_t slices, const Target& target) {
    const Tensor& in = target.tensor(call.in);
    push::GroupNormCoefficients push{.partialsAddress = target.address(call.partials),
                                     .gammaAddress = target.address(call.gamma),
                                     .betaAddress = target.address(call.beta),
                                     .coefficientsAddress = target.address(call.coefficients),
                                     .totalAddress = 0,
                                     .pictures = narrow<uint>(in.shape.n),
                                     .slices = narrow<uint>(slices),
                                     .groups = call.groups,
                                     .channels = narrow<uint>(in.shape.c),
                                     .eps = call.eps};
    if (call.totals) {
        push.totalAddress = target.address(*call.totals) + call.slot * call.groups * 4 * sizeof(float);
        CHECK(add(target, "group_norm_coefficients.comp", {{"TOTAL", "1"}}, push, in.shape.n * call.groups, 1));
        if (call.slot + 1 < call.slots) return {};
        push.partialsAddress = target.address(*call.totals);
        push.slices = call.slots;
    }
    return add(target, "group_norm_coefficients.comp", {}, push, in.shape.n * call.groups, 1);
}

Result<void> PortableKernels::normApply(const GroupNormApplyCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    const std::uint64_t items = in.shape.pixels() * in.shape.c / 4;
    const push::GroupNormApply push{.inAddress = target.address(call.in),
                                    .coefficientsAddress = target.address(call.coefficients),
                                    .outAddress = target.address(call.out),
                                    .items = items,
                                    .pictures = narrow<uint>(in.shape.n),
                                    .blocks = narrow<uint>(in.shape.c / 4),
                                    .perPicture = narrow<uint>(divideUp<std::uint64_t>(items, GROUP_NORM_APPLY_ITEMS))};
    std::vector<Define> defines{{"IN", shaderType(in.dtype)}, {"OUT", shaderType(out.dtype)}};
    addActivation(defines, call.activation);
    return add(target, "group_norm_apply.comp", defines, push, in.shape.n * push.perPicture, 1);
}

Result<void> PortableKernels::softmax(const Target& target, TensorId scores, std::uint32_t rows, std::uint32_t keys,
                                      std::uint32_t stride) {
    return add(target, "softmax.comp", {}, push::Softmax{target.address(scores), rows, keys, stride}, rows, 1);
}

Result<void> PortableKernels::tanhClamp(const TanhClampCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    const std::uint64_t blocks = in.shape.elements() / 4;
    return add(target, "tanh_clamp.comp", {{"IN", shaderType(in.dtype)}, {"OUT", shaderType(out.dtype)}},
               push::Elementwise{target.address(call.in), target.address(call.out), blocks}, blocks, 64);
}

Result<void> PortableKernels::blend(const BlendCall& call, const Target& target) {
    const Shape &in = target.tensor(call.in).shape, &band = target.tensor(call.out).shape;
    const std::uint64_t weights = target.address(call.weights);
    return add(target, "blend.comp", {},
               push::Blend{.inAddress = target.address(call.in),
                           .rowWeightsAddress = weights + call.rowWeights * sizeof(float),
                           .columnWeightsAddress = weights + call.columnWeights * sizeof(float),
                           .bandAddress = target.address(call.out),
                           .height = narrow<uint>(in.h),
                           .width = narrow<uint>(in.w),
                           .channels = narrow<uint>(in.c),
                           .bandRow = narrow<uint>(call.bandRow),
                           .bandRows = narrow<uint>(band.h),
                           .bandWidth = narrow<uint>(band.w),
                           .column = narrow<uint>(call.column),
                           .splitRow = narrow<uint>(call.splitRow)},
               in.elements(), 64);
}

Result<void> PortableKernels::activation(const ActivationCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    std::vector<Define> defines{{"IN", shaderType(in.dtype)}, {"OUT", shaderType(out.dtype)}};
    addActivation(defines, call.activation);
    const std::uint64_t blocks = in.shape.elements() / 4;
    return add(target, "activation.comp", defines,
               push::Elementwise{target.address(call.in), target.address(call.out), blocks}, blocks, 64);
}

} // namespace spikescope
