// The allocator policies, without a device. Protects: the rules of each by sequences computed by hand; that tensors
// never share bytes, the books agree with the heap at every event, and a driver's addresses change nothing.

#include "core/memory/cache_limit_allocator.h"
#include "core/memory/caching_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

namespace spikescope {
namespace {

constexpr std::uint64_t KiB = 1024, MiB = 1024 * KiB, page = 16 * KiB;

// Hands out addresses as a driver might: downwards, and those of freed blocks again. Complains about wrong use and
// keeps what it was told, in order.
class DriverHeap final : public Heap {
public:
    explicit DriverHeap(std::uint64_t limit)
        : Heap({}) {
        limitTo(limit);
    }

    bool holds(const Placement& placement) const {
        const auto found = m_blocks.find(placement.block.id);
        if (found == m_blocks.end() || placement.offset + placement.bytes > found->second.bytes) return false;
        if (found->second.page == 0) return true;
        const std::uint64_t size = found->second.page;
        for (std::uint64_t at = placement.offset / size; at * size < placement.offset + placement.bytes; ++at)
            if (!found->second.mapped.contains(at)) return false;
        return true;
    }
    std::vector<std::pair<EventKind, std::uint64_t>> log;

protected:
    struct Block {
        std::uint64_t address = 0, bytes = 0, page = 0;
        std::set<std::uint64_t> mapped; // pages
    };
    Result<HeapBlock> provide(std::uint64_t bytes, MemoryKind) override {
        EXPECT_EQ(bytes % traits().granularity, 0u);
        log.emplace_back(EventKind::Reserve, bytes);
        return add(bytes, 0);
    }
    void takeBack(const HeapBlock& block) override {
        log.emplace_back(EventKind::Return, block.bytes);
        m_vacant.emplace(block.bytes, block.address);
        EXPECT_EQ(m_blocks.erase(block.id), 1u);
    }
    Result<HeapBlock> provideRange(std::uint64_t bytes, std::uint64_t size) override { return add(bytes, size); }
    Result<void> provideAt(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes) override {
        log.emplace_back(EventKind::Reserve, bytes);
        Block& block = m_blocks.at(range.id);
        EXPECT_EQ(offset % block.page + bytes % block.page, 0u);
        for (std::uint64_t at = offset; at < offset + bytes; at += block.page)
            EXPECT_TRUE(block.mapped.insert(at / block.page).second);
        return {};
    }
    void takeBackAt(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes) override {
        log.emplace_back(EventKind::Return, bytes);
        Block& block = m_blocks.at(range.id);
        EXPECT_EQ(offset % block.page + bytes % block.page, 0u);
        for (std::uint64_t at = offset; at < offset + bytes; at += block.page)
            EXPECT_EQ(block.mapped.erase(at / block.page), 1u);
    }
    void takeBackRange(const HeapBlock& range) override {
        EXPECT_TRUE(m_blocks.at(range.id).mapped.empty());
        m_blocks.erase(range.id);
    }
    std::uint64_t providerFree() const override { return std::numeric_limits<std::uint64_t>::max(); }

private:
    HeapBlock add(std::uint64_t bytes, std::uint64_t size) {
        std::uint64_t address = m_address - bytes;
        if (const auto vacant = m_vacant.find(bytes); vacant != m_vacant.end()) {
            address = vacant->second;
            m_vacant.erase(vacant);
        } else {
            m_address = address;
        }
        m_blocks.emplace(m_next, Block{.address = address, .bytes = bytes, .page = size, .mapped = {}});
        return {.id = m_next++, .address = address, .bytes = bytes};
    }
    std::map<std::uint64_t, Block> m_blocks;
    std::multimap<std::uint64_t, std::uint64_t> m_vacant;
    std::uint64_t m_next = 1, m_address = std::uint64_t{1} << 60;
};

// A policy on a heap, and tensors by number.
template <class Policy> struct Rig {
    template <class... Args>
    explicit Rig(Heap& on, Args... args)
        : heap(on)
        , recorder(recording)
        , policy(on, recorder, args...) {
        policy.waitWith([this] {
            ++waits;
            return waiting;
        });
    }
    Result<Placement> tryTake(std::uint64_t bytes) {
        recording.tensors.push_back({.bytes = bytes});
        placements.emplace_back();
        auto placement = policy.allocate(last(), bytes, MemoryKind::Device);
        if (placement) placements.back() = *placement;
        return placement;
    }
    std::uint32_t take(std::uint64_t bytes) {
        const auto placement = tryTake(bytes);
        EXPECT_TRUE(placement) << placement.error().message;
        return last();
    }
    Result<void> give(std::uint32_t tensor) { return policy.free(tensor, placements[tensor]); }
    std::uint32_t last() const { return static_cast<std::uint32_t>(placements.size() - 1); }
    std::uint64_t offset(std::uint32_t tensor) const { return placements[tensor].offset; }
    std::uint64_t block(std::uint32_t tensor) const { return placements[tensor].block.id; }
    const Event& now() const { return recording.events.back(); }
    // Bytes of all events of a kind so far.
    std::vector<std::uint64_t> events(EventKind kind) const {
        std::vector<std::uint64_t> bytes;
        for (const Event& event : recording.events)
            if (event.kind == kind) bytes.push_back(event.bytes);
        return bytes;
    }

    Heap& heap;
    Recording recording;
    Recorder recorder;
    Policy policy;
    Result<void> waiting;
    int waits = 0;
    std::vector<Placement> placements;
};
using Sizes = std::vector<std::uint64_t>;

TEST(Caching, roundsTo512AndSharesSmallSegments) {
    VirtualHeap heap;
    Rig<CachingAllocator> rig(heap);
    rig.take(1);
    EXPECT_EQ(rig.offset(rig.take(513)), 512u);
    EXPECT_EQ(rig.offset(rig.take(0)), 512u + 1024u);
    EXPECT_EQ(rig.policy.blockBytes(), 512u + 1024u + 512u);
    EXPECT_EQ(rig.now().allocated, 1u + 513u);
    EXPECT_EQ(rig.now().reserved, 2 * MiB);
    EXPECT_EQ(rig.now().freeBytes, 2 * MiB - 2048);
    EXPECT_EQ(rig.now().largestFree, 2 * MiB - 2048);
}

// A tensor's segment when nothing is cached: the borders at 1 MiB and at 10 MiB, after rounding to 512.
TEST(Caching, choosesTheSegmentBySize) {
    const std::vector<std::pair<std::uint64_t, std::uint64_t>> cases = {
        {1 * MiB, 2 * MiB},         {1 * MiB - 511, 2 * MiB},   {1 * MiB + 1, 20 * MiB},
        {10 * MiB - 512, 20 * MiB}, {10 * MiB - 511, 10 * MiB}, {10 * MiB, 10 * MiB},
        {10 * MiB + 1, 12 * MiB},   {12 * MiB, 12 * MiB},       {12 * MiB + 1, 14 * MiB}};
    for (const auto& [bytes, segment] : cases) {
        VirtualHeap heap;
        Rig<CachingAllocator> rig(heap);
        rig.take(bytes);
        EXPECT_EQ(heap.held(), segment) << bytes;
    }
}

TEST(Caching, splitsOnlyLargeRemaindersOfLargeBlocks) {
    VirtualHeap heap;
    Rig<CachingAllocator> whole(heap), split(heap), small(heap);
    whole.take(11 * MiB); // of 12: exactly 1 MiB remains
    EXPECT_EQ(whole.policy.blockBytes(), 12 * MiB);
    EXPECT_EQ(whole.now().freeBytes, 0u);
    EXPECT_TRUE(whole.give(0));
    EXPECT_EQ(whole.policy.blockBytes(), 0u);
    EXPECT_EQ(whole.now().freeBytes, 12 * MiB);
    split.take(11 * MiB - 512);
    EXPECT_EQ(split.policy.blockBytes(), 11 * MiB - 512);
    EXPECT_EQ(split.now().freeBytes, 1 * MiB + 512);
    small.take(1 * MiB);
    small.take(1 * MiB - 512); // 512 remain, enough for a small block
    EXPECT_EQ(small.now().freeBytes, 512u);
    EXPECT_EQ(small.offset(small.take(512)), 2 * MiB - 512);
    EXPECT_EQ(small.now().reserved, 2 * MiB);
}

TEST(Caching, takesTheSmallestThatFitsAndTheOldestOfEquals) {
    VirtualHeap heap;
    Rig<CachingAllocator> rig(heap);
    for (const std::uint64_t size : {2, 3, 2, 3, 2}) rig.take(size * MiB); // at 0, 2, 5, 7, 10; 8 remain at 12
    EXPECT_TRUE(rig.give(3));
    EXPECT_TRUE(rig.give(1));
    EXPECT_EQ(rig.now().freeBytes, 14 * MiB);
    EXPECT_EQ(rig.now().largestFree, 8 * MiB);
    EXPECT_EQ(rig.offset(rig.take(2 * MiB + 1)), 2 * MiB); // whole: less than 1 MiB would remain
    EXPECT_EQ(rig.policy.blockBytes(), 9 * MiB);
    EXPECT_EQ(rig.offset(rig.take(3 * MiB)), 7 * MiB);
    EXPECT_EQ(rig.offset(rig.take(3 * MiB)), 12 * MiB);
    EXPECT_EQ(rig.now().reserved, 20 * MiB);
}

TEST(Caching, mergesWithinASegmentOnly) {
    VirtualHeap heap;
    Rig<CachingAllocator> rig(heap);
    for (const std::uint64_t size : {2, 3, 4, 11}) rig.take(size * MiB);
    for (const std::uint32_t tensor : {0u, 2u}) EXPECT_TRUE(rig.give(tensor));
    EXPECT_EQ(rig.now().largestFree, 4 * MiB);
    EXPECT_TRUE(rig.give(1));
    EXPECT_EQ(rig.now().largestFree, 9 * MiB);
    EXPECT_TRUE(rig.give(3));
    EXPECT_EQ(rig.now().largestFree, 20 * MiB);
    EXPECT_TRUE(rig.give(rig.take(30 * MiB)));
    EXPECT_EQ(rig.now().freeBytes, 50 * MiB);
    EXPECT_EQ(rig.now().largestFree, 30 * MiB);
    rig.take(100);
    EXPECT_EQ(rig.waits, 0);
    EXPECT_TRUE(rig.policy.emptyCache());
    EXPECT_EQ(rig.waits, 1);
    EXPECT_EQ(heap.held(), 2 * MiB);
    rig.policy.end(); // a trace may leave tensors alive
    EXPECT_EQ(heap.held() + heap.liveBlocks() + rig.now().freeBytes, 0u);
}

TEST(Caching, returnsWhollyFreeSegmentsWhenTheHeapRefuses) {
    VirtualHeap heap({}, 36 * MiB);
    Rig<CachingAllocator> rig(heap);
    const auto first = rig.take(12 * MiB);
    rig.take(6 * MiB); // its segment of 20 has a free end that must stay
    EXPECT_TRUE(rig.give(first));
    rig.take(16 * MiB);
    EXPECT_EQ(rig.waits, 1);
    EXPECT_EQ(rig.events(EventKind::Return), Sizes{12 * MiB});
    EXPECT_EQ(heap.held(), 36 * MiB);
    const auto refused = rig.tryTake(15 * MiB);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::OutOfDeviceMemory);
    EXPECT_EQ(refused.error().message, "16.00 MiB wanted, 0 B of 36.00 MiB free");
    EXPECT_TRUE(rig.give(2));
    rig.waiting = fail(ErrorCode::DeviceLost, "the device is gone");
    const auto lost = rig.tryTake(20 * MiB);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::DeviceLost);
    EXPECT_TRUE(rig.give(1));
    rig.policy.end();
    EXPECT_EQ(heap.held() + heap.liveBlocks(), 0u);
}

