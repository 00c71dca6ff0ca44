// Products of matrices by the portable kernels, and the attention that is made of them.

#include "core/kernels/portable_kernels.h"

#include "core/base/checked.h"

#include <algorithm>

namespace spikescope {

namespace {

constexpr std::uint64_t maxProductRows = std::uint64_t{1} << 30; // of a product: shaders count them in 32 bits

// Rows and columns of a product that a workgroup makes, those that one of its threads makes, and the inner elements in
// shared memory at a time; with 2 buffers the next ones are stored while these are read.
struct ProductTile {
    std::string_view name;
    std::uint32_t rows, columns, threadRows, threadColumns, depth = 8, buffers = 2;
};
enum : std::size_t { largeTile, narrowTile, fineTile }; // indices of those that the rule takes
constexpr ProductTile productTiles[] = {
    {"128x128", 128, 128, 8, 8},
    {"128x64", 128, 64, 8, 8},
    {"64x64", 64, 64, 4, 8},
    {"64x128", 64, 128, 8, 8},
    {"64x64 by 64 threads", 64, 64, 8, 8},
    {"128x128 16 deep, one buffer", 128, 128, 8, 8, 16, 1},
};
constexpr std::uint32_t productDepth = productTiles[largeTile].depth; // splits of an inner extent are multiples of it

// Workgroups: fewer than the first leave a part of a device idle, more than the second do not help.
constexpr std::uint64_t minGroups = 192, targetGroups = 256;

// Rows of queries whose scores exist at a time, and the splits of the keys (split-K) of their products with the values,
// which have few rows and columns and a long inner extent. The splits are stored behind the scores in the same
// workspace, so that more splits leave less space for rows.
struct QueryBlock {
    std::uint64_t rows, splits = 1;
};
QueryBlock queryBlock(std::uint64_t maxRows, std::uint64_t keys, std::uint64_t channels) {
    constexpr std::uint64_t minSplitKeys = 128;
    constexpr std::uint32_t side = productTiles[largeTile].rows;
    const auto tilesOf = [&](std::uint64_t rows) {
        return divideUp<std::uint64_t>(rows, side) * divideUp<std::uint64_t>(channels, side);
    };
    QueryBlock best{maxRows};
    if (keys % productDepth != 0) return best;
    std::uint64_t bestGroups = tilesOf(maxRows);
    for (std::uint64_t rows = maxRows / side * side; bestGroups < minGroups && 2 * rows >= maxRows && rows > 0;
         rows -= side) {
        const std::uint64_t spaceFor = (maxRows - rows) * keys / (rows * channels),
                            splits = std::min({spaceFor, targetGroups / tilesOf(rows), keys / minSplitKeys});
        if (splits < 2 || tilesOf(rows) * splits <= bestGroups) continue;
        bestGroups = tilesOf(rows) * splits;
        best = {rows, splits};
    }
    return best;
}

} // namespace

Result<void> PortableKernels::product(const push::Product& p, std::vector<Define> defines, const Target& target,
                                      std::uint32_t phases) {
    constexpr std::string_view shader = "product.comp";
    const auto groupsOf = [&](const ProductTile& tile) {
        return std::uint64_t{divideUp(p.rows, tile.rows)} * divideUp(p.columns, tile.columns) * p.pictures * phases;
    };
    const std::uint32_t over = p.columns % productTiles[largeTile].columns;
    std::size_t rule = over > 0 && over <= productTiles[narrowTile].columns ? narrowTile : largeTile;
    if (groupsOf(productTiles[rule]) < minGroups) rule = fineTile;
    // With split-K both the whole inner extent and that of a split are multiples of the depth.
    const auto fits = [&](const ProductTile& t) {
        return p.kTotal % t.depth == 0 && (p.kTotal == 0 || p.inner % t.depth == 0);
    };
    const ProductTile& tile = m_tiles.choose(productTiles, rule, fits, [&] {
        return TileChoices::keyOf(shader, defines, p.inner, p.columns, std::uint64_t{p.rows} * p.pictures * phases);
    });
    for (const auto& [name, value] : {std::pair{"TILE_M", tile.rows},
                                      {"TILE_N", tile.columns},
                                      {"THREAD_M", tile.threadRows},
                                      {"THREAD_N", tile.threadColumns},
                                      {"DEPTH", tile.depth},
                                      {"BUFFERS", tile.buffers}})
        defines.push_back({name, std::to_string(value)});
    if (p.inner % tile.depth != 0) defines.push_back({"RAGGED", "1"});
    // A workgroup has a base address of its own and counts bytes from there: over the rows of its tile, or over the
    // rows of the feature map that its pixels read.
    constexpr std::uint64_t largestElement = sizeof(float), largestStride = 2, largestKernel = 3;
    const bool convolves = p.outWidth > 0;
    const std::uint64_t outRows = convolves ? tile.rows / (p.outWidth / (phases > 1 ? 2 : 1)) + 2 : 0, // of a tile
        pixels = convolves ? (outRows * largestStride + largestKernel) * p.inWidth : tile.rows,
                        weights = std::max(tile.depth, tile.columns);
    CHECK(checkIndices(shader, {{"bytes of the input", pixels * p.inStride * largestElement},
                                {"bytes of the weights", weights * p.weightStride * largestElement},
                                {"rows", p.rows + tile.rows},
                                {"workgroups", groupsOf(tile)}}));
    return add(target, shader, defines, p, groupsOf(tile), 1);
}

push::Product PortableKernels::denseProduct(const Matmul& m, const Target& target) {
    const auto element = [&](TensorId id, std::uint64_t first) {
        return target.address(id) + first * sizeOf(target.tensor(id).dtype);
    };
    return {.inAddress = element(m.a, m.aRow * m.inner),
            .weightAddress = element(m.b, m.bRow * m.columns),
            .biasAddress = target.address(m.bias),
            .residualAddress = m.residual ? element(*m.residual, m.outRow * m.columns) : 0,
            .outAddress = element(m.out, m.outRow * m.columns),
            .pictures = 1,
            .rows = narrow<uint>(m.rows),
            .columns = narrow<uint>(m.columns),
            .inner = narrow<uint>(m.inner),
            .inStride = narrow<uint>(m.inner),
            .weightStride = narrow<uint>(m.columns),
            .outStride = narrow<uint>(m.columns),
            .residualStride = narrow<uint>(m.columns),
            .scale = 1.0f};
}

Result<void> PortableKernels::matmul(const Matmul& m, const Target& target) {
    const DType a = target.tensor(m.a).dtype, b = target.tensor(m.b).dtype, out = target.tensor(m.out).dtype;
    if (m.inPlace) return matmulInPlace(m, target);
    const bool hasFewChannels = m.columns % 4 != 0 || m.inner % 4 != 0;
    if (hasFewChannels && m.residual)
        return fail(ErrorCode::Unsupported, "no kernel makes {} channels of {} this way", m.columns, m.inner);
    std::vector<Define> defines{{"IN", shaderType(a)}, {"WEIGHT", shaderType(b)}, {"OUT", shaderType(out)}};
    addEpilogue(defines, m, target.program);
    for (std::uint64_t done = 0; done < m.rows; done += maxProductRows) {
        Matmul block = m;
        block.aRow += done;
        block.outRow += done;
        block.rows = std::min(maxProductRows, m.rows - done);
        const push::Product p = denseProduct(block, target);
        if (!hasFewChannels) {
            CHECK(product(p, defines, target));
            continue;
        }
        CHECK(fewChannels({.inAddress = p.inAddress,
                           .weightAddress = p.weightAddress,
                           .biasAddress = p.biasAddress,
                           .outAddress = p.outAddress,
                           .pictures = 1,
                           .inHeight = 1,
                           .inWidth = p.rows,
                           .inChannels = p.inner,
                           .outHeight = 1,
                           .outWidth = p.rows,
                           .outChannels = p.columns,
                           .padTop = 0,
                           .padLeft = 0,
                           .inStride = p.inner / 4},
                          1, {a, b, out}, m.activation, std::nullopt, target));
    }
    return {};
}

Result<void> PortableKernels::matmulPlanes(const Matmul& m, std::uint64_t planes, const Target& target) {
    if (m.rows > maxProductRows || m.columns % 4 != 0 || m.inner % 4 != 0) return matmulEach(m, planes, target);
    push::Product all = denseProduct(m, target);
    all.batchStrideA = m.rows * m.inner;
    all.batchStrideB = m.inner * m.columns;
    all.pictures = narrow<uint>(planes);
    const auto typeOf = [&](TensorId id) { return shaderType(target.tensor(id).dtype); };
    return product(all, {{"IN", typeOf(m.a)}, {"WEIGHT", typeOf(m.b)}, {"OUT", typeOf(m.out)}}, target);
}

Result<void> PortableKernels::matmulEach(Matmul plane, std::uint64_t planes, const Target& target) {
    for (std::uint64_t i = 0; i < planes; ++i) {
        CHECK(matmul(plane, target));
        plane.aRow += plane.rows;
        plane.bRow += plane.inner;
        plane.outRow += plane.rows;
    }
    return {};
}

Result<void> PortableKernels::attention(const AttentionCall& call, const Target& target) {
    const Tensor &q = target.tensor(call.q), &out = target.tensor(call.out);
    const std::uint64_t pixels = q.shape.pixels(), rowBytes = q.shape.c * sizeOf(q.dtype),
                        pictureBytes = pixels * rowBytes;
    const std::string type = shaderType(q.dtype);
    const std::uint32_t keys = narrow<uint>(pixels), channels = narrow<uint>(q.shape.c), stride = roundUp(keys, 4u);
    const std::uint64_t scores = target.address(call.scores);
    const QueryBlock block = queryBlock(call.chunkRows, keys, channels);
    const std::uint64_t splits = scores + block.rows * stride * sizeof(float);
    const std::uint32_t splitKeys = narrow<uint>(
                            roundUp(divideUp<std::uint64_t>(keys, block.splits), std::uint64_t{productDepth})),
                        splitCount = divideUp(keys, splitKeys);
    for (std::uint64_t picture = 0; picture < q.shape.n; ++picture) {
        const std::uint64_t base = picture * pictureBytes;
        for (std::uint64_t first = 0; first < pixels; first += block.rows) {
            const std::uint32_t rows = narrow<uint>(std::min(block.rows, pixels - first));
            CHECK(product({.inAddress = target.address(call.q) + base + first * rowBytes,
                           .weightAddress = target.address(call.k) + base,
                           .outAddress = scores,
                           .pictures = 1,
                           .rows = rows,
                           .columns = keys,
                           .inner = channels,
                           .inStride = channels,
                           .weightStride = channels,
                           .outStride = stride,
                           .scale = call.scale},
                          {{"IN", type}, {"WEIGHT", type}, {"OUT", "F32"}, {"B_NK", "1"}}, target));
            CHECK(softmax(target, call.scores, rows, keys, stride));
            // Softmax leaves zeros after the last key.
            const std::uint64_t outAddress = target.address(call.out) + base + first * rowBytes;
            push::Product values{.inAddress = scores,
                                 .weightAddress = target.address(call.v) + base,
                                 .outAddress = outAddress,
                                 .pictures = 1,
                                 .rows = rows,
                                 .columns = channels,
                                 .inner = keys,
                                 .inStride = stride,
                                 .weightStride = channels,
                                 .outStride = channels,
                                 .scale = 1.0f};
            if (splitCount == 1) {
                CHECK(product(values, {{"IN", "F32"}, {"WEIGHT", type}, {"OUT", shaderType(out.dtype)}}, target));
                continue;
            }
            values.outAddress = splits;
            values.batchStrideA = splitKeys;
            values.batchStrideB = std::uint64_t{splitKeys} * channels;
            values.pictures = splitCount;
            values.inner = splitKeys;
            values.kTotal = keys;
            CHECK(product(values, {{"IN", "F32"}, {"WEIGHT", type}, {"OUT", "F32"}, {"SPLIT_K", "1"}}, target));
            CHECK(sumSplits(splits, call.out, outAddress, rows, splitCount, target));
        }
    }
    return {};
}

Result<void> PortableKernels::sumSplits(std::uint64_t splits, TensorId out, std::uint64_t outAddress,
                                        std::uint64_t rows, std::uint64_t count, const Target& target) {
    const Tensor& tensor = target.tensor(out);
    CHECK(checkIndices("attention_sum.comp", {{"vec4s of the sums", rows * tensor.shape.c / 4}}));
    return add(
        target, "attention_sum.comp", {{"TYPE", shaderType(tensor.dtype)}},
        push::AttentionSum{splits, outAddress, narrow<uint>(rows), narrow<uint>(tensor.shape.c), narrow<uint>(count)},
        rows * tensor.shape.c / 4, 64);
}

} // namespace spikescope
