#include "core/timeline/timeline.h"

#include <algorithm>

namespace spikescope {

namespace {

std::vector<Breakdown> breakdownsOf(const Recording& recording) {
    std::vector<Breakdown> breakdowns(recording.events.size());
    Breakdown live{};
    for (std::size_t i = 0; i < recording.events.size(); ++i) {
        follow(live, recording, recording.events[i]);
        breakdowns[i] = live;
    }
    return breakdowns;
}

Pyramid pyramidOf(const Recording& recording, std::uint64_t Event::*value) {
    std::vector<std::uint64_t> values;
    values.reserve(recording.events.size());
    for (const Event& event : recording.events) values.push_back(event.*value);
    return Pyramid(std::move(values));
}

} // namespace

Timeline::Timeline(Recording recording)
    : m_recording(std::move(recording))
    , m_peak(findPeak(m_recording))
    , m_layers(layerTable(m_recording))
    , m_breakdowns(breakdownsOf(m_recording))
    , m_allocated(pyramidOf(m_recording, &Event::allocated))
    , m_reserved(pyramidOf(m_recording, &Event::reserved))
    , m_timed(std::ranges::any_of(m_recording.ops, [](const RecordedOp& op) { return op.endNs != 0; })) {}

} // namespace spikescope
