#pragma once
// Allocator policies: how tensors become pieces of heap blocks. Each acts the same on the virtual and on the device's
// heap, so a plan's reserved bytes are the run's.

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
    // All but those of MemoryKind::Device get a block of their own under every policy.
    Result<Placement> allocate(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind);
    // Fails only when waiting for the device does; the tensor is freed nevertheless.
    Result<void> free(std::uint32_t tensor, const Placement& placement);
    virtual Result<void> emptyCache() { return {}; } // what is held and free goes back to the heap
    virtual void end() {}                            // after the last tensor: everything goes back to the heap

    // Appends all that decides what further calls do and record, but for the placements of the tensors that live and
    // for addresses, on which nothing depends. After equal states equal calls do the same.
    virtual void appendState(std::vector<std::uint64_t>&) const {}

    // Blocks that the device may still use must not go back to the driver. `wait` returns when it is done with all that
    // was freed so far; without it nothing needs waiting for.
    void waitWith(std::function<Result<void>()> wait) { m_wait = std::move(wait); }
    // From now on tensors count in the Recording with all of the block that they get, as frameworks' statistics count.
    void countWholeBlocks() { m_wholeBlocks = true; }
    Heap& heap() { return m_heap; }

protected:
    virtual Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) = 0;
    virtual Result<void> freeDevice(std::uint32_t tensor, const Placement& placement) = 0;
    Result<Placement> allocateBlock(std::uint32_t tensor, std::uint64_t bytes, MemoryKind kind);
    Result<void> freeBlock(std::uint32_t tensor, const Placement& placement);
    // A size that comes from outside as the next multiple of `unit`, at least one; OutOfDeviceMemory past 64 bits.
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
    std::vector<Live> m_live; // what lies in the chunks, by address
};

} // namespace spikescope
