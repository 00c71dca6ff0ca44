#pragma once
// Blocks of real device memory: one allocation, one buffer and one device address each.

#include "core/gpu/device.h"
#include "core/memory/heap.h"

#include <map>
#include <unordered_map>

namespace spikescope {

class VulkanHeap : public Heap {
public:
    static Result<std::unique_ptr<VulkanHeap>> create(Device& device);
    ~VulkanHeap() override;

    VkBuffer buffer(std::uint64_t blockId) const { return m_blocks.at(blockId).buffer; }
    // First byte of a host or host-visible block; the latter is mapped and coherent.
    std::byte* mapped(std::uint64_t blockId) const { return m_blocks.at(blockId).mapped; }

protected:
    VulkanHeap(Device& device, HeapTraits traits)
        : Heap(traits)
        , m_device(device) {}

    Result<HeapBlock> provide(std::uint64_t bytes, MemoryKind kind) override;
    void takeBack(const HeapBlock& block) override;
    std::uint64_t providerFree() const override { return m_device.bytesFree(); }
    Result<HeapBlock> provideRange(std::uint64_t bytes, std::uint64_t page) override;
    Result<void> provideAt(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes) override;
    void takeBackAt(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes) override;
    void takeBackRange(const HeapBlock& range) override;

private:
    struct Block {
        VkBuffer buffer = VK_NULL_HANDLE;
        VkDeviceMemory memory = VK_NULL_HANDLE;
        std::byte* mapped = nullptr;
        std::unique_ptr<std::byte[]> host; // of a host block
        // One allocation for each mapped page of a range, by offset.
        std::uint64_t page = 0;
        std::uint32_t memoryType = 0;
        std::map<std::uint64_t, VkDeviceMemory> pages;
    };
    Result<void> fill(Block& block, HeapBlock& result, std::uint64_t bytes, MemoryKind kind);
    void destroy(const Block& block);

    Device& m_device;
    std::unordered_map<std::uint64_t, Block> m_blocks;
    std::uint64_t m_next = 1;
};

} // namespace spikescope
