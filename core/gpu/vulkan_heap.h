#pragma once
// Blocks of real device memory: one allocation, one buffer and one device address each.

#include "core/gpu/device.h"
#include "core/memory/heap.h"

#include <unordered_map>

namespace spikescope {

class VulkanHeap final : public Heap {
public:
    static Result<std::unique_ptr<VulkanHeap>> create(Device& device);
    ~VulkanHeap() override;

    Result<HeapBlock> allocate(std::uint64_t bytes, MemoryKind kind) override;
    void free(const HeapBlock& block) override;
    std::uint64_t bytesFree() const override { return m_device.bytesFree(); }
    std::size_t liveBlocks() const override { return m_blocks.size(); }

    VkBuffer buffer(std::uint64_t blockId) const { return m_blocks.at(blockId).buffer; }
    // First byte of a host-visible block, mapped and coherent.
    std::byte* mapped(std::uint64_t blockId) const { return m_blocks.at(blockId).mapped; }

private:
    struct Block {
        VkBuffer buffer = VK_NULL_HANDLE;
        VkDeviceMemory memory = VK_NULL_HANDLE;
        std::byte* mapped = nullptr;
    };
    VulkanHeap(Device& device, HeapTraits traits)
        : Heap(traits)
        , m_device(device) {}
    Result<void> fill(Block& block, HeapBlock& result, std::uint64_t bytes, MemoryKind kind);
    void destroy(const Block& block);

    Device& m_device;
    std::unordered_map<std::uint64_t, Block> m_blocks;
    std::uint64_t m_next = 1;
};

} // namespace spikescope
