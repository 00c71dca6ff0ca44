#include "core/program/tiles.h"

#include "core/base/checked.h"
#include "core/program/lower.h"
#include "core/program/tile_grid.h"

#include <algorithm>
#include <array>
#include <map>

namespace spikescope {

namespace {

struct Tile {
    const TileLine *row, *column;
    std::uint64_t rowWeights, columnWeights; // elements of the constant
};

class Tiles {
public:
    Tiles(const Graph& graph, const Controls& controls, std::span<const Weight> unused)
        : m_controls(controls)
        , m_decode(controls.op == VaeOp::Decode)
        , m_lowered(lowerWeights(graph, controls, unused))
        , m_layer(m_lowered.addLayer("tiles")) {}

    LoweredCalls run() {
        const Shape &in = m_lowered.program.input, &out = m_lowered.program.output;
        const Shape& latents = m_decode ? in : out;
        m_grids = tileGrids(m_controls, latents.w, latents.h, outScale());
        addTiles();
        addLasting(out);
        for (std::uint64_t picture = 0; picture < out.n; ++picture) addPicture(picture);
        return std::move(m_lowered);
    }

private:
    std::uint64_t outScale() const { return m_decode ? spatialFactor : 1; }
    std::uint64_t inScale() const { return m_decode ? 1 : spatialFactor; }

    void addTiles() {
        std::vector<float> weights;
        for (const TileGrid& grid : m_grids) {
            std::vector<std::uint64_t> rowAt, columnAt;
            for (const TileLine& row : grid.rows) {
                rowAt.push_back(weights.size());
                weights.insert(weights.end(), row.weights.begin(), row.weights.end());
            }
            for (const TileLine& column : grid.columns) {
                columnAt.push_back(weights.size());
                weights.insert(weights.end(), column.weights.begin(), column.weights.end());
                weights.insert(weights.end(), column.crossed.begin(), column.crossed.end());
            }
            for (std::size_t i = 0; i < grid.rows.size(); ++i)
                for (std::size_t j = 0; j < grid.columns.size(); ++j)
                    m_tiles.push_back({&grid.rows[i], &grid.columns[j], rowAt[i], columnAt[j]});
        }
        // From the top: rows that no later tile reaches are complete.
        std::ranges::stable_sort(m_tiles, {}, [](const Tile& tile) { return tile.row->begin; });
        m_lowered.program.constants.push_back(std::move(weights));
    }

    void addLasting(const Shape& out) {
        const std::vector<float>& values = m_lowered.program.constants.back();
        Tensor weights = workspaceTensor("tiles.weights", m_layer, {values.size()});
        weights.constant = 0;
        m_weights = m_lowered.add(std::move(weights));
        // As many rows as may be incomplete at a time.
        std::uint64_t rows = 0;
        for (std::size_t i = 0; i < m_tiles.size(); ++i)
            rows = std::max(rows, (m_tiles[i].row->begin + m_tiles[i].row->length) * outScale() - completeBefore(i));
        m_band = m_lowered.add(
            mapTensor("tiles.band", m_layer, Category::Image, DType::F32, {.n = 1, .h = rows, .w = out.w, .c = out.c}));
        m_lowered.lasting = {m_weights, m_band};
    }
    // Output rows that tiles from this one on do not reach.
    std::uint64_t completeBefore(std::size_t tile) const {
        return tile == m_tiles.size() ? m_lowered.program.output.h : m_tiles[tile].row->begin * outScale();
    }

    OutputArea areaOf(const Tile& tile, std::uint64_t picture) const {
        return {.picture = picture,
                .x = tile.column->begin * outScale(),
                .y = tile.row->begin * outScale(),
                .width = tile.column->length * outScale(),
                .height = tile.row->length * outScale()};
    }

