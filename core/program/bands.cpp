#include "core/program/bands.h"

#include "core/base/checked.h"
#include "core/program/lower.h"

#include <algorithm>
#include <map>

namespace spikescope {

namespace {

constexpr std::uint32_t noIndex32 = 0xffffffffu;

struct RowSpan {
    std::uint64_t begin = 0, end = 0;
    std::uint64_t count() const { return end - begin; }
    bool operator==(const RowSpan&) const = default;
    auto operator<=>(const RowSpan&) const = default;
    RowSpan hull(const RowSpan& other) const { return {std::min(begin, other.begin), std::max(end, other.end)}; }
};

// A map that is kept, or whose statistics are wanted, made in bands.
struct Stage {
    ValueId target;
    std::vector<RowSpan> bands; // in the order of making
    std::vector<ValueId> reads; // kept maps
};

// Where a kept map lies: in a tensor of its own, or at the beginning or the end of one that a chain of maps shares.
struct Place {
    std::uint32_t chain = noIndex32;
    bool atEnd = false;
};

class Bands {
public:
    Bands(const Graph& graph, const Controls& controls, std::span<const Weight> unused)
        : m_graph(graph)
        , m_controls(controls)
        , m_lowered(lowerWeights(graph, controls, unused))
        , m_producer(graph.values.size(), noIndex32)
        , m_consumers(graph.values.size())
        , m_kept(graph.values.size(), false)
        , m_lastStage(graph.values.size(), 0)
        , m_place(graph.values.size())
        , m_tensorOf(graph.values.size())
        , m_coefficients(graph.nodes.size()) {}

    LoweredCalls run() {
        findUses();
        decideWhatIsKept();
        planStages();
        planChains();
        makeKeptMaps();
        for (std::uint32_t s = 0; s < m_stages.size(); ++s) lowerStage(s);
        m_lowered.addWhole(m_tensorOf[m_graph.input.index], m_tensorOf[m_graph.output.index]);
        for (Part& part : m_lowered.parts) {
            part.areas = m_outputBands;
            for (Part::Area& band : part.areas) band.area.picture = part.from.picture;
        }
        return std::move(m_lowered);
    }

private:
    template <class T> const T* producedBy(ValueId value) const {
        const std::uint32_t node = m_producer[value.index];
        return node == noIndex32 ? nullptr : std::get_if<T>(&m_graph.nodes[node].op);
    }
    const Shape& shape(ValueId value) const { return m_graph.shape(value); }
    std::uint64_t rowBytes(ValueId value) const {
        return shape(value).w * shape(value).c * sizeOf(mapType(m_controls));
    }

    void findUses() {
        for (std::uint32_t i = 0; i < m_graph.nodes.size(); ++i) {
            m_producer[m_graph.nodes[i].out.index] = i;
            for (const ValueId value : inputs(m_graph.nodes[i].op)) m_consumers[value.index].push_back(i);
        }
    }

