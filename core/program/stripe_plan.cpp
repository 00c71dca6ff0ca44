#include "core/program/stripe_plan.h"

#include "core/base/checked.h"
#include "core/program/lower.h"

#include <numeric>

namespace spikescope {

StripePlan::StripePlan(const Graph& graph, const Controls& controls)
    : m_graph(graph)
    , m_controls(controls)
    , m_producer(graph.values.size(), noNode)
    , m_consumers(graph.values.size())
    , m_materialized(graph.values.size(), false)
    , m_lastStage(graph.values.size(), 0)
    , m_place(graph.values.size()) {
    findUses();
    chooseMaterialized();
    planStages();
    planBuffers();
    if (controls.spill == Spill::Host) chooseHostBuffers();
}

// Attention over all rows; within stripes queries see the keys and values of their own rows alone.
bool StripePlan::seesAllRows(const Op& op) const {
    return std::holds_alternative<Attention>(op) && m_controls.tileAttention != TileAttention::Own;
}

std::uint64_t StripePlan::rowBytes(ValueId value) const {
    const bool ends = value == m_graph.input || value == m_graph.output;
    return shape(value).w * shape(value).c * sizeOf(ends ? DType::F32 : featureMapType(m_controls, shape(value)));
}

void StripePlan::findUses() {
    for (std::uint32_t i = 0; i < m_graph.nodes.size(); ++i) {
        m_producer[m_graph.nodes[i].out.index] = i;
        for (const ValueId value : inputs(m_graph.nodes[i].op)) m_consumers[value.index].push_back(i);
    }
}

// Materialized are the outputs of blocks, what attention reads as a whole, and what is computed from materialized
// tensors and read more than once. Upsampled tensors and those within a block are large: they are recomputed where that
// lowers the peak.
void StripePlan::chooseMaterialized() {
    m_materialized[m_graph.input.index] = m_materialized[m_graph.output.index] = true;
    for (const Node& node : m_graph.nodes) {
        const std::uint32_t out = node.out.index;
        if (seesAllRows(node.op)) {
            m_materialized[out] = true;
            for (const ValueId value : inputs(node.op)) m_materialized[value.index] = true;
        } else if (std::holds_alternative<Add>(node.op)) {
            const auto& users = m_consumers[out];
            const bool activated = users.size() == 1 && std::holds_alternative<Relu>(m_graph.nodes[users.front()].op);
            m_materialized[out] = !activated;
        } else if (const auto* relu = std::get_if<Relu>(&node.op)) {
            m_materialized[out] = producedBy<Add>(relu->in) != nullptr;
        } else if (const auto* conv = std::get_if<Conv2d>(&node.op)) {
            m_materialized[out] =
                m_materialized[out] || (m_materialized[conv->in.index] && m_consumers[out].size() > 1);
        }
    }
    std::vector<ValueId> others; // materialized or recomputed
    for (const Node& node : m_graph.nodes) {
        if (m_materialized[node.out.index] || !normOf(node.out)) continue;
        const bool kept = m_controls.spill == Spill::Device || m_controls.spill == Spill::Host ||
                          (m_controls.spill == Spill::RecomputeUpsampled && !hasRowPairs(node.op));
        if (kept)
            m_materialized[node.out.index] = true;
        else
            others.push_back(node.out);
    }
    if (others.empty()) return;
    // A tensor is recomputed only where materializing it would raise the peak. Those whose recomputation costs most are
    // materialized first.
    const std::uint64_t least = peakBytes();
    std::vector<std::uint64_t> times(m_graph.values.size(), 0);
    for (const Stage& stage : m_stages) {
        const Demand demand = demandOf(stage.target, {0, shape(stage.target).h});
        for (std::uint32_t v = 0; v < demand.size(); ++v) times[v] += demand[v].has_value();
    }
    std::ranges::stable_sort(others, std::greater{}, [&](ValueId value) {
        return (times[value.index] - 1) * multiplicationsOf(value) * shape(value).elements();
    });
    for (const ValueId value : others) {
        m_materialized[value.index] = true;
        if (peakBytes() > least) m_materialized[value.index] = false;
    }
}

// Peak of feature maps over all stages: buffers in use, and what one stripe computes on its way.
std::uint64_t StripePlan::peakBytes() {
    planStages();
    struct BufferLife {
        std::uint64_t bytes;
        std::uint32_t first, last;
    };
    std::vector<BufferLife> buffers;
    std::vector<std::uint32_t> bufferOf(m_graph.values.size(), noBuffer);
    for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
        const ValueId y = m_stages[s].target;
        if (!m_materialized[y.index] || y == m_graph.output) continue;
        const auto x = lastRead(m_stages[s], s);
        const bool follows = x && canShareBuffer(y, *x);
        if (!follows) buffers.push_back({.bytes = 0, .first = s, .last = s});
        bufferOf[y.index] = follows ? bufferOf[x->index] : static_cast<std::uint32_t>(buffers.size() - 1);
        BufferLife& buffer = buffers[bufferOf[y.index]];
        buffer.bytes = std::max(buffer.bytes, mapBytes(y));
        buffer.last = std::max(buffer.last, m_lastStage[y.index]);
    }
    for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
        const ValueId y = m_stages[s].target;
        const auto x = m_materialized[y.index] ? pingPongPartner(s) : std::nullopt;
        if (x && mapBytes(*x) + mapBytes(y) <= buffers[bufferOf[x->index]].bytes) buffers[bufferOf[y.index]].bytes = 0;
    }
    std::uint64_t most = 0;
    for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
        std::uint64_t bytes = stripeBytes(m_stages[s]);
        for (const BufferLife& buffer : buffers)
            if (buffer.first <= s && s <= buffer.last) bytes += buffer.bytes;
        most = std::max(most, bytes);
    }
    return most;
}

