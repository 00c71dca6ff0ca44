#pragma once
// A Recording prepared for being looked at: all that a chart or a table asks for again and again, made once.

#include "core/timeline/layer_table.h"
#include "core/timeline/pyramid.h"

#include <memory>
#include <span>

namespace spikescope {

class Timeline {
public:
    // Of what lies in this memory space.
    explicit Timeline(Recording recording, std::uint32_t space = deviceSpace);

    std::uint32_t space() const { return m_space; }
    const Recording& recording() const { return m_recording; }
    const Peak& peak() const { return m_peak; }
    const std::vector<LayerRow>& layers() const { return m_layers; }
    std::size_t eventCount() const { return m_recording.events.size(); }
    // After an event; sums to allocated().value(event).
    const Breakdown& breakdown(std::size_t event) const { return m_breakdowns[event]; }
    // In the space, after each event.
    const Pyramid& allocated() const { return m_allocated; }
    const Pyramid& reserved() const { return m_reserved; }
    bool timed() const { return m_timed; } // some op has a time

private:
    Recording m_recording;
    std::uint32_t m_space;
    Peak m_peak;
    std::vector<LayerRow> m_layers;
    std::vector<Breakdown> m_breakdowns;
    Pyramid m_allocated, m_reserved;
    bool m_timed = false;
};

using TimelinePtr = std::shared_ptr<const Timeline>;

} // namespace spikescope
