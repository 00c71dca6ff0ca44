#pragma once
// What is done to make a graph in bands, before any of it is lowered: which maps are kept between the stages, which
// stages there are, in which order each makes its rows, and where what is kept lies.

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

// A map that is kept, or whose statistics are wanted, made in bands.
struct Stage {
    ValueId target;
    std::vector<RowSpan> bands; // in the order of making
    std::vector<ValueId> reads; // kept maps
};

// A tensor that a kept map lies in, or maps that follow each other.
struct Chain {
    ValueId first;
    std::uint64_t bytes = 0;
    std::uint32_t members = 1;
    bool onHost = false; // bands of it come to the device and go back
};

class BandPlan {
public:
    BandPlan(const Graph& graph, const Controls& controls);

    const std::vector<Stage>& stages() const { return m_stages; }
    const std::vector<Chain>& chains() const { return m_chains; }
    bool isKept(ValueId value) const { return m_kept[value.index]; }
    // A kept map that a stage reads instead of making it.
    bool isSource(ValueId value, ValueId target) const { return m_kept[value.index] && value != target; }
    // Nothing reads a kept map behind this stage.
    bool isLastRead(ValueId value, std::uint32_t stage) const { return m_lastStage[value.index] == stage; }
    // Where a kept map lies: at the beginning of a chain, or at its end.
    struct Place {
        std::uint32_t chain = 0xffffffffu;
        bool atEnd = false;
    };
    const Place& place(ValueId value) const { return m_place[value.index]; }
    bool isOnHost(ValueId value) const { return m_chains[m_place[value.index].chain].onHost; }

    std::uint32_t producer(ValueId value) const { return m_producer[value.index]; } // node
    const std::vector<std::uint32_t>& consumers(ValueId value) const { return m_consumers[value.index]; }
    // The norm that reads a map.
    std::optional<std::uint32_t> normOf(ValueId value) const;
    // Rows of `in` that an op needs for rows of its output.
    RowSpan wanted(const Op& op, ValueId in, const RowSpan& out) const;
    // By value: the rows that a band of a stage makes, or reads of a kept map.
    using Demand = std::vector<std::optional<RowSpan>>;
    Demand demandOf(ValueId target, const RowSpan& band) const;

private:
    template <class T> const T* producedBy(ValueId value) const {
        const std::uint32_t node = m_producer[value.index];
        return node == noNode ? nullptr : std::get_if<T>(&m_graph.nodes[node].op);
    }
    const Shape& shape(ValueId value) const { return m_graph.shape(value); }
    std::uint64_t rowBytes(ValueId value) const;
    std::uint64_t mapBytes(ValueId value) const { return rowBytes(value) * shape(value).h; }
    bool inPairs(const Op& op) const;
    bool seesAllRows(const Op& op) const;
    std::uint64_t bandRows() const;

    void findUses();
    void decideWhatIsKept();
    std::uint64_t mostAlive();
    std::uint64_t productsOf(ValueId value) const;
    bool isChain(ValueId y, ValueId x) const;
    bool isMapInBand(ValueId value) const;
    bool isInPlace(const Stage& stage, ValueId x) const;
    std::optional<ValueId> besideOf(std::uint32_t stage) const;
    void planStages();
    void planChains();
    void placeMaps(const std::map<std::uint32_t, std::uint64_t>& known);
    std::optional<ValueId> lastRead(const Stage& stage, std::uint32_t index) const;
    std::uint64_t sharedBytes(const Stage& stage, ValueId x, bool upwards);
    std::uint32_t addChain(ValueId first);

    std::uint64_t madeBy(const Stage& stage) const;
    void decideWhatIsOnHost();
    std::vector<std::pair<std::uint32_t, std::uint64_t>> bandsOfChains(const Stage& stage) const;

    static constexpr std::uint32_t noNode = 0xffffffffu, noStage = 0xffffffffu, noChain = 0xffffffffu;

    const Graph& m_graph;
    const Controls& m_controls;
    std::vector<std::uint32_t> m_producer;               // by value
    std::vector<std::vector<std::uint32_t>> m_consumers; // by value
    std::vector<bool> m_kept;                            // by value
    std::vector<std::uint32_t> m_lastStage;              // by value that is kept: the last one that reads it
    std::vector<Place> m_place;                          // by value
    std::vector<Stage> m_stages;
    std::vector<Chain> m_chains;
    std::map<std::tuple<std::uint32_t, std::uint32_t, bool>, std::uint64_t> m_sharedBytes; // by target, x, upwards
};

} // namespace spikescope
