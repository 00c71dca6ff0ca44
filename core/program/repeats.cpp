#include "core/program/repeats.h"

#include <algorithm>

namespace spikescope {

// Whatever changes it records an event.
std::uint32_t Repeats::state() {
    if (m_stateEvent == m_recording.events.size()) return m_state;
    std::vector<std::uint64_t> values{m_allocator.heap().held()};
    m_recorder.appendState(values);
    m_allocator.appendState(values);
    m_stateEvent = m_recording.events.size();
    m_state = m_states.try_emplace(std::move(values), static_cast<std::uint32_t>(m_states.size())).first->second;
    return m_state;
}

Repeats::Mark Repeats::mark() {
    return {.state = state(),
            .ops = m_recording.ops.size(),
            .skips = m_skips.size(),
            .refusals = m_allocator.heap().refusals()};
}

std::uint64_t Repeats::skip(std::uint32_t block, std::uint64_t times) {
    const auto known = m_known.find({block, state()});
    if (known == m_known.end()) return 0;
    const std::uint64_t rounds = times / m_rounds[known->second].times;
    if (rounds > 0) m_skips.push_back({.round = known->second, .times = rounds});
    return rounds * m_rounds[known->second].times;
}

void Repeats::learn(std::uint32_t block, const std::vector<Mark>& begins) {
    const Mark end = mark();
    const auto begin = std::ranges::find(begins, end.state, &Mark::state);
    if (begin == begins.end()) return;
    m_known.insert_or_assign({block, end.state}, m_rounds.size());
    m_rounds.push_back({.times = static_cast<std::uint64_t>(begins.end() - begin), .begin = *begin, .end = end});
}

std::uint64_t Repeats::finish() {
    std::uint64_t refusals = 0;
    std::vector<std::uint64_t> times(m_rounds.size(), 0);
    for (const Skip& skip : m_skips) times[skip.round] += skip.times;
    // What a round skips is of rounds before it.
    for (std::size_t i = m_rounds.size(); i-- > 0;) {
        if (times[i] == 0) continue;
        const auto& [unused, begin, end] = m_rounds[i];
        for (std::size_t op = begin.ops; op < end.ops; ++op) m_recording.ops[op].times += times[i];
        for (std::size_t s = begin.skips; s < end.skips; ++s) times[m_skips[s].round] += times[i] * m_skips[s].times;
        refusals += times[i] * (end.refusals - begin.refusals);
    }
    return refusals;
}

} // namespace spikescope