TEST(Expandable, mapsOnlyTheMissingPages) {
    VirtualHeap heap;
    Rig<CachingAllocator> rig(heap, true);
    rig.take(5 * MiB);
    EXPECT_EQ(rig.offset(rig.take(18 * MiB)), 5 * MiB); // 15 are there, 3 missing
    rig.take(100);
    EXPECT_EQ(rig.offset(rig.take(25 * MiB)), 23 * MiB);
    EXPECT_EQ(rig.events(EventKind::Reserve), (Sizes{20 * MiB, 20 * MiB, 2 * MiB, 20 * MiB}));
    EXPECT_EQ(heap.held(), 62 * MiB);
    rig.take(12 * MiB - 512); // any remainder is split off
    EXPECT_EQ(rig.policy.blockBytes(), 60 * MiB);
    EXPECT_EQ(heap.liveBlocks(), 2u);
    for (std::uint32_t tensor = 0; tensor < 5; ++tensor) EXPECT_TRUE(rig.give(tensor));
    EXPECT_EQ(rig.now().largestFree, 60 * MiB); // one block again
    EXPECT_TRUE(rig.events(EventKind::Return).empty());
    rig.policy.end();
    EXPECT_EQ(rig.waits, 1);
    EXPECT_EQ(heap.held() + heap.liveBlocks(), 0u);
}

