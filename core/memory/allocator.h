#pragma once
// Allocator policies: how tensors are placed in blocks of a heap. A policy does the same on the virtual heap and on the
// device's, so a plan's reserved bytes are the run's.

#include "core/memory/arena_layout.h"
#include "core/memory/heap.h"
#include "core/memory/recorder.h"

#include <functional>
#include <vector>

namespace spikescope {

struct Placement {
    HeapBlock block;
    std::uint64_t offset = 0; // of the tensor in the block
    std::uint64_t bytes = 0;  // as the Recording counts: as asked for, or all of the block

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

    virtual Result<void> begin() { return {}; } // before the model is loaded
    // Tensors that are not of MemoryKind::Device get a block of their own under every policy.
    Result<Placement> allocate(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind);
    // Fails only when waiting for the device does; the tensor is freed nevertheless.
    Result<void> free(std::uint32_t tensor, const Placement& placement);
    virtual Result<void> emptyCache() { return {}; } // returns cached blocks to the heap
    virtual void end() {}                            // after the last tensor: returns everything to the heap

    // Appends everything that later calls depend on, except placements of live tensors and addresses, which change
    // nothing. From equal states, equal calls do and record the same.
    virtual void appendState(std::vector<std::uint64_t>&) const {}

    // Blocks that the device may still use must not be returned to the driver. `wait` returns when the device has
    // finished with everything freed so far; without it there is nothing to wait for.
    void waitWith(std::function<Result<void>()> wait) { m_wait = std::move(wait); }
    // From now on a tensor counts in the Recording with its whole block, as in frameworks' statistics.
    void countWholeBlocks() { m_wholeBlocks = true; }
    Heap& heap() { return m_heap; }

protected:
    virtual Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) = 0;
    virtual Result<void> freeDevice(std::uint32_t tensor, const Placement& placement) = 0;
    Result<Placement> allocateBlock(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind);
    Result<void> freeBlock(std::uint32_t tensor, const Placement& placement);
    // The next multiple of `unit`, at least one unit; OutOfDeviceMemory past 64 bits.
    static Result<std::uint64_t> roundedUp(std::uint64_t bytes, std::uint64_t unit);
    Result<void> waitForDevice() { return m_wait ? m_wait() : Result<void>{}; }

    Heap& m_heap;
    Recorder& m_recorder;

    std::uint64_t counted(std::uint64_t bytes, std::uint64_t blockBytes) const {
        return m_wholeBlocks ? blockBytes : bytes;
    }

private:
    std::function<Result<void>()> m_wait;
    bool m_wholeBlocks = false;
};

// One block of the driver for each tensor.
class DirectAllocator final : public Allocator {
public:
    using Allocator::Allocator;

protected:
    Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) override {
        return allocateBlock(tensor, bytes, MemoryKind::Device);
    }
    Result<void> freeDevice(std::uint32_t tensor, const Placement& placement) override {
        return freeBlock(tensor, placement);
    }
};

// Static offsets, fixed before the run; the blocks are reserved when loading begins. Tensors without a place in
// the layout get a block of their own.
class ArenaAllocator final : public Allocator {
public:
    ArenaAllocator(Heap& heap, Recorder& recorder, ArenaLayout layout);
    Result<void> begin() override;
    void end() override;
    void appendState(std::vector<std::uint64_t>& state) const override;

protected:
    Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) override;
    Result<void> freeDevice(std::uint32_t tensor, const Placement& placement) override;

private:
    void sayFreeSpace();

    ArenaLayout m_layout;
    std::vector<HeapBlock> m_chunks;
    struct Live {
        std::uint64_t address, bytes;
    };
    std::vector<Live> m_live; // tensors in the chunks, by address
};

} // namespace spikescope
