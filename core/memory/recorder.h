#pragma once
// Writes the Recording of a plan or run and keeps the running totals that each event carries.

#include "core/memory/recording.h"

#include <array>

namespace spikescope {

class Recorder {
public:
    explicit Recorder(Recording& recording)
        : m_recording(recording) {}

    // What the allocator could hand out without the driver; said before the event that changes it.
    void freeSpace(std::uint64_t bytes, std::uint64_t largest) {
        m_freeBytes = bytes;
        m_largestFree = largest;
    }
    void phase(Phase phase) { m_phase = phase; }
    Phase phase() const { return m_phase; }
    void alloc(std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes);
    void free(std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes);
    void reserve(std::uint64_t address, std::uint64_t bytes);
    void returned(std::uint64_t address, std::uint64_t bytes);
    // Returns the op's index, for its times later.
    std::uint32_t op(RecordedOp op);

    // The totals that further events start from.
    void appendState(std::vector<std::uint64_t>& state) const {
        state.insert(state.end(), {m_allocated, m_reserved, m_workspace, m_host, m_freeBytes, m_largestFree});
    }
    std::uint64_t allocated() const { return m_allocated; }
    std::uint64_t reserved() const { return m_reserved; }

private:
    void event(EventKind kind, std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes);

    Recording& m_recording;
    Phase m_phase = Phase::Load;
    void count(std::uint32_t tensor, std::uint64_t bytes, bool grows);
    std::uint64_t m_allocated = 0, m_reserved = 0, m_workspace = 0, m_host = 0, m_freeBytes = 0, m_largestFree = 0;
};

} // namespace spikescope
