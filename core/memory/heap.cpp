#include "core/memory/heap.h"

#include "core/base/text.h"

namespace spikescope {

Result<HeapBlock> VirtualHeap::allocate(std::uint64_t bytes, MemoryKind) {
    if (bytes > m_traits.largestBlock)
        return fail(ErrorCode::OutOfDeviceMemory, "one block of {} is more than the device's largest, {}",
                    formatBytes(bytes), formatBytes(m_traits.largestBlock));
    if (bytes > m_limit - m_used)
        return fail(ErrorCode::OutOfDeviceMemory, "{} wanted, {} of {} free", formatBytes(bytes),
                    formatBytes(m_limit - m_used), formatBytes(m_limit));
    const HeapBlock block{.id = m_next++, .address = m_address, .bytes = bytes};
    m_address += bytes;
    m_used += bytes;
    ++m_live;
    return block;
}

void VirtualHeap::free(const HeapBlock& block) {
    m_used -= block.bytes;
    --m_live;
}

} // namespace spikescope
