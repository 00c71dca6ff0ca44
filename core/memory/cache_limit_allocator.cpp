#include "core/memory/cache_limit_allocator.h"

#include "core/base/checked.h"

#include <algorithm>

namespace spikescope {

namespace {

constexpr std::uint64_t pageBytes = 16 * 1024; // of Apple's machines
constexpr std::uint64_t everything = std::numeric_limits<std::uint64_t>::max();

} // namespace

CacheLimitAllocator::CacheLimitAllocator(Heap& heap, Recorder& recorder, std::uint64_t cacheLimit,
                                         std::uint64_t collectAbove)
    : Allocator(heap, recorder)
    , m_cacheLimit(cacheLimit)
    , m_collectAbove(collectAbove)
    , m_page(roundUp(pageBytes, heap.traits().granularity)) {}

Result<Placement> CacheLimitAllocator::allocateDevice(std::uint32_t tensor, std::uint64_t bytes) {
    TRY(const std::uint64_t size, roundedUp(bytes, bytes > m_page ? m_page : m_heap.traits().granularity));
    std::optional<HeapBlock> buffer = takeCached(size);
    if (!buffer) {
        TRY(buffer, makeBuffer(size));
    }
    m_liveBytes += buffer->bytes;
    const Placement placement{.block = *buffer, .offset = 0, .bytes = counted(bytes, buffer->bytes)};
    sayFreeSpace();
    m_recorder.alloc(tensor, placement.address(), placement.bytes);
    if (m_cachedBytes > m_cacheLimit) {
        if (auto released = releaseCached(m_cachedBytes - m_cacheLimit); !released) {
            (void)freeDevice(tensor, placement); // the caller gets no placement that it could free
            return tl::unexpected<Error>(std::move(released.error()));
        }
    }
    return placement;
}

Result<void> CacheLimitAllocator::freeDevice(std::uint32_t tensor, const Placement& placement) {
    const HeapBlock& buffer = placement.block;
    m_liveBytes -= buffer.bytes;
    if (m_cachedBytes >= m_cacheLimit) return freeBlock(tensor, placement);
    m_cached.emplace(m_serial, buffer);
    m_bySize.emplace(buffer.bytes, m_serial++);
    m_cachedBytes += buffer.bytes;
    sayFreeSpace();
    m_recorder.free(tensor, placement.address(), placement.bytes);
    return {};
}

Result<void> CacheLimitAllocator::emptyCache() { return releaseCached(everything); }

void CacheLimitAllocator::end() {
    (void)releaseCached(everything); // even a lost device must get its memory back
}

// What is cached, in the order in which it would go.
void CacheLimitAllocator::appendState(std::vector<std::uint64_t>& state) const {
    state.push_back(m_liveBytes);
    for (const auto& [serial, buffer] : m_cached) state.push_back(buffer.bytes);
}

// The smallest that is large enough and not too large; of equal ones the one freed first.
std::optional<HeapBlock> CacheLimitAllocator::takeCached(std::uint64_t bytes) {
    const auto fit = m_bySize.lower_bound({bytes, 0});
    if (fit == m_bySize.end() || fit->first - bytes >= std::min(bytes, 2 * m_page)) return std::nullopt;
    const auto cached = m_cached.find(fit->second);
    const HeapBlock buffer = cached->second;
    m_cachedBytes -= buffer.bytes;
    m_bySize.erase(fit);
    m_cached.erase(cached);
    return buffer;
}

Result<HeapBlock> CacheLimitAllocator::makeBuffer(std::uint64_t bytes) {
    const std::uint64_t total = checkedAdd(m_liveBytes + m_cachedBytes, bytes).value_or(everything);
    if (total > m_collectAbove) CHECK(releaseCached(total - m_collectAbove));
    auto buffer = m_heap.allocate(bytes, MemoryKind::Device);
    if (!buffer && buffer.error().code == ErrorCode::OutOfDeviceMemory) {
        CHECK(releaseCached(everything));
        buffer = m_heap.allocate(bytes, MemoryKind::Device);
    }
    if (!buffer) return buffer;
    sayFreeSpace(buffer->bytes);
    m_recorder.reserve(buffer->address, buffer->bytes);
    return buffer;
}

// At least so many bytes, those freed longest ago first. All of it goes when no more than a tenth would stay, as in
// MLX. Fails when waiting does, but releases nevertheless.
Result<void> CacheLimitAllocator::releaseCached(std::uint64_t bytes) {
    if (m_cached.empty()) return {};
    Result<void> waited = waitForDevice();
    std::uint64_t keep = m_cachedBytes - std::min(m_cachedBytes, bytes);
    if (keep <= m_cachedBytes / 10) keep = 0;
    while (m_cachedBytes > keep) {
        const auto oldest = m_cached.begin();
        const HeapBlock& buffer = oldest->second;
        m_cachedBytes -= buffer.bytes;
        m_bySize.erase({buffer.bytes, oldest->first});
        sayFreeSpace();
        m_recorder.returned(buffer.address, buffer.bytes);
        m_heap.free(buffer);
        m_cached.erase(oldest);
    }
    return waited;
}

// unused: of a buffer that is neither cached nor a tensor's yet.
void CacheLimitAllocator::sayFreeSpace(std::uint64_t unused) {
    const std::uint64_t largest = m_bySize.empty() ? 0 : m_bySize.rbegin()->first;
    m_recorder.freeSpace(m_cachedBytes + unused, std::max(largest, unused));
}

} // namespace spikescope
