#include "core/memory/caching_allocator.h"

#include "core/base/checked.h"

#include <algorithm>
#include <iterator>

namespace spikescope {

namespace {

constexpr std::uint64_t kib = 1024, mib = 1024 * kib;
constexpr std::uint64_t leastBlock = 512;
constexpr std::uint64_t largestSmall = 1 * mib; // tensors up to here share the small pool
constexpr std::uint64_t smallSegment = 2 * mib;
constexpr std::uint64_t largeSegment = 20 * mib;
constexpr std::uint64_t leastOwnSegment = 10 * mib; // from here on a segment is made for the tensor,
constexpr std::uint64_t ownSegmentUnit = 2 * mib;   // in multiples of this

} // namespace

CachingAllocator::CachingAllocator(Heap& heap, Recorder& recorder, bool expandable, std::uint64_t rangeBytes)
    : Allocator(heap, recorder)
    , m_expandable(expandable)
    , m_rangeBytes(rangeBytes)
    , m_unit(roundUp(leastBlock, heap.traits().granularity)) {
    m_small.unit = roundUp(smallSegment, m_unit);
    m_large.unit = roundUp(largeSegment, m_unit);
    m_small.leastToSplit = m_unit;
    m_large.leastToSplit = expandable ? m_unit : 1 * mib + 1;
}

Result<Placement> CachingAllocator::allocateDevice(std::uint32_t tensor, std::uint64_t bytes) {
    TRY(const std::uint64_t size, roundedUp(bytes, m_unit));
    Pool& pool = size <= largestSmall ? m_small : m_large;
    Blocks::iterator block = bestFit(pool, size);
    if (block == m_blocks.end()) {
        auto grown = grow(pool, size);
        if (!grown && grown.error().code == ErrorCode::OutOfDeviceMemory) {
            CHECK(emptyCache());
            grown = grow(pool, size);
        }
        if (!grown) return tl::unexpected<Error>(std::move(grown.error()));
        block = *grown;
    }
    unindex(block);
    if (block->second.bytes - size >= pool.leastToSplit) index(cut(block, size));
    block->second.state = State::Live;
    m_blockBytes += block->second.bytes;
    const Placement placement{.block = m_segments.at(block->first.segment).block,
                              .offset = block->first.offset,
                              .bytes = counted(bytes, block->second.bytes)};
    sayFreeSpace();
    m_recorder.alloc(tensor, placement.address(), placement.bytes);
    return placement;
}

Result<void> CachingAllocator::freeDevice(std::uint32_t tensor, const Placement& placement) {
    const auto block = m_blocks.find({.segment = placement.block.id, .offset = placement.offset});
    m_blockBytes -= block->second.bytes;
    settle(block, State::Free);
    sayFreeSpace();
    m_recorder.free(tensor, placement.address(), placement.bytes);
    return {};
}

void CachingAllocator::end() {
    (void)waitForDevice(); // even a lost device must get its memory back
    // A trace may end before its tensors do.
    for (auto block = m_blocks.begin(); block != m_blocks.end(); ++block)
        if (block->second.state == State::Live) block = settle(block, State::Free);
    m_blockBytes = 0;
    releaseFree();
    while (!m_segments.empty()) releaseRange(m_segments.begin()); // those of which nothing was ever mapped
}

Result<void> CachingAllocator::emptyCache() {
    CHECK(waitForDevice());
    releaseFree();
    return {};
}

// The blocks in their order. Of a segment's id only the order counts: it is the age.
void CachingAllocator::appendState(std::vector<std::uint64_t>& state) const {
    for (const auto& [key, block] : m_blocks) {
        const bool small = m_segments.at(key.segment).pool == &m_small;
        state.insert(state.end(), {key.offset, block.bytes, static_cast<std::uint64_t>(block.state), small});
    }
}

CachingAllocator::Blocks::iterator CachingAllocator::bestFit(const Pool& pool, std::uint64_t bytes) {
    auto fit = pool.free.lower_bound({.bytes = bytes, .key = {}});
    if (fit == pool.free.end()) return m_blocks.end();
    // A block that could grow counts with all that it could grow to, so that the end of an expandable segment is
    // not cut up while blocks that stay as they are would do.
    const auto potential = [this](const BySize& candidate) {
        const auto block = m_blocks.find(candidate.key), next = std::next(block);
        return candidate.bytes +
               (follows(block, next) && next->second.state == State::Unmapped ? next->second.bytes : 0);
    };
    if (m_expandable)
        for (auto larger = std::next(fit); larger != pool.free.end() && potential(*larger) < potential(*fit); ++larger)
            fit = larger;
    return m_blocks.find(fit->key);
}

Result<CachingAllocator::Blocks::iterator> CachingAllocator::grow(Pool& pool, std::uint64_t bytes) {
    return m_expandable ? expand(pool, bytes) : addSegment(pool, bytes);
}

Result<CachingAllocator::Blocks::iterator> CachingAllocator::addSegment(Pool& pool, std::uint64_t bytes) {
    std::uint64_t wanted = pool.unit;
    if (bytes >= leastOwnSegment) {
        TRY(const std::uint64_t own, roundedUp(bytes, ownSegmentUnit));
        TRY(wanted, roundedUp(own, m_unit));
    }
    TRY(const HeapBlock block, m_heap.allocate(wanted, MemoryKind::Device));
    m_segments.emplace(block.id, Segment{.block = block, .pool = &pool});
    const auto whole = m_blocks.emplace(Key{.segment = block.id}, Block{.bytes = block.bytes}).first;
    index(whole);
    sayFreeSpace();
    m_recorder.reserve(block.address, block.bytes);
    return whole;
}

// Maps missing pages at the lowest addresses that are large enough, so that the segment stays contiguous.
Result<CachingAllocator::Blocks::iterator> CachingAllocator::expand(Pool& pool, std::uint64_t bytes) {
    TRY(Blocks::iterator block, roomFor(pool, bytes));
    if (block->second.state == State::Unmapped) {
        TRY(block, mapFront(pool, block, std::min(block->second.bytes, bytes)));
    }
    while (block->second.bytes < bytes) {
        const auto next = std::next(block);
        TRY(block, mapFront(pool, next, std::min(next->second.bytes, bytes - block->second.bytes)));
    }
    return block;
}

// The first of the lowest adjacent free and unmapped blocks that together are large enough.
Result<CachingAllocator::Blocks::iterator> CachingAllocator::roomFor(Pool& pool, std::uint64_t bytes) {
    for (const Key& key : pool.unmapped) {
        auto first = m_blocks.find(key);
        if (first != m_blocks.begin()) {
            const auto before = std::prev(first);
            if (follows(before, first) && before->second.state == State::Free) first = before;
        }
        std::uint64_t room = 0;
        for (auto block = first; block == first || follows(std::prev(block), block); ++block) {
            if (block->second.state == State::Live) break;
            room += block->second.bytes;
            if (room >= bytes) return first;
        }
    }
    TRY(const std::uint64_t addresses, roundedUp(std::max(m_rangeBytes, bytes), pool.unit));
    TRY(const HeapBlock range, m_heap.reserveRange(addresses, pool.unit));
    m_segments.emplace(range.id, Segment{.block = range, .pool = &pool});
    const Block whole{.bytes = range.bytes, .state = State::Unmapped};
    const auto first = m_blocks.emplace(Key{.segment = range.id}, whole).first;
    index(first);
    return first;
}

// Unmapped blocks begin and end at pages.
Result<CachingAllocator::Blocks::iterator> CachingAllocator::mapFront(Pool& pool, Blocks::iterator block,
                                                                      std::uint64_t bytes) {
    const HeapBlock& range = m_segments.at(block->first.segment).block;
    const std::uint64_t offset = block->first.offset, mapped = roundUp(bytes, pool.unit);
    CHECK(m_heap.map(range, offset, mapped));
    unindex(block);
    if (mapped < block->second.bytes) index(cut(block, mapped));
    block = settle(block, State::Free);
    sayFreeSpace();
    m_recorder.reserve(range.address + offset, mapped);
    return block;
}

// Returns all memory without a tensor: whole segments, or whole pages of expandable ones.
void CachingAllocator::releaseFree() {
    for (Pool* pool : {&m_large, &m_small}) {
        const std::vector<BySize> free(pool->free.begin(), pool->free.end()); // the set changes on the way
        for (const BySize& block : free) {
            const auto found = m_blocks.find(block.key);
            m_expandable ? releasePages(found) : releaseSegment(found);
        }
    }
}

void CachingAllocator::releaseSegment(Blocks::iterator block) {
    const auto segment = m_segments.find(block->first.segment);
    const HeapBlock& memory = segment->second.block;
    if (block->second.bytes != memory.bytes) return;
    unindex(block);
    m_blocks.erase(block);
    sayFreeSpace();
    m_recorder.returned(memory.address, memory.bytes);
    m_heap.free(memory);
    m_segments.erase(segment);
}

void CachingAllocator::releasePages(Blocks::iterator block) {
    const auto segment = m_segments.find(block->first.segment);
    const HeapBlock& range = segment->second.block;
    const std::uint64_t page = segment->second.pool->unit;
    const std::uint64_t blockBegin = block->first.offset, blockEnd = blockBegin + block->second.bytes;
    const std::uint64_t begin = roundUp(blockBegin, page), end = blockEnd / page * page;
    if (begin >= end) return;
    unindex(block);
    if (end < blockEnd) index(cut(block, end - blockBegin));
    if (begin > blockBegin) {
        const auto pages = cut(block, begin - blockBegin);
        index(block);
        block = pages;
    }
    block = settle(block, State::Unmapped);
    sayFreeSpace();
    m_recorder.returned(range.address + begin, end - begin);
    m_heap.unmap(range, begin, end - begin);
    if (block->second.bytes == range.bytes) releaseRange(segment);
}

void CachingAllocator::releaseRange(std::map<std::uint64_t, Segment>::iterator segment) {
    const auto whole = m_blocks.find({.segment = segment->first, .offset = 0});
    unindex(whole);
    m_blocks.erase(whole);
    m_heap.releaseRange(segment->second.block);
    m_segments.erase(segment);
}

void CachingAllocator::index(Blocks::iterator block) {
    Pool& pool = *m_segments.at(block->first.segment).pool;
    if (block->second.state == State::Free) {
        pool.free.insert({.bytes = block->second.bytes, .key = block->first});
        m_freeBytes += block->second.bytes;
    } else if (block->second.state == State::Unmapped) {
        pool.unmapped.insert(block->first);
    }
}

void CachingAllocator::unindex(Blocks::iterator block) {
    Pool& pool = *m_segments.at(block->first.segment).pool;
    if (block->second.state == State::Free) {
        pool.free.erase({.bytes = block->second.bytes, .key = block->first});
        m_freeBytes -= block->second.bytes;
    } else if (block->second.state == State::Unmapped) {
        pool.unmapped.erase(block->first);
    }
}

// Splits a block after its first `bytes`. Both have the same state, and neither is indexed.
CachingAllocator::Blocks::iterator CachingAllocator::cut(Blocks::iterator block, std::uint64_t bytes) {
    const Key rest{.segment = block->first.segment, .offset = block->first.offset + bytes};
    const Block tail{.bytes = block->second.bytes - bytes, .state = block->second.state};
    block->second.bytes = bytes;
    return m_blocks.emplace(rest, tail).first;
}

// Makes a block that is not indexed free or unmapped, and merges it with neighbours of that state.
CachingAllocator::Blocks::iterator CachingAllocator::settle(Blocks::iterator block, State state) {
    block->second.state = state;
    if (const auto next = std::next(block); follows(block, next) && next->second.state == state) {
        unindex(next);
        block->second.bytes += next->second.bytes;
        m_blocks.erase(next);
    }
    if (block != m_blocks.begin()) {
        const auto before = std::prev(block);
        if (follows(before, block) && before->second.state == state) {
            unindex(before);
            before->second.bytes += block->second.bytes;
            m_blocks.erase(block);
            block = before;
        }
    }
    index(block);
    return block;
}

bool CachingAllocator::follows(Blocks::iterator block, Blocks::iterator next) const {
    return next != m_blocks.end() && next->first.segment == block->first.segment;
}

void CachingAllocator::sayFreeSpace() {
    std::uint64_t largest = 0;
    for (const Pool* pool : {&m_small, &m_large})
        if (!pool->free.empty()) largest = std::max(largest, pool->free.rbegin()->bytes);
    m_recorder.freeSpace(m_freeBytes, largest);
}

} // namespace spikescope
