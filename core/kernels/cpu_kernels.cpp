#include "core/kernels/cpu_kernels.h"

#include "core/base/checked.h"

#include <algorithm>

namespace spikescope {

namespace {

constexpr std::uint32_t lanes = CPU_LANES;

// Output channels of a tile of conv3x3_cpu.comp: the largest that divides them.
std::uint64_t convTile(std::uint64_t outChannels) {
    for (const std::uint64_t tile : {16, 8, 4})
        if (outChannels % tile == 0) return tile;
    return outChannels == 3 ? 3 : 0;
}
std::uint64_t convColumns(std::uint64_t tile) { return tile > 8 ? 4 : 6; } // pixels of a lane, as in the shader

constexpr std::uint64_t gemmRows = GEMM_CPU_ROWS, gemmColumns = GEMM_CPU_COLUMNS;

// Rows of a workgroup of Winograd's products: of two sizes the one with less padding.
std::uint64_t winogradRows(std::uint64_t tiles) {
    constexpr std::uint64_t large = lanes * gemmRows, small = large - lanes;
    return roundUp(tiles, small) < roundUp(tiles, large) ? small : large;
}

std::uint64_t gemmGroups(std::uint64_t m, std::uint64_t n) {
    return divideUp(m, lanes * gemmRows) * divideUp(n, gemmColumns);
}

} // namespace

bool CpuKernels::viewable(const Tensor& tensor) const { return texels(tensor) <= m_maxTexels; }

// Texels of four elements. A tensor within another one is strided: its view includes the gaps between its pixels. The
// last texel may reach into the padding that every block has.
std::uint64_t CpuKernels::texels(const Tensor& tensor) {
    const std::uint64_t elements = tensor.within
                                       ? (tensor.shape.n * tensor.shape.pixels() - 1) * tensor.stride() + tensor.shape.c
                                       : tensor.bytes / sizeOf(tensor.dtype);
    return divideUp<std::uint64_t>(elements, 4);
}

TexelView CpuKernels::view(const Target& target, TensorId id) const {
    const Tensor& tensor = target.tensor(id);
    const VkFormat formats[] = {VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R16G16B16A16_SFLOAT,
                                VK_FORMAT_R16G16B16A16_UINT};
    const BoundTensor& bound = target.bound(id);
    return {.buffer = bound.buffer,
            .block = bound.block,
            .offset = bound.offset + tensor.offset,
            .bytes = texels(tensor) * 4 * sizeOf(tensor.dtype),
            .format = formats[static_cast<int>(tensor.dtype)]};
}

template <class Push>
Result<Dispatch> CpuKernels::makeTexel(std::string_view shader, const std::vector<Define>& defines, const Push& push,
                                       std::vector<TexelView> views) {
    TRY(Dispatch dispatch, make(shader, defines, push, Pipelines::Inputs::Texels));
    dispatch.views = std::move(views);
    return dispatch;
}

// Whether conv3x3_cpu.comp makes this convolution.
bool CpuKernels::hasTile(const ConvCall& call, const Program& program) const {
    const Tensor &in = program.tensor(call.in), &out = program.tensor(call.out);
    if (call.kernel != 3 || in.shape.c % 4 != 0 || call.activation == Activation::Silu) return false;
    if (!viewable(in) || !viewable(out) || !viewable(program.tensor(call.weight))) return false;
    if (call.residual && program.tensor(*call.residual).dtype != out.dtype) return false;
    const std::uint64_t tile = convTile(out.shape.c);
    if (tile == 0 || (tile == 3 && (call.residual || call.method == ConvMethod::Folded))) return false;
    return true;
}

WeightPacking CpuKernels::packing(const ConvCall& call, const Program& program) const {
    const bool tiled = call.method == ConvMethod::Direct || call.method == ConvMethod::Folded;
    if (!tiled || !hasTile(call, program)) return PortableKernels::packing(call, program);
    const std::uint64_t out = program.tensor(call.out).shape.c, in = program.tensor(call.in).shape.c,
                        tile = convTile(out);
    if (call.method == ConvMethod::Folded)
        return {{4, out * in * 4}, {out / tile, tile * in * 4}, {2, 2}, {in / 4, 16}, {tile, in * 4}, {4, 4}, {2, 1}};
    return {{out / tile, tile * in * 9}, {3, 3}, {in / 4, 36}, {tile, in * 9}, {4, 9}, {3, 1}};
}

Result<void> CpuKernels::directConv(const ConvCall& given, const Target& target) {
    ConvCall call = given;
    // Several tiles read each element, and norming it for each of them costs as much as the products.
    if (call.norm && call.norm->isLastUse && !target.tensor(call.in).within && target.tensor(call.out).shape.c > 4) {
        CHECK(normApply({.in = call.in,
                         .coefficients = call.norm->coefficients,
                         .out = call.in,
                         .activation = call.norm->activation},
                        target));
        call.norm.reset();
    }
    return hasTile(call, target.program) ? conv3x3(call, target) : PortableKernels::directConv(call, target);
}

Result<void> CpuKernels::conv3x3(const ConvCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    const std::uint64_t tile = convTile(out.shape.c);
    const bool folded = call.method == ConvMethod::Folded;
    const push::Conv3x3Cpu push{.y = target.address(call.out),
                                .h = narrow<int>(out.shape.h),
                                .w = narrow<int>(out.shape.w),
                                .hIn = narrow<int>(in.shape.h),
                                .wIn = narrow<int>(in.shape.w),
                                .c = narrow<int>(in.shape.c),
                                .k = narrow<int>(out.shape.c),
                                .xStride = narrow<int>(in.stride()),
                                .yStride = narrow<int>(out.stride()),
                                .residualStride =
                                    narrow<int>(call.residual ? target.tensor(*call.residual).stride() : 0),
                                .top = folded ? foldedPad(call.padTop) : call.padTop,
                                .left = folded ? foldedPad(call.padLeft) : call.padLeft};
    std::vector<Define> defines{{"IN", shaderType(in.dtype)},
                                {"OUT", shaderType(out.dtype)},
                                {"WEIGHT", shaderType(target.tensor(call.weight).dtype)},
                                {"KT", std::to_string(tile)},
                                {"PV", std::to_string(convColumns(tile))},
                                {"STRIDE", std::to_string(call.stride)}};
    if (call.upsample) defines.push_back({folded ? "FOLDED" : "UPSAMPLE", "1"});
    addEpilogue(defines, call, target.program);
    addNorm(defines, call.norm);
    TRY(Dispatch dispatch,
        makeTexel("conv3x3_cpu.comp", defines, push,
                  {view(target, call.in), view(target, call.weight), view(target, call.residual.value_or(call.in)),
                   view(target, call.bias.value_or(call.in)),
                   view(target, call.norm ? call.norm->coefficients : call.in)}));
    const std::uint64_t phaseRows = folded ? 2 : 1; // and columns
    dispatch.groups = {narrow<uint>(divideUp(out.shape.w / phaseRows, convColumns(tile))),
                       narrow<uint>(divideUp<std::uint64_t>(out.shape.h / phaseRows, lanes)),
                       narrow<uint>((folded ? 4 : 1) * out.shape.n * (out.shape.c / tile))};
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

// Tiles, filters and products are stored in the order in which these shaders read them, not by planes. The padded copy,
// which the plan has because MLX makes one, is not written: tiles are read from the input.
Result<void> CpuKernels::winograd(const ConvCall& call, const Target& target) {
    const ConvCall::Winograd& w = *call.winograd;
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out), &padded = target.tensor(w.padded);
    // The input, the output and the weights have fewer elements than these.
    const bool fits = out.shape.c % gemmColumns == 0 && call.activation != Activation::Silu &&
                      viewable(target.tensor(w.filters)) && viewable(target.tensor(w.inputs)) &&
                      viewable(target.tensor(w.products)) &&
                      (!call.residual || target.tensor(*call.residual).dtype == out.dtype);
    if (!fits) return PortableKernels::winograd(call, target);
    const std::uint64_t tilesY = (padded.shape.h - 2) / winogradTile, tilesX = (padded.shape.w - 2) / winogradTile,
                        tiles = padded.shape.n * tilesY * tilesX, c4 = in.shape.c / 4,
                        columns = out.shape.c / gemmColumns, rows = winogradRows(tiles);
    const std::string type = shaderType(in.dtype);
    const auto mapPush = [&](TensorId to, const Shape& map) {
        return push::WinogradMapCpu{target.address(to), narrow<int>(map.h),  narrow<int>(map.w),
                                    narrow<int>(map.c), narrow<int>(tilesY), narrow<int>(tilesX),
                                    narrow<int>(tiles), call.padTop,         call.padLeft};
    };
    const auto add = [&](Dispatch dispatch, std::uint64_t groups, std::uint64_t planes = 1) {
        setGroups(dispatch, groups, 1);
        dispatch.groups[2] = narrow<uint>(planes);
        target.dispatches.push_back(std::move(dispatch));
    };

    std::vector<Define> inputDefines{{"IN", type}, {"OUT", type}, {"ROWS", std::to_string(rows)}};
    if (call.upsample) inputDefines.push_back({"UPSAMPLE", "1"});
    TRY(Dispatch input,
        makeTexel("winograd_input_cpu.comp", inputDefines, mapPush(w.inputs, in.shape), {view(target, call.in)}));
    add(std::move(input), tiles * divideUp<std::uint64_t>(c4, lanes));

    TRY(Dispatch filter,
        makeTexel("winograd_filter_cpu.comp", {{"WEIGHT", shaderType(target.tensor(call.weight).dtype)}, {"OUT", type}},
                  push::WinogradFilterCpu{target.address(w.filters), narrow<int>(in.shape.c), narrow<int>(out.shape.c)},
                  {view(target, call.weight)}));
    add(std::move(filter), in.shape.c * columns);

    TRY(Dispatch products, makeTexel("gemm_cpu.comp",
                                     {{"IN", type},
                                      {"OUT", type},
                                      {"WEIGHT", type},
                                      {"B_KN", "1"},
                                      {"WINOGRAD", "1"},
                                      {"PV", std::to_string(rows / lanes)}},
                                     push::GemmCpu{.c = target.address(w.products),
                                                   .aRow = 0,
                                                   .bRow = 0,
                                                   .cRow = 0,
                                                   .m = narrow<uint>(tiles),
                                                   .n = narrow<uint>(out.shape.c),
                                                   .k = narrow<uint>(in.shape.c),
                                                   .alpha = 1.0f},
                                     {view(target, w.inputs), view(target, w.filters)}));
    add(std::move(products), divideUp(tiles, rows) * columns, winogradReach * winogradReach);

    std::vector<Define> outputDefines{{"IN", type}, {"OUT", shaderType(out.dtype)}};
    addEpilogue(outputDefines, call, target.program);
    TRY(Dispatch output, makeTexel("winograd_output_cpu.comp", outputDefines, mapPush(call.out, out.shape),
                                   {view(target, w.products), view(target, call.residual.value_or(w.products)),
                                    view(target, call.bias.value_or(w.products))}));
    add(std::move(output), tiles * columns);
    return {};
}

Result<void> CpuKernels::matmul(const Matmul& m, const Target& target) {
    const Tensor &a = target.tensor(m.a), &b = target.tensor(m.b), &out = target.tensor(m.out);
    const std::uint64_t inBlocks = m.inner / 4, outBlocks = m.columns / 4;
    const bool fits =
        m.inner % 4 == 0 && m.columns % (m.inPlace ? gemmColumns : 4) == 0 && m.activation != Activation::Silu &&
        viewable(b) &&
        (!m.residual || (viewable(target.tensor(*m.residual)) && target.tensor(*m.residual).dtype == out.dtype)) &&
        outBlocks * (m.outRow + m.rows) < std::uint64_t{1} << 31;
    // Rows that one view holds. Where these are not all rows, views begin at multiples of 64 rows, whose bytes are
    // multiples of every alignment.
    const std::uint64_t viewRows = m_maxTexels / std::max<std::uint64_t>(inBlocks, 1) / 64 * 64;
    if (!fits || viewRows == 0 || (!viewable(a) && m.aRow % 64 != 0)) return PortableKernels::matmul(m, target);
    std::vector<Define> defines{
        {"IN", shaderType(a.dtype)}, {"OUT", shaderType(out.dtype)}, {"WEIGHT", shaderType(b.dtype)}, {"B_KN", "1"}};
    addEpilogue(defines, m, target.program);
    if (m.inPlace) defines.insert(defines.end(), {{"IN_PLACE", "1"}, {"COLUMNS", std::to_string(m.columns)}});
    const std::uint64_t maxRows = viewable(a) ? m.rows : viewRows;
    for (std::uint64_t done = 0; done < m.rows; done += maxRows) {
        const std::uint64_t rows = std::min(maxRows, m.rows - done);
        std::uint64_t aRow = m.aRow + done;
        TexelView aView = view(target, m.a);
        if (!viewable(a)) {
            aView.offset += aRow * m.inner * sizeOf(a.dtype);
            aView.bytes = rows * m.inner * sizeOf(a.dtype);
            aRow = 0;
        }
        const push::GemmCpu push{.c = target.address(m.out),
                                 .aRow = narrow<uint>(aRow),
                                 .bRow = narrow<uint>(m.bRow),
                                 .cRow = narrow<uint>(m.outRow + done),
                                 .m = narrow<uint>(rows),
                                 .n = narrow<uint>(m.columns),
                                 .k = narrow<uint>(m.inner),
                                 .alpha = 1.0f};
        TRY(Dispatch dispatch, makeTexel("gemm_cpu.comp", defines, push,
                                         {aView, view(target, m.b), m.residual ? view(target, *m.residual) : aView,
                                          m.bias ? view(target, *m.bias) : aView}));
        setGroups(dispatch, gemmGroups(rows, m.inPlace ? gemmColumns : m.columns), 1);
        target.dispatches.push_back(std::move(dispatch));
    }
    return {};
}

Result<void> CpuKernels::attention(const AttentionCall& call, const Target& target) {
    const Tensor &q = target.tensor(call.q), &out = target.tensor(call.out), &scores = target.tensor(call.scores);
    const std::uint64_t pixels = q.shape.pixels();
    if (pixels % 4 != 0 || !viewable(q) || !viewable(scores)) return PortableKernels::attention(call, target);
    const std::vector<Define> scoresDefines{
        {"IN", shaderType(q.dtype)}, {"OUT", "F32"}, {"WEIGHT", shaderType(q.dtype)}, {"B_NK", "1"}, {"ALPHA", "1"}};
    const std::vector<Define> valuesDefines{
        {"IN", "F32"}, {"OUT", shaderType(out.dtype)}, {"WEIGHT", shaderType(q.dtype)}, {"B_KN", "1"}};
    const auto keys = narrow<uint>(pixels), channels = narrow<uint>(q.shape.c);
    for (std::uint64_t picture = 0; picture < q.shape.n; ++picture)
        for (std::uint64_t first = 0; first < pixels; first += call.chunkRows) {
            const auto rows = narrow<uint>(std::min(call.chunkRows, pixels - first));
            const auto base = narrow<uint>(picture * pixels), row = base + narrow<uint>(first);
            TRY(Dispatch products, makeTexel("gemm_cpu.comp", scoresDefines,
                                             push::GemmCpu{.c = target.address(call.scores),
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
                                          push::GemmCpu{.c = target.address(call.out),
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
    TRY(Dispatch dispatch, makeTexel("softmax_cpu.comp", {}, push::SoftmaxCpu{target.address(scores), rows, keys},
                                     {view(target, scores)}));
    setGroups(dispatch, rows, 1);
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

Result<void> CpuKernels::normStats(const GroupNormStatsCall& call, const Target& target) {
    const Tensor& in = target.tensor(call.in);
    const std::uint64_t perGroup = in.shape.c / call.groups;
    if (!viewable(in) || (32 % perGroup != 0 && perGroup % 4 != 0)) return PortableKernels::normStats(call, target);
    TRY(Dispatch dispatch, makeTexel("group_norm_stats_cpu.comp",
                                     {{"IN", shaderType(in.dtype)}, {"CHANNELS_PER_GROUP", std::to_string(perGroup)}},
                                     push::GroupNormStatsCpu{.partials = target.address(call.partials),
                                                             .pixels = narrow<int>(in.shape.pixels()),
                                                             .c = narrow<int>(in.shape.c),
                                                             .groups = narrow<int>(call.groups),
                                                             .slices = narrow<int>(call.slices),
                                                             .stride = narrow<int>(in.stride())},
                                     {view(target, call.in)}));
    const std::uint64_t groupChannels = 32 % perGroup == 0 ? 32 : perGroup;
    dispatch.groups = {narrow<uint>(call.slices), narrow<uint>(divideUp(in.shape.c, groupChannels)),
                       narrow<uint>(in.shape.n)};
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

Result<void> CpuKernels::normApply(const GroupNormApplyCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    if (!viewable(in)) return PortableKernels::normApply(call, target);
    constexpr std::uint64_t groupChannels = 128, minPixels = 64, maxGroups = 65535;
    const std::uint64_t pixels = in.shape.pixels(), perGroup = std::max(minPixels, divideUp(pixels, maxGroups));
    std::vector<Define> defines{{"IN", shaderType(in.dtype)}, {"OUT", shaderType(out.dtype)}};
    addActivation(defines, call.activation);
    TRY(Dispatch dispatch, makeTexel("group_norm_apply_cpu.comp", defines,
                                     push::GroupNormApplyCpu{.y = target.address(call.out),
                                                             .pixels = narrow<int>(pixels),
                                                             .c = narrow<int>(in.shape.c),
                                                             .perGroup = narrow<int>(perGroup)},
                                     {view(target, call.in), view(target, call.coefficients)}));
    dispatch.groups = {narrow<uint>(divideUp(in.shape.c, groupChannels)), narrow<uint>(divideUp(pixels, perGroup)),
                       narrow<uint>(in.shape.n)};
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

} // namespace spikescope