TEST(Expandable, unmapsWholeFreePagesAndFillsTheGapFirst) {
    VirtualHeap heap({}, 70 * MiB);
    Rig<CachingAllocator> rig(heap, true);
    rig.take(25 * MiB);
    rig.take(20 * MiB); // [25, 45) of 60 mapped
    EXPECT_TRUE(rig.give(0));
    EXPECT_EQ(rig.offset(rig.take(30 * MiB)), 45 * MiB); // [0, 20) had to go
    EXPECT_EQ(rig.waits, 1);
    EXPECT_EQ(rig.events(EventKind::Return), Sizes{20 * MiB});
    EXPECT_EQ(heap.held(), 60 * MiB);
    EXPECT_EQ(rig.now().freeBytes, 10 * MiB);
    EXPECT_FALSE(rig.tryTake(24 * MiB));
    heap.limitTo(80 * MiB);
    EXPECT_EQ(rig.offset(rig.take(24 * MiB)), 0u);
    EXPECT_EQ(heap.held(), 80 * MiB);
    for (const std::uint32_t tensor : {1u, 2u, rig.last()}) EXPECT_TRUE(rig.give(tensor));
    EXPECT_TRUE(rig.policy.emptyCache());
    EXPECT_EQ(heap.held() + heap.liveBlocks(), 0u);
}

