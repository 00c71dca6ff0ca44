#pragma once
// Allocator policies: how tensors become pieces of heap blocks. Each acts the same on the virtual and on the device's
// heap, so a plan's reserved bytes are the run's.

#include "core/memory/arena_layout.h"
#include "core/memory/heap.h"
#include "core/memory/recorder.h"

#include <optional>
#include <vector>

namespace spikescope {

struct Placement {
    HeapBlock block;
    std::uint64_t offset = 0; // of the tensor in the block
    std::uint64_t bytes = 0;  // as asked for

    std::uint64_t address() const { return block.address + offset; }
};

class Allocator {
public:
    Allocator(Heap& heap, Recorder& recorder)
        : m_heap(heap)
        , m_recorder(recorder) {}
    Allocator(const Allocator&) = delete;
    Allocator& operator=(const Allocator&) = delete;
    virtual ~Allocator() = default;

    virtual Result<void> begin() { return {}; } // before the first tensor
    // Host-visible tensors get a block of their own under every policy.
    Result<Placement> allocate(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind);
    void free(std::uint32_t tensor, const Placement& placement, MemoryKind kind);
    virtual void end() {} // after the last tensor: everything goes back to the heap
    // free() may give the memory to others or to the driver, so the device must be done with it.
    virtual bool freeReachesDriver() const = 0;

    Heap& heap() { return m_heap; }

protected:
    virtual Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) = 0;
    virtual void freeDevice(std::uint32_t tensor, const Placement& placement) = 0;
    Result<Placement> allocateBlock(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind);
    void freeBlock(std::uint32_t tensor, const Placement& placement);

    Heap& m_heap;
    Recorder& m_recorder;
};

// One block of the driver for each tensor.
class DirectAllocator final : public Allocator {
public:
    using Allocator::Allocator;
    bool freeReachesDriver() const override { return true; }

protected:
    Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) override {
        return allocateBlock(tensor, bytes, MemoryKind::Device);
    }
    void freeDevice(std::uint32_t tensor, const Placement& placement) override { freeBlock(tensor, placement); }
};

// Static offsets, fixed before the run; the blocks are reserved once.
class ArenaAllocator final : public Allocator {
public:
    ArenaAllocator(Heap& heap, Recorder& recorder, ArenaLayout layout);
    Result<void> begin() override;
    void end() override;
    bool freeReachesDriver() const override { return false; }

protected:
    Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) override;
    void freeDevice(std::uint32_t tensor, const Placement& placement) override;

private:
    ArenaLayout m_layout;
    std::vector<HeapBlock> m_chunks;
};

} // namespace spikescope
