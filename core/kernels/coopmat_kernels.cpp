#include "core/kernels/coopmat_kernels.h"

#include "core/base/checked.h"

#include <algorithm>
#include <bit>

namespace spikescope {

namespace {

// Indices into CoopmatKernels::convTiles: the tiles that the rule takes besides the first one.
constexpr std::size_t deepTile = 1, wideTile = 2, narrowTile = 4;

// Shaders index the 16-byte units of one picture, or the elements of a picture with few channels.
std::uint64_t unitsOf(const Tensor& map) { return map.shape.pixels() * map.stride() * sizeOf(map.dtype) / 16; }
bool isCountable(const Tensor& map) { return unitsOf(map) <= indexEnd; }

constexpr std::string_view convShader = "conv3x3_coopmat.comp", productShader = "gemm_coopmat.comp";

// Tiles of gemm_coopmat.comp: 16 × 16 blocks of a warp in each direction, how many of the four warps share rows of c,
// and how many steps ahead blocks of b are prefetched.
struct MatrixTile {
    std::string_view name;
    std::uint64_t blocks, warpsN, ahead;

    std::uint64_t rows() const { return 4 / warpsN * blocks * 16; }
    std::uint64_t columns() const { return warpsN * blocks * 16; }
};
constexpr MatrixTile matrixTiles[] = {{"128x128", 4, 2, 1},
                                      {"64x256", 4, 4, 1},
                                      {"64x64", 2, 2, 1},
                                      {"32x128", 2, 4, 1},
                                      {"128x128 two ahead", 4, 2, 2},
                                      {"64x256 two ahead", 4, 4, 2},
                                      {"64x64 two ahead", 2, 2, 2},
                                      {"32x128 two ahead", 2, 4, 2}};

// 16 bytes from pixel to pixel.
std::int32_t strideOf(const Tensor& map) { return narrow<int>(map.stride() * sizeOf(map.dtype) / 16); }

// Rows and columns that a convolution reads, and its padding; with UPSAMPLE those of the upsampled feature map.
struct InputWindow {
    std::int32_t rows, columns, top, left;
};
InputWindow windowOf(const ConvCall& call, const Tensor& in) {
    if (call.method == ConvMethod::Folded)
        return {narrow<int>(in.shape.h), narrow<int>(in.shape.w), foldedPad(call.padTop), foldedPad(call.padLeft)};
    const std::uint64_t scaling = call.upsample ? 2 : 1;
    return {narrow<int>(scaling * in.shape.h), narrow<int>(scaling * in.shape.w), call.padTop, call.padLeft};
}

} // namespace

// A tile makes one slice of statistics; convSlices() reckons with the smallest tiles.
const CoopmatKernels::ConvTile CoopmatKernels::convTiles[] = {{"8x16 pixels, 128 channels", 8, 2, 2},
                                                              {"8x16 pixels, 128 channels, 64 deep", 8, 2, 4},
                                                              {"4x16 pixels, 256 channels, 64 deep", 4, 4, 4},
                                                              {"4x16 pixels, 256 channels", 4, 4, 2},
                                                              {"8x16 pixels, 64 channels", 8, 1, 2}};

bool CoopmatKernels::multiplies(const Program& program, std::initializer_list<TensorId> tensors) const {
    const DType type = program.tensor(*tensors.begin()).dtype;
    return std::ranges::find(m_types, type) != m_types.end() &&
           std::ranges::all_of(tensors, [&](TensorId id) { return program.tensor(id).dtype == type; });
}

// 3×3, stride 1, with a norm and an activation that the shaders have.
bool CoopmatKernels::isPlain3x3(const ConvCall& call, const Program& program) const {
    const Tensor& in = program.tensor(call.in);
    return call.kernel == 3 && call.stride == 1 && call.activation != Activation::Silu &&
           multiplies(program, {call.in, call.weight}) && in.shape.c % 32 == 0 && isCountable(in) &&
           isCountable(program.tensor(call.out)) && (!call.norm || call.norm->activation != Activation::Relu);
}

std::optional<CoopmatKernels::ConvTile> CoopmatKernels::tileOf(const ConvCall& call, const Program& program) const {
    const Tensor &in = program.tensor(call.in), &out = program.tensor(call.out);
    const bool fits = (call.method == ConvMethod::Direct || call.method == ConvMethod::Folded) &&
                      isPlain3x3(call, program) && out.shape.c % 64 == 0 &&
                      multiplies(program, {call.in, call.out, call.residual.value_or(call.out)}) &&
                      (call.method == ConvMethod::Direct || !call.norm);
    if (!fits) return std::nullopt;
    // Wide tiles use a normed element for more output channels. A folded convolution has only four taps between
    // barriers, so that its stages are deeper.
    std::size_t rule = 0;
    if (out.shape.c % 128 != 0)
        rule = narrowTile;
    else if (call.norm && out.shape.c % 256 == 0 && in.shape.c % 64 == 0)
        rule = wideTile;
    else if (call.method == ConvMethod::Folded && in.shape.c % 64 == 0)
        rule = deepTile;
    const auto tileFits = [&](const ConvTile& tile) {
        return out.shape.c % tile.channels() == 0 && in.shape.c % (16 * tile.stageBlocks) == 0;
    };
    return m_tiles.choose(convTiles, rule, tileFits, [&] {
        return TileChoices::keyOf(convShader, convDefines(call, program), in.shape.c, out.shape.c,
                                  gridOf(call, program).pixels());
    });
}

// All defines but those of the tile and of the statistics.
std::vector<Define> CoopmatKernels::convDefines(const ConvCall& call, const Program& program) {
    std::vector<Define> defines{{"TYPE", shaderType(program.tensor(call.in).dtype)}};
    if (call.upsample) defines.push_back({call.method == ConvMethod::Folded ? "FOLDED" : "UPSAMPLE", "1"});
    addEpilogue(defines, call, program);
    addNorm(defines, call.norm);
    return defines;
}

bool CoopmatKernels::hasFewOutputChannels(const ConvCall& call, const Program& program) const {
    const Tensor& out = program.tensor(call.out);
    return call.method == ConvMethod::Direct && isPlain3x3(call, program) && call.bias && !call.upsample &&
           !call.residual && call.activation == Activation::None && !call.stats && out.dtype == DType::F32 &&
           out.shape.c <= CONV_FEW_COOPMAT_OUTPUTS && out.shape.pixels() * out.shape.c <= indexEnd;
}

Shape CoopmatKernels::gridOf(const ConvCall& call, const Program& program) {
    Shape grid = program.tensor(call.out).shape;
    if (call.method == ConvMethod::Folded) grid = {.n = grid.n, .h = grid.h / 2, .w = grid.w / 2, .c = grid.c};
    return grid;
}

std::uint64_t CoopmatKernels::tilesOf(const ConvCall& call, const ConvTile& tile, const Program& program) {
    const Shape grid = gridOf(call, program);
    return (call.method == ConvMethod::Folded ? 4 : 1) * divideUp<std::uint64_t>(grid.h, CONV_COOPMAT_ROWS) *
           divideUp(grid.w, tile.columns);
}

std::optional<std::uint64_t> CoopmatKernels::slicesOf(const ConvCall& call, const Program& program) const {
    const auto tile = tileOf(call, program);
    if (!tile || !call.stats) return std::nullopt;
    const std::uint64_t perGroup = program.tensor(call.out).shape.c / call.stats->groups,
                        tiles = tilesOf(call, *tile, program);
    const bool fits = (perGroup == 4 || perGroup == 8 || perGroup == 16 || perGroup == 32) &&
                      perGroup * call.stats->groups == program.tensor(call.out).shape.c && tiles <= call.stats->slices;
    return fits ? std::optional(tiles) : std::nullopt;
}

// Blocks of 16 × 16 as the lanes of a subgroup hold them: lane l has output channel l / 4 (elements 0 to 3) and 8 + l /
// 4, and of each the input channels 2 (l % 4) + {0, 1} and 8 more.
WeightPacking CoopmatKernels::packing(const ConvCall& call, const Program& program) const {
    const std::uint64_t in = program.tensor(call.in).shape.c, out = program.tensor(call.out).shape.c;
    if (hasFewOutputChannels(call, program)) return {{9, 1}, {out, in * 9}, {in, 9}};
    const bool folded = call.method == ConvMethod::Folded;
    const std::uint64_t taps = folded ? 4 : call.kernel * call.kernel, toIn = taps, toOut = in * taps;
    const bool product =
        ((call.method == ConvMethod::Direct && isProduct(call)) || call.method == ConvMethod::Im2col) &&
        takesBlocks(program, {call.in, call.weight, call.out, call.residual.value_or(call.out)}, in * taps, out);
    if (!product && !tileOf(call, program)) return PortableKernels::packing(call, program);
    // Products go through all channels of a tap before the next one, convolutions through all taps of 16 channels.
    WeightPacking packing{{in / 16, 16 * toIn}, {taps, 1}};
    if (product) std::swap(packing[0], packing[1]);
    packing.insert(packing.end(),
                   {{out / 16, 16 * toOut}, {8, toOut}, {4, 2 * toIn}, {2, 8 * toOut}, {2, 8 * toIn}, {2, toIn}});
    if (folded) packing.insert(packing.begin(), {4, out * toOut});
    return packing;
}

Result<void> CoopmatKernels::directConv(const ConvCall& call, const Target& target) {
    if (hasFewOutputChannels(call, target.program)) return convToFewChannels(call, target);
    const auto tile = tileOf(call, target.program);
    if (!tile) return PortableKernels::directConv(call, target);
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    const Shape grid = gridOf(call, target.program);
    const bool folded = call.method == ConvMethod::Folded;
    std::vector<Define> defines = convDefines(call, target.program);
    for (const auto& [name, value] :
         {std::pair{"COLUMNS", tile->columns}, {"BLOCKS", tile->blocks}, {"STAGE_BLOCKS", tile->stageBlocks}})
        defines.push_back({name, std::to_string(value)});
    const auto slices = slicesOf(call, target.program);
    if (slices) defines.push_back({"PER_GROUP", std::to_string(out.shape.c / call.stats->groups)});
    const auto bytesOf = [](const Tensor& map) { return 16 * unitsOf(map); };
    constexpr std::uint64_t haloRows = CONV_COOPMAT_ROWS + 3;
    const InputWindow window = windowOf(call, in);
    CHECK(checkIndices(convShader, {{"bytes of the input around a tile", haloRows * in.shape.w * strideOf(in) * 16},
                                    {"the output", unitsOf(out)},
                                    {"the residual", unitsOf(target.tensor(call.residual.value_or(call.out)))},
                                    {"bytes of the weights", target.tensor(call.weight).bytes},
                                    {"the moments", slices.value_or(0) * (call.stats ? call.stats->groups : 0)}}));
    for (std::uint64_t n = 0; n < out.shape.n; ++n) {
        const push::Conv3x3Coopmat push{
            .x = target.address(call.in) + n * bytesOf(in),
            .w = target.address(call.weight),
            .res = call.residual ? target.address(*call.residual) + n * bytesOf(target.tensor(*call.residual)) : 0,
            .y = target.address(call.out) + n * bytesOf(out),
            .bias = target.address(call.bias),
            .gn = call.norm ? target.address(call.norm->coefficients) + n * in.shape.c * 8 : 0,
            .moments = slices ? target.address(call.stats->partials) + n * *slices * call.stats->groups * 16 : 0,
            .H = narrow<int>(grid.h),
            .W = narrow<int>(grid.w),
            .C = narrow<int>(in.shape.c),
            .K = narrow<int>(out.shape.c),
            .xStride = strideOf(in),
            .yStride = strideOf(out),
            .resStride = call.residual ? strideOf(target.tensor(*call.residual)) : 0,
            .inH = window.rows,
            .inW = window.columns,
            .top = window.top,
            .left = window.left};
        TRY(Dispatch dispatch, make(convShader, defines, push, Pipelines::Inputs::Matrices));
        dispatch.groups = {narrow<uint>((folded ? 4 : 1) * (out.shape.c / tile->channels())),
                           narrow<uint>(divideUp(grid.w, tile->columns)),
                           narrow<uint>(divideUp<std::uint64_t>(grid.h, CONV_COOPMAT_ROWS))};
        target.dispatches.push_back(std::move(dispatch));
    }
    return {};
}

Result<void> CoopmatKernels::convToFewChannels(const ConvCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    std::vector<Define> defines{{"TYPE", shaderType(in.dtype)},
                                {"CHANNELS", std::to_string(in.shape.c)},
                                {"OUTPUTS", std::to_string(out.shape.c)}};
    // A workgroup reads two rows more than it makes: many rows are better while there are enough workgroups.
    constexpr std::uint64_t maxRows = 32, minRows = 8, targetGroups = 512;
    const std::uint64_t columnGroups = divideUp<std::uint64_t>(out.shape.w, CONV_FEW_COOPMAT_COLUMNS);
    std::uint64_t rows = maxRows;
    while (rows > minRows && columnGroups * divideUp(out.shape.h, rows) < targetGroups) rows /= 2;
    addNorm(defines, call.norm);
    constexpr std::string_view shader = "conv3x3_few_coopmat.comp";
    const InputWindow window = windowOf(call, in);
    CHECK(checkIndices(shader, {{"the input", unitsOf(in)}, {"the output", out.shape.pixels() * out.shape.c}}));
    for (std::uint64_t n = 0; n < out.shape.n; ++n) {
        const push::Conv3x3FewCoopmat push{
            .x = target.address(call.in) + n * 16 * unitsOf(in),
            .w = target.address(call.weight),
            .y = target.address(call.out) + n * (out.bytes / out.shape.n),
            .bias = target.address(*call.bias),
            .gn = call.norm ? target.address(call.norm->coefficients) + n * in.shape.c * 8 : 0,
            .H = narrow<int>(out.shape.h),
            .W = narrow<int>(out.shape.w),
            .rows = narrow<int>(rows),
            .xStride = strideOf(in),
            .inH = window.rows,
            .inW = window.columns,
            .top = window.top,
            .left = window.left};
        TRY(Dispatch dispatch, make(shader, defines, push, Pipelines::Inputs::Matrices));
        dispatch.groups = {1, narrow<uint>(columnGroups), narrow<uint>(divideUp(out.shape.h, rows))};
        target.dispatches.push_back(std::move(dispatch));
    }
    return {};
}

Result<void> CoopmatKernels::multiply(const MatrixProduct& p, std::vector<Define> defines, const Target& target) {
    const bool blocks = p.blockStepN != 0;
    if (!blocks) defines.push_back({"B_ROWS", "1"});
    // Four warps that share rows of c use each block of b once. Small tiles are for products that would leave a large
    // part of the device idle; with split-K they have registers left to prefetch further ahead.
    constexpr std::uint64_t minGroups = 128;
    constexpr std::size_t sharedRows = 1, smaller = 2, ahead = 4; // distances in matrixTiles
    std::size_t rule = blocks && (p.n % 256 == 0 || p.blocks) ? sharedRows : 0;
    const MatrixTile& large = matrixTiles[rule];
    const bool small =
        !p.largeTiles && divideUp(p.m, large.rows()) * divideUp(p.n, large.columns()) * p.splits < minGroups;
    if (small) rule += p.splits > 1 ? smaller + ahead : smaller;
    const auto fits = [&](const MatrixTile& tile) {
        return (tile.blocks == 4 || !p.largeTiles) && (tile.ahead == 1 || blocks);
    };
    const MatrixTile& tile = m_tiles.choose(
        matrixTiles, rule, fits, [&] { return TileChoices::keyOf(productShader, defines, p.k, p.n, p.m * p.splits); });
    for (const auto& [name, value] : {std::pair{"BLOCKS", tile.blocks},
                                      {"WARPS_M", 4 / tile.warpsN},
                                      {"WARPS_N", tile.warpsN},
                                      {"AHEAD", tile.ahead}})
        defines.push_back({name, std::to_string(value)});
    const std::uint64_t rowGroups = divideUp(p.m, tile.rows()), columnGroups = divideUp(p.n, tile.columns());
    const bool rowsFirst = rowGroups < columnGroups;
    if (rowsFirst) defines.push_back({"ROWS_FIRST", "1"});
    const std::uint64_t bUnits = blocks ? p.k / 16 * p.blockStepK + p.n / 16 * p.blockStepN : p.k * p.n / 8;
    CHECK(checkIndices(productShader, {{"a", p.m * p.lda / 8}, {"b", bUnits}, {"c", p.m * p.ldc / 4}}));
    TRY(Dispatch dispatch, make(productShader, defines,
                                push::GemmCoopmat{.a = p.a,
                                                  .b = p.b,
                                                  .tail = p.tail,
                                                  .c = p.c,
                                                  .residual = p.residual,
                                                  .bias = p.bias,
                                                  .tiles = p.tiles,
                                                  .scales = p.scales,
                                                  .M = narrow<int>(p.m),
                                                  .N = narrow<int>(p.n),
                                                  .K = narrow<int>(p.splitDepth ? p.splitDepth : p.k),
                                                  .kTotal = narrow<int>(p.k),
                                                  .lda = narrow<int>(p.lda),
                                                  .ldc = narrow<int>(p.ldc),
                                                  .splitStride = narrow<int>(p.n),
                                                  .bStepK = narrow<int>(p.blockStepK),
                                                  .bStepN = narrow<int>(p.blockStepN),
                                                  .bBlocks = narrow<int>(p.blocks),
                                                  .alpha = p.alpha},
                                Pipelines::Inputs::Matrices));
    dispatch.groups = {narrow<uint>(columnGroups), narrow<uint>(rowGroups), narrow<uint>(p.splits)};
    if (rowsFirst) std::swap(dispatch.groups[0], dispatch.groups[1]);
    target.dispatches.push_back(std::move(dispatch));
    return {};
}

bool CoopmatKernels::takesBlocks(const Program& program, std::initializer_list<TensorId> tensors, std::uint64_t inner,
                                 std::uint64_t columns) const {
    return multiplies(program, tensors) && inner % GEMM_COOPMAT_BLOCKS_DEPTH == 0 && columns % 128 == 0;
}

Result<void> CoopmatKernels::matmul(const Matmul& m, const Target& target) {
    const Tensor &a = target.tensor(m.a), &out = target.tensor(m.out);
    const TensorId residual = m.residual.value_or(m.out);
    const bool weights = target.tensor(m.b).category == Category::Weights,
               blocks = weights && takesBlocks(target.program, {m.a, m.b, m.out, residual}, m.inner, m.columns);
    const bool fits = blocks || (multiplies(target.program, {m.a, m.b, m.out, residual}) &&
                                 m.inner % GEMM_COOPMAT_ROWS_DEPTH == 0 && m.columns % 8 == 0);
    if (!fits || m.activation == Activation::Silu || (m.inPlace && m.columns > maxChannelsInPlace))
        return PortableKernels::matmul(m, target);
    std::vector<Define> defines{{"TYPE", shaderType(a.dtype)}};
    addEpilogue(defines, m, target.program);
    const std::uint64_t ldc = m.inPlace ? out.stride() : m.columns, inBytes = m.inner * sizeOf(a.dtype),
                        outBytes = ldc * sizeOf(out.dtype);
    // Shaders index 16-byte units with an int, and the workgroups of one axis are limited.
    const std::uint64_t maxRows =
        std::min((std::uint64_t{1} << 34) / std::max(inBytes, outBytes), std::uint64_t{1} << 20);
    for (std::uint64_t done = 0; done < m.rows; done += maxRows)
        CHECK(multiply({.a = target.address(m.a) + (m.aRow + done) * inBytes,
                        .b = target.address(m.b) + m.bRow * m.columns * sizeOf(out.dtype),
                        .c = target.address(m.out) + (m.outRow + done) * outBytes,
                        .residual = m.residual ? target.address(*m.residual) + (m.outRow + done) * outBytes : 0,
                        .bias = target.address(m.bias),
                        .m = std::min(maxRows, m.rows - done),
                        .n = m.columns,
                        .k = m.inner,
                        .lda = m.inner,
                        .ldc = ldc,
                        .blockStepK = blocks ? 2 * m.columns : 0,
                        .blockStepN = blocks ? std::uint64_t{32} : 0,
                        .largeTiles = m.inPlace},
                       defines, target));
    return {};
}

Result<void> CoopmatKernels::matmulPlanes(const Matmul& first, std::uint64_t planes, const Target& target) {
    return multiplies(target.program, {first.a, first.b, first.out})
               ? matmulEach(first, planes, target)
               : PortableKernels::matmulPlanes(first, planes, target);
}

namespace {

// Layout of an attention's workspace, which has the size of the scores: the weights of some rows of queries, factors of
// tiles and of rows, the last strips of keys and values, and the splits (split-K) of the products with the values.
// These products have few rows and columns and a long inner extent, so that only splits give a GPU enough workgroups.
struct AttentionWorkspace {
    static constexpr std::uint64_t tileKeys = 64, strip = 16;
    std::uint64_t rows = 0, splits = 1; // rows of queries at a time; 0: the workspace is too small
    std::uint64_t tilesAt = 0, scalesAt = 0, keysTail = 0, valuesTail = 0, splitsAt = 0, bytes = 0; // offsets in bytes

