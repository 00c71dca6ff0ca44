#include "core/gpu/device.h"

#include "core/base/machine_memory.h"
#include "core/base/text.h"
#include "core/gpu/commands.h"

#include <algorithm>
#include <limits>

namespace spikescope {

Result<std::unique_ptr<Device>> Device::open(std::shared_ptr<Instance> instance, const DeviceReport& report) {
    auto device = std::unique_ptr<Device>(new Device);
    device->m_instance = std::move(instance);
    device->m_report = report;
    VulkanFunctions& vk = device->vk = device->m_instance->vk;

    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue{.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                        .queueFamilyIndex = report.queueFamily,
                                        .queueCount = 1,
                                        .pQueuePriorities = &priority};
    VkPhysicalDeviceVulkan12Features features12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                                .timelineSemaphore = VK_TRUE,
                                                .bufferDeviceAddress = VK_TRUE};
    VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &features12};
    features.features.shaderInt64 = VK_TRUE;
    features.features.sparseBinding = features.features.sparseResidencyBuffer = report.sparseBinding;
    std::vector<const char*> extensions;
    CooperativeMatrixFeatures matrices{.cooperativeMatrix = VK_TRUE};
    // shaderBFloat16DotProduct is not asked for: drivers lack it.
    Bfloat16Features bfloat16{.type = VK_TRUE, .cooperativeMatrix = VK_TRUE};
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes{
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT,
        .pNext = &matrices,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = VK_TRUE};
    if (report.bf16Matrices || report.fp16Matrices) {
        features12.pNext = &sizes;
        features12.vulkanMemoryModel = features12.shaderFloat16 = VK_TRUE;
        features.features.shaderInt16 = VK_TRUE;
        extensions.insert(extensions.end(), {"VK_KHR_cooperative_matrix", VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME});
    }
    if (report.bf16Matrices) {
        matrices.pNext = &bfloat16;
        extensions.push_back("VK_KHR_shader_bfloat16");
    }
    if (report.memoryBudget) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    const VkDeviceCreateInfo info{.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                  .pNext = &features,
                                  .queueCreateInfoCount = 1,
                                  .pQueueCreateInfos = &queue,
                                  .enabledExtensionCount = static_cast<std::uint32_t>(extensions.size()),
                                  .ppEnabledExtensionNames = extensions.data()};
    if (const VkResult result = vk.CreateDevice(report.handle, &info, nullptr, &device->m_device); result != VK_SUCCESS)
        return fail(ErrorCode::NoDevice, "device {} ({}) cannot be opened: {}", report.index, report.name,
                    resultName(result));
    bool complete = true;
#define X(function)                                                                                                    \
    vk.function = reinterpret_cast<PFN_vk##function>(vk.GetDeviceProcAddr(device->m_device, "vk" #function));          \
    complete = complete && vk.function;
    SPIKESCOPE_DEVICE_FUNCTIONS(X)
