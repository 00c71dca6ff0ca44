#include "core/program/bands.h"

#include "core/program/band_plan.h"
#include "core/program/lower.h"

#include <algorithm>
#include <limits>
#include <map>

namespace spikescope {

namespace {

class Bands {
public:
    Bands(const Graph& graph, const Controls& controls, std::span<const Weight> unused)
        : m_graph(graph)
        , m_controls(controls)
        , m_plan(graph, controls)
        , m_lowered(lowerWeights(graph, controls, unused))
        , m_tensorOf(graph.values.size())
        , m_coefficients(graph.nodes.size()) {}

    LoweredCalls run(bool merged) {
        makeKeptMaps();
        for (std::uint32_t s = 0; s < m_plan.stages().size(); ++s) lowerStage(s);
        m_lowered.addWhole(m_tensorOf[m_graph.input.index], m_tensorOf[m_graph.output.index], merged);
        if (merged) return std::move(m_lowered);
        for (Part& part : m_lowered.parts) {
            part.areas = m_outputBands;
            for (Part::Area& band : part.areas) band.area.frame = part.lanes.front().from.picture;
        }
        return std::move(m_lowered);
    }

    BandCount count() {
        makeKeptMaps();
        BandCount count;
        for (std::uint32_t s = 0; s < m_plan.stages().size(); ++s) {
            const std::uint64_t bands = m_plan.stages()[s].bands.size(), before = m_lowered.program.calls.size();
            lowerStage(s, 1);
            count.calls += bands * (m_lowered.program.calls.size() - before);
            count.bands = std::max(count.bands, bands);
        }
        return count;
    }

private:
    const Shape& shape(ValueId value) const { return m_graph.shape(value); }

    // A map, or some rows of it, under the name of the layer that makes it.
    Tensor mapOf(ValueId value, std::uint64_t rows) const {
        const LayerId layer = m_graph.nodes[m_plan.producer(value)].layer;
        const bool last = value == m_graph.output;
        return mapTensor(m_lowered.program.layers[layer.index], layer, last ? Category::Image : Category::Activation,
                         last ? DType::F32 : mapType(m_controls), withRows(shape(value), rows));
    }

    void makeKeptMaps() {
        std::vector<TensorId> tensors;
        for (const Chain& chain : m_plan.chains()) {
            if (chain.first == m_graph.input) {
                tensors.push_back(m_lowered.addInput(shape(chain.first)));
            } else {
                Tensor tensor = mapOf(chain.first, shape(chain.first).h);
                if (chain.members > 1) {
                    tensor.name += " and what follows it in place";
                    tensor.dims = {chain.bytes / sizeOf(tensor.dtype)};
                }
                tensor.bytes = chain.bytes;
                tensors.push_back(m_lowered.add(std::move(tensor)));
            }
            if (chain.onHost) m_lowered.program.tensors[tensors.back().index].memory = MemoryKind::Pinned;
        }
        for (std::uint32_t v = 0; v < m_tensorOf.size(); ++v) {
            const ValueId value{v};
            if (!m_plan.isKept(value)) continue;
            const BandPlan::Place& place = m_plan.place(value);
            const Chain& chain = m_plan.chains()[place.chain];
            m_tensorOf[v] = tensors[place.chain];
            if (chain.members == 1) continue;
            Tensor map = mapOf(value, shape(value).h);
            map.within = m_tensorOf[v];
            map.offset = place.atEnd ? chain.bytes - map.bytes : 0;
            m_tensorOf[v] = m_lowered.add(std::move(map));
        }
    }

