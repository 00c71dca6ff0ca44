#include "core/program/band_plan.h"

#include "core/base/checked.h"
#include "core/program/lower.h"

#include <numeric>

namespace spikescope {

BandPlan::BandPlan(const Graph& graph, const Controls& controls)
    : m_graph(graph)
    , m_controls(controls)
    , m_producer(graph.values.size(), noNode)
    , m_consumers(graph.values.size())
    , m_kept(graph.values.size(), false)
    , m_lastStage(graph.values.size(), 0)
    , m_place(graph.values.size()) {
    findUses();
    decideWhatIsKept();
    planStages();
    planChains();
    if (controls.spill == Spill::Host) decideWhatIsOnHost();
}

// Attention over all rows; within bands queries see the keys and values of their own rows alone.
bool BandPlan::seesAllRows(const Op& op) const {
    return std::holds_alternative<Attention>(op) && m_controls.tileAttention != TileAttention::Own;
}

std::uint64_t BandPlan::rowBytes(ValueId value) const {
    const bool ends = value == m_graph.input || value == m_graph.output;
    return shape(value).w * shape(value).c * sizeOf(ends ? DType::F32 : mapType(m_controls));
}

void BandPlan::findUses() {
    for (std::uint32_t i = 0; i < m_graph.nodes.size(); ++i) {
        m_producer[m_graph.nodes[i].out.index] = i;
        for (const ValueId value : inputs(m_graph.nodes[i].op)) m_consumers[value.index].push_back(i);
    }
}

// What blocks hand on, what attention reads whole, and what is made from kept maps and read more than once. Maps
// that are doubled, and those within a block, are made again where they are needed: they are the large ones.
void BandPlan::decideWhatIsKept() {
    m_kept[m_graph.input.index] = m_kept[m_graph.output.index] = true;
    for (const Node& node : m_graph.nodes) {
        const std::uint32_t out = node.out.index;
        if (seesAllRows(node.op)) {
            m_kept[out] = true;
            for (const ValueId value : inputs(node.op)) m_kept[value.index] = true;
        } else if (std::holds_alternative<Add>(node.op)) {
            const auto& users = m_consumers[out];
            const bool activated = users.size() == 1 && std::holds_alternative<Relu>(m_graph.nodes[users.front()].op);
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
        const bool kept = m_controls.spill == Spill::Device || m_controls.spill == Spill::Host ||
                          (m_controls.spill == Spill::RecomputeDoubled && !inPairs(node.op));
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
std::uint64_t BandPlan::mostAlive() {
    planStages();
    struct Chained {
        std::uint64_t bytes;
        std::uint32_t first, last;
    };
    std::vector<Chained> chains;
    std::vector<std::uint32_t> chainOf(m_graph.values.size(), noChain);
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
        std::uint64_t bytes = madeBy(m_stages[s]);
        for (const Chained& chain : chains)
            if (chain.first <= s && s <= chain.last) bytes += chain.bytes;
        most = std::max(most, bytes);
    }
    return most;
}

// A value that a band has in a map of its own: not a convolution's output that is added to a kept map and lies there,
// nor what a norm does on load or in place.
bool BandPlan::isMapInBand(ValueId value) const {
    if (const auto* norm = producedBy<GroupNorm>(value))
        return !normsOnLoad(m_controls, shape(value)) &&
               (m_kept[norm->in.index] || m_consumers[norm->in.index].size() > 1);
    if (!producedBy<Conv2d>(value)) return false;
    const auto& users = m_consumers[value.index];
    const Node* user = users.size() == 1 ? &m_graph.nodes[users.front()] : nullptr;
    return !(user && std::holds_alternative<Add>(user->op) && m_kept[user->out.index]);
}

// For each element of a map.
std::uint64_t BandPlan::productsOf(ValueId value) const {
    const auto* conv = producedBy<Conv2d>(value);
    if (!conv) return 1;
    const bool folded =
        m_controls.upsample == UpsampleLowering::Folded && inPairs(m_graph.nodes[m_producer[value.index]].op);
    return shape(conv->in).c * (folded ? 4 : conv->kernel * conv->kernel);
}

// Chains end where a map is more than twice the one before, so that they are not large long before they have to be.
bool BandPlan::isChain(ValueId y, ValueId x) const {
    return m_controls.lifetime == LifetimePolicy::Planned && !producedBy<Attention>(y) && y != m_graph.output &&
           mapBytes(y) <= 2 * mapBytes(x) && mapBytes(x) <= 2 * mapBytes(y);
}

std::optional<std::uint32_t> BandPlan::normOf(ValueId value) const {
    for (const std::uint32_t user : m_consumers[value.index])
        if (std::holds_alternative<GroupNorm>(m_graph.nodes[user].op)) return user;
    return std::nullopt;
}

RowSpan BandPlan::wanted(const Op& op, ValueId in, const RowSpan& out) const {
    const std::uint64_t h = shape(in).h;
    if (seesAllRows(op)) return {0, h};
    if (std::holds_alternative<UpsampleNearest>(op)) return {out.begin / 2, divideUp<std::uint64_t>(out.end, 2)};
    const auto* conv = std::get_if<Conv2d>(&op);
    if (!conv) return out;
    const auto first = static_cast<std::int64_t>(out.begin * conv->stride) - conv->padTop,
               last = static_cast<std::int64_t>((out.end - 1) * conv->stride + conv->kernel) - conv->padTop;
    return {static_cast<std::uint64_t>(std::max<std::int64_t>(first, 0)),
            std::min(h, static_cast<std::uint64_t>(last))};
}

// Doubled maps, and convolutions that are folded with the doubling, have rows by pairs.
bool BandPlan::inPairs(const Op& op) const {
    const auto* conv = std::get_if<Conv2d>(&op);
    return std::holds_alternative<UpsampleNearest>(op) || (conv && producedBy<UpsampleNearest>(conv->in));
}

BandPlan::Demand BandPlan::demandOf(ValueId target, const RowSpan& band) const {
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

void BandPlan::planStages() {
    m_stages.clear();
    std::ranges::fill(m_lastStage, 0u);
    for (const Node& node : m_graph.nodes) {
        if (!m_kept[node.out.index] && !normOf(node.out)) continue;
        Stage stage{.target = node.out, .bands = {}, .reads = {}};
        const std::uint64_t h = shape(node.out).h, rows = seesAllRows(node.op) ? h : bandRows();
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
    m_lastStage[m_graph.output.index] = noStage;
}

std::uint64_t BandPlan::bandRows() const {
    if (m_controls.tile.parts == 0) return roundUp<std::uint64_t>(m_controls.tile.height, 2);
    // Of the picture; kernels make tiles of 16 rows and, of doubled maps, 32.
    constexpr std::uint64_t unit = 32;
    const std::uint64_t picture = std::max(shape(m_graph.input).h, shape(m_graph.output).h);
    return roundUp(divideUp(picture, m_controls.tile.parts), unit);
}

// A kept map takes the memory of one that its stage reads last: its very place, or from the other end of it, band by
// band towards rows that are not read any more. When it is known how large chains become, maps within a block take what
// is left of one.
void BandPlan::planChains() {
    placeMaps({});
    std::map<std::uint32_t, std::uint64_t> known; // bytes, by the first map
    for (const Chain& chain : m_chains) known[chain.first.index] = chain.bytes;
    placeMaps(known);
}

void BandPlan::placeMaps(const std::map<std::uint32_t, std::uint64_t>& known) {
    m_chains.clear();
    m_place[m_graph.input.index].chain = addChain(m_graph.input);
    for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
        Stage& stage = m_stages[s];
        std::ranges::sort(stage.bands);
        const ValueId y = stage.target;
        if (!m_kept[y.index]) continue;
        const auto follow = [&](ValueId x, bool atEnd) {
            m_place[y.index] = {.chain = m_place[x.index].chain, .atEnd = atEnd};
            ++m_chains[m_place[x.index].chain].members;
        };
        if (const auto x = besideOf(s)) {
            const auto bytes = known.find(m_chains[m_place[x->index].chain].first.index);
            if (bytes != known.end() && mapBytes(*x) + mapBytes(y) <= bytes->second) {
                follow(*x, !m_place[x->index].atEnd);
                continue;
            }
        }
        const auto x = lastRead(stage, s);
        if (x && isChain(y, *x)) {
            if (isInPlace(stage, *x)) {
                follow(*x, m_place[x->index].atEnd);
                continue;
            }
            const bool upwards = !m_place[x->index].atEnd;
            const std::uint64_t bytes = sharedBytes(stage, *x, upwards);
            if (bytes < mapBytes(*x) + mapBytes(y)) {
                Chain& chain = m_chains[m_place[x->index].chain];
                chain.bytes = std::max(chain.bytes, bytes);
                if (upwards) std::ranges::reverse(stage.bands);
                follow(*x, upwards);
                continue;
            }
        }
        m_place[y.index] = {.chain = addChain(y), .atEnd = false};
    }
}

// The stage adds onto a map, and reads it for nothing else: the sum may lie where it lies.
bool BandPlan::isInPlace(const Stage& stage, ValueId x) const {
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
std::optional<ValueId> BandPlan::besideOf(std::uint32_t index) const {
    const Stage& stage = m_stages[index];
    const std::uint32_t last = m_lastStage[stage.target.index];
    if (stage.reads.size() != 1 || last != index + 1 || last >= m_stages.size()) return std::nullopt;
    const ValueId x = stage.reads.front(), z = m_stages[last].target;
    const bool fits = x != m_graph.input && z != m_graph.output && m_kept[z.index] && isChain(stage.target, x) &&
                      m_lastStage[x.index] == last && isInPlace(m_stages[last], x);
    return fits ? std::optional(x) : std::nullopt;
}

// The largest map between input and output that nothing reads behind this stage.
std::optional<ValueId> BandPlan::lastRead(const Stage& stage, std::uint32_t index) const {
    std::optional<ValueId> best;
    for (const ValueId value : stage.reads) {
        if (m_lastStage[value.index] != index || value == m_graph.input) continue;
        if (!best || mapBytes(value) > mapBytes(*best)) best = value;
    }
    return best;
}

// Bytes in which x at one end and the stage's map at the other do not meet: a band never reaches what itself or a
// later one reads.
std::uint64_t BandPlan::sharedBytes(const Stage& stage, ValueId x, bool upwards) {
    // Both ways of placing maps ask for the same ones, and there may be hundreds of bands.
    const auto [known, isNew] = m_sharedBytes.try_emplace({stage.target.index, x.index, upwards});
    if (!isNew) return known->second;
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
    return known->second = std::max({roundUp<std::uint64_t>(meet, 256), xBytes, yBytes});
}

std::uint32_t BandPlan::addChain(ValueId first) {
    m_chains.push_back({.first = first, .bytes = mapBytes(first)});
    return static_cast<std::uint32_t>(m_chains.size() - 1);
}

// What does not raise the peak stays on the device, and of that first what would be moved most.
void BandPlan::decideWhatIsOnHost() {
    struct Life {
        std::uint32_t first = noStage, last = 0;
        std::uint64_t moved = 0; // bytes
    };
    std::vector<Life> lives(m_chains.size());
    lives[m_place[m_graph.input.index].chain].first = 0;
    for (std::uint32_t v = 0; v < m_place.size(); ++v)
        if (m_place[v].chain != noChain) {
            Life& life = lives[m_place[v].chain];
            life.last = std::max(life.last, m_lastStage[v]);
        }
    std::vector<std::uint64_t> made;
    std::vector<std::vector<std::pair<std::uint32_t, std::uint64_t>>> bands; // of chains
    for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
        const Stage& stage = m_stages[s];
        if (m_kept[stage.target.index]) {
            Life& life = lives[m_place[stage.target.index].chain];
            life.first = std::min(life.first, s);
            life.moved += mapBytes(stage.target);
        }
        for (const ValueId value : stage.reads) lives[m_place[value.index].chain].moved += mapBytes(value);
        made.push_back(madeBy(stage));
        bands.push_back(bandsOfChains(stage));
    }
    const auto most = [&] {
        std::uint64_t peak = 0;
        for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
            std::uint64_t bytes = made[s];
            for (const auto& [chain, band] : bands[s]) bytes += m_chains[chain].onHost ? band : 0;
            for (std::size_t c = 0; c < m_chains.size(); ++c)
                if (!m_chains[c].onHost && lives[c].first <= s && s <= lives[c].last) bytes += m_chains[c].bytes;
            peak = std::max(peak, bytes);
        }
        return peak;
    };
    for (Chain& chain : m_chains) chain.onHost = true;
    const std::uint64_t least = most();
    std::vector<std::size_t> order(m_chains.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::greater{}, [&](std::size_t chain) { return lives[chain].moved; });
    for (const std::size_t chain : order) {
        m_chains[chain].onHost = false;
        if (most() > least) m_chains[chain].onHost = true;
    }
}

// Bytes of what the band in the middle of a stage makes on its way.
std::uint64_t BandPlan::madeBy(const Stage& stage) const {
    const Demand demand = demandOf(stage.target, stage.bands[stage.bands.size() / 2]);
    std::uint64_t bytes = 0;
    for (std::uint32_t v = 0; v < demand.size(); ++v) {
        const ValueId value{v};
        if (!demand[v] || isSource(value, stage.target)) continue;
        if (!m_kept[v] && isMapInBand(value)) bytes += demand[v]->count() * rowBytes(value);
        if (!producedBy<Attention>(value)) continue;
        const std::uint64_t pixels = demand[v]->count() * shape(value).w;
        bytes += attentionRows(m_controls, pixels) * pixels * sizeOf(DType::F32);
    }
    return bytes;
}

// What the same band holds of kept maps when they are on the host, by chain; norms and sums are made in its place.
std::vector<std::pair<std::uint32_t, std::uint64_t>> BandPlan::bandsOfChains(const Stage& stage) const {
    const Demand demand = demandOf(stage.target, stage.bands[stage.bands.size() / 2]);
    const auto isNormedInPlace = [&](ValueId value) {
        return std::ranges::all_of(m_consumers[value.index], [&](std::uint32_t user) {
            const Node& node = m_graph.nodes[user];
            const bool isMade = demand[node.out.index] && !isSource(node.out, stage.target);
            return !isMade || (std::holds_alternative<GroupNorm>(node.op) && !normsOnLoad(m_controls, shape(value)));
        });
    };
    const auto isMadeInPlace = [&](ValueId value) {
        return producedBy<Attention>(value) ||
               std::ranges::any_of(stage.reads, [&](ValueId read) { return isInPlace(stage, read); });
    };
    std::vector<std::pair<std::uint32_t, std::uint64_t>> bands;
    for (std::uint32_t v = 0; v < demand.size(); ++v) {
        const ValueId value{v};
        if (!demand[v] || !m_kept[v]) continue;
        const bool inPlace = value == stage.target ? isMadeInPlace(value) : isNormedInPlace(value);
        if (inPlace && m_controls.lifetime == LifetimePolicy::Planned) continue;
        bands.emplace_back(m_place[v].chain, demand[v]->count() * rowBytes(value));
    }
    return bands;
}

} // namespace spikescope