// The end of the segment is for what fits nowhere else, even where it is the smallest free block.
TEST(Expandable, keepsTheEndOfTheSegment) {
    VirtualHeap heap;
    Rig<CachingAllocator> rig(heap, true);
    rig.take(10 * MiB);
    rig.take(5 * MiB); // 5 remain at the end
    EXPECT_TRUE(rig.give(0));
    EXPECT_EQ(rig.offset(rig.take(4 * MiB)), 0u);
}

TEST(Expandable, goesOnInAnotherRange) {
    VirtualHeap heap;
    Rig<CachingAllocator> rig(heap, true, 40 * MiB);
    for (const std::uint64_t size : {20, 20, 20, 50}) rig.take(size * MiB); // the second just fits
    EXPECT_EQ(heap.liveBlocks(), 3u);
    EXPECT_EQ(heap.held(), 120 * MiB);
    rig.policy.end(); // tensors that a trace left alive
    EXPECT_EQ(heap.held() + heap.liveBlocks(), 0u);
}

TEST(Expandable, saysWhenTheDeviceCannot) {
    struct Plain final : Heap {
        using Heap::Heap;
        Result<HeapBlock> provide(std::uint64_t bytes, MemoryKind) override { return HeapBlock{.bytes = bytes}; }
        void takeBack(const HeapBlock&) override {}
        std::uint64_t providerFree() const override { return 0; }
    } heap(HeapTraits{});
    Rig<CachingAllocator> rig(heap, true);
    const auto placement = rig.tryTake(1);
    ASSERT_FALSE(placement);
    EXPECT_EQ(placement.error().code, ErrorCode::Unsupported);
    EXPECT_NE(placement.error().message.find("no sparse binding"), std::string::npos);
    EXPECT_EQ(heap.liveBlocks() + static_cast<std::uint64_t>(rig.waits), 0u);
}