    // Tiles of one size in the same lane are the same calls over the same tensors.
    struct Size {
        InputOutput maps;
        std::vector<std::uint32_t> calls;
    };
    const Size& sizeOf(const Tile& tile, std::size_t lane) {
        const auto [found, isNew] = m_sizes.try_emplace({tile.row->length, tile.column->length, lane});
        Size& size = found->second;
        if (!isNew) return size;
        const Family& family = *findFamily(m_controls.model);
        // The whole output has this graph; a part of it has it too.
        const Graph graph = *buildGraph(family, m_controls.op, tile.column->length * spatialFactor,
                                        tile.row->length * spatialFactor, 1);
        const std::size_t first = m_lowered.program.calls.size();
        size.maps = lowerInto(m_lowered, graph, m_controls);
        size.calls = m_lowered.callsFrom(first);
        return size;
    }

    // Tiles that begin in the same row, as many as may be in flight; later rows of tiles would need a larger band. As
    // few groups as possible, and those of even size: a tile alone leaves more of a device idle.
    std::size_t endOfGroup(std::size_t first) const {
        const auto sameRow = [&](std::size_t i) { return m_tiles[i].row->begin == m_tiles[first].row->begin; };
        std::size_t rowEnd = first;
        while (rowEnd < m_tiles.size() && sameRow(rowEnd)) ++rowEnd;
        const std::size_t left = rowEnd - first, groups = divideUp<std::size_t>(left, m_controls.tilesInFlight);
        return first + divideUp(left, groups);
    }

    void addPicture(std::uint64_t picture) {
        const std::uint64_t bandRows = m_lowered.program.tensor(m_band).shape.h;
        std::uint64_t written = 0; // rows
        for (std::size_t first = 0, end = 0; first < m_tiles.size(); first = end) {
            end = endOfGroup(first);
            Part part;
            for (std::size_t i = first; i < end; ++i) {
                part.lanes.push_back(laneOf(i, i - first, picture));
                part.areas.push_back({.firstWave = 0, .area = areaOf(m_tiles[i], picture)});
            }
            // They write the same rows of the band.
            for (std::size_t i = first; i < end; ++i) part.calls.push_back(addBlend(i, i - first, bandRows));
            for (const std::uint64_t complete = completeBefore(end); written < complete;) {
                // The band is a ring.
                const std::uint64_t at = written % bandRows, rows = std::min(complete - written, bandRows - at);
                part.outputs.push_back(
                    {.tensor = m_band, .firstRow = at, .rows = rows, .picture = picture, .y = written});
                written += rows;
            }
            m_lowered.parts.push_back(std::move(part));
        }
    }
    Lane laneOf(std::size_t index, std::size_t lane, std::uint64_t picture) {
        const Tile& tile = m_tiles[index];
        const Size& size = sizeOf(tile, lane);
        return {.input = size.maps.input,
                .from = {.picture = picture,
                         .y = tile.row->begin * inScale(),
                         .x = tile.column->begin * inScale(),
                         .again = picture > 0 || index > 0},
                .calls = size.calls};
    }
    std::uint32_t addBlend(std::size_t index, std::size_t lane, std::uint64_t bandRows) {
        const Tile& tile = m_tiles[index];
        m_lowered.program.calls.push_back({.kernel = BlendCall{.in = sizeOf(tile, lane).maps.output,
                                                               .weights = m_weights,
                                                               .out = m_band,
                                                               .rowWeights = tile.rowWeights,
                                                               .columnWeights = tile.columnWeights,
                                                               .bandRow = tile.row->begin * outScale() % bandRows,
                                                               .column = tile.column->begin * outScale(),
                                                               .crossing = tile.row->crossing},
                                           .layer = m_layer});
        return static_cast<std::uint32_t>(m_lowered.program.calls.size() - 1);
    }

    const Controls& m_controls;
    bool m_decode;
    LoweredCalls m_lowered;
    LayerId m_layer;
    std::vector<TileGrid> m_grids;
    std::vector<Tile> m_tiles;
    std::map<std::array<std::uint64_t, 3>, Size> m_sizes; // by height and width in latents, and lane
    TensorId m_weights, m_band;
};

} // namespace

LoweredCalls lowerInTiles(const Graph& graph, const Controls& controls, std::span<const Weight> unused) {
    return Tiles(graph, controls, unused).run();
}

} // namespace spikescope
