// Products of matrices by the portable kernels, and the attention that is made of them.

#include "core/kernels/portable_kernels.h"

#include "core/base/checked.h"

#include <algorithm>

namespace spikescope {

namespace {

std::uint32_t small(std::uint64_t extent) { return static_cast<std::uint32_t>(extent); }

constexpr std::uint64_t rowsAtOnce = std::uint64_t{1} << 30; // of a product: shaders count them in 32 bits

// Inner elements that product.comp takes at a time, and 2 where the next are stored while these are read.
constexpr std::uint32_t productDepth = 8, productBuffers = 2;

// Rows and columns of the largest tile; fewer groups than these leave part of a device idle, more than enough do not
// help.
constexpr std::uint32_t largeTile = 128;
constexpr std::uint64_t fewGroups = 192, enoughGroups = 256;

// Queries of an attention whose scores exist at a time, and parts of the keys whose products with the values are made
// side by side, for these have few rows and columns and are long. The parts lie behind the scores in their workspace:
// fewer rows than it has make room for them.
struct AttentionBlock {
    std::uint64_t rows, parts = 1;
};
AttentionBlock attentionBlock(std::uint64_t mostRows, std::uint64_t keys, std::uint64_t channels) {
    constexpr std::uint64_t shortest = 128; // part
    const auto tilesOf = [&](std::uint64_t rows) {
        return divideUp<std::uint64_t>(rows, largeTile) * divideUp<std::uint64_t>(channels, largeTile);
    };
    AttentionBlock best{mostRows};
    if (keys % productDepth != 0) return best;
    std::uint64_t most = tilesOf(mostRows);
    for (std::uint64_t rows = mostRows / largeTile * largeTile; most < fewGroups && 2 * rows >= mostRows && rows > 0;
         rows -= largeTile) {
        const std::uint64_t room = (mostRows - rows) * keys / (rows * channels),
                            parts = std::min({room, enoughGroups / tilesOf(rows), keys / shortest});
        if (parts < 2 || tilesOf(rows) * parts <= most) continue;
        most = tilesOf(rows) * parts;
        best = {rows, parts};
    }
    return best;
}

} // namespace

Result<void> PortableKernels::product(const Product& p, std::vector<Define> defines, const Target& target,
                                      std::optional<Tile> given, std::uint32_t phases) {
    static constexpr Tile large{largeTile, largeTile, 8, 8}, narrow{128, 64, 8, 8}, fine{64, 64, 4, 8};
    const auto groupsOf = [&](const Tile& tile) {
        return std::uint64_t{divideUp(p.rows, tile.rows)} * divideUp(p.columns, tile.columns) * p.pictures * phases;
    };
    const std::uint32_t over = p.columns % large.columns;
    Tile tile = over > 0 && over <= narrow.columns ? narrow : large;
    if (groupsOf(tile) < fewGroups) tile = fine;
    if (given) tile = *given;
    for (const auto& [name, value] : {std::pair{"TILE_M", tile.rows},
                                      {"TILE_N", tile.columns},
                                      {"THREAD_M", tile.threadRows},
                                      {"THREAD_N", tile.threadColumns},
                                      {"DEPTH", productDepth},
                                      {"BUFFERS", productBuffers}})
        defines.push_back({name, std::to_string(value)});
    if (p.inner % productDepth != 0) defines.push_back({"RAGGED", "1"});
    return add(target, "product.comp", defines, p, groupsOf(tile), 1);
}

Result<void> PortableKernels::matmul(const Matmul& m, const Target& target) {
    const Tensor &a = target.tensor(m.a), &b = target.tensor(m.b), &out = target.tensor(m.out);
    if (m.inPlace) return matmulInPlace(m, target);
    const bool few = m.columns % 4 != 0 || m.inner % 4 != 0;
    if (few && m.residual)
        return fail(ErrorCode::Unsupported, "no kernel makes {} channels of {} this way", m.columns, m.inner);
    std::vector<Define> defines{
        {"IN", shaderType(a.dtype)}, {"WEIGHT", shaderType(b.dtype)}, {"OUT", shaderType(out.dtype)}};
    if (m.bias) defines.push_back({"BIAS", "1"});
    if (m.residual) defines.push_back({"RESIDUAL", shaderType(target.tensor(*m.residual).dtype)});
    addActivation(defines, m.activation);
    for (std::uint64_t done = 0; done < m.rows; done += rowsAtOnce) {
        const std::uint32_t rows = small(std::min(rowsAtOnce, m.rows - done));
        const std::uint64_t outElement = (m.outRow + done) * m.columns,
                            inAddress = target.address(m.a) + (m.aRow + done) * m.inner * sizeOf(a.dtype),
                            weightAddress = target.address(m.b) + m.bRow * m.columns * sizeOf(b.dtype),
                            outAddress = target.address(m.out) + outElement * sizeOf(out.dtype);
        if (few) {
            CHECK(fewChannels({.in = inAddress,
                               .weight = weightAddress,
                               .bias = target.address(m.bias),
                               .out = outAddress,
                               .pictures = 1,
                               .inHeight = 1,
                               .inWidth = rows,
                               .inChannels = small(m.inner),
                               .outHeight = 1,
                               .outWidth = rows,
                               .outChannels = small(m.columns),
                               .pad = 0,
                               .inStride = small(m.inner / 4)},
                              1, {a.dtype, b.dtype, out.dtype}, m.activation, std::nullopt, target));
            continue;
        }
        std::uint64_t residual = target.address(m.residual);
        if (m.residual) residual += outElement * sizeOf(target.tensor(*m.residual).dtype);
        CHECK(product({.in = inAddress,
                       .weight = weightAddress,
                       .bias = target.address(m.bias),
                       .residual = residual,
                       .out = outAddress,
                       .rows = rows,
                       .columns = small(m.columns),
                       .inner = small(m.inner),
                       .inStride = small(m.inner),
                       .weightStride = small(m.columns),
                       .outStride = small(m.columns),
                       .residualStride = small(m.columns)},
                      defines, target));
    }
    return {};
}

Result<void> PortableKernels::matmulPlanes(const Matmul& m, std::uint64_t planes, const Target& target) {
    const Tensor &a = target.tensor(m.a), &b = target.tensor(m.b), &out = target.tensor(m.out);
    if (m.rows > rowsAtOnce || m.columns % 4 != 0 || m.inner % 4 != 0) return matmulEach(m, planes, target);
    return product({.in = target.address(m.a),
                    .weight = target.address(m.b),
                    .out = target.address(m.out),
                    .inApart = m.rows * m.inner,
                    .weightsApart = m.inner * m.columns,
                    .pictures = small(planes),
                    .rows = small(m.rows),
                    .columns = small(m.columns),
                    .inner = small(m.inner),
                    .inStride = small(m.inner),
                    .weightStride = small(m.columns),
                    .outStride = small(m.columns)},
                   {{"IN", shaderType(a.dtype)}, {"WEIGHT", shaderType(b.dtype)}, {"OUT", shaderType(out.dtype)}},
                   target);
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
    const std::uint32_t keys = small(pixels), channels = small(q.shape.c), stride = roundUp(keys, 4u);
    const std::uint64_t scores = target.address(call.scores);
    const AttentionBlock block = attentionBlock(call.chunkRows, keys, channels);
    const std::uint64_t parts = scores + block.rows * stride * sizeof(float);
    const std::uint32_t partKeys =
                            small(roundUp(divideUp<std::uint64_t>(keys, block.parts), std::uint64_t{productDepth})),
                        partCount = divideUp(keys, partKeys);
    for (std::uint64_t picture = 0; picture < q.shape.n; ++picture) {
        const std::uint64_t base = picture * pictureBytes;
        for (std::uint64_t first = 0; first < pixels; first += block.rows) {
            const std::uint32_t rows = small(std::min(block.rows, pixels - first));
            CHECK(product({.in = target.address(call.q) + base + first * rowBytes,
                           .weight = target.address(call.k) + base,
                           .out = scores,
                           .rows = rows,
                           .columns = keys,
                           .inner = channels,
                           .inStride = channels,
                           .weightStride = channels,
                           .outStride = stride,
                           .scale = call.scale},
                          {{"IN", type}, {"WEIGHT", type}, {"OUT", "F32"}, {"B_NK", "1"}}, target));
            CHECK(softmax(target, call.scores, rows, keys, stride));
            // Behind the last key softmax leaves zeros.
            const std::uint64_t outAddress = target.address(call.out) + base + first * rowBytes;
            Product values{.in = scores,
                           .weight = target.address(call.v) + base,
                           .out = outAddress,
                           .rows = rows,
                           .columns = channels,
                           .inner = keys,
                           .inStride = stride,
                           .weightStride = channels,
                           .outStride = channels};
            if (partCount == 1) {
                CHECK(product(values, {{"IN", "F32"}, {"WEIGHT", type}, {"OUT", shaderType(out.dtype)}}, target));
                continue;
            }
            values.out = parts;
            values.inApart = partKeys;
            values.weightsApart = std::uint64_t{partKeys} * channels;
            values.pictures = partCount;
            values.inner = partKeys;
            values.innerAll = keys;
            CHECK(product(values, {{"IN", "F32"}, {"WEIGHT", type}, {"OUT", "F32"}, {"PARTS", "1"}}, target));
            struct SumPush {
                std::uint64_t parts, out;
                std::uint32_t rows, channels, count;
            };
            CHECK(add(target, "attention_sum.comp", {{"TYPE", shaderType(out.dtype)}},
                      SumPush{parts, outAddress, rows, channels, partCount}, std::uint64_t{rows} * channels / 4, 64));
        }
    }
    return {};
}

} // namespace spikescope
