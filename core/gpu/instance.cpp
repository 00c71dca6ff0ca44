#include "core/gpu/instance.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace spikescope {

namespace {

VKAPI_ATTR VkBool32 VKAPI_CALL onMessage(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                         const VkDebugUtilsMessengerCallbackDataEXT* data, void* counter) {
    static_cast<std::atomic<int>*>(counter)->fetch_add(1);
    std::fprintf(stderr, "validation: %s\n", data->pMessage);
    return VK_FALSE;
}

bool offers(const VulkanFunctions& vk, std::string_view extension) {
    std::uint32_t count = 0;
    if (vk.EnumerateInstanceExtensionProperties(nullptr, &count, nullptr) != VK_SUCCESS) return false;
    std::vector<VkExtensionProperties> all(count);
    if (vk.EnumerateInstanceExtensionProperties(nullptr, &count, all.data()) != VK_SUCCESS) return false;
    return std::ranges::any_of(all, [&](const auto& properties) { return extension == properties.extensionName; });
}

std::uint64_t machineBytes() {
    return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

} // namespace

Result<std::shared_ptr<Instance>> Instance::create(const InstanceOptions& options) {
    auto instance = std::shared_ptr<Instance>(new Instance);
    instance->m_library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!instance->m_library) return fail(ErrorCode::NoDevice, "the Vulkan loader is not installed: {}", dlerror());
    VulkanFunctions& vk = instance->vk;
    vk.GetInstanceProcAddr =
        reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(instance->m_library, "vkGetInstanceProcAddr"));
    if (!vk.GetInstanceProcAddr) return fail(ErrorCode::NoDevice, "libvulkan.so.1 has no vkGetInstanceProcAddr");
    const auto global = [&](const char* name) { return vk.GetInstanceProcAddr(nullptr, name); };
    vk.CreateInstance = reinterpret_cast<PFN_vkCreateInstance>(global("vkCreateInstance"));
    vk.EnumerateInstanceVersion =
        reinterpret_cast<PFN_vkEnumerateInstanceVersion>(global("vkEnumerateInstanceVersion"));
    vk.EnumerateInstanceLayerProperties =
        reinterpret_cast<PFN_vkEnumerateInstanceLayerProperties>(global("vkEnumerateInstanceLayerProperties"));
    vk.EnumerateInstanceExtensionProperties =
        reinterpret_cast<PFN_vkEnumerateInstanceExtensionProperties>(global("vkEnumerateInstanceExtensionProperties"));
    if (!vk.CreateInstance || !vk.EnumerateInstanceVersion || !vk.EnumerateInstanceExtensionProperties)
        return fail(ErrorCode::NoDevice, "the Vulkan loader is older than 1.2");
    std::uint32_t version = 0;
    CHECK_VULKAN(vk.EnumerateInstanceVersion(&version), "asking for the Vulkan version");
    if (version < VK_API_VERSION_1_2)
        return fail(ErrorCode::NoDevice, "the Vulkan loader is {}.{}, 1.2 or newer is needed",
                    VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));

    const VkApplicationInfo application{.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                        .pApplicationName = "spikescope",
                                        .apiVersion = VK_API_VERSION_1_2};
    const char* layer = "VK_LAYER_KHRONOS_validation";
    const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    const VkValidationFeatureEnableEXT enabled[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    const VkValidationFeaturesEXT features{.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                           .enabledValidationFeatureCount = 1,
                                           .pEnabledValidationFeatures = enabled};
    VkInstanceCreateInfo info{.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    if (options.validate) {
        info.pNext = &features;
        info.enabledLayerCount = 1;
        info.ppEnabledLayerNames = &layer;
    }
    const bool names = options.validate || offers(vk, extension);
    if (names) {
        info.enabledExtensionCount = 1;
        info.ppEnabledExtensionNames = &extension;
    }
    if (const VkResult result = vk.CreateInstance(&info, nullptr, &instance->m_instance); result != VK_SUCCESS)
        return fail(ErrorCode::NoDevice, "{}: {}",
                    options.validate ? "no Vulkan instance with the validation layer" : "no Vulkan driver is installed",
                    resultName(result));
    bool complete = true;
#define X(function)                                                                                                    \
    vk.function = reinterpret_cast<PFN_vk##function>(vk.GetInstanceProcAddr(instance->m_instance, "vk" #function));    \
    complete = complete && vk.function;
    SPIKESCOPE_INSTANCE_FUNCTIONS(X)
#undef X
    if (!complete) return fail(ErrorCode::NoDevice, "the Vulkan loader lacks functions of Vulkan 1.2");
    const auto load = [&]<class Function>(Function& function, const char* name) {
        function = reinterpret_cast<Function>(vk.GetInstanceProcAddr(instance->m_instance, name));
    };
    if (names) {
        load(vk.SetDebugUtilsObjectName, "vkSetDebugUtilsObjectNameEXT");
        load(vk.CmdBeginDebugUtilsLabel, "vkCmdBeginDebugUtilsLabelEXT");
        load(vk.CmdEndDebugUtilsLabel, "vkCmdEndDebugUtilsLabelEXT");
    }
    if (options.validate) {
        load(vk.CreateDebugUtilsMessenger, "vkCreateDebugUtilsMessengerEXT");
        load(vk.DestroyDebugUtilsMessenger, "vkDestroyDebugUtilsMessengerEXT");
        const VkDebugUtilsMessengerCreateInfoEXT messenger{
            .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
            .messageSeverity =
                VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
            .messageType =
                VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
            .pfnUserCallback = onMessage,
            .pUserData = &instance->m_messages};
        CHECK_VULKAN(vk.CreateDebugUtilsMessenger(instance->m_instance, &messenger, nullptr, &instance->m_messenger),
                     "listening to the validation layer");
    }
    return instance;
}

Instance::~Instance() {
    if (m_messenger) vk.DestroyDebugUtilsMessenger(m_instance, m_messenger, nullptr);
    if (m_instance && vk.DestroyInstance) vk.DestroyInstance(m_instance, nullptr);
    // The library stays open, for drivers keep threads and thread-local data.
}

Result<std::vector<DeviceReport>> Instance::devices() const {
    std::uint32_t count = 0;
    if (const VkResult result = vk.EnumeratePhysicalDevices(m_instance, &count, nullptr); result != VK_SUCCESS)
        return fail(ErrorCode::NoDevice, "listing Vulkan devices: {}", resultName(result));
    std::vector<VkPhysicalDevice> handles(count);
    if (const VkResult result = vk.EnumeratePhysicalDevices(m_instance, &count, handles.data()); result != VK_SUCCESS)
        return fail(ErrorCode::NoDevice, "listing Vulkan devices: {}", resultName(result));
    std::vector<DeviceReport> reports;
    for (std::uint32_t i = 0; i < count; ++i) {
        reports.push_back(describeDevice(i, ask(handles[i]), machineBytes()));
        reports.back().handle = handles[i];
    }
    return reports;
}

Result<DeviceReport> Instance::choose(std::string_view selector) const {
    TRY(const std::vector<DeviceReport> all, devices());
    return chooseDevice(all, selector);
}

DeviceCapabilities Instance::ask(VkPhysicalDevice handle) const {
    VkPhysicalDeviceDriverProperties driver{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
                                                .pNext = &driver};
    VkPhysicalDeviceMaintenance3Properties limits{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
                                                  .pNext = &subgroup};
    VkPhysicalDeviceProperties2 properties{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &limits};
    vk.GetPhysicalDeviceProperties2(handle, &properties);
    const VkPhysicalDeviceProperties& p = properties.properties;
    DeviceCapabilities facts{.name = p.deviceName,
                             .driverName = driver.driverName,
                             .driverInfo = driver.driverInfo,
                             .driverVersion = p.driverVersion,
                             .apiVersion = p.apiVersion,
                             .type = p.deviceType,
                             .driver = driver.driverID,
                             .maxMemoryAllocationSize = limits.maxMemoryAllocationSize,
                             .subgroupSize = subgroup.subgroupSize,
                             .subgroupStages = subgroup.supportedStages,
                             .subgroupOperations = subgroup.supportedOperations};

    VkPhysicalDeviceMemoryProperties2 memory{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    vk.GetPhysicalDeviceMemoryProperties2(handle, &memory);
    facts.heaps.assign(memory.memoryProperties.memoryHeaps,
                       memory.memoryProperties.memoryHeaps + memory.memoryProperties.memoryHeapCount);

    std::uint32_t count = 0;
    vk.EnumerateDeviceExtensionProperties(handle, nullptr, &count, nullptr);
    std::vector<VkExtensionProperties> extensions(count);
    vk.EnumerateDeviceExtensionProperties(handle, nullptr, &count, extensions.data());
    for (const VkExtensionProperties& extension : extensions) facts.extensions.emplace_back(extension.extensionName);

    vk.GetPhysicalDeviceQueueFamilyProperties(handle, &count, nullptr);
    facts.queueFamilies.resize(count);
    vk.GetPhysicalDeviceQueueFamilyProperties(handle, &count, facts.queueFamilies.data());

    if (p.apiVersion < VK_API_VERSION_1_2) return facts; // such a device does not know what is asked next
    VkPhysicalDeviceVulkan12Features features12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &features12};
    vk.GetPhysicalDeviceFeatures2(handle, &features);
    facts.bufferDeviceAddress = features12.bufferDeviceAddress;
    facts.timelineSemaphore = features12.timelineSemaphore;
    facts.vulkanMemoryModel = features12.vulkanMemoryModel;
    facts.shaderFloat16 = features12.shaderFloat16;
    facts.shaderInt64 = features.features.shaderInt64;
    facts.shaderInt16 = features.features.shaderInt16;
    facts.sparseBinding = features.features.sparseBinding;
    facts.sparseResidencyBuffer = features.features.sparseResidencyBuffer;
    if (facts.has("VK_KHR_cooperative_matrix") && facts.has("VK_EXT_subgroup_size_control"))
        askForMatrices(handle, facts);
    return facts;
}

void Instance::askForMatrices(VkPhysicalDevice handle, DeviceCapabilities& facts) const {
    CooperativeMatrixFeatures matrices;
    Bfloat16Features bfloat16{.pNext = &matrices};
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes{
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT, .pNext = &bfloat16};
    VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &sizes};
    vk.GetPhysicalDeviceFeatures2(handle, &features);
    facts.subgroupSizeControl = sizes.subgroupSizeControl;
    facts.computeFullSubgroups = sizes.computeFullSubgroups;
    facts.cooperativeMatrix = matrices.cooperativeMatrix;
    facts.bfloat16Type = bfloat16.type;
    facts.bfloat16CooperativeMatrix = bfloat16.cooperativeMatrix;
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT range{
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 properties{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &range};
    vk.GetPhysicalDeviceProperties2(handle, &properties);
    facts.minSubgroupSize = range.minSubgroupSize;
    facts.maxSubgroupSize = range.maxSubgroupSize;
    facts.requiredSubgroupSizeStages = range.requiredSubgroupSizeStages;
    const auto list = reinterpret_cast<GetCooperativeMatrixProperties>(
        vk.GetInstanceProcAddr(m_instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
    std::uint32_t count = 0;
    if (!list || list(handle, &count, nullptr) != VK_SUCCESS) return;
    std::vector<CooperativeMatrixProperties> kinds(count);
    if (list(handle, &count, kinds.data()) == VK_SUCCESS) facts.matrices = std::move(kinds);
}

} // namespace spikescope
