#pragma once
// The rules of PyTorch's CUDA allocator in its default settings, and with expandable segments; facts read in
// c10/cuda/CUDACachingAllocator.cpp. Memory comes from the heap in segments, and tensors get blocks cut from them.

#include "core/memory/allocator.h"

#include <map>
#include <set>
#include <tuple>

namespace spikescope {

class CachingAllocator final : public Allocator {
public:
    // Addresses of one expandable segment, held by nothing. Drivers commonly have 1 TiB for all sparse buffers of a
    // process and there are two pools; a segment that is full is followed by another.
    static constexpr std::uint64_t defaultRange = std::uint64_t{256} << 30;

    CachingAllocator(Heap& heap, Recorder& recorder, bool expandable = false, std::uint64_t rangeBytes = defaultRange);
    void end() override;
    // Returns what no tensor lies in, as the program that made a trace may have asked PyTorch to. Fails when waiting
    // for the device does, and then returns nothing.
    Result<void> emptyCache() override;
    void appendState(std::vector<std::uint64_t>& state) const override;

    // Of the blocks handed out, with rounding and remainders that were not split off: PyTorch's allocated_bytes.
    std::uint64_t blockBytes() const { return m_blockBytes; }

protected:
    Result<Placement> allocateDevice(std::uint32_t tensor, std::uint64_t bytes) override;
    Result<void> freeDevice(std::uint32_t tensor, const Placement& placement) override;

private:
    // Older segments come first, whatever their addresses: the virtual heap and a driver number theirs differently, and
    // plan and run must choose the same block.
    struct Key {
        std::uint64_t segment = 0; // id of the heap's block
        std::uint64_t offset = 0;
        bool operator<(const Key& other) const {
            return std::tie(segment, offset) < std::tie(other.segment, other.offset);
        }
    };
    struct BySize {
        std::uint64_t bytes = 0;
        Key key;
        bool operator<(const BySize& other) const { return std::tie(bytes, key) < std::tie(other.bytes, other.key); }
    };
    enum class State : std::uint8_t { Free, Live, Unmapped }; // unmapped: addresses of a range without memory
    struct Block {
        std::uint64_t bytes = 0;
        State state = State::Free;
    };
    using Blocks = std::map<Key, Block>; // no gaps: the blocks of a segment add up to it
    struct Pool {
        std::uint64_t unit = 0;         // bytes of its common segments, and of the pages of expandable ones
        std::uint64_t leastToSplit = 0; // a smaller remainder stays with the block
        std::set<BySize> free;
        std::set<Key> unmapped;
    };
    struct Segment {
        HeapBlock block;
        Pool* pool = nullptr;
    };

    Blocks::iterator bestFit(const Pool& pool, std::uint64_t bytes);
    Result<Blocks::iterator> grow(Pool& pool, std::uint64_t bytes);
    Result<Blocks::iterator> addSegment(Pool& pool, std::uint64_t bytes);
    Result<Blocks::iterator> expand(Pool& pool, std::uint64_t bytes);
    Result<Blocks::iterator> roomFor(Pool& pool, std::uint64_t bytes);
    Result<Blocks::iterator> mapFront(Pool& pool, Blocks::iterator block, std::uint64_t bytes);
    void releaseFree();
    void releaseSegment(Blocks::iterator block);
    void releasePages(Blocks::iterator block);
    void releaseRange(std::map<std::uint64_t, Segment>::iterator segment);

    void index(Blocks::iterator block);
    void unindex(Blocks::iterator block);
    Blocks::iterator cut(Blocks::iterator block, std::uint64_t bytes);
    Blocks::iterator settle(Blocks::iterator block, State state);
    bool follows(Blocks::iterator block, Blocks::iterator next) const;
    void sayFreeSpace();

    const bool m_expandable;
    const std::uint64_t m_rangeBytes;
    const std::uint64_t m_unit; // blocks are multiples of it
    Pool m_small, m_large;
    std::map<std::uint64_t, Segment> m_segments; // by the id of the heap's block
    Blocks m_blocks;
    std::uint64_t m_blockBytes = 0, m_freeBytes = 0;
};

} // namespace spikescope