    void lowerStage(std::uint32_t index, std::size_t mostBands = std::numeric_limits<std::size_t>::max()) {
        const Stage& stage = m_plan.stages()[index];
        std::optional<GroupNormStatsCall> stats;
        if (const auto norm = m_plan.normOf(stage.target)) stats = statsOf(*norm, stage);
        for (std::uint32_t i = 0; i < std::min(stage.bands.size(), mostBands); ++i) {
            if (stats) stats->slot = i;
            if (stage.target == m_graph.output)
                m_outputBands.push_back({.firstWave = m_lowered.program.calls.size(),
                                         .area = {.y = stage.bands[i].begin,
                                                  .width = shape(stage.target).w,
                                                  .height = stage.bands[i].count()}});
            lowerBand(stage, index, stage.bands[i], stats);
        }
    }
    GroupNormStatsCall statsOf(std::uint32_t node, const Stage& stage) {
        const auto& op = std::get<GroupNorm>(m_graph.nodes[node].op);
        const LayerId layer = m_graph.nodes[node].layer;
        const std::string& path = m_lowered.program.layers[layer.index];
        GroupNormStatsCall stats{.in = {},
                                 .gamma = m_lowered.weightTensor(op.gamma, layer),
                                 .beta = m_lowered.weightTensor(op.beta, layer),
                                 .partials = {},
                                 .coefficients = {},
                                 .groups = op.groups,
                                 .eps = op.eps};
        const auto slots = static_cast<std::uint32_t>(stage.bands.size());
        stats.slots = slots;
        stats.totals = m_lowered.add(workspaceTensor(path + ".totals", layer, {slots, op.groups, 4}));
        stats.coefficients = m_lowered.add(workspaceTensor(path + ".coefficients", layer, {1, shape(op.in).c, 2}));
        m_coefficients[node] = stats.coefficients;
        return stats;
    }
    // The part of the graph that makes a band, as a graph of its own.
    struct BandGraph {
        const Stage& stage;
        std::uint32_t index; // of the stage
        const BandPlan::Demand& demand;
        Graph graph = {};
        Surroundings around = {};
        std::vector<std::optional<ValueId>> made = {}; // by value of the whole graph: what is there in this band
        std::map<std::pair<std::uint32_t, RowSpan>, ValueId> read = {}; // parts of maps, by value and rows
    };
    static ValueId addValue(BandGraph& part, Shape shape) {
        part.graph.values.push_back(shape);
        part.around.tensors.emplace_back();
        part.around.usedUp.push_back(false);
        return ValueId{static_cast<std::uint32_t>(part.graph.values.size() - 1)};
    }
    static Shape withRows(Shape shape, std::uint64_t rows) {
        shape.h = rows;
        return shape;
    }
    void addNode(BandGraph& part, Op op, LayerId layer, ValueId out, std::optional<TensorId> coefficients) {
        part.graph.nodes.push_back({.op = std::move(op), .layer = layer, .out = out});
        part.around.coefficients.push_back(coefficients);
    }