// Whether a stripe has a tensor of its own for a value. It has none for a convolution's output that is added to a
// materialized tensor in place, nor for a norm on load or in place.
bool StripePlan::hasOwnTensor(ValueId value) const {
    if (const auto* norm = producedBy<GroupNorm>(value))
        return !normsOnLoad(m_controls, shape(value)) &&
               (m_materialized[norm->in.index] || m_consumers[norm->in.index].size() > 1);
    if (!producedBy<Conv2d>(value)) return false;
    const auto& users = m_consumers[value.index];
    const Node* user = users.size() == 1 ? &m_graph.nodes[users.front()] : nullptr;
    return !(user && std::holds_alternative<Add>(user->op) && m_materialized[user->out.index]);
}

// Per element of the value.
std::uint64_t StripePlan::multiplicationsOf(ValueId value) const {
    const auto* conv = producedBy<Conv2d>(value);
    if (!conv) return 1;
    const bool folded =
        m_controls.upsample == UpsampleLowering::Folded && hasRowPairs(m_graph.nodes[m_producer[value.index]].op);
    return shape(conv->in).c * (folded ? 4 : conv->kernel * conv->kernel);
}

// A tensor of more than twice the bytes begins a new buffer, so that no buffer is large long before it has to be.
bool StripePlan::canShareBuffer(ValueId y, ValueId x) const {
    return m_controls.lifetime == LifetimePolicy::Planned && !producedBy<Attention>(y) && y != m_graph.output &&
           mapBytes(y) <= 2 * mapBytes(x) && mapBytes(x) <= 2 * mapBytes(y);
}

std::optional<std::uint32_t> StripePlan::normOf(ValueId value) const {
    for (const std::uint32_t user : m_consumers[value.index])
        if (std::holds_alternative<GroupNorm>(m_graph.nodes[user].op)) return user;
    return std::nullopt;
}