#undef X
    if (!complete) return fail(ErrorCode::NoDevice, "the driver of {} lacks functions of Vulkan 1.2", report.name);
    vk.GetDeviceQueue(device->m_device, report.queueFamily, 0, &device->m_queue);

    VkPhysicalDeviceProperties2 properties{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    vk.GetPhysicalDeviceProperties2(report.handle, &properties);
    device->m_limits = properties.properties.limits;
    std::copy_n(properties.properties.pipelineCacheUUID, VK_UUID_SIZE, device->m_cacheUuid.begin());
    VkPhysicalDeviceMemoryProperties2 memory{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    vk.GetPhysicalDeviceMemoryProperties2(report.handle, &memory);
    device->m_memory = memory.memoryProperties;
    std::uint32_t familyCount = 0;
    vk.GetPhysicalDeviceQueueFamilyProperties(report.handle, &familyCount, nullptr);
    std::vector<VkQueueFamilyProperties> queueFamilies(familyCount);
    vk.GetPhysicalDeviceQueueFamilyProperties(report.handle, &familyCount, queueFamilies.data());
    const std::uint32_t bits = queueFamilies[report.queueFamily].timestampValidBits;
    device->m_timestampMask = bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;

    const VkSemaphoreTypeCreateInfo timelineType{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                                 .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo timeline{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &timelineType};
    CHECK_VULKAN(vk.CreateSemaphore(device->m_device, &timeline, nullptr, &device->m_timeline), "making a semaphore");
    const VkCommandPoolCreateInfo pool{.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                       .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                       .queueFamilyIndex = report.queueFamily};
    CHECK_VULKAN(vk.CreateCommandPool(device->m_device, &pool, nullptr, &device->m_pool), "making a command pool");
    return device;
}

Device::~Device() {
    if (!m_device) return;
    if (vk.DeviceWaitIdle) vk.DeviceWaitIdle(m_device);
    if (m_pool) vk.DestroyCommandPool(m_device, m_pool, nullptr);
    if (m_timeline) vk.DestroySemaphore(m_device, m_timeline, nullptr);
    if (vk.DestroyDevice) vk.DestroyDevice(m_device, nullptr);
}

void Device::setObjectName(VkObjectType type, std::uint64_t object, const std::string& name) const {
    if (!vk.SetDebugUtilsObjectName) return;
    const VkDebugUtilsObjectNameInfoEXT info{.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
                                             .objectType = type,
                                             .objectHandle = object,
                                             .pObjectName = name.c_str()};
    (void)vk.SetDebugUtilsObjectName(m_device, &info); // a debugger then shows a number
}

Result<std::uint32_t> Device::memoryType(std::uint32_t allowedBits, VkMemoryPropertyFlags wanted,
                                         VkMemoryPropertyFlags preferred) const {
    if (const auto type = chooseMemoryType(m_memory, allowedBits, wanted, preferred)) return *type;
    return fail(ErrorCode::Unsupported, "{} has no memory of the kind needed (flags {:#x})", m_report.name, wanted);
}

Device::HeapUse Device::deviceLocalHeap() const {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                             .pNext = m_report.memoryBudget ? &budget : nullptr};
    vk.GetPhysicalDeviceMemoryProperties2(m_report.handle, &memory);
    HeapUse largest;
    for (std::uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; ++i) {
        const VkMemoryHeap& heap = memory.memoryProperties.memoryHeaps[i];
        if (!(heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) continue;
        const HeapUse use =
            m_report.memoryBudget ? HeapUse{budget.heapUsage[i], budget.heapBudget[i]} : HeapUse{0, heap.size};
        if (use.budget > largest.budget) largest = use;
    }
    return largest;
}

std::uint64_t Device::bytesFree() const {
    if (m_report.cpu) return availableMachineMemory();
    const HeapUse heap = deviceLocalHeap();
    return heap.budget - std::min(heap.budget, heap.used);
}

std::optional<std::uint64_t> Device::bytesUsed() const {
    if (!m_report.memoryBudget) return std::nullopt;
    return deviceLocalHeap().used;
}

Result<std::uint64_t> Device::submit(std::span<Commands* const> commands) {
    m_handles.clear();
    for (const Commands* each : commands) m_handles.push_back(each->handle());
    const std::uint64_t value = m_submitted + 1;
    const VkTimelineSemaphoreSubmitInfo timeline{.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                                 .signalSemaphoreValueCount = 1,
                                                 .pSignalSemaphoreValues = &value};
    const VkSubmitInfo info{.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                            .pNext = &timeline,
                            .commandBufferCount = static_cast<std::uint32_t>(m_handles.size()),
                            .pCommandBuffers = m_handles.data(),
                            .signalSemaphoreCount = 1,
                            .pSignalSemaphores = &m_timeline};
    CHECK_VULKAN(vk.QueueSubmit(m_queue, 1, &info, VK_NULL_HANDLE), "submitting work");
    for (Commands* each : commands) each->m_submission = value;
    m_submitted = value;
    return value;
}

Result<std::uint64_t> Device::submit(Commands& commands) {
    Commands* const one = &commands;
    return submit(std::span(&one, 1));
}

Result<bool> Device::finished(std::uint64_t submission) {
    if (submission > m_finished)
        CHECK_VULKAN(vk.GetSemaphoreCounterValue(m_device, m_timeline, &m_finished),
                     "asking for the device's progress");
    return submission <= m_finished;
}

Result<void> Device::wait(std::uint64_t submission) {
    if (submission <= m_finished) return {};
    const VkSemaphoreWaitInfo info{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                   .semaphoreCount = 1,
                                   .pSemaphores = &m_timeline,
                                   .pValues = &submission};
    CHECK_VULKAN(vk.WaitSemaphores(m_device, &info, std::numeric_limits<std::uint64_t>::max()),
                 "waiting for the device");
    m_finished = submission;
    return {};
}

Result<void> Device::bindSparse(VkBuffer buffer, std::span<const VkSparseMemoryBind> binds) {
    const std::uint64_t value = m_submitted + 1;
    const VkTimelineSemaphoreSubmitInfo timeline{.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                                 .signalSemaphoreValueCount = 1,
                                                 .pSignalSemaphoreValues = &value};
    // Work in flight does not use these pages, but the timeline semaphore must rise in order.
    CHECK(waitAll());
    const VkSparseBufferMemoryBindInfo part{
        .buffer = buffer, .bindCount = static_cast<std::uint32_t>(binds.size()), .pBinds = binds.data()};
    const VkBindSparseInfo info{.sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
                                .pNext = &timeline,
                                .bufferBindCount = 1,
                                .pBufferBinds = &part,
                                .signalSemaphoreCount = 1,
                                .pSignalSemaphores = &m_timeline};
    CHECK_VULKAN(vk.QueueBindSparse(m_queue, 1, &info, VK_NULL_HANDLE), "binding pages");
    m_submitted = value;
    return wait(value);
}

} // namespace spikescope
