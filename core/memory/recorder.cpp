#include "core/memory/recorder.h"

namespace spikescope {

void Recorder::event(EventKind kind, std::uint32_t space, std::uint32_t tensor, std::uint64_t address,
                     std::uint64_t bytes) {
    m_recording.events.push_back({m_totals[space], kind, m_phase, space, tensor,
                                  static_cast<std::uint32_t>(m_recording.ops.size()), address, bytes});
}

void Recorder::alloc(std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes) {
    const RecordedTensor& counted = m_recording.tensors[tensor];
    SpaceTotals& totals = m_totals[counted.space];
    totals.allocated += bytes;
    if (counted.category == Category::Workspace) totals.workspace += bytes;
    event(EventKind::Alloc, counted.space, tensor, address, bytes);
}

void Recorder::free(std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes) {
    const RecordedTensor& counted = m_recording.tensors[tensor];
    SpaceTotals& totals = m_totals[counted.space];
    totals.allocated -= bytes;
    if (counted.category == Category::Workspace) totals.workspace -= bytes;
    event(EventKind::Free, counted.space, tensor, address, bytes);
}

void Recorder::reserve(std::uint64_t address, std::uint64_t bytes, std::uint32_t space) {
    m_totals[space].reserved += bytes;
    event(EventKind::Reserve, space, noIndex, address, bytes);
}

void Recorder::returned(std::uint64_t address, std::uint64_t bytes, std::uint32_t space) {
    m_totals[space].reserved -= bytes;
    event(EventKind::Return, space, noIndex, address, bytes);
}

std::uint32_t Recorder::op(RecordedOp op) {
    op.phase = m_phase;
    m_recording.ops.push_back(std::move(op));
    return static_cast<std::uint32_t>(m_recording.ops.size() - 1);
}

void Recorder::appendState(std::vector<std::uint64_t>& state) const {
    for (const SpaceTotals& of : m_totals)
        state.insert(state.end(), {of.allocated, of.reserved, of.workspace, of.freeBytes, of.largestFree});
}

} // namespace spikescope