TEST(CacheLimit, roundsToPagesOverAPage) {
    VirtualHeap heap;
    Rig<CacheLimitAllocator> rig(heap, 0);
    for (const std::uint64_t bytes : {std::uint64_t{100}, page - 1, page, page + 1}) rig.take(bytes);
    EXPECT_EQ(rig.events(EventKind::Reserve), (Sizes{256, page, page, 2 * page}));
    EXPECT_EQ(rig.recording.events.front().freeBytes, 256u); // for a moment nobody's
    EXPECT_EQ(rig.now().freeBytes, 0u);
}

// A cached buffer is used again for size <= buffer < min(2 size, size + 2 pages), and then as a whole.
TEST(CacheLimit, reusesWithinTheWindow) {
    struct Case {
        std::uint64_t buffer, request;
        bool reused;
    };
    for (const Case& c :
         {Case{4 * page, 2 * page, false}, Case{4 * page, 2 * page + 1, true}, Case{12 * page, 10 * page, false},
          Case{12 * page, 10 * page + 1, true}, Case{1024, 512, false}, Case{1024, 513, true}, Case{1024, 1025, false},
          Case{4 * page, 4 * page, true}}) {
        VirtualHeap heap;
        Rig<CacheLimitAllocator> rig(heap, 100 * page);
        EXPECT_TRUE(rig.give(rig.take(c.buffer)));
        EXPECT_EQ(rig.now().freeBytes, c.buffer);
        rig.take(c.request);
        EXPECT_EQ(heap.liveBlocks(), c.reused ? 1u : 2u) << c.buffer << " for " << c.request;
        EXPECT_EQ(rig.policy.cachedBytes(), c.reused ? 0 : c.buffer);
        EXPECT_EQ(rig.policy.liveBytes(), heap.held() - rig.policy.cachedBytes());
    }
}

TEST(CacheLimit, takesTheSmallestAndOfEqualsTheOldest) {
    VirtualHeap heap;
    Rig<CacheLimitAllocator> rig(heap, 100 * page);
    for (const std::uint64_t pages : {9, 8, 8}) rig.take(pages * page);
    for (const std::uint32_t tensor : {0u, 2u, 1u}) EXPECT_TRUE(rig.give(tensor));
    EXPECT_EQ(rig.block(rig.take(8 * page)), rig.block(2));
    EXPECT_EQ(rig.block(rig.take(8 * page)), rig.block(1));
    EXPECT_EQ(rig.block(rig.take(8 * page)), rig.block(0));
}

// Freed while under the limit: kept, even past it. The next allocation releases what is over, longest freed first.
TEST(CacheLimit, releasesWhatIsOverAtTheNextAllocation) {
    VirtualHeap heap;
    Rig<CacheLimitAllocator> rig(heap, 10 * page);
    for (const std::uint64_t pages : {4, 5, 6, 3}) rig.take(pages * page);
    for (std::uint32_t tensor = 0; tensor < 3; ++tensor) EXPECT_TRUE(rig.give(tensor));
    EXPECT_EQ(rig.policy.cachedBytes(), 15 * page);
    EXPECT_EQ(rig.waits, 0);
    EXPECT_TRUE(rig.give(3)); // 15 of 10 are cached: at once
    EXPECT_EQ(rig.events(EventKind::Return), Sizes{3 * page});
    EXPECT_TRUE(rig.give(rig.take(4 * page))); // the oldest becomes the newest; 5 goes, since 11 are over 10
    EXPECT_EQ(rig.events(EventKind::Return), (Sizes{3 * page, 5 * page}));
    EXPECT_EQ(rig.policy.cachedBytes(), 10 * page);
    EXPECT_EQ(rig.now().largestFree, 6 * page);
    EXPECT_EQ(rig.waits, 2);
    rig.take(30 * page); // at the limit: nothing goes
    EXPECT_EQ(rig.policy.cachedBytes(), 10 * page);
}

