#pragma once
// Plans exact tiling before anything is lowered: which tensors are materialized between stages, which stages there are,
// in which order each computes its stripes, and which buffer holds each materialized tensor.
//
//   stage     computes one tensor: a materialized one, or one whose statistics a norm needs
//   stripe    rows of that tensor, computed at a time; all that lies between it and materialized tensors is recomputed
//   buffer    memory of materialized tensors: of one, or of several whose rows follow each other in place
//
//   buffer 0 ─► stage 0: stripe 0, 1, 2 … ─► buffer 1 ─► stage 1: stripe 0, 1, 2 … ─► buffer 1 (in place) ─► …

#include "core/graph/graph.h"
#include "core/program/controls.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

namespace spikescope {

struct RowSpan {
    std::uint64_t begin = 0, end = 0;
    std::uint64_t count() const { return end - begin; }
    bool operator==(const RowSpan&) const = default;
    auto operator<=>(const RowSpan&) const = default;
    RowSpan hull(const RowSpan& other) const { return {std::min(begin, other.begin), std::max(end, other.end)}; }
};

// Computes a tensor that is materialized, or whose statistics a norm needs.
struct Stage {
    ValueId target;
    std::vector<RowSpan> stripes; // in the order in which they are computed
    std::vector<ValueId> reads;   // materialized tensors
};

// Memory of one materialized tensor, or of several that follow each other in it.
struct SharedBuffer {
    ValueId first; // the first one that lies in it
    std::uint64_t bytes = 0;
    std::uint32_t members = 1;
    bool onHost = false; // stripes are transferred to the device and back
};

class StripePlan {
public:
    StripePlan(const Graph& graph, const Controls& controls);

    const std::vector<Stage>& stages() const { return m_stages; }
    const std::vector<SharedBuffer>& buffers() const { return m_buffers; }
    bool isMaterialized(ValueId value) const { return m_materialized[value.index]; }
    // A materialized tensor that a stage reads instead of computing it.
    bool isSource(ValueId value, ValueId target) const { return m_materialized[value.index] && value != target; }
    // No later stage reads the materialized tensor.
    bool isLastRead(ValueId value, std::uint32_t stage) const { return m_lastStage[value.index] == stage; }
    // A tensor lies at the front of its buffer or at its back (ping-pong).
    struct Place {
        std::uint32_t buffer = 0xffffffffu;
        bool atBack = false;
    };
    const Place& place(ValueId value) const { return m_place[value.index]; }
    bool isOnHost(ValueId value) const { return m_buffers[m_place[value.index].buffer].onHost; }

    std::uint32_t producer(ValueId value) const { return m_producer[value.index]; } // node
    const std::vector<std::uint32_t>& consumers(ValueId value) const { return m_consumers[value.index]; }
    // The norm that reads a value.
    std::optional<std::uint32_t> normOf(ValueId value) const;
    // Rows of `in` that an op needs for rows of its output.
    RowSpan inputRows(const Op& op, ValueId in, const RowSpan& out) const;
    // By value: the rows that a stripe computes, or reads of a materialized tensor.
    using Demand = std::vector<std::optional<RowSpan>>;
    Demand demandOf(ValueId target, const RowSpan& stripe) const;

private:
    template <class T> const T* producedBy(ValueId value) const {
        const std::uint32_t node = m_producer[value.index];
        return node == noNode ? nullptr : std::get_if<T>(&m_graph.nodes[node].op);
    }
    const Shape& shape(ValueId value) const { return m_graph.shape(value); }
    std::uint64_t rowBytes(ValueId value) const;
    std::uint64_t mapBytes(ValueId value) const { return rowBytes(value) * shape(value).h; }
    bool hasRowPairs(const Op& op) const;
    bool seesAllRows(const Op& op) const;
    std::uint64_t stripeRows() const;

    void findUses();
    void chooseMaterialized();
    std::uint64_t peakBytes();
    std::uint64_t multiplicationsOf(ValueId value) const;
    bool canShareBuffer(ValueId y, ValueId x) const;
    bool hasOwnTensor(ValueId value) const;
    bool isInPlace(const Stage& stage, ValueId x) const;
    std::optional<ValueId> pingPongPartner(std::uint32_t stage) const;
    void planStages();
    void planBuffers();
    void placeMaps(const std::map<std::uint32_t, std::uint64_t>& known);
    std::optional<ValueId> lastRead(const Stage& stage, std::uint32_t index) const;
    std::uint64_t sharedBytes(const Stage& stage, ValueId x, bool upwards);
    std::uint32_t addBuffer(ValueId first);

    std::uint64_t stripeBytes(const Stage& stage) const;
    void chooseHostBuffers();
    std::vector<std::pair<std::uint32_t, std::uint64_t>> hostStripeBytes(const Stage& stage) const;

    static constexpr std::uint32_t noNode = 0xffffffffu, noStage = 0xffffffffu, noBuffer = 0xffffffffu;

    const Graph& m_graph;
    const Controls& m_controls;
    std::vector<std::uint32_t> m_producer;               // by value
    std::vector<std::vector<std::uint32_t>> m_consumers; // by value
    std::vector<bool> m_materialized;                    // by value
    std::vector<std::uint32_t> m_lastStage;              // by materialized value: the last stage that reads it
    std::vector<Place> m_place;                          // by value
    std::vector<Stage> m_stages;
    std::vector<SharedBuffer> m_buffers;
    std::map<std::tuple<std::uint32_t, std::uint32_t, bool>, std::uint64_t> m_sharedBytes; // by target, x, upwards
};

} // namespace spikescope
