#include "core/kernels/kernels.h"

namespace spikescope {

Result<void> recordDispatch(Commands& commands, const Dispatch& dispatch) {
    const Device& device = commands.device();
    const VulkanFunctions& vk = device.vk;
    // Drivers skip a dispatch with more groups than this, and the run would go on with what memory held before.
    for (std::size_t i = 0; i < 3; ++i)
        if (const std::uint32_t maximum = device.limits().maxComputeWorkGroupCount[i]; dispatch.groups[i] > maximum)
            return fail(ErrorCode::Unsupported, "{} workgroups in a row for one kernel; {} takes {}",
                        dispatch.groups[i], device.report().name, maximum);
    vk.CmdBindPipeline(commands.handle(), VK_PIPELINE_BIND_POINT_COMPUTE, dispatch.pipeline.handle);
    if (!dispatch.views.empty()) {
        TRY(const VkDescriptorSet set, commands.descriptorSet(dispatch.pipeline.texelSet));
        std::array<VkBufferView, texelBuffers> views{};
        std::array<VkWriteDescriptorSet, texelBuffers> writes{};
        for (std::uint32_t i = 0; i < texelBuffers; ++i) {
            // Every binding needs a view: those that a kernel does not use get its first one.
            if (i < dispatch.views.size()) {
                const TexelView& view = dispatch.views[i];
                TRY(views[i], commands.view({.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                             .buffer = view.buffer,
                                             .format = view.format,
                                             .offset = view.offset,
                                             .range = view.bytes}));
            } else {
                views[i] = views[0];
            }
            writes[i] = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                         .dstSet = set,
                         .dstBinding = i,
                         .descriptorCount = 1,
                         .descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
                         .pTexelBufferView = &views[i]};
        }
        vk.UpdateDescriptorSets(device.handle(), texelBuffers, writes.data(), 0, nullptr);
        vk.CmdBindDescriptorSets(commands.handle(), VK_PIPELINE_BIND_POINT_COMPUTE, dispatch.pipeline.layout, 0, 1,
                                 &set, 0, nullptr);
    }
    vk.CmdPushConstants(commands.handle(), dispatch.pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, dispatch.pushSize,
                        dispatch.push.data());
    vk.CmdDispatch(commands.handle(), dispatch.groups[0], dispatch.groups[1], dispatch.groups[2]);
    return {};
}

} // namespace spikescope
