#include "core/kernels/cpu_kernels.h"

#include "core/base/checked.h"

#include <algorithm>

namespace spikescope {

namespace {

constexpr std::uint32_t lanes = 8; // of a subgroup, and threads of every group

// Output channels of a tile of conv3x3_cpu.comp: the most that divides them.
std::uint64_t convTile(std::uint64_t outChannels) {
    for (const std::uint64_t tile : {16, 8, 4})
        if (outChannels % tile == 0) return tile;
    return outChannels == 3 ? 3 : 0;
}
std::uint64_t convColumns(std::uint64_t tile) { return tile > 8 ? 4 : 6; } // pixels of a lane, as in the shader

// Rows of a lane and columns of a tile in gemm_cpu.comp.
constexpr std::uint64_t gemmRows = 5, gemmColumns = 32;

struct GemmPush {
    std::uint64_t c;
    std::uint32_t aRow, bRow, cRow, m, n, k;
    float alpha;
};

std::uint64_t gemmGroups(std::uint64_t m, std::uint64_t n) {
    return divideUp(m, lanes * gemmRows) * divideUp(n, gemmColumns);
}

} // namespace

bool CpuKernels::viewable(const Tensor& tensor) const {
    return tensor.bytes / (4 * sizeOf(tensor.dtype)) <= m_mostTexels;
}

TexelView CpuKernels::view(const Target& target, TensorId id) const {
    const Tensor& tensor = target.tensor(id);
    const VkFormat formats[] = {VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R16G16B16A16_SFLOAT,
                                VK_FORMAT_R16G16B16A16_UINT};
    const BoundTensor& bound = target.bindings[id.index];
    // Texels are four elements; what a tensor of three has behind it is padding of its block.
    return {.buffer = bound.buffer,
            .offset = bound.offset,
            .bytes = roundUp(tensor.bytes, 4 * sizeOf(tensor.dtype)),
            .format = formats[static_cast<int>(tensor.dtype)]};
}

template <class Push>
Result<Dispatch> CpuKernels::makeTexel(std::string_view shader, const std::vector<Define>& defines, const Push& push,
                                       std::vector<TexelView> views) {
    TRY(Dispatch dispatch, make(shader, defines, push, ShaderLibrary::Inputs::Texels));
    dispatch.views = std::move(views);
    return dispatch;
}

CpuKernels::ConvWay CpuKernels::wayOf(const ConvCall& call, const Program& program) const {
    const Tensor &in = program.tensor(call.in), &out = program.tensor(call.out);
    if (in.shape.c % 4 != 0 || !viewable(in) || !viewable(out) || !viewable(program.tensor(call.weight)))
        return ConvWay::Portable;
    if (call.residual && program.tensor(*call.residual).dtype != out.dtype) return ConvWay::Portable;
    if (call.kernel == 3) {
        const std::uint64_t tile = convTile(out.shape.c);
        if (tile == 0 || call.activation == Activation::Silu || (tile == 3 && call.residual)) return ConvWay::Portable;
        return call.stride == 2 || call.padBegin == 1 ? ConvWay::Conv3x3 : ConvWay::Portable;
    }
    const bool plain =
        out.shape.c % 4 == 0 && call.stride == 1 && !call.upsample && call.activation == Activation::None;
    return plain && in.shape.n * in.shape.pixels() < (std::uint64_t{1} << 31) ? ConvWay::Gemm : ConvWay::Portable;
}

WeightPacking CpuKernels::packing(const ConvCall& call, const Program& program) const {
    if (wayOf(call, program) != ConvWay::Conv3x3) return PortableKernels::packing(call, program);
    const std::uint64_t out = program.tensor(call.out).shape.c, in = program.tensor(call.in).shape.c,
                        tile = convTile(out);
    return {{out / tile, tile * in * 9}, {3, 3}, {in / 4, 36}, {tile, in * 9}, {4, 9}, {3, 1}};
}

Result<void> CpuKernels::conv(const ConvCall& call, const Target& target) {
    switch (wayOf(call, target.program)) {
    case ConvWay::Conv3x3: return conv3x3(call, target);
    case ConvWay::Gemm: return gemm(call, target);
    case ConvWay::Portable: break;
    }
    return PortableKernels::conv(call, target);
}

Result<void> CpuKernels::conv3x3(const ConvCall& call, const Target& target) {
    struct Push {
        std::uint64_t y;
        std::int32_t h, w, hIn, wIn, c, k;
    };
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    const std::uint64_t tile = convTile(out.shape.c);
    const Push push{.y = target.address(call.out),
                    .h = static_cast<std::int32_t>(out.shape.h),
                    .w = static_cast<std::int32_t>(out.shape.w),
                    .hIn = static_cast<std::int32_t>(in.shape.h),
                    .wIn = static_cast<std::int32_t>(in.shape.w),
                    .c = static_cast<std::int32_t>(in.shape.c),
                    .k = static_cast<std::int32_t>(out.shape.c)};
    std::vector<Define> defines{{"ACT_" + shaderType(in.dtype), "1"},
                                {"OUT_" + shaderType(out.dtype), "1"},
                                {"W_" + shaderType(target.tensor(call.weight).dtype), "1"},
                                {"KT", std::to_string(tile)},
                                {"PV", std::to_string(convColumns(tile))},
                                {"STRIDE", std::to_string(call.stride)},
                                {"PAD", std::to_string(call.padBegin)}};
    if (call.upsample) defines.push_back({"UPSAMPLE", "1"});
    if (call.bias) defines.push_back({"BIAS", "1"});
    if (call.residual) defines.push_back({"RESIDUAL", "1"});
    if (call.activation == Activation::Relu) defines.push_back({"RELU", "1"});
    TRY(Dispatch dispatch,
        makeTexel("conv3x3_cpu.comp", defines, push,
                  {view(target, call.in), view(target, call.weight), view(target, call.residual.value_or(call.in)),
                   view(target, call.bias.value_or(call.in))}));
    dispatch.groups = {static_cast<std::uint32_t>(divideUp(out.shape.w, convColumns(tile))),
                       static_cast<std::uint32_t>(divideUp<std::uint64_t>(out.shape.h, lanes)),
                       static_cast<std::uint32_t>(out.shape.n * (out.shape.c / tile))};
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

Result<void> CpuKernels::gemm(const ConvCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    const std::uint64_t m = in.shape.n * in.shape.pixels();
    std::vector<Define> defines{{"ACT_" + shaderType(in.dtype), "1"},
                                {"OUT_" + shaderType(out.dtype), "1"},
                                {"W_" + shaderType(target.tensor(call.weight).dtype), "1"},
                                {"B_KN", "1"}};
    if (call.bias) defines.push_back({"BIAS", "1"});
    if (call.residual) defines.push_back({"RESIDUAL", "1"});
    const GemmPush push{.c = target.address(call.out),
                        .aRow = 0,
                        .bRow = 0,
                        .cRow = 0,
                        .m = static_cast<std::uint32_t>(m),
                        .n = static_cast<std::uint32_t>(out.shape.c),
                        .k = static_cast<std::uint32_t>(in.shape.c),
                        .alpha = 1.0f};
    TRY(Dispatch dispatch,
        makeTexel("gemm_cpu.comp", defines, push,
                  {view(target, call.in), view(target, call.weight), view(target, call.residual.value_or(call.in)),
                   view(target, call.bias.value_or(call.in))}));
    setGroups(dispatch, gemmGroups(m, out.shape.c), 1);
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

Result<void> CpuKernels::attention(const AttentionCall& call, const Target& target) {
    const Tensor &q = target.tensor(call.q), &out = target.tensor(call.out), &scores = target.tensor(call.scores);
    const std::uint64_t pixels = q.shape.pixels();
    if (pixels % 4 != 0 || !viewable(q) || !viewable(scores)) return PortableKernels::attention(call, target);
    const std::vector<Define> scoresDefines{{"ACT_" + shaderType(q.dtype), "1"},
                                            {"OUT_F32", "1"},
                                            {"W_" + shaderType(q.dtype), "1"},
                                            {"B_NK", "1"},
                                            {"ALPHA", "1"}};
    const std::vector<Define> valuesDefines{
        {"ACT_F32", "1"}, {"OUT_" + shaderType(out.dtype), "1"}, {"W_" + shaderType(q.dtype), "1"}, {"B_KN", "1"}};
    const auto keys = static_cast<std::uint32_t>(pixels), channels = static_cast<std::uint32_t>(q.shape.c);
    for (std::uint64_t picture = 0; picture < q.shape.n; ++picture)
        for (std::uint64_t first = 0; first < pixels; first += call.chunkRows) {
            const auto rows = static_cast<std::uint32_t>(std::min(call.chunkRows, pixels - first));
            const auto base = static_cast<std::uint32_t>(picture * pixels),
                       row = base + static_cast<std::uint32_t>(first);
            TRY(Dispatch products, makeTexel("gemm_cpu.comp", scoresDefines,
                                             GemmPush{.c = target.address(call.scores),
                                                      .aRow = row,
                                                      .bRow = base,
                                                      .cRow = 0,
                                                      .m = rows,
                                                      .n = keys,
                                                      .k = channels,
                                                      .alpha = call.scale},
                                             {view(target, call.q), view(target, call.k)}));
            setGroups(products, gemmGroups(rows, keys), 1);
            target.dispatches.push_back(std::move(products));
            CHECK(softmax(target, call.scores, rows, keys, keys));
            TRY(Dispatch mixed, makeTexel("gemm_cpu.comp", valuesDefines,
                                          GemmPush{.c = target.address(call.out),
                                                   .aRow = 0,
                                                   .bRow = base,
                                                   .cRow = row,
                                                   .m = rows,
                                                   .n = channels,
                                                   .k = keys,
                                                   .alpha = 1.0f},
                                          {view(target, call.scores), view(target, call.v)}));
            setGroups(mixed, gemmGroups(rows, channels), 1);
            target.dispatches.push_back(std::move(mixed));
        }
    return {};
}

Result<void> CpuKernels::softmax(const Target& target, TensorId scores, std::uint32_t rows, std::uint32_t keys,
                                 std::uint32_t stride) {
    if (keys != stride || !viewable(target.tensor(scores)))
        return PortableKernels::softmax(target, scores, rows, keys, stride);
    struct Push {
        std::uint64_t scores;
        std::uint32_t rows, keys;
    };
    TRY(Dispatch dispatch,
        makeTexel("softmax_cpu.comp", {}, Push{target.address(scores), rows, keys}, {view(target, scores)}));
    setGroups(dispatch, rows, 1);
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

Result<void> CpuKernels::normStats(const GroupNormStatsCall& call, const Target& target) {
    const Tensor& in = target.tensor(call.in);
    const std::uint64_t perGroup = in.shape.c / call.groups;
    if (!viewable(in) || (32 % perGroup != 0 && perGroup % 4 != 0)) return PortableKernels::normStats(call, target);
    struct Push {
        std::uint64_t partials;
        std::int32_t pixels, c, groups, slices;
    };
    TRY(Dispatch dispatch,
        makeTexel("group_norm_stats_cpu.comp",
                  {{"ACT_" + shaderType(in.dtype), "1"}, {"CHANNELS_PER_GROUP", std::to_string(perGroup)}},
                  Push{.partials = target.address(call.partials),
                       .pixels = static_cast<std::int32_t>(in.shape.pixels()),
                       .c = static_cast<std::int32_t>(in.shape.c),
                       .groups = static_cast<std::int32_t>(call.groups),
                       .slices = static_cast<std::int32_t>(call.slices)},
                  {view(target, call.in)}));
    const std::uint64_t channelsAtOnce = 32 % perGroup == 0 ? 32 : perGroup;
    dispatch.groups = {static_cast<std::uint32_t>(call.slices),
                       static_cast<std::uint32_t>(divideUp(in.shape.c, channelsAtOnce)),
                       static_cast<std::uint32_t>(in.shape.n)};
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

Result<void> CpuKernels::normApply(const GroupNormApplyCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    if (!viewable(in)) return PortableKernels::normApply(call, target);
    constexpr std::uint64_t channelsAtOnce = 128, fewestPixels = 64, mostGroups = 65535;
    const std::uint64_t pixels = in.shape.pixels(), perGroup = std::max(fewestPixels, divideUp(pixels, mostGroups));
    std::vector<Define> defines{{"ACT_" + shaderType(in.dtype), "1"}, {"OUT_" + shaderType(out.dtype), "1"}};
    if (call.activation == Activation::Silu) defines.push_back({"SILU", "1"});
    if (call.activation == Activation::Relu) defines.push_back({"RELU", "1"});
    struct Push {
        std::uint64_t y;
        std::int32_t pixels, c, perGroup;
    };
    TRY(Dispatch dispatch, makeTexel("group_norm_apply_cpu.comp", defines,
                                     Push{.y = target.address(call.out),
                                          .pixels = static_cast<std::int32_t>(pixels),
                                          .c = static_cast<std::int32_t>(in.shape.c),
                                          .perGroup = static_cast<std::int32_t>(perGroup)},
                                     {view(target, call.in), view(target, call.coefficients)}));
    dispatch.groups = {static_cast<std::uint32_t>(divideUp(in.shape.c, channelsAtOnce)),
                       static_cast<std::uint32_t>(divideUp(pixels, perGroup)), static_cast<std::uint32_t>(in.shape.n)};
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

} // namespace spikescope
