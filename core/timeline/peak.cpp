#include "core/timeline/peak.h"

#include <algorithm>

namespace spikescope {

namespace {

std::uint64_t lessAtLeastZero(std::uint64_t from, std::uint64_t bytes) { return from - std::min(from, bytes); }

std::string_view peakLayer(const Recording& recording, const Event& event) {
    if (event.op < recording.ops.size()) return layerName(recording, recording.ops[event.op].layer);
    // Nothing was about to run: a replay without ops, or the request after which memory ended.
    if (event.tensor < recording.tensors.size()) return layerName(recording, recording.tensors[event.tensor].layer);
    return recording.ops.empty() ? std::string_view() : layerName(recording, recording.ops.back().layer);
}

} // namespace

std::string_view layerName(const Recording& recording, std::uint32_t layer) {
    return layer < recording.layers.size() ? std::string_view(recording.layers[layer]) : std::string_view();
}

void follow(Breakdown& live, const Recording& recording, const Event& event) {
    if (event.tensor >= recording.tensors.size() || recording.tensors[event.tensor].host) return;
    std::uint64_t& bytes = live[static_cast<std::size_t>(recording.tensors[event.tensor].category)];
    if (event.kind == EventKind::Alloc) bytes += event.bytes;
    if (event.kind == EventKind::Free) bytes = lessAtLeastZero(bytes, event.bytes);
}

Peak findPeak(const Recording& recording) {
    Peak peak;
    Breakdown live{};
    for (std::size_t i = 0; i < recording.events.size(); ++i) {
        const Event& event = recording.events[i];
        follow(live, recording, event);
        const std::uint64_t fixed =
            live[static_cast<std::size_t>(Category::Weights)] + live[static_cast<std::size_t>(Category::Resident)];
        peak.reserved = std::max(peak.reserved, event.reserved);
        peak.host = std::max(peak.host, event.host);
        peak.working = std::max(peak.working, lessAtLeastZero(event.allocated, fixed));
        if (i == 0 || event.allocated > peak.allocated) {
            peak.allocated = event.allocated;
            peak.byCategory = live;
            peak.eventIndex = static_cast<std::uint32_t>(i);
        }
    }
    if (peak.eventIndex == noIndex) return peak;

    const Event& event = recording.events[peak.eventIndex];
    peak.layer = peakLayer(recording, event);
    peak.opIndex = event.op;
    if (!recording.ops.empty()) peak.opIndex = std::min(event.op, static_cast<std::uint32_t>(recording.ops.size() - 1));
    peak.phase = event.phase;
    peak.fragmentation = event.fragmentation();
    peak.timeNs = recording.timeNs(event);
    return peak;
}

std::vector<PhasePeak> phasePeaks(const Recording& recording) {
    std::vector<PhasePeak> peaks;
    for (const Event& event : recording.events) {
        auto peak = std::ranges::find(peaks, event.phase, &PhasePeak::phase);
        if (peak == peaks.end()) peak = peaks.insert(peaks.end(), PhasePeak{.phase = event.phase});
        peak->allocated = std::max(peak->allocated, event.allocated);
        peak->reserved = std::max(peak->reserved, event.reserved);
        peak->host = std::max(peak->host, event.host);
        peak->held = std::max(peak->held, event.allocated + event.host);
    }
    return peaks;
}

} // namespace spikescope
