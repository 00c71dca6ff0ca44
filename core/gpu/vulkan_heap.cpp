#include "core/gpu/vulkan_heap.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <algorithm>
#include <bit>

namespace spikescope {

namespace {

constexpr VkBufferUsageFlags usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                     VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                                     VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
constexpr std::uint32_t nvidia = 0x10de;

VkBufferCreateInfo bufferOf(std::uint64_t bytes) {
    return {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
            .size = bytes,
            .usage = usage,
            .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
}

} // namespace

Result<std::unique_ptr<VulkanHeap>> VulkanHeap::create(Device& device) {
    // The memory of the smallest buffer is the granularity of the driver; it does not round multiples of it.
    const VkBufferCreateInfo info = bufferOf(1);
    VkBuffer buffer = VK_NULL_HANDLE;
    CHECK_VULKAN(device.vk.CreateBuffer(device.handle(), &info, nullptr, &buffer), "making a buffer");
    VkMemoryRequirements needs{};
    device.vk.GetBufferMemoryRequirements(device.handle(), buffer, &needs);
    device.vk.DestroyBuffer(device.handle(), buffer, nullptr);
    HeapTraits traits;
    traits.granularity = std::max({traits.granularity, std::bit_ceil(needs.size), std::bit_ceil(needs.alignment),
                                   std::bit_ceil(device.limits().minTexelBufferOffsetAlignment)});
    // NVIDIA's driver reports 4 GiB, but makes single allocations of 40 GiB and more; there the heap is the limit.
    VkPhysicalDeviceProperties2 properties{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    device.vk.GetPhysicalDeviceProperties2(device.report().handle, &properties);
    traits.largestBlock =
        properties.properties.vendorID == nvidia ? device.report().heapBytes : device.report().largestAllocation;
    return std::unique_ptr<VulkanHeap>(new VulkanHeap(device, traits));
}

VulkanHeap::~VulkanHeap() {
    for (const auto& [id, block] : m_blocks) destroy(block);
}

void VulkanHeap::destroy(const Block& block) {
    if (block.buffer) m_device.vk.DestroyBuffer(m_device.handle(), block.buffer, nullptr);
    if (block.memory) m_device.vk.FreeMemory(m_device.handle(), block.memory, nullptr);
    for (const auto& [offset, memory] : block.pages) m_device.vk.FreeMemory(m_device.handle(), memory, nullptr);
}

Result<HeapBlock> VulkanHeap::provide(std::uint64_t bytes, MemoryKind kind) {
    Block block;
    HeapBlock result{.id = m_next, .bytes = bytes};
    if (kind == MemoryKind::Host) {
        block.host.reset(new (std::nothrow) std::byte[bytes]);
        if (!block.host)
            return fail(ErrorCode::OutOfHostMemory, "{} of host memory wanted: the system refuses", formatBytes(bytes));
        block.mapped = block.host.get();
        result.address = reinterpret_cast<std::uintptr_t>(block.mapped);
    } else {
        // Memory of a CPU device is the machine's: past what is free the system would end the process instead of
        // refusing.
        if (const std::uint64_t left = m_device.bytesFree(); m_device.report().cpu && bytes > left)
            return fail(isOfDevice(kind) ? ErrorCode::OutOfDeviceMemory : ErrorCode::OutOfHostMemory,
                        "{} wanted, {} free", formatBytes(bytes), formatBytes(left));
        if (auto filled = fill(block, result, bytes, kind); !filled) {
            destroy(block);
            Error error = std::move(filled.error());
            if (kind == MemoryKind::Pinned && error.code == ErrorCode::OutOfDeviceMemory)
                error.code = ErrorCode::OutOfHostMemory;
            return tl::unexpected<Error>(std::move(error));
        }
    }
    m_blocks.emplace(m_next++, std::move(block));
    return result;
}

Result<void> VulkanHeap::fill(Block& block, HeapBlock& result, std::uint64_t bytes, MemoryKind kind) {
    const VulkanFunctions& vk = m_device.vk;
    const VkBufferCreateInfo info = bufferOf(bytes);
    const std::string what = kind == MemoryKind::Pinned
                                 ? fmt::format("{} of host memory wanted", formatBytes(bytes))
                                 : fmt::format("{} wanted, {} free", formatBytes(bytes), formatBytes(bytesFree()));
    CHECK_VULKAN(vk.CreateBuffer(m_device.handle(), &info, nullptr, &block.buffer), what);
    m_device.setName(VK_OBJECT_TYPE_BUFFER, block.buffer, fmt::format("block {} of {}", m_next, formatBytes(bytes)));
    VkMemoryRequirements needs{};
    vk.GetBufferMemoryRequirements(m_device.handle(), block.buffer, &needs);
    if (needs.size != bytes)
        return fail(ErrorCode::Unsupported, "the driver wants {} bytes for a buffer of {}, which no plan can know",
                    needs.size, bytes);
    const bool host = kind != MemoryKind::Device;
    TRY(const std::uint32_t type,
        m_device.memoryType(needs.memoryTypeBits,
                            host ? VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT
                                 : VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                            host ? VK_MEMORY_PROPERTY_HOST_CACHED_BIT : 0));
    const VkMemoryAllocateFlagsInfo flags{.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                          .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    const VkMemoryAllocateInfo memory{.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                      .pNext = &flags,
                                      .allocationSize = bytes,
                                      .memoryTypeIndex = type};
    CHECK_VULKAN(vk.AllocateMemory(m_device.handle(), &memory, nullptr, &block.memory), what);
    CHECK_VULKAN(vk.BindBufferMemory(m_device.handle(), block.buffer, block.memory, 0), what);
    if (kind == MemoryKind::HostVisible) {
        void* mapped = nullptr;
        CHECK_VULKAN(vk.MapMemory(m_device.handle(), block.memory, 0, VK_WHOLE_SIZE, 0, &mapped),
                     "mapping staging memory");
        block.mapped = static_cast<std::byte*>(mapped);
    }
    const VkBufferDeviceAddressInfo address{.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                            .buffer = block.buffer};
    result.address = vk.GetBufferDeviceAddress(m_device.handle(), &address);
    return {};
}

void VulkanHeap::takeBack(const HeapBlock& block) {
    const auto found = m_blocks.find(block.id);
    destroy(found->second);
    m_blocks.erase(found);
}

Result<HeapBlock> VulkanHeap::provideRange(std::uint64_t bytes, std::uint64_t page) {
    if (!m_device.report().sparseBinding) return Heap::provideRange(bytes, page);
    const VulkanFunctions& vk = m_device.vk;
    VkBufferCreateInfo info = bufferOf(bytes);
    info.flags = VK_BUFFER_CREATE_SPARSE_BINDING_BIT | VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT;
    Block range{.page = page};
    CHECK_VULKAN(vk.CreateBuffer(m_device.handle(), &info, nullptr, &range.buffer),
                 fmt::format("{} of addresses for expandable segments", formatBytes(bytes)));
    VkMemoryRequirements needs{};
    vk.GetBufferMemoryRequirements(m_device.handle(), range.buffer, &needs);
    auto type = m_device.memoryType(needs.memoryTypeBits, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0);
    if (!type || page % needs.alignment != 0) {
        destroy(range);
        if (!type) return tl::unexpected<Error>(std::move(type.error()));
        return fail(ErrorCode::Unsupported, "expandable segments: pages of {} where the driver binds multiples of {}",
                    formatBytes(page), formatBytes(needs.alignment));
    }
    range.memoryType = *type;
    const VkBufferDeviceAddressInfo address{.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                            .buffer = range.buffer};
    const HeapBlock result{
        .id = m_next, .address = vk.GetBufferDeviceAddress(m_device.handle(), &address), .bytes = bytes};
    m_blocks.emplace(m_next++, std::move(range));
    return result;
}

Result<void> VulkanHeap::provideAt(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes) {
    const VulkanFunctions& vk = m_device.vk;
    Block& block = m_blocks.at(range.id);
    const VkMemoryAllocateFlagsInfo flags{.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                          .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    const VkMemoryAllocateInfo memory{.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                      .pNext = &flags,
                                      .allocationSize = block.page,
                                      .memoryTypeIndex = block.memoryType};
    std::vector<VkSparseMemoryBind> binds;
    VkResult result = VK_SUCCESS;
    for (std::uint64_t at = offset; at < offset + bytes && result == VK_SUCCESS; at += block.page) {
        VkSparseMemoryBind bind{.resourceOffset = at, .size = block.page};
        result = vk.AllocateMemory(m_device.handle(), &memory, nullptr, &bind.memory);
        if (result == VK_SUCCESS) binds.push_back(bind);
    }
    Result<void> bound;
    if (result != VK_SUCCESS)
        bound = tl::unexpected<Error>(vulkanError(
            result, fmt::format("pages of {} wanted, {} free", formatBytes(bytes), formatBytes(bytesFree()))));
    else
        bound = m_device.bindSparse(block.buffer, binds);
    for (const VkSparseMemoryBind& bind : binds) {
        if (bound)
            block.pages.emplace(bind.resourceOffset, bind.memory);
        else
            vk.FreeMemory(m_device.handle(), bind.memory, nullptr);
    }
    return bound;
}

void VulkanHeap::takeBackAt(const HeapBlock& range, std::uint64_t offset, std::uint64_t bytes) {
    Block& block = m_blocks.at(range.id);
    std::vector<VkSparseMemoryBind> binds;
    for (std::uint64_t at = offset; at < offset + bytes; at += block.page)
        binds.push_back({.resourceOffset = at, .size = block.page, .memory = VK_NULL_HANDLE});
    (void)m_device.bindSparse(block.buffer, binds); // a lost device holds nothing any more
    for (const VkSparseMemoryBind& bind : binds) {
        const auto page = block.pages.find(bind.resourceOffset);
        m_device.vk.FreeMemory(m_device.handle(), page->second, nullptr);
        block.pages.erase(page);
    }
}

void VulkanHeap::takeBackRange(const HeapBlock& range) { takeBack(range); }

} // namespace spikescope
