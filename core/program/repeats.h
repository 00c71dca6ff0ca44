#pragma once
// Repeated steps of a plan. They are carried out until they leave the allocator in a state that it was in before; from
// there on all repeats are the same, so they are counted instead.

#include "core/memory/allocator.h"

#include <map>
#include <utility>
#include <vector>

namespace spikescope {

class Repeats {
public:
    Repeats(Allocator& allocator, const Recorder& recorder, Recording& recording)
        : m_allocator(allocator)
        , m_recorder(recorder)
        , m_recording(recording) {}

    // The beginning or end of one repeat of a block.
    struct Mark {
        std::uint32_t state = 0;
        std::size_t ops = 0, skips = 0; // so far
        std::uint64_t refusals = 0;     // of the heap
    };
    Mark mark();
    // How many of `times` repeats need not be carried out. The state after them is the one before them.
    std::uint64_t skip(std::uint32_t block, std::uint64_t times);
    // After each repeat of a block; `begins`: of the repeats so far.
    void learn(std::uint32_t block, const std::vector<Mark>& begins);
    // Counts skipped repeats in the Recording's ops; returns their refusals.
    std::uint64_t finish();

private:
    std::uint32_t state();

    // Repeats of a block after which the state is the one before them.
    struct Round {
        std::uint64_t times = 0;
        Mark begin, end;
    };
    struct Skip {
        std::size_t round = 0;
        std::uint64_t times = 0; // of the round
    };

    Allocator& m_allocator;
    const Recorder& m_recorder;
    Recording& m_recording;
    std::map<std::vector<std::uint64_t>, std::uint32_t> m_states;
    std::uint32_t m_state = 0;
    std::size_t m_stateEvent = noIndex;                                     // how many events had been recorded
    std::vector<Round> m_rounds;                                            // inner ones before outer ones
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> m_known; // rounds by block and state
    std::vector<Skip> m_skips;
};

} // namespace spikescope
