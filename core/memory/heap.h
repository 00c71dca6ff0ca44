#pragma once
// Where memory comes from: the driver, or nowhere (a plan). Allocator policies ask a heap for blocks and cut them up.

#include "core/base/error.h"

#include <cstdint>
#include <limits>

namespace spikescope {

// Facts of a device that decide how much a block takes; a plan for that device uses the same numbers.
struct HeapTraits {
    std::uint64_t granularity = 256; // block sizes and tensor offsets are multiples of it, in bytes
    std::uint64_t largestBlock = std::uint64_t{1} << 62;

    bool operator==(const HeapTraits&) const = default;
};

enum class MemoryKind : std::uint8_t {
    Device,
    HostVisible, // staging: device-accessible and mapped; on a GPU that is host memory
    Pinned,      // host memory that the device copies from and to
    Host,        // ordinary memory of the process
};
// Whether it counts as device memory, which a budget limits; everything else counts as host memory.
constexpr bool isOfDevice(MemoryKind kind) { return kind == MemoryKind::Device || kind == MemoryKind::HostVisible; }

struct HeapBlock {
    std::uint64_t id = 0;      // of this heap, larger than any before it; 0 is no block
    std::uint64_t address = 0; // device address of its first byte
    std::uint64_t bytes = 0;
    MemoryKind kind = MemoryKind::Device;
};

class Heap {
public:
    explicit Heap(HeapTraits traits)
        : m_traits(traits) {}
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;
    virtual ~Heap() = default;

    const HeapTraits& traits() const { return m_traits; }
    // bytes: a multiple of the granularity. Fails with OutOfDeviceMemory (the host's blocks: OutOfHostMemory) when the
    // driver or the limit refuses.
    Result<HeapBlock> allocate(std::uint64_t bytes, MemoryKind kind);
    void free(const HeapBlock& block);
    // Addresses for memory that comes and goes in whole pages of the size given here, a multiple of the granularity;
    // the range itself holds nothing. Fails with Unsupported where the device has no sparse binding.
    Result<HeapBlock> reserveRange(std::uint64_t bytes, std::uint64_t page);
    // All of the pages or none. Fails with OutOfDeviceMemory when the driver or the limit refuses.
    Result<void> map(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes);
    void unmap(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes);
    void releaseRange(const HeapBlock& range); // when nothing of it is mapped
    // Limits the bytes held by blocks of the driver.
    void limitTo(std::uint64_t bytes) { m_limit = bytes; }
    // How often the driver or the limit refused memory of the device.
    std::uint64_t refusals() const { return m_refusals; }
    std::uint64_t held() const { return m_held; }     // bytes, by blocks of the driver and mapped pages
    std::uint64_t bytesFree() const;                  // as far as is known
    std::size_t liveBlocks() const { return m_live; } // and ranges

protected:
    virtual Result<HeapBlock> provide(std::uint64_t bytes, MemoryKind kind) = 0;
    virtual void takeBack(const HeapBlock& block) = 0;
    virtual std::uint64_t providerFree() const = 0;
    virtual Result<HeapBlock> provideRange(std::uint64_t bytes, std::uint64_t page);
    virtual Result<void> provideAt(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes);
    virtual void takeBackAt(const HeapBlock&, std::uint64_t, std::uint64_t) {}
    virtual void takeBackRange(const HeapBlock&) {}

    HeapTraits m_traits;

private:
    Result<void> checkLimit(std::uint64_t bytes) const;
    Result<void> check(std::uint64_t bytes, MemoryKind kind) const;

    std::uint64_t m_limit = std::numeric_limits<std::uint64_t>::max(), m_held = 0;
    std::size_t m_live = 0;
    std::uint64_t m_refusals = 0;
};

// Counts and costs nothing. Addresses are made up and never reused.
class VirtualHeap final : public Heap {
public:
    explicit VirtualHeap(HeapTraits traits = {}, std::uint64_t limit = std::numeric_limits<std::uint64_t>::max())
        : Heap(traits) {
        limitTo(limit);
    }

protected:
    Result<HeapBlock> provide(std::uint64_t bytes, MemoryKind kind) override;
    void takeBack(const HeapBlock&) override {}
    std::uint64_t providerFree() const override { return std::numeric_limits<std::uint64_t>::max(); }
    Result<HeapBlock> provideRange(std::uint64_t bytes, std::uint64_t) override { return nextBlock(bytes); }
    Result<void> provideAt(const HeapBlock&, std::uint64_t, std::uint64_t) override { return {}; }

private:
    Result<HeapBlock> nextBlock(std::uint64_t bytes);

    std::uint64_t m_next = 1, m_address = std::uint64_t{1} << 32;
};

} // namespace spikescope
