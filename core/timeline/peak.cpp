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
    if (event.tensor >= recording.tensors.size()) return;
    std::uint64_t& bytes = live[static_cast<std::size_t>(recording.tensors[event.tensor].category)];
    if (event.kind == EventKind::Alloc) bytes += event.bytes;
    if (event.kind == EventKind::Free) bytes = lessAtLeastZero(bytes, event.bytes);
}

Peak findPeak(const Recording& recording, std::uint32_t space) {
    Peak peak;
    Breakdown live{};
    RunningTotals totals(recording);
    for (std::size_t i = 0; i < recording.events.size(); ++i) {
        const Event& event = recording.events[i];
        totals.follow(event);
        if (event.space == space) follow(live, recording, event);
        const SpaceTotals& now = totals.of(space);
        const std::uint64_t fixed =
            live[static_cast<std::size_t>(Category::Weights)] + live[static_cast<std::size_t>(Category::Resident)];
        peak.reserved = std::max(peak.reserved, now.reserved);
        peak.host = std::max(peak.host, totals.of(hostSpace).allocated);
        peak.working = std::max(peak.working, lessAtLeastZero(now.allocated, fixed));
        if (i == 0 || now.allocated > peak.allocated) {
            peak.allocated = now.allocated;
            peak.fragmentation = now.fragmentation();
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
    peak.timeNs = recording.timeNs(event);
    return peak;
}

std::vector<SpacePeak> spacePeaks(const Recording& recording) {
    std::vector<SpacePeak> peaks(recording.spaces.size());
    for (const Event& event : recording.events) {
        SpacePeak& peak = peaks[event.space];
        peak.allocated = std::max(peak.allocated, event.allocated);
        peak.reserved = std::max(peak.reserved, event.reserved);
    }
    return peaks;
}

std::vector<PhasePeak> phasePeaks(const Recording& recording, std::uint32_t space) {
    std::vector<PhasePeak> peaks;
    RunningTotals totals(recording);
    for (const Event& event : recording.events) {
        totals.follow(event);
        const SpaceTotals& now = totals.of(space);
        const std::uint64_t host = totals.of(hostSpace).allocated;
        auto peak = std::ranges::find(peaks, event.phase, &PhasePeak::phase);
        if (peak == peaks.end()) peak = peaks.insert(peaks.end(), PhasePeak{.phase = event.phase});
        peak->allocated = std::max(peak->allocated, now.allocated);
        peak->reserved = std::max(peak->reserved, now.reserved);
        peak->host = std::max(peak->host, host);
        peak->held = std::max(peak->held, now.allocated + host);
    }
    return peaks;
}

} // namespace spikescope
