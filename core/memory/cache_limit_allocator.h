#pragma once
// The rules of MLX's Metal allocator; facts read in mlx/backend/metal/allocator.cpp and backend/common/buffer_cache.h.
// A tensor has a buffer to itself, and freed buffers wait in a cache for a tensor of about their size.

#include "core/memory/allocator.h"

#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace spikescope {

class CacheLimitAllocator final : public Allocator {
public:
    // A buffer freed while less than cacheLimit bytes are cached is kept. What is over the limit then goes back at the
    // next allocation, as in MLX, so a buffer larger than the limit can still be used again at once. No new buffer
    // takes live and cached bytes past collectAbove while there is something cached.
    CacheLimitAllocator(Heap& heap, Recorder& recorder, std::uint64_t cacheLimit,
                        std::uint64_t collectAbove = std::numeric_limits<std::uint64_t>::max());
    Result<void> emptyCache() override;
    void end() override;
    void appendState(std::vector<std::uint64_t>& state) const override;

    std::uint64_t liveBytes() const { return m_liveBytes; } // of whole buffers: MLX's active memory
    std::uint64_t cachedBytes() const { return m_cachedBytes; }

protected:
    Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) override;
    Result<void> freeDevice(std::uint32_t tensor, const Placement& placement) override;

private:
    std::optional<HeapBlock> takeCached(std::uint64_t bytes);
    Result<HeapBlock> makeBuffer(std::uint64_t bytes);
    Result<void> releaseCached(std::uint64_t bytes);
    void sayFreeSpace(std::uint64_t unused = 0);

    const std::uint64_t m_cacheLimit, m_collectAbove, m_page;
    std::map<std::uint64_t, HeapBlock> m_cached;                // by when they were freed, as a serial number
    std::set<std::pair<std::uint64_t, std::uint64_t>> m_bySize; // bytes and serial number
    std::uint64_t m_serial = 0, m_cachedBytes = 0, m_liveBytes = 0;
};

} // namespace spikescope