    AttentionWorkspace(std::uint64_t pixels, std::uint64_t channels, std::uint64_t queryRows, std::uint64_t maxSplits)
        : rows(queryRows) {
        constexpr std::uint64_t targetGroups = 256, alignment = 256;
        const std::uint64_t keys = roundUp(pixels, tileKeys), tiles = keys / tileKeys,
                            groups = divideUp<std::uint64_t>(rows, 64) * divideUp<std::uint64_t>(channels, 256);
        while (groups * splits < targetGroups && 2 * splits <= std::min(tiles, maxSplits)) splits *= 2;
        tilesAt = roundUp(rows * keys * 2, alignment);
        scalesAt = tilesAt + roundUp(rows * tiles * 8, alignment);
        keysTail = scalesAt + roundUp(rows * 4, alignment);
        valuesTail = keysTail + strip * channels * 2;
        splitsAt = valuesTail + strip * channels * 2;
        bytes = splitsAt + (splits > 1 ? rows * splits * channels * 4 : 0);
    }
};
// Weights are half as large as scores, so that more rows fit into the workspace than of scores. Powers of two fill
// whole waves of workgroups: 4096 rows reach 312 TFLOP/s on an H200, 3328 reach 266.
AttentionWorkspace attentionWorkspace(std::uint64_t pixels, std::uint64_t channels, std::uint64_t scoreRows,
                                      std::uint64_t availableBytes) {
    for (std::uint64_t rows = std::bit_ceil(pixels); rows > scoreRows; rows /= 2)
        if (const AttentionWorkspace layout(pixels, channels, std::min(rows, pixels), pixels);
            layout.bytes <= availableBytes)
            return layout;
    const std::uint64_t rows = std::max(std::bit_floor(scoreRows), std::min<std::uint64_t>(scoreRows, 64));
    for (std::uint64_t maxSplits = pixels; maxSplits > 0; maxSplits /= 2)
        if (const AttentionWorkspace layout(pixels, channels, rows, maxSplits); layout.bytes <= availableBytes)
            return layout;
    return {pixels, channels, 0, 1};
}

} // namespace

struct CoopmatKernels::Attention {
    Define type;
    float scale = 1.0f;
    std::uint64_t pixels = 0, channels = 0;        // of a picture
    std::uint64_t keys = 0, tiles = 0, strips = 0; // keys: pixels rounded up to whole tiles of 64
    std::uint64_t rows = 0;                        // of queries at a time
    std::uint64_t splits = 1, splitDepth = 0;      // of the products with the values; in keys
    std::uint64_t weightsAt = 0, tilesAt = 0, scalesAt = 0, keysTail = 0, valuesTail = 0, splitsAt = 0; // addresses
};

// Nothing where the portable kernels have to do it.
std::optional<CoopmatKernels::Attention> CoopmatKernels::planAttention(const AttentionCall& call,
                                                                       const Target& target) const {
    const Tensor &q = target.tensor(call.q), &scores = target.tensor(call.scores);
    const std::uint64_t pixels = q.shape.pixels(), channels = q.shape.c,
                        keys = roundUp(pixels, AttentionWorkspace::tileKeys),
                        tiles = keys / AttentionWorkspace::tileKeys;
    const AttentionWorkspace layout = attentionWorkspace(pixels, channels, call.chunkRows, scores.bytes);
    const bool fits =
        call.isLastUse && multiplies(target.program, {call.q, call.k, call.v, call.out}) && channels % 256 == 0 &&
        layout.rows > 0 &&
        std::max(std::max(layout.rows, channels) * keys, layout.rows * layout.splits * channels) / 4 <= indexEnd;
    if (!fits) return std::nullopt;
    const std::uint64_t workspace = target.address(call.scores),
                        splitDepth = divideUp(tiles, layout.splits) * AttentionWorkspace::tileKeys;
    return Attention{.type = {"TYPE", shaderType(q.dtype)},
                     .scale = call.scale,
                     .pixels = pixels,
                     .channels = channels,
                     .keys = keys,
                     .tiles = tiles,
                     .strips = divideUp(pixels, AttentionWorkspace::strip),
                     .rows = layout.rows,
                     .splits = divideUp(keys, splitDepth), // none of them is empty
                     .splitDepth = splitDepth,
                     .weightsAt = workspace,
                     .tilesAt = workspace + layout.tilesAt,
                     .scalesAt = workspace + layout.scalesAt,
                     .keysTail = workspace + layout.keysTail,
                     .valuesTail = workspace + layout.valuesTail,
                     .splitsAt = workspace + layout.splitsAt};
}

// The products of queries and keys become 16-bit weights at once: powers of two, relative to the largest score of each
// row in a tile of 64 keys. The rest of the softmax are a factor for each row and tile, by which the product with the
// values multiplies the weights as it loads them, and a factor for each row of its result.
Result<void> CoopmatKernels::attention(const AttentionCall& call, const Target& target) {
    const std::optional<Attention> attention = planAttention(call, target);
    if (!attention) return PortableKernels::attention(call, target);
    const Tensor& q = target.tensor(call.q);
    const std::uint64_t rowBytes = attention->channels * sizeOf(q.dtype);
    for (std::uint64_t picture = 0; picture < q.shape.n; ++picture) {
        const std::uint64_t base = picture * attention->pixels * rowBytes, keys = target.address(call.k) + base,
                            values = target.address(call.v) + base;
        CHECK(arrangeAsBlocks(*attention, keys, attention->keysTail, {{"KEYS", "1"}}, target));
        CHECK(arrangeAsBlocks(*attention, values, attention->valuesTail, {}, target));
        for (std::uint64_t first = 0; first < attention->pixels; first += attention->rows) {
            const std::uint64_t rows = std::min(attention->rows, attention->pixels - first),
                                offset = base + first * rowBytes;
            CHECK(multiplyByKeys(*attention, target.address(call.q) + offset, keys, rows, target));
            CHECK(finishSoftmax(*attention, rows, target));
            CHECK(multiplyByValues(*attention, values, call.out, target.address(call.out) + offset, rows, target));
        }
    }
    return {};
}

// Keys or values of a picture, in place; the last 16 rows, which may be incomplete, go to `tail`.
Result<void> CoopmatKernels::arrangeAsBlocks(const Attention& attention, std::uint64_t matrix, std::uint64_t tail,
                                             std::vector<Define> defines, const Target& target) {
    defines.push_back({"CHANNELS", std::to_string(attention.channels)});
    return add(target, "attention_blocks.comp", defines,
               push::AttentionBlocks{matrix, tail, narrow<uint>(attention.pixels)}, attention.strips, 1);
}

Result<void> CoopmatKernels::multiplyByKeys(const Attention& attention, std::uint64_t queries, std::uint64_t keys,
                                            std::uint64_t rows, const Target& target) {
    constexpr float log2e = 1.44269504f;
    return multiply({.a = queries,
                     .b = keys,
                     .c = attention.weightsAt,
                     .tiles = attention.tilesAt,
                     .m = rows,
                     .n = attention.pixels,
                     .k = attention.channels,
                     .lda = attention.channels,
                     .ldc = attention.keys,
                     .blockStepK = 32,
                     .blockStepN = 2 * attention.channels,
                     .blocks = attention.strips,
                     .tail = attention.keysTail,
                     .alpha = attention.scale * log2e,
                     .largeTiles = true},
                    {attention.type, {"SCORES", "1"}, {"TAIL_N", "1"}}, target);
}

Result<void> CoopmatKernels::finishSoftmax(const Attention& attention, std::uint64_t rows, const Target& target) {
    return add(target, "attention_weights.comp", {},
               push::AttentionWeights{attention.tilesAt, attention.scalesAt, narrow<uint>(rows),
                                      narrow<uint>(attention.tiles)},
               rows, 1);
}

Result<void> CoopmatKernels::multiplyByValues(const Attention& attention, std::uint64_t values, TensorId out,
                                              std::uint64_t outAddress, std::uint64_t rows, const Target& target) {
    const bool isSplit = attention.splits > 1;
    std::vector<Define> defines{attention.type, {"WEIGHTED", "1"}, {"TAIL_K", "1"}};
    if (isSplit) defines.push_back({"OUT", "F32"});
    CHECK(multiply({.a = attention.weightsAt,
                    .b = values,
                    .c = isSplit ? attention.splitsAt : outAddress,
                    .tiles = attention.tilesAt,
                    .scales = attention.scalesAt,
                    .m = rows,
                    .n = attention.channels,
                    .k = attention.keys,
                    .lda = attention.keys,
                    .ldc = attention.splits * attention.channels,
                    .splits = attention.splits,
                    .splitDepth = attention.splitDepth,
                    .blockStepK = 2 * attention.channels,
                    .blockStepN = 32,
                    .blocks = attention.strips,
                    .tail = attention.valuesTail},
                   std::move(defines), target));
    return isSplit ? sumSplits(attention.splitsAt, out, outAddress, rows, attention.splits, target) : Result<void>{};
}

} // namespace spikescope