    void lowerBand(const Stage& stage, std::uint32_t index, const RowSpan& band,
                   const std::optional<GroupNormStatsCall>& stats) {
        const BandPlan::Demand demand = m_plan.demandOf(stage.target, band);
        const std::uint32_t last = m_plan.producer(stage.target);
        BandGraph part{.stage = stage, .index = index, .demand = demand};
        part.made.resize(m_graph.values.size());
        part.graph.layers = m_graph.layers;
        part.around.stats = stats;
        for (std::uint32_t v = 0; v < demand.size(); ++v)
            if (const ValueId value{v}; demand[v] && m_plan.isSource(value, stage.target) && m_plan.isOnHost(value))
                fetch(part, value);
        for (std::uint32_t i = 0; i <= last; ++i) {
            const Node& node = m_graph.nodes[i];
            const auto& rows = demand[node.out.index];
            if (!rows || m_plan.isSource(node.out, stage.target)) continue;
            Op op = node.op;
            const auto in = [&](ValueId& value) { value = input(part, node, value); };
            if (auto* conv = std::get_if<Conv2d>(&op)) {
                const std::uint64_t first = takenRows(part, node, conv->in).begin;
                conv->padTop -= static_cast<std::int32_t>(rows->begin * conv->stride - first);
            }
            std::visit(
                [&](auto& o) {
                    using T = std::decay_t<decltype(o)>;
                    if constexpr (std::is_same_v<T, Add>) {
                        in(o.a);
                        in(o.b);
                    } else if constexpr (std::is_same_v<T, Attention>) {
                        in(o.q);
                        in(o.k);
                        in(o.v);
                    } else {
                        in(o.in);
                    }
                },
                op);
            const ValueId out = addValue(part, withRows(shape(node.out), rows->count()));
            part.made[node.out.index] = out;
            addNode(part, op, node.layer, out, m_coefficients[i]);
            addParts(part, node.out);
        }
        part.graph.output = *part.made[stage.target.index];
        part.graph.input = part.graph.output; // there is none: all that is read lies in tensors
        lowerTo(part, band);
    }
    // Lowers the band, to where its map is kept.
    void lowerTo(BandGraph& part, const RowSpan& band) {
        const ValueId target = part.stage.target;
        const bool kept = m_plan.isKept(target), moves = kept && m_plan.isOnHost(target);
        part.around.outputIsMap = moves && target != m_graph.output;
        if (!part.around.outputIsMap)
            part.around.tensors[part.graph.output.index] =
                kept && !moves ? m_lowered.addRows(m_tensorOf[target.index], band.begin, band.count())
                               : m_lowered.add(mapOf(target, band.count()));
        const TensorId made = lowerInto(m_lowered, part.graph, m_controls, part.around);
        if (!moves) return;
        const TensorId rows = m_lowered.addRows(m_tensorOf[target.index], band.begin, band.count());
        move({.in = made, .out = rows, .toHost = true}, target);
    }
    // Brings the rows that the band reads of a map on the host; they are the band's own, as if it had made them.
    void fetch(BandGraph& part, ValueId value) {
        const RowSpan& rows = *part.demand[value.index];
        const TensorId there = m_lowered.addRows(m_tensorOf[value.index], rows.begin, rows.count());
        Tensor band = m_lowered.program.tensor(there);
        band.memory = MemoryKind::Device;
        band.within.reset();
        band.offset = 0;
        const TensorId here = m_lowered.add(std::move(band));
        move({.in = there, .out = here}, part.stage.target);
        const ValueId local = addValue(part, withRows(shape(value), rows.count()));
        part.made[value.index] = local;
        part.around.tensors[local.index] = here;
        part.around.usedUp[local.index] = true;
        addParts(part, value);
    }
    void move(const TransferCall& call, ValueId target) {
        m_lowered.program.calls.push_back({.kernel = call, .layer = m_graph.nodes[m_plan.producer(target)].layer});
    }
    // Parts of a map that others take come right behind it: a convolution adds only what is there already.
    void addParts(BandGraph& part, ValueId value) {
        for (const std::uint32_t user : m_plan.consumers(value)) {
            const Node& node = m_graph.nodes[user];
            if (part.demand[node.out.index] && user <= m_plan.producer(part.stage.target) &&
                !m_plan.isSource(node.out, part.stage.target))
                (void)input(part, node, value);
        }
    }
    // A convolution of several rows takes a map as it is made, and steps over rows that others need; other ops take the
    // rows that they make.
    static bool stepsOverRows(const Op& op) {
        const auto* conv = std::get_if<Conv2d>(&op);
        return conv && conv->kernel > 1;
    }
    // Kept on the device, where any rows can be read.
    bool isThere(const BandGraph& part, ValueId value) const {
        return m_plan.isSource(value, part.stage.target) && !m_plan.isOnHost(value);
    }
    RowSpan takenRows(const BandGraph& part, const Node& node, ValueId value) const {
        const bool asMade = !isThere(part, value) && stepsOverRows(node.op);
        return asMade ? *part.demand[value.index] : m_plan.wanted(node.op, value, *part.demand[node.out.index]);
    }
    ValueId input(BandGraph& part, const Node& node, ValueId value) {
        const RowSpan span = takenRows(part, node, value);
        const bool there = isThere(part, value);
        if (!there && span == *part.demand[value.index]) return *part.made[value.index];
        const auto [found, isNew] = part.read.try_emplace({value.index, span});
        if (!isNew) return found->second;
        const ValueId local = addValue(part, withRows(shape(value), span.count()));
        found->second = local;
        if (there) {
            part.around.tensors[local.index] = m_lowered.addRows(m_tensorOf[value.index], span.begin, span.count());
            part.around.usedUp[local.index] = m_plan.isLastRead(value, part.index) && part.stage.bands.size() == 1 &&
                                              std::holds_alternative<Attention>(node.op);
        } else {
            addNode(part, Rows{.in = *part.made[value.index], .first = span.begin - part.demand[value.index]->begin},
                    node.layer, local, std::nullopt);
        }
        return local;
    }

    const Graph& m_graph;
    const Controls& m_controls;
    BandPlan m_plan;
    LoweredCalls m_lowered;
    std::vector<TensorId> m_tensorOf;                    // by value that is kept
    std::vector<std::optional<TensorId>> m_coefficients; // by node
    // Of all stages the last one alone makes rows of the output; those before it make rows that all of them need.
    std::vector<Part::Area> m_outputBands;
};

} // namespace

LoweredCalls lowerInBands(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged) {
    return Bands(graph, controls, unused).run(merged);
}

BandCount countInBands(const Graph& graph, const Controls& controls) { return Bands(graph, controls, {}).count(); }

} // namespace spikescope
