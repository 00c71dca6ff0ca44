#pragma once
// A heap for tests whose blocks of the device lie more than 4 GiB apart, in rising or falling order of addresses: a
// kernel that counts from one tensor to another, or whose offsets wrap in 32 bits, makes a wrong picture there.

#include "core/base/checked.h"
#include "core/gpu/vulkan_heap.h"

#include <algorithm>
#include <map>
#include <vector>

namespace spikescope {

enum class AddressOrder { Rising, Falling };

class SpreadHeap final : public VulkanHeap {
public:
    // Needs sparse binding: addresses cost nothing there, memory is bound to the beginning of each range alone.
    static Result<std::unique_ptr<SpreadHeap>> create(Device& device, AddressOrder order) {
        TRY(const std::unique_ptr<VulkanHeap> plain, VulkanHeap::create(device));
        return std::unique_ptr<SpreadHeap>(new SpreadHeap(device, plain->traits(), order));
    }
    ~SpreadHeap() override {
        for (const HeapBlock& range : m_free) takeBackRange(range);
    }

protected:
    Result<HeapBlock> provide(std::uint64_t bytes, MemoryKind kind) override {
        if (kind != MemoryKind::Device) return VulkanHeap::provide(bytes, kind);
        const std::uint64_t bound = roundUp(bytes, page);
        HeapBlock range;
        if (bound <= roomOfPooled) {
            if (m_free.empty()) CHECK(addRanges());
            // Ascending by address.
            const auto next = m_order == AddressOrder::Rising ? m_free.begin() : m_free.end() - 1;
            range = *next;
            m_free.erase(next);
        } else {
            TRY(range, provideRange(bound + apart, page));
        }
        if (Result<void> mapped = provideAt(range, 0, bound); !mapped) {
            giveBack(range);
            return tl::unexpected<Error>(std::move(mapped.error()));
        }
        m_live.emplace(range.id, range);
        return HeapBlock{.id = range.id, .address = range.address, .bytes = bytes};
    }
    void takeBack(const HeapBlock& block) override {
        const auto live = m_live.find(block.id);
        if (live == m_live.end()) return VulkanHeap::takeBack(block);
        const HeapBlock range = live->second;
        m_live.erase(live);
        takeBackAt(range, 0, roundUp(block.bytes, page));
        giveBack(range);
    }

private:
    static constexpr std::uint64_t page = std::uint64_t{2} << 20, apart = (std::uint64_t{4} << 30) + page,
                                   roomOfPooled = std::uint64_t{256} << 20;
    static constexpr std::size_t rangesAtOnce = 16;

    SpreadHeap(Device& device, HeapTraits traits, AddressOrder order)
        : VulkanHeap(device, traits)
        , m_order(order) {}

    Result<void> addRanges() {
        for (std::size_t i = 0; i < rangesAtOnce; ++i) {
            TRY(const HeapBlock range, provideRange(roomOfPooled + apart, page));
            m_free.push_back(range);
        }
        std::ranges::sort(m_free, {}, &HeapBlock::address);
        return {};
    }
    void giveBack(const HeapBlock& range) {
        if (range.bytes != roomOfPooled + apart) return takeBackRange(range);
        m_free.insert(std::ranges::lower_bound(m_free, range.address, {}, &HeapBlock::address), range);
    }

    AddressOrder m_order;
    std::vector<HeapBlock> m_free;             // ranges, by address
    std::map<std::uint64_t, HeapBlock> m_live; // the range of each block that is one's beginning
};

} // namespace spikescope