TEST(CacheLimit, keepsABufferOverTheLimitForOneAllocation) {
    VirtualHeap heap;
    Rig<CacheLimitAllocator> rig(heap, 1);
    EXPECT_TRUE(rig.give(rig.take(10 * page)));
    EXPECT_TRUE(rig.give(rig.take(10 * page)));
    EXPECT_EQ(heap.held(), 10 * page);
    rig.take(5 * page);
    EXPECT_EQ(heap.held(), 5 * page);
    Rig<CacheLimitAllocator> none(heap, 0);
    EXPECT_TRUE(none.give(none.take(10 * page)));
    EXPECT_EQ(heap.held(), 5 * page);
}

TEST(CacheLimit, collectsBeforeANewBufferPassesTheLimit) {
    VirtualHeap heap;
    Rig<CacheLimitAllocator> rig(heap, 100 * page, 20 * page);
    for (int i = 0; i < 3; ++i) rig.take(4 * page);
    for (std::uint32_t tensor = 0; tensor < 3; ++tensor) EXPECT_TRUE(rig.give(tensor));
    rig.take(8 * page); // 20 in all
    EXPECT_TRUE(rig.events(EventKind::Return).empty());
    rig.take(page); // would be 21: the oldest goes
    EXPECT_EQ(heap.held(), 17 * page);
    EXPECT_EQ(rig.block(rig.take(4 * page)), rig.block(1));
    rig.take(50 * page); // tensors that live are no reason to fail
    EXPECT_EQ(rig.policy.cachedBytes(), 0u);
}

// Asked for nine tenths of the cache or more, all of it goes.
TEST(CacheLimit, leavesNoSmallRest) {
    for (const std::uint64_t asked : {89, 90}) {
        VirtualHeap heap;
        Rig<CacheLimitAllocator> rig(heap, 1000 * page, (300 - asked) * page);
        for (const std::uint64_t pages : {90, 10}) rig.take(pages * page);
        for (const std::uint32_t tensor : {0u, 1u}) EXPECT_TRUE(rig.give(tensor));
        rig.take(200 * page);
        EXPECT_EQ(rig.policy.cachedBytes(), asked == 89 ? 10 * page : 0);
    }
}

TEST(CacheLimit, releasesAllWhenTheHeapRefusesOrWaitingFails) {
    VirtualHeap heap({}, 20 * page);
    Rig<CacheLimitAllocator> rig(heap, 100 * page);
    for (int i = 0; i < 3; ++i) rig.take(4 * page);
    for (std::uint32_t tensor = 0; tensor < 3; ++tensor) EXPECT_TRUE(rig.give(tensor));
    rig.take(9 * page);
    EXPECT_EQ(rig.waits, 1);
    EXPECT_EQ(heap.held(), 9 * page);
    const auto refused = rig.tryTake(12 * page);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "192.00 KiB wanted, 176.00 KiB of 320.00 KiB free");
    EXPECT_TRUE(rig.give(rig.take(5 * page)));
    rig.waiting = fail(ErrorCode::DeviceLost, "the device is gone");
    const auto lost = rig.tryTake(12 * page);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::DeviceLost);
    EXPECT_EQ(heap.held(), 9 * page);
    Rig<CacheLimitAllocator> direct(heap, 0);
    direct.take(page);
    direct.waiting = rig.waiting;
    EXPECT_FALSE(direct.give(0));
    EXPECT_EQ(heap.held(), 9 * page);
    EXPECT_TRUE(rig.give(3));
    rig.policy.end();
    EXPECT_EQ(heap.held() + heap.liveBlocks(), 0u);
    Rig<CacheLimitAllocator> over(heap, 1);
    EXPECT_TRUE(over.give(over.take(10 * page)));
    over.waiting = rig.waiting;
    EXPECT_FALSE(over.tryTake(5 * page)); // what is over the limit goes, and the new buffer is not lost
    EXPECT_EQ(over.policy.liveBytes() + over.now().allocated, 0u);
    over.policy.end();
    EXPECT_EQ(heap.held() + heap.liveBlocks(), 0u);
}