RowSpan StripePlan::inputRows(const Op& op, ValueId in, const RowSpan& out) const {
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

// Upsampled tensors, and convolutions that are folded with the upsampling, are computed in pairs of rows.
bool StripePlan::hasRowPairs(const Op& op) const {
    const auto* conv = std::get_if<Conv2d>(&op);
    return std::holds_alternative<UpsampleNearest>(op) || (conv && producedBy<UpsampleNearest>(conv->in));
}

StripePlan::Demand StripePlan::demandOf(ValueId target, const RowSpan& stripe) const {
    Demand demand(m_graph.values.size());
    demand[target.index] = stripe;
    for (std::uint32_t i = m_producer[target.index] + 1; i-- > 0;) {
        const Node& node = m_graph.nodes[i];
        auto& rows = demand[node.out.index];
        if (!rows || isSource(node.out, target)) continue;
        if (hasRowPairs(node.op))
            rows = {rows->begin / 2 * 2, std::min(roundUp<std::uint64_t>(rows->end, 2), shape(node.out).h)};
        for (const ValueId in : inputs(node.op)) {
            const RowSpan span = inputRows(node.op, in, *rows);
            auto& known = demand[in.index];
            known = known ? known->hull(span) : span;
        }
    }
    return demand;
}

void StripePlan::planStages() {
    m_stages.clear();
    std::ranges::fill(m_lastStage, 0u);
    for (const Node& node : m_graph.nodes) {
        if (!m_materialized[node.out.index] && !normOf(node.out)) continue;
        Stage stage{.target = node.out, .stripes = {}, .reads = {}};
        const std::uint64_t h = shape(node.out).h, rows = seesAllRows(node.op) ? h : stripeRows();
        for (std::uint64_t begin = 0; begin < h; begin += rows)
            stage.stripes.push_back({begin, std::min(begin + rows, h)});
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

std::uint64_t StripePlan::stripeRows() const {
    if (m_controls.tile.parts == 0) return roundUp<std::uint64_t>(m_controls.tile.height, 2);
    // Of the image; kernels compute tiles of 16 rows and, of upsampled tensors, 32.
    constexpr std::uint64_t unit = 32;
    const std::uint64_t picture = std::max(shape(m_graph.input).h, shape(m_graph.output).h);
    return roundUp(divideUp(picture, m_controls.tile.parts), unit);
}

// A materialized tensor is placed in the buffer of a tensor that its stage reads last: in place, or at the other end of
// the buffer, stripe by stripe over rows that no later stripe reads. The second pass knows how large buffers become;
// tensors within a block then take what is left of one.
void StripePlan::planBuffers() {
    placeMaps({});
    std::map<std::uint32_t, std::uint64_t> known; // bytes, by the first value
    for (const SharedBuffer& buffer : m_buffers) known[buffer.first.index] = buffer.bytes;
    placeMaps(known);
}

void StripePlan::placeMaps(const std::map<std::uint32_t, std::uint64_t>& known) {
    m_buffers.clear();
    m_place[m_graph.input.index].buffer = addBuffer(m_graph.input);
    for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
        Stage& stage = m_stages[s];
        std::ranges::sort(stage.stripes);
        const ValueId y = stage.target;
        if (!m_materialized[y.index]) continue;
        const auto follow = [&](ValueId x, bool atBack) {
            m_place[y.index] = {.buffer = m_place[x.index].buffer, .atBack = atBack};
            ++m_buffers[m_place[x.index].buffer].members;
        };
        if (const auto x = pingPongPartner(s)) {
            const auto bytes = known.find(m_buffers[m_place[x->index].buffer].first.index);
            if (bytes != known.end() && mapBytes(*x) + mapBytes(y) <= bytes->second) {
                follow(*x, !m_place[x->index].atBack);
                continue;
            }
        }
        const auto x = lastRead(stage, s);
        if (x && canShareBuffer(y, *x)) {
            if (isInPlace(stage, *x)) {
                follow(*x, m_place[x->index].atBack);
                continue;
            }
            const bool upwards = !m_place[x->index].atBack;
            const std::uint64_t bytes = sharedBytes(stage, *x, upwards);
            if (bytes < mapBytes(*x) + mapBytes(y)) {
                SharedBuffer& buffer = m_buffers[m_place[x->index].buffer];
                buffer.bytes = std::max(buffer.bytes, bytes);
                if (upwards) std::ranges::reverse(stage.stripes);
                follow(*x, upwards);
                continue;
            }
        }
        m_place[y.index] = {.buffer = addBuffer(y), .atBack = false};
    }
}

// The stage adds to x and reads it for nothing else, so the sum may be computed in place of x.
bool StripePlan::isInPlace(const Stage& stage, ValueId x) const {
    const auto* sum = producedBy<Add>(stage.target);
    if (!sum || (sum->a != x && sum->b != x)) return false;
    const Demand demand = demandOf(stage.target, stage.stripes.front());
    return std::ranges::all_of(m_consumers[x.index], [&](std::uint32_t user) {
        const ValueId out = m_graph.nodes[user].out;
        return out == stage.target || !demand[out.index];
    });
}

// x, if the stage's tensor y may share its buffer side by side: the next stage is the last reader of both and computes
// in place of x.
std::optional<ValueId> StripePlan::pingPongPartner(std::uint32_t index) const {
    const Stage& stage = m_stages[index];
    const std::uint32_t last = m_lastStage[stage.target.index];
    if (stage.reads.size() != 1 || last != index + 1 || last >= m_stages.size()) return std::nullopt;
    const ValueId x = stage.reads.front(), z = m_stages[last].target;
    const bool fits = x != m_graph.input && z != m_graph.output && m_materialized[z.index] &&
                      canShareBuffer(stage.target, x) && m_lastStage[x.index] == last && isInPlace(m_stages[last], x);
    return fits ? std::optional(x) : std::nullopt;
}

// The largest of the stage's inputs, but for the graph's, that no later stage reads.
std::optional<ValueId> StripePlan::lastRead(const Stage& stage, std::uint32_t index) const {
    std::optional<ValueId> best;
    for (const ValueId value : stage.reads) {
        if (m_lastStage[value.index] != index || value == m_graph.input) continue;
        if (!best || mapBytes(value) > mapBytes(*best)) best = value;
    }
    return best;
}

// Bytes of a buffer with x at one end and the stage's tensor y at the other, so that no stripe overwrites rows of x
// that it or a later stripe reads.
std::uint64_t StripePlan::sharedBytes(const Stage& stage, ValueId x, bool upwards) {
    // Asked for twice, by both passes of placeMaps(), and there may be hundreds of stripes.
    const auto [known, isNew] = m_sharedBytes.try_emplace({stage.target.index, x.index, upwards});
    if (!isNew) return known->second;
    const ValueId y = stage.target;
    const std::uint64_t xBytes = mapBytes(x), yBytes = mapBytes(y);
    std::uint64_t meet = 0; // bytes of both in use at the same time
    for (const RowSpan& stripe : stage.stripes) {
        const auto read = demandOf(y, stripe)[x.index];
        if (!read) continue;
        // Downwards y grows from the front and x shrinks towards the back; upwards the other way round.
        const std::uint64_t made = upwards ? yBytes - stripe.begin * rowBytes(y) : stripe.end * rowBytes(y),
                            left = upwards ? read->end * rowBytes(x) : xBytes - read->begin * rowBytes(x);
        meet = std::max(meet, made + left);
    }
    // Views are also bound as texel buffers, whose offsets are aligned.
    return known->second = std::max({roundUp<std::uint64_t>(meet, 256), xBytes, yBytes});
}

std::uint32_t StripePlan::addBuffer(ValueId first) {
    m_buffers.push_back({.first = first, .bytes = mapBytes(first)});
    return static_cast<std::uint32_t>(m_buffers.size() - 1);
}

// A buffer stays on the device where that does not raise the peak; those with most transfers are tried first.
void StripePlan::chooseHostBuffers() {
    struct Life {
        std::uint32_t first = noStage, last = 0;
        std::uint64_t moved = 0; // bytes
    };
    std::vector<Life> lives(m_buffers.size());
    lives[m_place[m_graph.input.index].buffer].first = 0;
    for (std::uint32_t v = 0; v < m_place.size(); ++v)
        if (m_place[v].buffer != noBuffer) {
            Life& life = lives[m_place[v].buffer];
            life.last = std::max(life.last, m_lastStage[v]);
        }
    std::vector<std::uint64_t> made;
    std::vector<std::vector<std::pair<std::uint32_t, std::uint64_t>>> stripes; // of buffers
    for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
        const Stage& stage = m_stages[s];
        if (m_materialized[stage.target.index]) {
            Life& life = lives[m_place[stage.target.index].buffer];
            life.first = std::min(life.first, s);
            life.moved += mapBytes(stage.target);
        }
        for (const ValueId value : stage.reads) lives[m_place[value.index].buffer].moved += mapBytes(value);
        made.push_back(stripeBytes(stage));
        stripes.push_back(hostStripeBytes(stage));
    }
    const auto most = [&] {
        std::uint64_t peak = 0;
        for (std::uint32_t s = 0; s < m_stages.size(); ++s) {
            std::uint64_t bytes = made[s];
            for (const auto& [buffer, stripe] : stripes[s]) bytes += m_buffers[buffer].onHost ? stripe : 0;
            for (std::size_t c = 0; c < m_buffers.size(); ++c)
                if (!m_buffers[c].onHost && lives[c].first <= s && s <= lives[c].last) bytes += m_buffers[c].bytes;
            peak = std::max(peak, bytes);
        }
        return peak;
    };
    for (SharedBuffer& buffer : m_buffers) buffer.onHost = true;
    const std::uint64_t least = most();
    std::vector<std::size_t> order(m_buffers.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::greater{}, [&](std::size_t buffer) { return lives[buffer].moved; });
    for (const std::size_t buffer : order) {
        m_buffers[buffer].onHost = false;
        if (most() > least) m_buffers[buffer].onHost = true;
    }
}

// Bytes that the stripe in the middle of a stage computes on its way.
std::uint64_t StripePlan::stripeBytes(const Stage& stage) const {
    const Demand demand = demandOf(stage.target, stage.stripes[stage.stripes.size() / 2]);
    std::uint64_t bytes = 0;
    for (std::uint32_t v = 0; v < demand.size(); ++v) {
        const ValueId value{v};
        if (!demand[v] || isSource(value, stage.target)) continue;
        if (!m_materialized[v] && hasOwnTensor(value)) bytes += demand[v]->count() * rowBytes(value);
        if (!producedBy<Attention>(value)) continue;
        const std::uint64_t pixels = demand[v]->count() * shape(value).w;
        bytes += attentionRows(m_controls, pixels) * pixels * sizeOf(DType::F32);
    }
    return bytes;
}

// Bytes that the same stripe holds of materialized tensors on the host, by buffer. Norms and sums in place add nothing.
std::vector<std::pair<std::uint32_t, std::uint64_t>> StripePlan::hostStripeBytes(const Stage& stage) const {
    const Demand demand = demandOf(stage.target, stage.stripes[stage.stripes.size() / 2]);
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
    std::vector<std::pair<std::uint32_t, std::uint64_t>> stripes;
    for (std::uint32_t v = 0; v < demand.size(); ++v) {
        const ValueId value{v};
        if (!demand[v] || !m_materialized[v]) continue;
        const bool inPlace = value == stage.target ? isMadeInPlace(value) : isNormedInPlace(value);
        if (inPlace && m_controls.lifetime == LifetimePolicy::Planned) continue;
        stripes.emplace_back(m_place[v].buffer, demand[v]->count() * rowBytes(value));
    }
    return stripes;
}

} // namespace spikescope
