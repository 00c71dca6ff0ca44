#include "core/memory/allocator.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <algorithm>

namespace spikescope {

Result<Placement> Allocator::allocate(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind) {
    return kind == MemoryKind::Device ? allocateDevice(tensor, bytes) : allocateBlock(tensor, bytes, kind);
}

Result<void> Allocator::free(std::uint32_t tensor, const Placement& placement) {
    return placement.block.kind == MemoryKind::Device ? freeDevice(tensor, placement) : freeBlock(tensor, placement);
}

Result<std::uint64_t> Allocator::roundedUp(std::uint64_t bytes, std::uint64_t unit) {
    const auto padded = checkedAdd(std::max<std::uint64_t>(bytes, 1), unit - 1);
    if (!padded)
        return fail(ErrorCode::OutOfDeviceMemory, "{} wanted, more than 64 bits can count", formatBytes(bytes));
    return *padded / unit * unit;
}

Result<Placement> Allocator::allocateBlock(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind) {
    TRY(const std::uint64_t size, roundedUp(bytes, m_heap.traits().granularity));
    TRY(const HeapBlock block, m_heap.allocate(size, kind));
    if (isOfDevice(kind)) m_recorder.reserve(block.address, block.bytes);
    const Placement placement{.block = block, .offset = 0, .bytes = counted(bytes, block.bytes)};
    m_recorder.alloc(tensor, block.address, placement.bytes);
    return placement;
}

Result<void> Allocator::freeBlock(std::uint32_t tensor, const Placement& placement) {
    const HeapBlock& block = placement.block;
    const Result<void> waited = block.kind == MemoryKind::Host ? Result<void>{} : waitForDevice();
    m_recorder.free(tensor, placement.address(), placement.bytes);
    if (isOfDevice(block.kind)) m_recorder.returned(block.address, block.bytes);
    m_heap.free(block);
    return waited;
}

ArenaAllocator::ArenaAllocator(Heap& heap, Recorder& recorder, ArenaLayout layout)
    : Allocator(heap, recorder)
    , m_layout(std::move(layout)) {}

Result<void> ArenaAllocator::begin() {
    for (const std::uint64_t bytes : m_layout.chunkBytes) {
        auto block = m_heap.allocate(bytes, MemoryKind::Device);
        if (!block)
            return fail(block.error().code, "the block of {} that holds all tensors (allocator arena): {}",
                        formatBytes(bytes), block.error().message);
        m_chunks.push_back(*block);
        sayFreeSpace();
        m_recorder.reserve(block->address, block->bytes);
    }
    return {};
}

// Gaps between the tensors that live, chunk by chunk.
void ArenaAllocator::sayFreeSpace() {
    std::uint64_t total = 0, largest = 0;
    for (const HeapBlock& chunk : m_chunks) {
        std::uint64_t at = chunk.address;
        const auto gap = [&](std::uint64_t until) {
            if (until > at) {
                total += until - at;
                largest = std::max(largest, until - at);
            }
        };
        for (auto live = std::ranges::lower_bound(m_live, chunk.address, {}, &Live::address);
             live != m_live.end() && live->address < chunk.address + chunk.bytes; ++live) {
            gap(live->address);
            at = live->address + live->bytes;
        }
        gap(chunk.address + chunk.bytes);
    }
    m_recorder.freeSpace(total, largest);
}

Result<Placement> ArenaAllocator::allocateDevice(std::uint32_t tensor, std::uint64_t bytes) {
    const ArenaLayout::Spot& spot = m_layout.spots[tensor];
    if (spot.chunk == ArenaLayout::nowhere) return allocateBlock(tensor, bytes, MemoryKind::Device);
    const Placement placement{.block = m_chunks[spot.chunk], .offset = spot.offset, .bytes = bytes};
    const Live live{placement.address(), roundUp(std::max<std::uint64_t>(bytes, 1), m_heap.traits().granularity)};
    m_live.insert(std::ranges::lower_bound(m_live, live.address, {}, &Live::address), live);
    sayFreeSpace();
    m_recorder.alloc(tensor, placement.address(), bytes);
    return placement;
}

Result<void> ArenaAllocator::freeDevice(std::uint32_t tensor, const Placement& placement) {
    if (m_layout.spots[tensor].chunk == ArenaLayout::nowhere) return freeBlock(tensor, placement);
    m_live.erase(std::ranges::lower_bound(m_live, placement.address(), {}, &Live::address));
    sayFreeSpace();
    m_recorder.free(tensor, placement.address(), placement.bytes);
    return {};
}

// Addresses in the arena are fixed.
void ArenaAllocator::appendState(std::vector<std::uint64_t>& state) const {
    for (const Live& live : m_live) state.insert(state.end(), {live.address, live.bytes});
}

void ArenaAllocator::end() {
    m_recorder.freeSpace(0, 0);
    for (const HeapBlock& block : m_chunks) {
        m_recorder.returned(block.address, block.bytes);
        m_heap.free(block);
    }
    m_chunks.clear();
}

} // namespace spikescope
