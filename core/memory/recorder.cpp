#include "core/memory/recorder.h"

namespace spikescope {

void Recorder::event(EventKind kind, std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes) {
    m_recording.events.push_back({.kind = kind,
                                  .phase = m_phase,
                                  .tensor = tensor,
                                  .op = static_cast<std::uint32_t>(m_recording.ops.size()),
                                  .address = address,
                                  .bytes = bytes,
                                  .allocated = m_allocated,
                                  .reserved = m_reserved,
                                  .workspace = m_workspace,
                                  .host = m_host,
                                  .freeBytes = m_freeBytes,
                                  .largestFree = m_largestFree});
}

void Recorder::count(std::uint32_t tensor, std::uint64_t bytes, bool grows) {
    const RecordedTensor& counted = m_recording.tensors[tensor];
    const auto add = [&](std::uint64_t& total) { total = grows ? total + bytes : total - bytes; };
    add(counted.host ? m_host : m_allocated);
    if (counted.category == Category::Workspace) add(m_workspace);
}

void Recorder::alloc(std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes) {
    count(tensor, bytes, true);
    event(EventKind::Alloc, tensor, address, bytes);
}

void Recorder::free(std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes) {
    count(tensor, bytes, false);
    event(EventKind::Free, tensor, address, bytes);
}

void Recorder::reserve(std::uint64_t address, std::uint64_t bytes) {
    m_reserved += bytes;
    event(EventKind::Reserve, noIndex, address, bytes);
}

void Recorder::returned(std::uint64_t address, std::uint64_t bytes) {
    m_reserved -= bytes;
    event(EventKind::Return, noIndex, address, bytes);
}

std::uint32_t Recorder::op(RecordedOp op) {
    op.phase = m_phase;
    m_recording.ops.push_back(std::move(op));
    return static_cast<std::uint32_t>(m_recording.ops.size() - 1);
}

} // namespace spikescope
