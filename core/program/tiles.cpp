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
    Tiles(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged)
        : m_controls(controls)
        , m_graph(graph)
        , m_latents(latentSize(graph))
        , m_decode(controls.op == VaeTask::Decode)
        , m_merged(merged)
        , m_lowered(lowerWeights(graph, controls, unused))
        , m_layer(m_lowered.addLayer("tiles")) {}

    LoweredCalls run() {
        const Shape& out = m_lowered.program.output;
        m_grids = m_merged ? tilePlaces(m_controls, m_latents) : tileGrids(m_controls, m_latents, outScale());
        addPersistent(out, addWeights());
        findRows();
        if (m_merged) {
            Sequence first = mergedPicture(0), further = out.n > 1 ? mergedPicture(1) : Sequence{};
            m_lowered.addPictures(std::move(first), std::move(further), out.n);
        } else {
            for (std::uint64_t picture = 0; picture < out.n; ++picture)
                for (std::size_t row = 0; row < m_rows.size(); ++row) addRow(row, picture);
        }
        return std::move(m_lowered);
    }

private:
    std::uint64_t outScale() const { return m_decode ? m_latents.factor : 1; }
    std::uint64_t inScale() const { return m_decode ? 1 : m_latents.factor; }

    // Notes where the weights of each line begin and returns their number. A merged program never runs and has none.
    std::uint64_t addWeights() {
        std::uint64_t count = 0;
        std::vector<float> weights;
        const auto add = [&](const TileLine& line, std::size_t lists) {
            m_weightsAt[&line] = count;
            count += lists * line.length * outScale();
            weights.insert(weights.end(), line.weights.begin(), line.weights.end());
            if (lists == 2) weights.insert(weights.end(), line.weightsBelowBlend.begin(), line.weightsBelowBlend.end());
        };
        for (const TileGrid& grid : m_grids) {
            for (const TileLine& row : grid.rows) add(row, 1);
            for (const TileLine& column : grid.columns) add(column, 2);
        }
        m_lowered.program.constants.push_back(std::move(weights));
        return count;
    }

    void addPersistent(const Shape& out, std::uint64_t weightCount) {
        Tensor weights = workspaceTensor("tiles.weights", m_layer, {weightCount});
        weights.constant = 0;
        m_weights = m_lowered.add(std::move(weights));
        // Rows that may be incomplete at a time: the height of the highest tile.
        std::uint64_t rows = 0;
        for (const TileGrid& grid : m_grids)
            for (const TileLine& row : grid.rows) rows = std::max(rows, row.length * outScale());
        m_band = m_lowered.add(featureMapTensor("tiles.band", m_layer, Category::Image, DType::F32,
                                                {.n = 1, .h = rows, .w = out.w, .c = out.c}));
        m_lowered.persistent = {m_weights, m_band};
    }

    // Tiles that begin in the same row of latents: for each grid that has any, its index and its line.
    struct Row {
        std::uint64_t begin = 0;
        std::vector<std::pair<std::size_t, const TileLine*>> lines;
    };
    // From the top, so that rows of the output which no later tile reaches are complete.
    void findRows() {
        std::map<std::uint64_t, Row> rows;
        for (std::size_t grid = 0; grid < m_grids.size(); ++grid)
            for (const TileLine& line : m_grids[grid].rows) {
                Row& row = rows[line.begin];
                row.begin = line.begin;
                row.lines.emplace_back(grid, &line);
            }
        for (auto& [begin, row] : rows) m_rows.push_back(std::move(row));
    }
    std::vector<Tile> tilesOf(const Row& row) const {
        std::vector<Tile> tiles;
        for (const auto& [grid, line] : row.lines)
            for (const TileLine& column : m_grids[grid].columns)
                tiles.push_back({line, &column, m_weightsAt.at(line), m_weightsAt.at(&column)});
        return tiles;
    }
    // Tiles in flight together are of one row, since further rows of tiles would need a larger band. The groups are as
    // few as possible and even: one tile alone leaves more of the device idle.
    std::vector<std::span<const Tile>> groupsOf(std::span<const Tile> tiles) const {
        std::vector<std::span<const Tile>> groups;
        while (!tiles.empty()) {
            const std::size_t left = divideUp<std::size_t>(tiles.size(), m_controls.tilesInFlight);
            groups.push_back(tiles.first(divideUp(tiles.size(), left)));
            tiles = tiles.subspan(groups.back().size());
        }
        return groups;
    }
    // Rows of the output that are complete after a row of tiles.
    std::vector<OutputRows> outputsOf(std::size_t row, std::uint64_t picture) const {
        const std::uint64_t bandRows = m_lowered.program.tensor(m_band).shape.h,
                            complete = row + 1 < m_rows.size() ? m_rows[row + 1].begin * outScale()
                                                               : m_lowered.program.output.h;
        std::vector<OutputRows> outputs;
        for (std::uint64_t written = m_rows[row].begin * outScale(); written < complete;) {
            // The band is a ring buffer of rows.
            const std::uint64_t at = written % bandRows, rows = std::min(complete - written, bandRows - at);
            outputs.push_back({.tensor = m_band, .firstRow = at, .rows = rows, .picture = picture, .y = written});
            written += rows;
        }
        return outputs;
    }

    OutputArea areaOf(const Tile& tile, std::uint64_t picture) const {
        return {.frame = picture,
                .x = tile.column->begin * outScale(),
                .y = tile.row->begin * outScale(),
                .width = tile.column->length * outScale(),
                .height = tile.row->length * outScale()};
    }

    // Tiles of one size in the same stream share calls and tensors.
    struct Size {
        InputOutput maps;
        std::vector<std::uint32_t> calls;
    };
    const Size& sizeOf(const Tile& tile, std::size_t stream) {
        const auto [found, isNew] = m_sizes.try_emplace({tile.row->length, tile.column->length, stream});
        Size& size = found->second;
        if (!isNew) return size;
        const Graph graph = resized(m_graph, {.n = 1,
                                              .h = tile.row->length * inScale(),
                                              .w = tile.column->length * inScale(),
                                              .c = m_graph.shape(m_graph.input).c});
        const std::size_t first = m_lowered.program.calls.size();
        size.maps = lowerInto(m_lowered, graph, m_controls);
        size.calls = m_lowered.callsFrom(first);
        return size;
    }

    void addRow(std::size_t row, std::uint64_t picture) {
        const std::vector<Tile> tiles = tilesOf(m_rows[row]);
        for (const std::span<const Tile> group : groupsOf(tiles)) {
            const bool begins = picture == 0 && row == 0 && group.data() == tiles.data();
            addUnit(group, begins, picture);
        }
        m_lowered.units.back().outputs = outputsOf(row, picture);
    }
    // `begins`: the very first unit.
    void addUnit(std::span<const Tile> group, bool begins, std::uint64_t picture) {
        WorkUnit unit;
        for (std::size_t stream = 0; stream < group.size(); ++stream) {
            unit.streams.push_back(streamOf(group[stream], stream, picture));
            unit.streams.back().from.again = !begins || stream > 0;
            if (!m_merged) unit.areas.push_back({.firstGroup = 0, .area = areaOf(group[stream], picture)});
        }
        // Blends of one row of tiles write the same rows of the band, so they run one after another.
        for (std::size_t stream = 0; stream < group.size(); ++stream)
            unit.calls.push_back(addBlend(group[stream], stream));
        m_lowered.units.push_back(std::move(unit));
    }
    TileStream streamOf(const Tile& tile, std::size_t stream, std::uint64_t picture) {
        const Size& size = sizeOf(tile, stream);
        return {.input = size.maps.input,
                .from = {.picture = picture, .y = tile.row->begin * inScale(), .x = tile.column->begin * inScale()},
                .calls = size.calls};
    }
    std::uint32_t addBlend(const Tile& tile, std::size_t stream) {
        const std::uint64_t bandRows = m_lowered.program.tensor(m_band).shape.h;
        m_lowered.program.calls.push_back({.kernel = BlendCall{.in = sizeOf(tile, stream).maps.output,
                                                               .weights = m_weights,
                                                               .out = m_band,
                                                               .rowWeights = tile.rowWeights,
                                                               .columnWeights = tile.columnWeights,
                                                               .bandRow = tile.row->begin * outScale() % bandRows,
                                                               .column = tile.column->begin * outScale(),
                                                               .splitRow = tile.row->nextBlendStart},
                                           .layer = m_layer});
        return static_cast<std::uint32_t>(m_lowered.program.calls.size() - 1);
    }

    // Rows of tiles are equal where their tiles have the same heights and as many downloads follow.
    Sequence mergedPicture(std::uint64_t picture) {
        Sequence rows;
        for (std::size_t row = 0; row < m_rows.size(); ++row) {
            const bool begins = picture == 0 && row == 0;
            std::vector<std::uint64_t> key{begins, outputsOf(row, picture).size()};
            for (const auto& [grid, line] : m_rows[row].lines) key.insert(key.end(), {grid, line->length});
            const auto [known, isNew] = m_equalRows.try_emplace(std::move(key));
            if (isNew) known->second = addMergedRow(row, picture);
            rows.add(known->second);
        }
        return rows;
    }
    std::size_t addMergedRow(std::size_t row, std::uint64_t picture) {
        const std::vector<Tile> tiles = tilesOf(m_rows[row]);
        const std::vector<std::span<const Tile>> groups = groupsOf(tiles);
        Sequence units{.ofUnits = true, .items = {}};
        for (const std::span<const Tile>& group : groups) {
            const bool begins = picture == 0 && row == 0 && &group == &groups.front();
            std::vector<OutputRows> outputs;
            if (&group == &groups.back()) outputs = outputsOf(row, picture);
            std::vector<std::uint64_t> key{begins, outputs.size()};
            for (const Tile& tile : group) key.insert(key.end(), {tile.row->length, tile.column->length});
            const auto [known, isNew] = m_equalUnits.try_emplace(std::move(key), m_lowered.units.size());
            if (isNew) {
                addUnit(group, begins, picture);
                m_lowered.units.back().outputs = std::move(outputs);
            }
            units.add(known->second);
        }
        m_lowered.sequences.push_back(std::move(units));
        return m_lowered.sequences.size() - 1;
    }

    const Controls& m_controls;
    const Graph& m_graph;
    LatentSize m_latents;
    bool m_decode, m_merged;
    LoweredCalls m_lowered;
    LayerId m_layer;
    std::vector<TileGrid> m_grids;
    std::map<const TileLine*, std::uint64_t> m_weightsAt; // elements of the constant
    std::vector<Row> m_rows;
    std::map<std::array<std::uint64_t, 3>, Size> m_sizes; // by height and width in latents, and stream
    std::map<std::vector<std::uint64_t>, std::size_t> m_equalRows, m_equalUnits; // sequences and units
    TensorId m_weights, m_band;
};

} // namespace

LoweredCalls lowerInTiles(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged) {
    return Tiles(graph, controls, unused, merged).run();
}

} // namespace spikescope