// Sizes near 2^64 must be refused, not wrapped to small ones.
template <class Policy, class... Args> void refuseHostileSizes(Args... args) {
    for (const std::uint64_t bytes : {~std::uint64_t{0}, ~std::uint64_t{0} - 254, ~std::uint64_t{0} - 1023,
                                      (std::uint64_t{1} << 63) + 1, std::uint64_t{1} << 62}) {
        VirtualHeap heap({}, 100 * MiB);
        Rig<Policy> rig(heap, args...);
        rig.take(1);
        const auto placement = rig.tryTake(bytes);
        ASSERT_FALSE(placement) << bytes;
        EXPECT_EQ(placement.error().code, ErrorCode::OutOfDeviceMemory);
        const auto staging = rig.policy.allocate(0, bytes, MemoryKind::HostVisible);
        ASSERT_FALSE(staging) << bytes;
        EXPECT_EQ(staging.error().code, ErrorCode::OutOfDeviceMemory);
        EXPECT_TRUE(rig.give(0));
        rig.policy.end();
        EXPECT_EQ(heap.held() + heap.liveBlocks(), 0u);
    }
}

TEST(Policies, refuseHostileSizes) {
    refuseHostileSizes<DirectAllocator>();
    refuseHostileSizes<CachingAllocator>();
    refuseHostileSizes<CachingAllocator>(true);
    refuseHostileSizes<CacheLimitAllocator>(64 * MiB);
    refuseHostileSizes<CacheLimitAllocator>(64 * MiB, 80 * MiB);
    VirtualHeap heap; // never uses an address again, so it can run out of them
    Rig<DirectAllocator> rig(heap);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(rig.give(rig.take(std::uint64_t{1} << 62)));
    EXPECT_FALSE(rig.tryTake(std::uint64_t{1} << 62));
}

std::uint64_t randomSize(std::mt19937& engine) {
    const std::uint64_t n = engine();
    switch (engine() % 8) {
    case 0: return n % 4096;
    case 1: return 1 * MiB - 1024 + n % 2048;
    case 2: return 10 * MiB - 1024 + n % 2048;
    case 3: return (1 + n % 100) * page;
    case 4: return n % (64 * MiB);
    case 5: return (1 + n % 24) * MiB;
    default: return n % (1 * MiB);
    }
}

std::uint64_t freeAsThePolicySays(const DirectAllocator&, std::uint64_t) { return 0; }
std::uint64_t freeAsThePolicySays(const CachingAllocator& policy, std::uint64_t reserved) {
    return reserved - policy.blockBytes();
}
std::uint64_t freeAsThePolicySays(const CacheLimitAllocator& policy, std::uint64_t reserved) {
    EXPECT_EQ(reserved - policy.liveBytes(), policy.cachedBytes());
    return policy.cachedBytes();
}

