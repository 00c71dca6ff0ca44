#pragma once
// Where memory comes from: the driver, or nowhere (a plan). Allocator policies ask a heap for blocks and cut them up.

#include "core/base/error.h"

#include <cstdint>
#include <limits>

namespace spikescope {

// What of a device decides how much a block really takes; a plan for that device uses the same numbers.
struct HeapTraits {
    std::uint64_t granularity = 256; // block sizes and tensor offsets are multiples of it, in bytes
    std::uint64_t largestBlock = std::uint64_t{1} << 62;

    bool operator==(const HeapTraits&) const = default;
};

// Staging is where the host can write it; on a GPU that is the machine's memory.
enum class MemoryKind : std::uint8_t { Device, HostVisible };

struct HeapBlock {
    std::uint64_t id = 0;      // of this heap; 0 is no block
    std::uint64_t address = 0; // device address of its first byte
    std::uint64_t bytes = 0;
};

class Heap {
public:
    explicit Heap(HeapTraits traits)
        : m_traits(traits) {}
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;
    virtual ~Heap() = default;

    const HeapTraits& traits() const { return m_traits; }
    // bytes: a multiple of the granularity. Fails with OutOfDeviceMemory when the driver or the limit refuses.
    virtual Result<HeapBlock> allocate(std::uint64_t bytes, MemoryKind kind) = 0;
    virtual void free(const HeapBlock& block) = 0;
    virtual std::uint64_t bytesFree() const = 0; // as far as is known
    virtual std::size_t liveBlocks() const = 0;

protected:
    HeapTraits m_traits;
};

// Counts and costs nothing. Addresses are made up and never reused.
class VirtualHeap final : public Heap {
public:
    explicit VirtualHeap(HeapTraits traits = {}, std::uint64_t limit = std::numeric_limits<std::uint64_t>::max())
        : Heap(traits)
        , m_limit(limit) {}

    Result<HeapBlock> allocate(std::uint64_t bytes, MemoryKind kind) override;
    void free(const HeapBlock& block) override;
    std::uint64_t bytesFree() const override { return m_limit - m_used; }
    std::size_t liveBlocks() const override { return m_live; }

private:
    std::uint64_t m_limit, m_used = 0, m_next = 1, m_address = std::uint64_t{1} << 32;
    std::size_t m_live = 0;
};

} // namespace spikescope
