#include "core/timeline/timeline.h"

#include <algorithm>

namespace spikescope {

namespace {

std::vector<Breakdown> breakdownsOf(const Recording& recording, std::uint32_t space) {
    std::vector<Breakdown> breakdowns(recording.events.size());
    Breakdown live{};
    for (std::size_t i = 0; i < recording.events.size(); ++i) {
        if (recording.events[i].space == space) follow(live, recording, recording.events[i]);
        breakdowns[i] = live;
    }
    return breakdowns;
}

Pyramid pyramidOf(const Recording& recording, std::uint32_t space, std::uint64_t SpaceTotals::*value) {
    std::vector<std::uint64_t> values;
    values.reserve(recording.events.size());
    std::uint64_t now = 0;
    for (const Event& event : recording.events) {
        if (event.space == space) now = event.*value;
        values.push_back(now);
    }
    return Pyramid(std::move(values));
}

} // namespace

Timeline::Timeline(Recording recording, std::uint32_t space)
    : m_recording(std::move(recording))
    , m_space(space)
    , m_peak(findPeak(m_recording, space))
    , m_layers(layerTable(m_recording, space))
    , m_breakdowns(breakdownsOf(m_recording, space))
    , m_allocated(pyramidOf(m_recording, space, &SpaceTotals::allocated))
    , m_reserved(pyramidOf(m_recording, space, &SpaceTotals::reserved))
    , m_timed(std::ranges::any_of(m_recording.ops, [](const RecordedOp& op) { return op.endNs != 0; })) {}

} // namespace spikescope
