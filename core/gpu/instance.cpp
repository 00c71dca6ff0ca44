#include "core/gpu/instance.h"

#include "core/base/text.h"
#include "core/gpu/cooperative_matrix.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace spikescope {

namespace {

VKAPI_ATTR VkBool32 VKAPI_CALL onMessage(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                         const VkDebugUtilsMessengerCallbackDataEXT* data, void* counter) {
    static_cast<std::atomic<int>*>(counter)->fetch_add(1);
    std::fprintf(stderr, "validation: %s\n", data->pMessage);
    return VK_FALSE;
}

std::string_view typeName(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return "discrete GPU";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return "CPU";
    default: return "other";
    }
}

bool offers(const VulkanFunctions& vk, std::string_view extension) {
    std::uint32_t count = 0;
    if (vk.EnumerateInstanceExtensionProperties(nullptr, &count, nullptr) != VK_SUCCESS) return false;
    std::vector<VkExtensionProperties> all(count);
    if (vk.EnumerateInstanceExtensionProperties(nullptr, &count, all.data()) != VK_SUCCESS) return false;
    return std::ranges::any_of(all, [&](const auto& properties) { return extension == properties.extensionName; });
}

std::string lowered(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
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
    // Drivers keep threads and thread-local data, so the library stays open.
}

Result<std::vector<DeviceReport>> Instance::devices() const {
    std::uint32_t count = 0;
    if (const VkResult result = vk.EnumeratePhysicalDevices(m_instance, &count, nullptr); result != VK_SUCCESS)
        return fail(ErrorCode::NoDevice, "listing Vulkan devices: {}", resultName(result));
    std::vector<VkPhysicalDevice> handles(count);
    if (const VkResult result = vk.EnumeratePhysicalDevices(m_instance, &count, handles.data()); result != VK_SUCCESS)
        return fail(ErrorCode::NoDevice, "listing Vulkan devices: {}", resultName(result));
    std::vector<DeviceReport> reports;
    for (std::uint32_t i = 0; i < count; ++i) reports.push_back(describe(i, handles[i]));
    return reports;
}

DeviceReport Instance::describe(std::uint32_t index, VkPhysicalDevice handle) const {
    VkPhysicalDeviceDriverProperties driver{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
                                                .pNext = &driver};
    VkPhysicalDeviceMaintenance3Properties limits{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
                                                  .pNext = &subgroup};
    VkPhysicalDeviceProperties2 properties{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &limits};
    vk.GetPhysicalDeviceProperties2(handle, &properties);
    const VkPhysicalDeviceProperties& p = properties.properties;

    DeviceReport report{
        .index = index, .name = p.deviceName, .type = std::string(typeName(p.deviceType)), .handle = handle};
    report.driver = *driver.driverName ? fmt::format("{} {}", driver.driverName, driver.driverInfo)
                                       : std::to_string(p.driverVersion);
    report.vulkan = fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(p.apiVersion), VK_API_VERSION_MINOR(p.apiVersion),
                                VK_API_VERSION_PATCH(p.apiVersion));
    report.cpu = p.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    report.subgroupSize = subgroup.subgroupSize;
    report.largestAllocation = limits.maxMemoryAllocationSize;
    report.cpuKernels = driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE && subgroup.subgroupSize == 8 &&
                        (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) &&
                        (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT);

    VkPhysicalDeviceMemoryProperties2 memory{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    vk.GetPhysicalDeviceMemoryProperties2(handle, &memory);
    for (std::uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; ++i)
        if (memory.memoryProperties.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            report.heapBytes = std::max<std::uint64_t>(report.heapBytes, memory.memoryProperties.memoryHeaps[i].size);
    // Mesa's CPU device reports 2 GiB and enforces nothing; its memory is the machine's.
    if (report.cpu)
        report.heapBytes =
            static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));

    std::uint32_t extensionCount = 0;
    vk.EnumerateDeviceExtensionProperties(handle, nullptr, &extensionCount, nullptr);
    std::vector<VkExtensionProperties> extensions(extensionCount);
    vk.EnumerateDeviceExtensionProperties(handle, nullptr, &extensionCount, extensions.data());
    const auto has = [&](const char* wanted) {
        return std::ranges::any_of(
            extensions, [&](const VkExtensionProperties& e) { return std::strcmp(e.extensionName, wanted) == 0; });
    };
    report.memoryBudget = has("VK_EXT_memory_budget");
    report.cooperativeMatrix = has("VK_KHR_cooperative_matrix");

    if (report.cooperativeMatrix && has("VK_EXT_subgroup_size_control")) findMatrices(handle, report);
    report.bf16Matrices = report.bf16Matrices && has("VK_KHR_shader_bfloat16");

    std::vector<std::string> missing;
    if (p.apiVersion < VK_API_VERSION_1_2) {
        report.refusal = fmt::format("Vulkan {}, 1.2 is needed", report.vulkan);
        return report;
    }
    VkPhysicalDeviceVulkan12Features features12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &features12};
    vk.GetPhysicalDeviceFeatures2(handle, &features);
    if (!features12.bufferDeviceAddress) missing.emplace_back("bufferDeviceAddress");
    if (!features12.timelineSemaphore) missing.emplace_back("timelineSemaphore");
    if (!features.features.shaderInt64) missing.emplace_back("shaderInt64");

    std::uint32_t familyCount = 0;
    vk.GetPhysicalDeviceQueueFamilyProperties(handle, &familyCount, nullptr);
    std::vector<VkQueueFamilyProperties> queueFamilies(familyCount);
    vk.GetPhysicalDeviceQueueFamilyProperties(handle, &familyCount, queueFamilies.data());
    const auto family = std::ranges::find_if(queueFamilies, [](const VkQueueFamilyProperties& f) {
        return (f.queueFlags & VK_QUEUE_COMPUTE_BIT) && f.timestampValidBits > 0;
    });
    if (family == queueFamilies.end())
        missing.emplace_back("a compute queue with timestamps");
    else {
        report.queueFamily = static_cast<std::uint32_t>(family - queueFamilies.begin());
        report.sparseBinding = features.features.sparseBinding && features.features.sparseResidencyBuffer &&
                               (family->queueFlags & VK_QUEUE_SPARSE_BINDING_BIT);
    }
    if (!missing.empty()) report.refusal = "lacks " + joined(missing, ", ");
    return report;
}

