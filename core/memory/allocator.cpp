#include "core/memory/allocator.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <algorithm>

namespace spikescope {

Result<Placement> Allocator::allocate(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind) {
    return kind == MemoryKind::Device ? allocateDevice(tensor, bytes) : allocateBlock(tensor, bytes, kind);
}

void Allocator::free(std::uint32_t tensor, const Placement& placement, MemoryKind kind) {
    kind == MemoryKind::Device ? freeDevice(tensor, placement) : freeBlock(tensor, placement);
}

Result<Placement> Allocator::allocateBlock(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind) {
    TRY(const HeapBlock block,
        m_heap.allocate(roundUp(std::max<std::uint64_t>(bytes, 1), m_heap.traits().granularity), kind));
    m_recorder.reserve(block.address, block.bytes);
    m_recorder.alloc(tensor, block.address, bytes);
    return Placement{.block = block, .offset = 0, .bytes = bytes};
}

void Allocator::freeBlock(std::uint32_t tensor, const Placement& placement) {
    m_recorder.free(tensor, placement.address(), placement.bytes);
    m_recorder.returned(placement.block.address, placement.block.bytes);
    m_heap.free(placement.block);
}

ArenaAllocator::ArenaAllocator(Heap& heap, Recorder& recorder, ArenaLayout layout)
    : Allocator(heap, recorder)
    , m_layout(std::move(layout)) {}

Result<void> ArenaAllocator::begin() {
    for (const std::uint64_t bytes : m_layout.chunkBytes) {
        auto block = m_heap.allocate(bytes, MemoryKind::Device);
        if (!block)
            return fail(block.error().code, "the arena's block of {}: {}", formatBytes(bytes), block.error().message);
        m_chunks.push_back(*block);
        m_recorder.reserve(block->address, block->bytes);
    }
    return {};
}

Result<Placement> ArenaAllocator::allocateDevice(std::uint32_t tensor, std::uint64_t bytes) {
    const ArenaLayout::Spot& spot = m_layout.spots[tensor];
    const Placement placement{.block = m_chunks[spot.chunk], .offset = spot.offset, .bytes = bytes};
    m_recorder.alloc(tensor, placement.address(), bytes);
    return placement;
}

void ArenaAllocator::freeDevice(std::uint32_t tensor, const Placement& placement) {
    m_recorder.free(tensor, placement.address(), placement.bytes);
}

void ArenaAllocator::end() {
    for (const HeapBlock& block : m_chunks) {
        m_recorder.returned(block.address, block.bytes);
        m_heap.free(block);
    }
    m_chunks.clear();
}

} // namespace spikescope