// 20,000 random steps, with a limit that is met now and then. Checks all that must hold for any policy.
template <class Policy, class AnyHeap, class... Args> Recording exercise(AnyHeap& heap, Args... args) {
    std::mt19937 engine(7);
    Rig<Policy> rig(heap, args...);
    std::vector<std::uint32_t> live;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> ends; // of live tensors, by block and offset
    std::size_t seen = 0, refusals = 0;
    const auto check = [&] {
        for (; seen < rig.recording.events.size(); ++seen) {
            const Event& event = rig.recording.events[seen];
            ASSERT_LE(event.allocated, event.reserved);
            ASSERT_LE(event.freeBytes, event.reserved - event.allocated);
            ASSERT_LE(event.largestFree, event.freeBytes);
            ASSERT_EQ(event.largestFree == 0, event.freeBytes == 0);
        }
        if (rig.recording.events.empty()) return;
        ASSERT_EQ(rig.now().reserved, heap.held());
        ASSERT_EQ(rig.now().freeBytes, freeAsThePolicySays(rig.policy, rig.now().reserved));
    };
    const auto giveOne = [&] {
        const std::size_t which = engine() % live.size();
        const Placement& placement = rig.placements[live[which]];
        ends.erase({placement.block.id, placement.offset});
        EXPECT_TRUE(rig.give(live[which]));
        live[which] = live.back();
        live.pop_back();
    };
    for (int step = 0; step < 20000 && !testing::Test::HasFatalFailure(); ++step) {
        const bool grow = step / 500 % 2 == 0; // swells and ebbs
        if (live.empty() || engine() % 8 < (grow ? 5u : 3u)) {
            const auto placement = rig.tryTake(randomSize(engine));
            if (placement) {
                const std::uint64_t end = placement->offset + std::max<std::uint64_t>(placement->bytes, 1);
                EXPECT_EQ(placement->offset % heap.traits().granularity, 0u);
                EXPECT_LE(end, placement->block.bytes);
                const auto [at, isNew] = ends.emplace(std::pair{placement->block.id, placement->offset}, end);
                EXPECT_TRUE(isNew);
                const auto next = std::next(at);
                EXPECT_TRUE(next == ends.end() || next->first.first != at->first.first || end <= next->first.second);
                EXPECT_TRUE(at == ends.begin() || std::prev(at)->first.first != at->first.first ||
                            std::prev(at)->second <= at->first.second);
                if constexpr (std::is_same_v<AnyHeap, DriverHeap>) {
                    EXPECT_TRUE(heap.holds(*placement));
                }
                live.push_back(rig.last());
            } else {
                EXPECT_EQ(placement.error().code, ErrorCode::OutOfDeviceMemory) << placement.error().message;
                ++refusals;
                giveOne();
            }
        } else {
            giveOne();
        }
        check();
    }
    EXPECT_GT(refusals, 10u);
    while (!live.empty()) giveOne();
    rig.policy.end();
    check();
    EXPECT_EQ(heap.held() + heap.liveBlocks(), 0u);
    return rig.recording;
}

template <class Policy, class... Args> void exerciseOnBothHeaps(Args... args) {
    constexpr std::uint64_t limit = 512 * MiB;
    VirtualHeap planned({}, limit), again({}, limit);
    DriverHeap driver(limit);
    const Recording plan = exercise<Policy>(planned, args...), repeated = exercise<Policy>(again, args...),
                    run = exercise<Policy>(driver, args...);
    const auto numbers = [](const Event& event) {
        return std::tuple(event.kind, event.tensor, event.bytes, event.allocated, event.reserved, event.freeBytes,
                          event.largestFree);
    };
    ASSERT_EQ(plan.events.size(), run.events.size());
    ASSERT_EQ(plan.events.size(), repeated.events.size());
    std::vector<std::pair<EventKind, std::uint64_t>> moved;
    for (std::size_t i = 0; i < plan.events.size(); ++i) {
        ASSERT_EQ(numbers(plan.events[i]), numbers(run.events[i])) << i;
        ASSERT_EQ(numbers(plan.events[i]), numbers(repeated.events[i])) << i;
        ASSERT_EQ(plan.events[i].address, repeated.events[i].address) << i;
        if (plan.events[i].kind == EventKind::Reserve || plan.events[i].kind == EventKind::Return)
            moved.emplace_back(plan.events[i].kind, plan.events[i].bytes);
    }
    EXPECT_EQ(moved, driver.log); // so reserved is the heap's at every event, not only after every step
}

TEST(Policies, directHoldsItsInvariants) { exerciseOnBothHeaps<DirectAllocator>(); }
TEST(Policies, cachingHoldsItsInvariants) { exerciseOnBothHeaps<CachingAllocator>(); }
TEST(Policies, expandableHoldsItsInvariants) { exerciseOnBothHeaps<CachingAllocator>(true); }
TEST(Policies, expandableInManyRangesHoldsItsInvariants) { exerciseOnBothHeaps<CachingAllocator>(true, 80 * MiB); }
TEST(Policies, cacheLimitHoldsItsInvariants) { exerciseOnBothHeaps<CacheLimitAllocator>(64 * MiB); }
TEST(Policies, cacheLimitWithCollectionHoldsItsInvariants) {
    exerciseOnBothHeaps<CacheLimitAllocator>(256 * MiB, 300 * MiB);
}

} // namespace
} // namespace spikescope
