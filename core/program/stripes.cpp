#include "core/program/stripes.h"

#include "core/program/lower.h"
#include "core/program/stripe_plan.h"

#include <algorithm>
#include <limits>
#include <map>

namespace spikescope {

namespace {

class StripeLowering {
public:
    StripeLowering(const Graph& graph, const Controls& controls, std::span<const Weight> unused)
        : m_graph(graph)
        , m_controls(controls)
        , m_plan(graph, controls)
        , m_lowered(lowerWeights(graph, controls, unused))
        , m_tensorOf(graph.values.size())
        , m_coefficients(graph.nodes.size()) {}

    LoweredCalls run(bool merged) {
        addMaterialized();
        for (std::uint32_t s = 0; s < m_plan.stages().size(); ++s) lowerStage(s);
        m_lowered.addWhole(m_tensorOf[m_graph.input.index], m_tensorOf[m_graph.output.index], merged);
        if (merged) return std::move(m_lowered);
        for (WorkUnit& unit : m_lowered.units) {
            unit.areas = m_outputStripes;
            for (WorkUnit::Area& entry : unit.areas) entry.area.frame = unit.streams.front().from.picture;
        }
        return std::move(m_lowered);
    }

    StripeCount count() {
        addMaterialized();
        StripeCount count;
        for (std::uint32_t s = 0; s < m_plan.stages().size(); ++s) {
            const std::uint64_t stripes = m_plan.stages()[s].stripes.size(), before = m_lowered.program.calls.size();
            lowerStage(s, 1);
            count.calls += stripes * (m_lowered.program.calls.size() - before);
            count.stripes = std::max(count.stripes, stripes);
        }
        return count;
    }

private:
    const Shape& shape(ValueId value) const { return m_graph.shape(value); }

    // A tensor for a value, or for some of its rows, with the name of the layer that computes it.
    Tensor mapOf(ValueId value, std::uint64_t rows) const {
        const LayerId layer = m_graph.nodes[m_plan.producer(value)].layer;
        const bool last = value == m_graph.output;
        return featureMapTensor(
            m_lowered.program.layers[layer.index], layer, last ? Category::Image : Category::Activation,
            last ? DType::F32 : featureMapType(m_controls, shape(value)), withRows(shape(value), rows));
    }

    void addMaterialized() {
        std::vector<TensorId> tensors;
        for (const SharedBuffer& buffer : m_plan.buffers()) {
            if (buffer.first == m_graph.input) {
                tensors.push_back(m_lowered.addInput(shape(buffer.first)));
            } else {
                Tensor tensor = mapOf(buffer.first, shape(buffer.first).h);
                if (buffer.members > 1) {
                    tensor.name += " and what follows it in place";
                    tensor.dims = {buffer.bytes / sizeOf(tensor.dtype)};
                }
                tensor.bytes = buffer.bytes;
                tensors.push_back(m_lowered.add(std::move(tensor)));
            }
            if (buffer.onHost) m_lowered.program.tensors[tensors.back().index].memory = MemoryKind::Pinned;
        }
        for (std::uint32_t v = 0; v < m_tensorOf.size(); ++v) {
            const ValueId value{v};
            if (!m_plan.isMaterialized(value)) continue;
            const StripePlan::Place& place = m_plan.place(value);
            const SharedBuffer& buffer = m_plan.buffers()[place.buffer];
            m_tensorOf[v] = tensors[place.buffer];
            if (buffer.members == 1) continue;
            Tensor map = mapOf(value, shape(value).h);
            map.within = m_tensorOf[v];
            map.offset = place.atBack ? buffer.bytes - map.bytes : 0;
            m_tensorOf[v] = m_lowered.add(std::move(map));
        }
    }

