#include "core/memory/heap.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <algorithm>

namespace spikescope {

Result<HeapBlock> Heap::allocate(std::uint64_t bytes, MemoryKind kind) {
    const Result<void> allowed = check(bytes, kind);
    auto block = allowed ? provide(bytes, kind) : tl::unexpected<Error>(allowed.error());
    if (!block) {
        m_refusals += isOfDevice(kind);
        return block;
    }
    block->kind = kind;
    if (isOfDevice(kind)) m_held += block->bytes;
    ++m_live;
    return block;
}

Result<void> Heap::check(std::uint64_t bytes, MemoryKind kind) const {
    if (kind != MemoryKind::Host && bytes > m_traits.largestBlock)
        return fail(isOfDevice(kind) ? ErrorCode::OutOfDeviceMemory : ErrorCode::OutOfHostMemory,
                    "one block of {} is more than the device's largest, {}", formatBytes(bytes),
                    formatBytes(m_traits.largestBlock));
    return isOfDevice(kind) ? checkLimit(bytes) : Result<void>{};
}

void Heap::free(const HeapBlock& block) {
    takeBack(block);
    if (isOfDevice(block.kind)) m_held -= block.bytes;
    --m_live;
}

Result<void> Heap::checkLimit(std::uint64_t bytes) const {
    const std::uint64_t left = m_limit - std::min(m_limit, m_held);
    if (bytes > left)
        return fail(ErrorCode::OutOfDeviceMemory, "{} wanted, {} of {} free", formatBytes(bytes), formatBytes(left),
                    formatBytes(m_limit));
    return {};
}

Result<HeapBlock> Heap::reserveRange(std::uint64_t bytes, std::uint64_t page) {
    TRY(const HeapBlock range, provideRange(bytes, page));
    ++m_live;
    return range;
}

Result<void> Heap::map(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes) {
    Result<void> mapped = checkLimit(bytes);
    if (mapped) mapped = provideAt(range, offset, bytes);
    if (mapped)
        m_held += bytes;
    else
        ++m_refusals;
    return mapped;
}

void Heap::unmap(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes) {
    takeBackAt(range, offset, bytes);
    m_held -= bytes;
}

void Heap::releaseRange(const HeapBlock& range) {
    takeBackRange(range);
    --m_live;
}

Result<HeapBlock> Heap::provideRange(std::uint64_t, std::uint64_t) {
    return fail(ErrorCode::Unsupported, "expandable segments: this device offers no sparse binding");
}

Result<void> Heap::provideAt(const HeapBlock&, std::uint64_t, std::uint64_t) {
    return fail(ErrorCode::Unsupported, "expandable segments: this device offers no sparse binding");
}

std::uint64_t Heap::bytesFree() const { return std::min(m_limit - std::min(m_limit, m_held), providerFree()); }

Result<HeapBlock> VirtualHeap::provide(std::uint64_t bytes, MemoryKind) { return nextBlock(bytes); }

Result<HeapBlock> VirtualHeap::nextBlock(std::uint64_t bytes) {
    const auto end = checkedAdd(m_address, bytes);
    if (!end)
        return fail(ErrorCode::OutOfDeviceMemory, "{} wanted, {} of addresses left", formatBytes(bytes),
                    formatBytes(std::numeric_limits<std::uint64_t>::max() - m_address));
    const HeapBlock block{.id = m_next++, .address = m_address, .bytes = bytes};
    m_address = *end;
    return block;
}

} // namespace spikescope
