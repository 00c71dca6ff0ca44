#include "core/program/tile_grid.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace spikescope {

namespace {

// Blend weight of the later tile at element i of an overlap of `length`, before weights are divided by the sum of all
// tiles' weights.
double blendWeight(Blend blend, std::uint64_t i, std::uint64_t length) {
    const auto at = static_cast<double>(i), of = static_cast<double>(length);
    switch (blend) {
    case Blend::Linear: return at / of;
    case Blend::Smootherstep: {
        const double t = at / of;
        return t * t * t * (t * (6 * t - 15) + 10);
    }
    case Blend::Cosine: return 0.5 - 0.5 * std::cos(std::numbers::pi * (length > 1 ? at / (of - 1) : 0.5));
    case Blend::Crop: return 2 * i < length ? 0.0 : 1.0;
    case Blend::Feather: break;
    }
    return 1;
}
// Feathers both ends, also at the edges of the image, where it shows if a tile is shorter than two feathers.
void feather(std::vector<double>& line, std::uint64_t length) {
    if (length >= line.size()) return;
    for (std::uint64_t k = 0; k < length; ++k) {
        const double weight = static_cast<double>(k + 1) / static_cast<double>(length);
        line[k] *= weight;
        line[line.size() - 1 - k] *= weight;
    }
}

struct Span {
    std::uint64_t begin, length;
    std::uint64_t used; // where it has weight from: a tile that was moved back only reads the elements before
    std::uint64_t end() const { return begin + length; }
};

std::vector<Span> spansOf(TileArrangement arrangement, std::uint64_t size, std::uint64_t tile, std::uint64_t overlap) {
    // diffusers makes its last tile even where the one before has everything already.
    if (tile >= size && arrangement != TileArrangement::Diffusers) return {{0, size, 0}};
    const bool isMovedBack = arrangement == TileArrangement::Even || arrangement == TileArrangement::Fitted;
    const std::uint64_t stride = tile - overlap;
    std::vector<Span> spans;
    const std::uint64_t last = arrangement == TileArrangement::Diffusers ? size : size - overlap;
    for (std::uint64_t begin = 0; begin < last; begin += stride) {
        const std::uint64_t end = std::min(begin + tile, size);
        const bool moved = isMovedBack && end - begin < tile;
        spans.push_back({moved ? size - tile : begin, moved ? tile : end - begin, begin});
        if (isMovedBack && end == size) break;
    }
    return spans;
}

// sd_tiling_calc_tiles() in src/core/ggml_extend.hpp, leejet/stable-diffusion.cpp at 97d2990: the number of tiles that
// the wanted overlap gives, one more where there is room for it below an overlap of one half; then what they share when
// they fill the size. Of two tiles, all that they have too much. In its fp32, which decides how fractions are cut off.
std::uint64_t fittedOverlap(std::uint64_t size, std::uint64_t tile, std::uint64_t wanted) {
    if (size <= tile) return 0;
    const auto shared = [tile](std::uint64_t surplus, std::uint64_t among) {
        return static_cast<std::uint64_t>(static_cast<float>(tile) *
                                          (static_cast<float>(surplus) / static_cast<float>(tile * among)));
    };
    const std::uint64_t stride = tile - wanted;
    std::uint64_t tiles = (size - wanted) / stride;
    const std::uint64_t over = ((tiles + 1) * stride + wanted) % size;
    if (over != stride && 2 * wanted <= tile && over <= tiles * (tile / 2 - wanted)) ++tiles;
    if (tiles <= 2) return shared(2 * tile - size, 1);
    return tile * tiles > size ? shared(tile * tiles - size, tiles - 1) : 0;
}

// Latents along one axis, and pixels for each.
struct Side {
    std::uint64_t size, factor;
};

std::uint64_t overlapOf(const Controls& controls, const Side& side, std::uint64_t tile) {
    const std::uint64_t size = side.size, wanted = controls.overlap / side.factor;
    return controls.tileGrid == TileArrangement::Fitted ? fittedOverlap(size, tile, wanted) : wanted;
}

std::vector<TileLine> placesOf(const Controls& controls, const Side& side, std::uint64_t tile) {
    std::vector<TileLine> lines;
    for (const Span& span : spansOf(controls.tileGrid, side.size, tile, overlapOf(controls, side, tile)))
        lines.push_back(
            {.begin = span.begin, .length = span.length, .weights = {}, .nextBlendStart = 0, .weightsBelowBlend = {}});
    return lines;
}

std::vector<TileLine> linesOf(const Controls& controls, const Side& side, std::uint64_t tile, std::uint64_t scale) {
    const std::uint64_t size = side.size, overlap = overlapOf(controls, side, tile);
    const std::vector<Span> spans = spansOf(controls.tileGrid, size, tile, overlap);
    std::vector<std::vector<double>> weights;
    std::vector<double> sums(size * scale, 0.0);
    const auto shared = [&](std::size_t i) { // elements of tile i and the one before
        return i == 0 || i >= spans.size() ? 0 : (std::min(spans[i - 1].end(), spans[i].end()) - spans[i].used) * scale;
    };
    for (std::size_t i = 0; i < spans.size(); ++i) {
        const std::uint64_t elements = spans[i].length * scale, from = (spans[i].used - spans[i].begin) * scale,
                            before = shared(i), after = shared(i + 1);
        std::vector<double> line(elements, 1.0);
        for (std::uint64_t k = 0; k < from; ++k) line[k] = 0.0;
        if (controls.blend == Blend::Feather) {
            feather(line, overlap * scale);
        } else {
            for (std::uint64_t k = 0; k < before; ++k) line[from + k] *= blendWeight(controls.blend, k, before);
            for (std::uint64_t k = 0; k < after; ++k)
                line[elements - after + k] *= 1.0 - blendWeight(controls.blend, k, after);
        }
        for (std::uint64_t k = 0; k < elements; ++k) sums[spans[i].begin * scale + k] += line[k];
        weights.push_back(std::move(line));
    }
    std::vector<TileLine> lines;
    for (std::size_t i = 0; i < spans.size(); ++i) {
        const std::uint64_t elements = spans[i].length * scale, after = shared(i + 1), before = shared(i);
        TileLine line{.begin = spans[i].begin,
                      .length = spans[i].length,
                      .weights = {},
                      .nextBlendStart = elements - after,
                      .weightsBelowBlend = {}};
        for (std::uint64_t k = 0; k < elements; ++k) {
            const double sum = sums[spans[i].begin * scale + k];
            line.weights.push_back(static_cast<float>(sum > 0 ? weights[i][k] / sum : 0));
        }
        line.weightsBelowBlend = line.weights;
        if (controls.tileGrid == TileArrangement::Diffusers)
            for (std::uint64_t k = 0; k < elements; ++k) {
                const double w = weights[i][k];
                if (k < before) line.weightsBelowBlend[k] = static_cast<float>(w * w);
                if (k >= elements - after) line.weightsBelowBlend[k] = static_cast<float>(1 - (1 - w) * (1 - w));
            }
        lines.push_back(std::move(line));
    }
    return lines;
}

// A grid for each pass; linesOf(side, tile) are those of one side.
template <class LinesOf>
std::vector<TileGrid> gridsOf(const Controls& controls, const LatentSize& latents, const LinesOf& linesOf) {
    const std::uint64_t tileHeight = controls.tile.height / latents.factor,
                        tileWidth = controls.tile.kind == TileChoice::Kind::Stripe
                                        ? latents.width
                                        : controls.tile.width / latents.factor;
    const auto gridOf = [&](std::uint64_t tileW, std::uint64_t tileH) {
        return TileGrid{.rows = linesOf(Side{latents.height, latents.factor}, tileH),
                        .columns = linesOf(Side{latents.width, latents.factor}, tileW)};
    };
    if (controls.tileGrid != TileArrangement::ThreePasses) return {gridOf(tileWidth, tileHeight)};
    return {gridOf(tileWidth / 2, tileHeight * 2), gridOf(tileWidth * 2, tileHeight / 2),
            gridOf(tileWidth, tileHeight)};
}

} // namespace

LatentSize latentSize(const Graph& graph) {
    const Shape &in = graph.shape(graph.input), &out = graph.shape(graph.output);
    const Shape &latents = in.h < out.h ? in : out, &image = in.h < out.h ? out : in;
    return {.width = latents.w, .height = latents.h, .factor = image.h / latents.h};
}

std::vector<TileGrid> tilePlaces(const Controls& controls, const LatentSize& latents) {
    return gridsOf(controls, latents,
                   [&](const Side& side, std::uint64_t tile) { return placesOf(controls, side, tile); });
}

std::vector<TileGrid> tileGrids(const Controls& controls, const LatentSize& latents, std::uint64_t scale) {
    std::vector<TileGrid> passes = gridsOf(
        controls, latents, [&](const Side& side, std::uint64_t tile) { return linesOf(controls, side, tile, scale); });
    if (passes.size() > 1)
        for (TileGrid& pass : passes)
            for (TileLine& line : pass.rows)
                for (float& weight : line.weights) weight /= 3.0f;
    return passes;
}

} // namespace spikescope
