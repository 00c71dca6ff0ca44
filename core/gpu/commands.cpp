#include "core/gpu/commands.h"

#include "core/gpu/shader_library.h"

#include <algorithm>
#include <bit>

namespace spikescope {

namespace {

constexpr std::uint32_t setsOfPool = 64, minQueries = 16;

} // namespace

Result<std::unique_ptr<Commands>> Commands::create(Device& device) {
    auto commands = std::unique_ptr<Commands>(new Commands(device));
    const VkCommandBufferAllocateInfo allocate{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                               .commandPool = device.commandPool(),
                                               .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                               .commandBufferCount = 1};
    CHECK_VULKAN(device.vk.AllocateCommandBuffers(device.handle(), &allocate, &commands->m_commands),
                 "making a command buffer");
    return commands;
}

Commands::~Commands() {
    const VulkanFunctions& vk = m_device.vk;
    if (m_commands) vk.FreeCommandBuffers(m_device.handle(), m_device.commandPool(), 1, &m_commands);
    for (const VkBufferView view : m_views) vk.DestroyBufferView(m_device.handle(), view, nullptr);
    for (const VkDescriptorPool pool : m_pools) vk.DestroyDescriptorPool(m_device.handle(), pool, nullptr);
    if (m_queries) vk.DestroyQueryPool(m_device.handle(), m_queries, nullptr);
}

Result<void> Commands::provideTimestamps(std::uint32_t count) {
    if (count <= m_queryCount) return {};
    const VulkanFunctions& vk = m_device.vk;
    if (m_queries) vk.DestroyQueryPool(m_device.handle(), m_queries, nullptr);
    m_queries = VK_NULL_HANDLE;
    m_queryCount = 0;
    const VkQueryPoolCreateInfo queries{.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                        .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                        .queryCount = std::bit_ceil(std::max(count, minQueries))};
    CHECK_VULKAN(vk.CreateQueryPool(m_device.handle(), &queries, nullptr, &m_queries), "making timestamps");
    m_queryCount = queries.queryCount;
    return {};
}

Result<void> Commands::begin(Use use, std::uint32_t timestamps) {
    const VulkanFunctions& vk = m_device.vk;
    if (std::exchange(m_recording, false)) (void)vk.EndCommandBuffer(m_commands); // given up halfway
    for (const VkBufferView view : m_views) vk.DestroyBufferView(m_device.handle(), view, nullptr);
    m_views.clear();
    for (std::size_t i = 0; i * setsOfPool < m_sets; ++i) vk.ResetDescriptorPool(m_device.handle(), m_pools[i], 0);
    m_sets = 0;
    m_stamps = 0;
    m_submission = 0;
    CHECK(provideTimestamps(timestamps));
    const VkCommandBufferUsageFlags once = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    const VkCommandBufferBeginInfo begin{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                         .flags = use == Use::Once ? once : 0};
    CHECK_VULKAN(vk.BeginCommandBuffer(m_commands, &begin), "beginning commands");
    m_recording = true;
    if (timestamps) vk.CmdResetQueryPool(m_commands, m_queries, 0, timestamps);
    return {};
}

Result<void> Commands::end() {
    m_recording = false;
    CHECK_VULKAN(m_device.vk.EndCommandBuffer(m_commands), "ending commands");
    return {};
}

void Commands::barrier() {
    constexpr VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkMemoryBarrier barrier{.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                  .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                  .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                                                   VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    m_device.vk.CmdPipelineBarrier(m_commands, stages, stages, 0, 1, &barrier, 0, nullptr, 0, nullptr);
}

void Commands::beginLabel(const std::string& name) {
    if (!m_device.vk.CmdBeginDebugUtilsLabel) return;
    const VkDebugUtilsLabelEXT label{.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT, .pLabelName = name.c_str()};
    m_device.vk.CmdBeginDebugUtilsLabel(m_commands, &label);
}

void Commands::endLabel() {
    if (m_device.vk.CmdEndDebugUtilsLabel) m_device.vk.CmdEndDebugUtilsLabel(m_commands);
}

void Commands::stamp(VkPipelineStageFlagBits stage) {
    m_device.vk.CmdWriteTimestamp(m_commands, stage, m_queries, m_stamps++);
}

Result<VkDescriptorSet> Commands::descriptorSet(VkDescriptorSetLayout layout) {
    const std::size_t pool = m_sets / setsOfPool;
    if (pool == m_pools.size()) {
        const VkDescriptorPoolSize size{.type = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
                                        .descriptorCount = setsOfPool * texelBuffers};
        const VkDescriptorPoolCreateInfo info{.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                              .maxSets = setsOfPool,
                                              .poolSizeCount = 1,
                                              .pPoolSizes = &size};
        VkDescriptorPool made = VK_NULL_HANDLE;
        CHECK_VULKAN(m_device.vk.CreateDescriptorPool(m_device.handle(), &info, nullptr, &made),
                     "making a descriptor pool");
        m_pools.push_back(made);
    }
    const VkDescriptorSetAllocateInfo allocate{.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                               .descriptorPool = m_pools[pool],
                                               .descriptorSetCount = 1,
                                               .pSetLayouts = &layout};
    VkDescriptorSet set = VK_NULL_HANDLE;
    CHECK_VULKAN(m_device.vk.AllocateDescriptorSets(m_device.handle(), &allocate, &set), "making a descriptor set");
    ++m_sets;
    return set;
}

Result<VkBufferView> Commands::view(const VkBufferViewCreateInfo& info) {
    VkBufferView view = VK_NULL_HANDLE;
    CHECK_VULKAN(m_device.vk.CreateBufferView(m_device.handle(), &info, nullptr, &view), "making a buffer view");
    m_views.push_back(view);
    return view;
}

Result<void> Commands::readStamps(std::span<std::uint64_t> ticks) const {
    if (ticks.empty()) return {};
    CHECK_VULKAN(m_device.vk.GetQueryPoolResults(
                     m_device.handle(), m_queries, 0, static_cast<std::uint32_t>(ticks.size()), ticks.size_bytes(),
                     ticks.data(), sizeof ticks[0], VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
                 "reading timestamps");
    return {};
}

} // namespace spikescope