    void lowerStage(std::uint32_t index, std::size_t maxStripes = std::numeric_limits<std::size_t>::max()) {
        const Stage& stage = m_plan.stages()[index];
        std::optional<GroupNormStatsCall> stats;
        if (const auto norm = m_plan.normOf(stage.target)) stats = statsOf(*norm, stage);
        for (std::uint32_t i = 0; i < std::min(stage.stripes.size(), maxStripes); ++i) {
            if (stats) stats->slot = i;
            if (stage.target == m_graph.output)
                m_outputStripes.push_back({.firstGroup = m_lowered.program.calls.size(),
                                           .area = {.y = stage.stripes[i].begin,
                                                    .width = shape(stage.target).w,
                                                    .height = stage.stripes[i].count()}});
            lowerStripe(stage, index, stage.stripes[i], stats);
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
        const auto slots = static_cast<std::uint32_t>(stage.stripes.size());
        stats.slots = slots;
        stats.totals = m_lowered.add(workspaceTensor(path + ".totals", layer, {slots, op.groups, 4}));
        stats.coefficients = m_lowered.add(workspaceTensor(path + ".coefficients", layer, {1, shape(op.in).c, 2}));
        m_coefficients[node] = stats.coefficients;
        return stats;
    }
    // The part of the graph that computes one stripe, as a graph of its own.
    struct Subgraph {
        const Stage& stage;
        std::uint32_t index; // of the stage
        const StripePlan::Demand& demand;
        Graph graph = {};
        GraphBindings bindings = {};
        std::vector<std::optional<ValueId>> made = {}; // by value of the whole graph: what this stripe has
        std::map<std::pair<std::uint32_t, RowSpan>, ValueId> read = {}; // rows of values, by value and rows
    };
    static ValueId addValue(Subgraph& sub, Shape shape) {
        sub.graph.values.push_back(shape);
        sub.bindings.tensors.emplace_back();
        sub.bindings.isLastUse.push_back(false);
        return ValueId{static_cast<std::uint32_t>(sub.graph.values.size() - 1)};
    }
    static Shape withRows(Shape shape, std::uint64_t rows) {
        shape.h = rows;
        return shape;
    }
    void addNode(Subgraph& sub, Op op, LayerId layer, ValueId out, std::optional<TensorId> coefficients) {
        sub.graph.nodes.push_back({.op = std::move(op), .layer = layer, .out = out});
        sub.bindings.coefficients.push_back(coefficients);
    }

    void lowerStripe(const Stage& stage, std::uint32_t index, const RowSpan& stripe,
                     const std::optional<GroupNormStatsCall>& stats) {
        const StripePlan::Demand demand = m_plan.demandOf(stage.target, stripe);
        const std::uint32_t last = m_plan.producer(stage.target);
        Subgraph sub{.stage = stage, .index = index, .demand = demand};
        sub.made.resize(m_graph.values.size());
        sub.graph.layers = m_graph.layers;
        sub.bindings.stats = stats;
        for (std::uint32_t v = 0; v < demand.size(); ++v)
            if (const ValueId value{v}; demand[v] && m_plan.isSource(value, stage.target) && m_plan.isOnHost(value))
                fetch(sub, value);
        for (std::uint32_t i = 0; i <= last; ++i) {
            const Node& node = m_graph.nodes[i];
            const auto& rows = demand[node.out.index];
            if (!rows || m_plan.isSource(node.out, stage.target)) continue;
            Op op = node.op;
            const auto in = [&](ValueId& value) { value = input(sub, node, value); };
            if (auto* conv = std::get_if<Conv2d>(&op)) {
                const std::uint64_t first = takenRows(sub, node, conv->in).begin;
                conv->padTop -= static_cast<std::int32_t>(rows->begin * conv->stride - first);
            }
            forEachInput(op, in);
            const ValueId out = addValue(sub, withRows(shape(node.out), rows->count()));
            sub.made[node.out.index] = out;
            addNode(sub, op, node.layer, out, m_coefficients[i]);
            addRowViews(sub, node.out);
        }
        sub.graph.output = *sub.made[stage.target.index];
        sub.graph.input = sub.graph.output; // there is none: all inputs are tensors
        lowerTo(sub, stripe);
    }
    // Lowers the stripe into its rows of the materialized tensor.
    void lowerTo(Subgraph& sub, const RowSpan& stripe) {
        const ValueId target = sub.stage.target;
        const bool kept = m_plan.isMaterialized(target), moves = kept && m_plan.isOnHost(target);
        sub.bindings.outputIsMap = moves && target != m_graph.output;
        if (!sub.bindings.outputIsMap)
            sub.bindings.tensors[sub.graph.output.index] =
                kept && !moves ? m_lowered.addRows(m_tensorOf[target.index], stripe.begin, stripe.count())
                               : m_lowered.add(mapOf(target, stripe.count()));
        const TensorId made = lowerInto(m_lowered, sub.graph, m_controls, sub.bindings);
        if (!moves) return;
        const TensorId rows = m_lowered.addRows(m_tensorOf[target.index], stripe.begin, stripe.count());
        move({.in = made, .out = rows, .toHost = true}, target);
    }
    // Transfers the rows that the stripe reads of a tensor on the host; from there on they are the stripe's own.
    void fetch(Subgraph& sub, ValueId value) {
        const RowSpan& rows = *sub.demand[value.index];
        const TensorId there = m_lowered.addRows(m_tensorOf[value.index], rows.begin, rows.count());
        Tensor stripe = m_lowered.program.tensor(there);
        stripe.memory = MemoryKind::Device;
        stripe.within.reset();
        stripe.offset = 0;
        const TensorId here = m_lowered.add(std::move(stripe));
        move({.in = there, .out = here}, sub.stage.target);
        const ValueId local = addValue(sub, withRows(shape(value), rows.count()));
        sub.made[value.index] = local;
        sub.bindings.tensors[local.index] = here;
        sub.bindings.isLastUse[local.index] = true;
        addRowViews(sub, value);
    }
    void move(const TransferCall& call, ValueId target) {
        m_lowered.program.calls.push_back({.kernel = call, .layer = m_graph.nodes[m_plan.producer(target)].layer});
    }
    // Views of rows follow their tensor at once: a convolution adds only what is there already.
    void addRowViews(Subgraph& sub, ValueId value) {
        for (const std::uint32_t user : m_plan.consumers(value)) {
            const Node& node = m_graph.nodes[user];
            if (sub.demand[node.out.index] && user <= m_plan.producer(sub.stage.target) &&
                !m_plan.isSource(node.out, sub.stage.target))
                (void)input(sub, node, value);
        }
    }
    // A convolution of several rows takes its input as the stripe has it and skips rows that others need; other ops
    // take the rows that they compute.
    static bool stepsOverRows(const Op& op) {
        const auto* conv = std::get_if<Conv2d>(&op);
        return conv && conv->kernel > 1;
    }
    // Materialized on the device, where any rows can be read.
    bool isThere(const Subgraph& sub, ValueId value) const {
        return m_plan.isSource(value, sub.stage.target) && !m_plan.isOnHost(value);
    }
    RowSpan takenRows(const Subgraph& sub, const Node& node, ValueId value) const {
        const bool asMade = !isThere(sub, value) && stepsOverRows(node.op);
        return asMade ? *sub.demand[value.index] : m_plan.inputRows(node.op, value, *sub.demand[node.out.index]);
    }
    ValueId input(Subgraph& sub, const Node& node, ValueId value) {
        const RowSpan span = takenRows(sub, node, value);
        const bool there = isThere(sub, value);
        if (!there && span == *sub.demand[value.index]) return *sub.made[value.index];
        const auto [found, isNew] = sub.read.try_emplace({value.index, span});
        if (!isNew) return found->second;
        const ValueId local = addValue(sub, withRows(shape(value), span.count()));
        found->second = local;
        if (there) {
            sub.bindings.tensors[local.index] = m_lowered.addRows(m_tensorOf[value.index], span.begin, span.count());
            sub.bindings.isLastUse[local.index] = m_plan.isLastRead(value, sub.index) &&
                                                  sub.stage.stripes.size() == 1 &&
                                                  std::holds_alternative<Attention>(node.op);
        } else {
            addNode(sub, Rows{.in = *sub.made[value.index], .first = span.begin - sub.demand[value.index]->begin},
                    node.layer, local, std::nullopt);
        }
        return local;
    }

    const Graph& m_graph;
    const Controls& m_controls;
    StripePlan m_plan;
    LoweredCalls m_lowered;
    std::vector<TensorId> m_tensorOf;                    // by materialized value
    std::vector<std::optional<TensorId>> m_coefficients; // by node
    // Only the last stage computes rows of the output alone; the stages before it compute rows that all of them need.
    std::vector<WorkUnit::Area> m_outputStripes;
};

} // namespace

LoweredCalls lowerInStripes(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged) {
    return StripeLowering(graph, controls, unused).run(merged);
}

StripeCount countInStripes(const Graph& graph, const Controls& controls) {
    return StripeLowering(graph, controls, {}).count();
}

} // namespace spikescope
