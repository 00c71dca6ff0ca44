#pragma once
// Writes the Recording of a plan or run and keeps the running totals that each event carries.

#include "core/memory/recording.h"

namespace spikescope {

class Recorder {
public:
    // The Recording's spaces are known by then.
    explicit Recorder(Recording& recording)
        : m_recording(recording)
        , m_totals(recording.spaces.size()) {}

    // What the space's allocator could hand out without the driver; said before the event that changes it.
    void freeSpace(std::uint64_t bytes, std::uint64_t largest, std::uint32_t space = deviceSpace) {
        m_totals[space].freeBytes = bytes;
        m_totals[space].largestFree = largest;
    }
    void phase(Phase phase) { m_phase = phase; }
    Phase phase() const { return m_phase; }
    // In the tensor's space.
    void alloc(std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes);
    void free(std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes);
    void reserve(std::uint64_t address, std::uint64_t bytes, std::uint32_t space = deviceSpace);
    void returned(std::uint64_t address, std::uint64_t bytes, std::uint32_t space = deviceSpace);
    // Returns the op's index, for its times later.
    std::uint32_t op(RecordedOp op);

    // The totals that further events start from.
    void appendState(std::vector<std::uint64_t>& state) const;
    std::uint64_t reserved(std::uint32_t space = deviceSpace) const { return m_totals[space].reserved; }

private:
    void event(EventKind kind, std::uint32_t space, std::uint32_t tensor, std::uint64_t address, std::uint64_t bytes);

    Recording& m_recording;
    Phase m_phase = Phase::Load;
    std::vector<SpaceTotals> m_totals; // by space
};

} // namespace spikescope