    // What blocks hand on, what attention reads whole, and what is made from kept maps and read more than once. Maps
    // that are doubled, and those within a block, are made again where they are needed: they are the large ones.
    void decideWhatIsKept() {
        m_kept[m_graph.input.index] = m_kept[m_graph.output.index] = true;
        for (const Node& node : m_graph.nodes) {
            const std::uint32_t out = node.out.index;
            if (const auto* attention = std::get_if<Attention>(&node.op)) {
                for (const ValueId value : {attention->q, attention->k, attention->v, node.out})
                    m_kept[value.index] = true;
            } else if (std::holds_alternative<Add>(node.op)) {
                const auto& users = m_consumers[out];
                const bool activated =
                    users.size() == 1 && std::holds_alternative<Relu>(m_graph.nodes[users.front()].op);
                m_kept[out] = !activated;
            } else if (const auto* relu = std::get_if<Relu>(&node.op)) {
                m_kept[out] = producedBy<Add>(relu->in) != nullptr;
            } else if (const auto* conv = std::get_if<Conv2d>(&node.op)) {
                m_kept[out] = m_kept[out] || (m_kept[conv->in.index] && m_consumers[out].size() > 1);
            }
        }
        std::vector<ValueId> others; // that may be kept or made again
        for (const Node& node : m_graph.nodes) {
            if (m_kept[node.out.index] || !normOf(node.out)) continue;
            const bool kept =
                m_controls.spill == Spill::Device || (m_controls.spill == Spill::RecomputeDoubled && !inPairs(node.op));
            if (kept)
                m_kept[node.out.index] = true;
            else
                others.push_back(node.out);
        }
        if (others.empty()) return;
        // Nothing is made again whose keeping would not raise the peak; what saves most is kept first.
        const std::uint64_t least = mostAlive();
        std::vector<std::uint64_t> times(m_graph.values.size(), 0);
        for (const Stage& stage : m_stages) {
            const Demand demand = demandOf(stage.target, {0, shape(stage.target).h});
            for (std::uint32_t v = 0; v < demand.size(); ++v) times[v] += demand[v].has_value();
        }
        std::ranges::stable_sort(others, std::greater{}, [&](ValueId value) {
            return (times[value.index] - 1) * productsOf(value) * shape(value).elements();
        });
        for (const ValueId value : others) {
            m_kept[value.index] = true;
            if (mostAlive() > least) m_kept[value.index] = false;
        }
    }
    // The most bytes of maps at a time, by stages: chains as long as one of them is needed, and what a band makes on
    // its way.
    std::uint64_t mostAlive() {
        planStages();
        struct Chained {
            std::uint64_t bytes;
            std::uint32_t first, last;
        };
        std::vector<Chained> chains;
        std::vector<std::uint32_t> chainOf(m_graph.values.size(), noIndex32);
        for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
            const ValueId y = m_stages[s].target;
            if (!m_kept[y.index] || y == m_graph.output) continue;
            const auto x = lastRead(m_stages[s], s);
            const bool follows = x && isChain(y, *x);
            if (!follows) chains.push_back({.bytes = 0, .first = s, .last = s});
            chainOf[y.index] = follows ? chainOf[x->index] : static_cast<std::uint32_t>(chains.size() - 1);
            Chained& chain = chains[chainOf[y.index]];
            chain.bytes = std::max(chain.bytes, mapBytes(y));
            chain.last = std::max(chain.last, m_lastStage[y.index]);
        }
        for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
            const ValueId y = m_stages[s].target;
            const auto x = m_kept[y.index] ? besideOf(s) : std::nullopt;
            if (x && mapBytes(*x) + mapBytes(y) <= chains[chainOf[x->index]].bytes) chains[chainOf[y.index]].bytes = 0;
        }
        std::uint64_t most = 0;
        for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
            std::uint64_t bytes = 0;
            for (const Chained& chain : chains)
                if (chain.first <= s && s <= chain.last) bytes += chain.bytes;
            const std::vector<RowSpan>& bands = m_stages[s].bands;
            const Demand demand = demandOf(m_stages[s].target, bands[bands.size() / 2]);
            for (std::uint32_t v = 0; v < demand.size(); ++v)
                if (demand[v] && !m_kept[v] && isMapInBand(ValueId{v}))
                    bytes += demand[v]->count() * rowBytes(ValueId{v});
            if (producedBy<Attention>(m_stages[s].target)) {
                const std::uint64_t pixels = shape(m_stages[s].target).pixels();
                bytes += attentionRows(m_controls, pixels) * pixels * 4;
            }
            most = std::max(most, bytes);
        }
        return most;
    }
    // A value that a band has in a map of its own: not a convolution's output that is added to a kept map and lies
    // there, nor what a norm does on load or in place.
    bool isMapInBand(ValueId value) const {
        if (const auto* norm = producedBy<GroupNorm>(value))
            return !normsOnLoad(m_controls, shape(value)) &&
                   (m_kept[norm->in.index] || m_consumers[norm->in.index].size() > 1);
        if (!producedBy<Conv2d>(value)) return false;
        const auto& users = m_consumers[value.index];
        const Node* user = users.size() == 1 ? &m_graph.nodes[users.front()] : nullptr;
        return !(user && std::holds_alternative<Add>(user->op) && m_kept[user->out.index]);
    }
    // For each element of a map.
    std::uint64_t productsOf(ValueId value) const {
        const auto* conv = producedBy<Conv2d>(value);
        if (!conv) return 1;
        const bool folded =
            m_controls.upsample == UpsampleLowering::Folded && inPairs(m_graph.nodes[m_producer[value.index]].op);
        return shape(conv->in).c * (folded ? 4 : conv->kernel * conv->kernel);
    }
    std::uint64_t mapBytes(ValueId value) const { return rowBytes(value) * shape(value).h; }
    // Chains end where a map is more than twice the one before, so that they are not large long before they have to be.
    bool isChain(ValueId y, ValueId x) const {
        return m_controls.lifetime == LifetimePolicy::Planned && !producedBy<Attention>(y) && y != m_graph.output &&
               mapBytes(y) <= 2 * mapBytes(x) && mapBytes(x) <= 2 * mapBytes(y);
    }
    // The norm that reads a map.
    std::optional<std::uint32_t> normOf(ValueId value) const {
        for (const std::uint32_t user : m_consumers[value.index])
            if (std::holds_alternative<GroupNorm>(m_graph.nodes[user].op)) return user;
        return std::nullopt;
    }

    // Rows of `in` that an op needs for rows of its output.
    RowSpan wanted(const Op& op, ValueId in, const RowSpan& out) const {
        const std::uint64_t h = shape(in).h;
        if (std::holds_alternative<Attention>(op)) return {0, h};
        if (std::holds_alternative<UpsampleNearest>(op)) return {out.begin / 2, divideUp<std::uint64_t>(out.end, 2)};
        const auto* conv = std::get_if<Conv2d>(&op);
        if (!conv) return out;
        const auto first = static_cast<std::int64_t>(out.begin * conv->stride) - conv->padTop,
                   last = static_cast<std::int64_t>((out.end - 1) * conv->stride + conv->kernel) - conv->padTop;
        return {static_cast<std::uint64_t>(std::max<std::int64_t>(first, 0)),
                std::min(h, static_cast<std::uint64_t>(last))};
    }
    // Doubled maps, and convolutions that are folded with the doubling, have rows by pairs.
    bool inPairs(const Op& op) const {
        const auto* conv = std::get_if<Conv2d>(&op);
        return std::holds_alternative<UpsampleNearest>(op) || (conv && producedBy<UpsampleNearest>(conv->in));
    }
    // By value: the rows that a band of a stage makes, or reads of a kept map.
    using Demand = std::vector<std::optional<RowSpan>>;
    Demand demandOf(ValueId target, const RowSpan& band) const {
        Demand demand(m_graph.values.size());
        demand[target.index] = band;
        for (std::uint32_t i = m_producer[target.index] + 1; i-- > 0;) {
            const Node& node = m_graph.nodes[i];
            auto& rows = demand[node.out.index];
            if (!rows || isSource(node.out, target)) continue;
            if (inPairs(node.op))
                rows = {rows->begin / 2 * 2, std::min(roundUp<std::uint64_t>(rows->end, 2), shape(node.out).h)};
            for (const ValueId in : inputs(node.op)) {
                const RowSpan span = wanted(node.op, in, *rows);
                auto& known = demand[in.index];
                known = known ? known->hull(span) : span;
            }
        }
        return demand;
    }
    bool isSource(ValueId value, ValueId target) const { return m_kept[value.index] && value != target; }

    void planStages() {
        m_stages.clear();
        std::ranges::fill(m_lastStage, 0u);
        for (const Node& node : m_graph.nodes) {
            if (!m_kept[node.out.index] && !normOf(node.out)) continue;
            Stage stage{.target = node.out, .bands = {}, .reads = {}};
            const std::uint64_t h = shape(node.out).h,
                                rows = std::holds_alternative<Attention>(node.op) ? h : bandRows();
            for (std::uint64_t begin = 0; begin < h; begin += rows)
                stage.bands.push_back({begin, std::min(begin + rows, h)});
            const auto index = static_cast<std::uint32_t>(m_stages.size());
            const Demand demand = demandOf(stage.target, {0, h});
            for (std::uint32_t v = 0; v < demand.size(); ++v)
                if (demand[v] && isSource(ValueId{v}, stage.target)) {
                    m_lastStage[v] = index;
                    stage.reads.push_back(ValueId{v});
                }
            m_stages.push_back(std::move(stage));
        }
        m_lastStage[m_graph.output.index] = noIndex32;
    }
    std::uint64_t bandRows() const {
        if (m_controls.tile.parts == 0) return roundUp<std::uint64_t>(m_controls.tile.height, 2);
        // Of the picture; kernels make tiles of 16 rows and, of doubled maps, 32.
        constexpr std::uint64_t unit = 32;
        const std::uint64_t picture = std::max(shape(m_graph.input).h, shape(m_graph.output).h);
        return roundUp(divideUp(picture, m_controls.tile.parts), unit);
    }
    // A kept map takes the memory of one that its stage reads last: its very place, or from the other end of it, band
    // by band towards rows that are not read any more. When it is known how large chains become, maps within a block
    // take what is left of one.
    void planChains() {
        placeMaps({});
        std::map<std::uint32_t, std::uint64_t> known; // bytes, by the first map
        for (const Chain& chain : m_chains) known[chain.first.index] = chain.bytes;
        placeMaps(known);
    }
    void placeMaps(const std::map<std::uint32_t, std::uint64_t>& known) {
        m_chains.clear();
        for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
            Stage& stage = m_stages[s];
            std::ranges::sort(stage.bands);
            const ValueId y = stage.target;
            if (!m_kept[y.index] || y == m_graph.output) continue;
            if (const auto x = besideOf(s)) {
                const Place& place = m_place[x->index];
                const Chain& chain = m_chains[place.chain];
                const auto bytes = known.find(chain.first.index);
                if (bytes != known.end() && mapBytes(*x) + mapBytes(y) <= bytes->second) {
                    m_place[y.index] = {.chain = place.chain, .atEnd = !place.atEnd};
                    continue;
                }
            }
            m_place[y.index] = {.chain = addChain(y, mapBytes(y)), .atEnd = false};
            const auto x = lastRead(stage, s);
            if (!x || !isChain(y, *x)) continue;
            Chain& chain = m_chains[m_place[x->index].chain];
            if (isInPlace(stage, *x)) {
                m_chains.pop_back();
                m_place[y.index] = m_place[x->index];
                continue;
            }
            const bool upwards = !m_place[x->index].atEnd;
            const std::uint64_t bytes = sharedBytes(stage, *x, upwards);
            if (bytes >= mapBytes(*x) + mapBytes(y)) continue;
            chain.bytes = std::max(chain.bytes, bytes);
            m_chains.pop_back();
            if (upwards) std::ranges::reverse(stage.bands);
            m_place[y.index] = {.chain = m_place[x->index].chain, .atEnd = upwards};
        }
    }
    // The stage adds onto a map, and reads it for nothing else: the sum may lie where it lies.
    bool isInPlace(const Stage& stage, ValueId x) const {
        const auto* sum = producedBy<Add>(stage.target);
        if (!sum || (sum->a != x && sum->b != x)) return false;
        const Demand demand = demandOf(stage.target, stage.bands.front());
        return std::ranges::all_of(m_consumers[x.index], [&](std::uint32_t user) {
            const ValueId out = m_graph.nodes[user].out;
            return out == stage.target || !demand[out.index];
        });
    }
    // The map whose chain a map of this stage may share as its neighbour: what reads this one last reads that one last,
    // too, and takes its very place; nothing else is kept until then.
    std::optional<ValueId> besideOf(std::uint32_t index) const {
        const Stage& stage = m_stages[index];
        const std::uint32_t last = m_lastStage[stage.target.index];
        if (stage.reads.size() != 1 || last != index + 1 || last >= m_stages.size()) return std::nullopt;
        const ValueId x = stage.reads.front(), z = m_stages[last].target;
        const bool fits = x != m_graph.input && z != m_graph.output && m_kept[z.index] && isChain(stage.target, x) &&
                          m_lastStage[x.index] == last && isInPlace(m_stages[last], x);
        return fits ? std::optional(x) : std::nullopt;
    }
    // The largest map between input and output that nothing reads behind this stage.
    std::optional<ValueId> lastRead(const Stage& stage, std::uint32_t index) const {
        std::optional<ValueId> best;
        for (const ValueId value : stage.reads) {
            if (m_lastStage[value.index] != index || value == m_graph.input) continue;
            if (!best || mapBytes(value) > mapBytes(*best)) best = value;
        }
        return best;
    }
    // Bytes in which x at one end and the stage's map at the other do not meet: a band never reaches what itself or a
    // later one reads.
    std::uint64_t sharedBytes(const Stage& stage, ValueId x, bool upwards) const {
        const ValueId y = stage.target;
        const std::uint64_t xBytes = mapBytes(x), yBytes = mapBytes(y);
        std::uint64_t meet = 0; // bytes of both that would be in use at the same place
        for (const RowSpan& band : stage.bands) {
            const auto read = demandOf(y, band)[x.index];
            if (!read) continue;
            // Downwards y grows from the beginning and x shrinks towards the end; upwards the other way round.
            const std::uint64_t made = upwards ? yBytes - band.begin * rowBytes(y) : band.end * rowBytes(y),
                                left = upwards ? read->end * rowBytes(x) : xBytes - read->begin * rowBytes(x);
            meet = std::max(meet, made + left);
        }
        // Offsets of views are bound as texels, too.
        return std::max({roundUp<std::uint64_t>(meet, 256), xBytes, yBytes});
    }

    std::uint32_t addChain(ValueId first, std::uint64_t bytes) {
        m_chains.push_back({.first = first, .bytes = bytes, .tensor = {}});
        return static_cast<std::uint32_t>(m_chains.size() - 1);
    }
    // A map, or some rows of it, under the name of the layer that makes it.
    Tensor mapOf(ValueId value, std::uint64_t rows) const {
        const LayerId layer = m_graph.nodes[m_producer[value.index]].layer;
        const bool last = value == m_graph.output;
        return mapTensor(m_lowered.program.layers[layer.index], layer, last ? Category::Image : Category::Activation,
                         last ? DType::F32 : mapType(m_controls), withRows(shape(value), rows));
    }

    void makeKeptMaps() {
        std::vector<std::uint32_t> members(m_chains.size(), 0);
        for (const Place& place : m_place)
            if (place.chain != noIndex32) ++members[place.chain];
        for (Chain& chain : m_chains) {
            Tensor tensor = mapOf(chain.first, shape(chain.first).h);
            if (members[&chain - m_chains.data()] > 1) {
                tensor.name += " and what follows it in place";
                tensor.dims = {chain.bytes / sizeOf(tensor.dtype)};
            }
            tensor.bytes = chain.bytes;
            chain.tensor = m_lowered.add(std::move(tensor));
        }
        m_tensorOf[m_graph.input.index] = m_lowered.addInput(shape(m_graph.input));
        for (std::uint32_t v = 0; v < m_place.size(); ++v) {
            if (m_place[v].chain == noIndex32) continue;
            const Chain& chain = m_chains[m_place[v].chain];
            const ValueId value{v};
            if (members[m_place[v].chain] == 1) {
                m_tensorOf[v] = chain.tensor;
                continue;
            }
            Tensor map = mapOf(value, shape(value).h);
            map.within = chain.tensor;
            map.offset = m_place[v].atEnd ? chain.bytes - map.bytes : 0;
            m_tensorOf[v] = m_lowered.add(std::move(map));
        }
        const ValueId output = m_graph.output;
        m_tensorOf[output.index] = m_lowered.add(mapOf(output, shape(output).h));
    }

    void lowerStage(std::uint32_t index) {
        const Stage& stage = m_stages[index];
        std::optional<GroupNormStatsCall> stats;
        if (const auto norm = normOf(stage.target)) stats = statsOf(*norm, stage);
        for (std::uint32_t i = 0; i < stage.bands.size(); ++i) {
            if (stats) stats->slot = i;
            if (stage.target == m_graph.output)
                m_outputBands.push_back({.firstCall = m_lowered.program.calls.size(),
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
        Graph graph;
        Surroundings around;
        std::vector<std::optional<ValueId>> made;                  // by value of the whole graph
        std::map<std::pair<std::uint32_t, RowSpan>, ValueId> read; // kept maps, by value and rows
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
        const Demand demand = demandOf(stage.target, band);
        BandGraph part;
        part.made.resize(m_graph.values.size());
        part.graph.layers = m_graph.layers;
        part.around.stats = stats;
        for (std::uint32_t i = 0; i <= m_producer[stage.target.index]; ++i) {
            const Node& node = m_graph.nodes[i];
            const auto& rows = demand[node.out.index];
            if (!rows || isSource(node.out, stage.target)) continue;
            Op op = node.op;
            const auto in = [&](ValueId& value) { value = input(part, demand, stage, index, node, *rows, value); };
            if (auto* conv = std::get_if<Conv2d>(&op)) {
                const std::uint64_t first = takenRows(demand, stage, node, *rows, conv->in).begin;
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
            // Parts of it that others take come right behind it: a convolution adds only what is there already.
            for (const std::uint32_t user : m_consumers[node.out.index])
                if (const auto& made = demand[m_graph.nodes[user].out.index];
                    made && user <= m_producer[stage.target.index])
                    (void)input(part, demand, stage, index, m_graph.nodes[user], *made, node.out);
        }
        part.graph.output = *part.made[stage.target.index];
        part.graph.input = part.graph.output; // there is none: all that is read lies in tensors
        part.around.tensors[part.graph.output.index] = outputTensor(stage.target, band);
        lowerInto(m_lowered, part.graph, m_controls, part.around);
    }
    TensorId outputTensor(ValueId target, const RowSpan& band) {
        if (m_kept[target.index]) return m_lowered.addRows(m_tensorOf[target.index], band.begin, band.count());
        return m_lowered.add(mapOf(target, band.count()));
    }
    // A convolution of several rows takes a map as it is made, and steps over rows that others need; other ops take the
    // rows that they make.
    static bool stepsOverRows(const Op& op) {
        const auto* conv = std::get_if<Conv2d>(&op);
        return conv && conv->kernel > 1;
    }
    RowSpan takenRows(const Demand& demand, const Stage& stage, const Node& node, const RowSpan& rows,
                      ValueId value) const {
        const bool asMade = !isSource(value, stage.target) && stepsOverRows(node.op);
        return asMade ? *demand[value.index] : wanted(node.op, value, rows);
    }
    ValueId input(BandGraph& part, const Demand& demand, const Stage& stage, std::uint32_t index, const Node& node,
                  const RowSpan& rows, ValueId value) {
        const RowSpan span = takenRows(demand, stage, node, rows, value);
        const bool kept = isSource(value, stage.target);
        if (!kept && span == *demand[value.index]) return *part.made[value.index];
        const auto [found, isNew] = part.read.try_emplace({value.index, span});
        if (!isNew) return found->second;
        const ValueId local = addValue(part, withRows(shape(value), span.count()));
        found->second = local;
        if (kept) {
            part.around.tensors[local.index] = m_lowered.addRows(m_tensorOf[value.index], span.begin, span.count());
            part.around.usedUp[local.index] = m_lastStage[value.index] == index && stage.bands.size() == 1 &&
                                              std::holds_alternative<Attention>(node.op);
        } else {
            addNode(part, Rows{.in = *part.made[value.index], .first = span.begin - demand[value.index]->begin},
                    node.layer, local, std::nullopt);
        }
        return local;
    }

    const Graph& m_graph;
    const Controls& m_controls;
    LoweredCalls m_lowered;
    std::vector<std::uint32_t> m_producer;               // by value
    std::vector<std::vector<std::uint32_t>> m_consumers; // by value
    std::vector<bool> m_kept;                            // by value
    std::vector<std::uint32_t> m_lastStage;              // by value that is kept: the last one that reads it
    std::vector<Place> m_place;                          // by value
    std::vector<TensorId> m_tensorOf;                    // by value that is kept
    std::vector<std::optional<TensorId>> m_coefficients; // by node
    std::vector<Stage> m_stages;
    // Of all stages the last one alone makes rows of the output; those before it make rows that all of them need.
    std::vector<Part::Area> m_outputBands;
    struct Chain {
        ValueId first;
        std::uint64_t bytes;
        TensorId tensor;
    };
    std::vector<Chain> m_chains;
};

} // namespace

LoweredCalls lowerInBands(const Graph& graph, const Controls& controls, std::span<const Weight> unused) {
    return Bands(graph, controls, unused).run();
}

} // namespace spikescope