// Whether all is there that conv3x3_coopmat.comp needs, by type.
void Instance::findMatrices(VkPhysicalDevice handle, DeviceReport& report) const {
    CooperativeMatrixFeatures matrices;
    Bfloat16Features bfloat16{.pNext = &matrices};
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes{
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT, .pNext = &bfloat16};
    VkPhysicalDeviceVulkan12Features features12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                                .pNext = &sizes};
    VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &features12};
    vk.GetPhysicalDeviceFeatures2(handle, &features);
    if (!matrices.cooperativeMatrix || !sizes.subgroupSizeControl || !sizes.computeFullSubgroups ||
        !features12.vulkanMemoryModel || !features12.shaderFloat16 || !features.features.shaderInt16)
        return;
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT range{
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 properties{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &range};
    vk.GetPhysicalDeviceProperties2(handle, &properties);
    if (range.minSubgroupSize > 32 || range.maxSubgroupSize < 32 ||
        !(range.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT))
        return;
    const auto list = reinterpret_cast<GetCooperativeMatrixProperties>(
        vk.GetInstanceProcAddr(m_instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
    std::uint32_t count = 0;
    if (!list || list(handle, &count, nullptr) != VK_SUCCESS) return;
    std::vector<CooperativeMatrixProperties> kinds(count);
    if (list(handle, &count, kinds.data()) != VK_SUCCESS) return;
    const auto multiplies = [&](std::uint32_t component) {
        return std::ranges::any_of(kinds, [&](const CooperativeMatrixProperties& kind) {
            return kind.m == 16 && kind.n == 16 && kind.k == 16 && kind.aType == component && kind.bType == component &&
                   kind.cType == componentFloat32 && kind.resultType == componentFloat32 && kind.scope == scopeSubgroup;
        });
    };
    report.fp16Matrices = multiplies(componentFloat16);
    report.bf16Matrices = bfloat16.type && bfloat16.cooperativeMatrix && multiplies(componentBfloat16);
}

Result<DeviceReport> Instance::choose(std::string_view selector) const {
    TRY(const std::vector<DeviceReport> all, devices());
    if (all.empty()) return fail(ErrorCode::NoDevice, "Vulkan finds no device");
    const auto usable = [](const DeviceReport& d) { return d.refusal.empty(); };
    if (selector.empty()) {
        auto found = std::ranges::find_if(all, [&](const DeviceReport& d) { return usable(d) && !d.cpu; });
        if (found == all.end()) found = std::ranges::find_if(all, usable);
        if (found != all.end()) return *found;
        return fail(ErrorCode::NoDevice, "no usable device: {} {}", all.front().name, all.front().refusal);
    }
    const bool isIndex = std::ranges::all_of(selector, [](unsigned char c) { return std::isdigit(c); });
    const std::string wanted = lowered(selector);
    std::vector<std::string> names;
    for (const DeviceReport& report : all) {
        const bool matches = isIndex           ? std::to_string(report.index) == wanted
                             : wanted == "cpu" ? report.cpu
                                               : lowered(report.name).find(wanted) != std::string::npos;
        names.push_back(fmt::format("{} {}", report.index, report.name));
        if (!matches) continue;
        if (!usable(report))
            return fail(ErrorCode::NoDevice, "device {} ({}) cannot be used: it {}", report.index, report.name,
                        report.refusal);
        return report;
    }
    return fail(ErrorCode::NoDevice, "no device matches {}; there are: {}", quote(selector), joined(names, ", "));
}

} // namespace spikescope
