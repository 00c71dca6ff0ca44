#pragma once
// Steps that come many times, in a plan: they are carried out until they leave the allocator in a state in which it was
// before them. From there on everything comes again, and it is enough to count it.

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

    // Where one time of a block begins or ends.
    struct Mark {
        std::uint32_t state = 0;
        std::size_t ops = 0, skips = 0; // so far
        std::uint64_t refusals = 0;     // of the heap
    };
    Mark mark();
    // How many of so many times of a block need not be carried out. The state is the same behind them.
    std::uint64_t skip(std::uint32_t block, std::uint64_t times);
    // When a time of a block has ended; `begins` are those of the times of it in a row.
    void learn(std::uint32_t block, const std::vector<Mark>& begins);
    // Counts what was skipped, in the Recording's ops; returns the refusals of it.
    std::uint64_t finish();

private:
    std::uint32_t state();

    // So many times of a block, behind which the state is the one before them.
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
    std::vector<Round> m_rounds;                                            // those within others before them
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> m_known; // rounds by block and state
    std::vector<Skip> m_skips;
};

} // namespace spikescope
