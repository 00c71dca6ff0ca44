#include "core/gpu/device_choice.h"

#include "core/base/text.h"

#include <algorithm>

namespace spikescope {

namespace {

std::string_view typeName(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return "discrete GPU";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return "CPU";
    default: return "other";
    }
}

std::string lowered(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

// Whether the kernels on cooperative matrices run, but for the types that they multiply.
bool runsMatrixKernels(const DeviceCapabilities& facts) {
    return facts.cooperativeMatrix && facts.has("VK_KHR_cooperative_matrix") &&
           facts.has("VK_EXT_subgroup_size_control") && facts.subgroupSizeControl && facts.computeFullSubgroups &&
           facts.vulkanMemoryModel && facts.shaderFloat16 && facts.shaderInt16 && facts.minSubgroupSize <= 32 &&
           facts.maxSubgroupSize >= 32 && (facts.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
}

bool multiplies(const DeviceCapabilities& facts, std::uint32_t component) {
    return std::ranges::any_of(facts.matrices, [&](const CooperativeMatrixProperties& kind) {
        return kind.m == 16 && kind.n == 16 && kind.k == 16 && kind.aType == component && kind.bType == component &&
               kind.cType == componentFloat32 && kind.resultType == componentFloat32 && kind.scope == scopeSubgroup;
    });
}

} // namespace

bool DeviceCapabilities::has(std::string_view extension) const {
    return std::ranges::find(extensions, extension) != extensions.end();
}

DeviceReport describeDevice(std::uint32_t index, const DeviceCapabilities& facts, std::uint64_t machineBytes) {
    DeviceReport report{.index = index, .name = facts.name, .type = std::string(typeName(facts.type))};
    report.driver = facts.driverName.empty() ? std::to_string(facts.driverVersion)
                                             : fmt::format("{} {}", facts.driverName, facts.driverInfo);
    report.vulkan = fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(facts.apiVersion),
                                VK_API_VERSION_MINOR(facts.apiVersion), VK_API_VERSION_PATCH(facts.apiVersion));
    report.cpu = facts.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    report.subgroupSize = facts.subgroupSize;
    report.largestAllocation = facts.maxMemoryAllocationSize;
    report.cpuKernels = facts.driver == VK_DRIVER_ID_MESA_LLVMPIPE && facts.subgroupSize == 8 &&
                        (facts.subgroupOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) &&
                        (facts.subgroupStages & VK_SHADER_STAGE_COMPUTE_BIT);
    for (const VkMemoryHeap& heap : facts.heaps)
        if (heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            report.heapBytes = std::max<std::uint64_t>(report.heapBytes, heap.size);
    // Mesa's CPU device reports 2 GiB and enforces nothing; its memory is the machine's.
    if (report.cpu) report.heapBytes = machineBytes;
    report.memoryBudget = facts.has("VK_EXT_memory_budget");
    report.cooperativeMatrix = facts.has("VK_KHR_cooperative_matrix");

    if (facts.apiVersion < VK_API_VERSION_1_2) {
        report.refusal = fmt::format("has Vulkan {}, 1.2 is needed", report.vulkan);
        return report;
    }
    if (runsMatrixKernels(facts)) {
        report.fp16Matrices = multiplies(facts, componentFloat16);
        report.bf16Matrices = facts.has("VK_KHR_shader_bfloat16") && facts.bfloat16Type &&
                              facts.bfloat16CooperativeMatrix && multiplies(facts, componentBfloat16);
    }
    std::vector<std::string> missing;
    if (!facts.bufferDeviceAddress) missing.emplace_back("bufferDeviceAddress");
    if (!facts.timelineSemaphore) missing.emplace_back("timelineSemaphore");
    if (!facts.shaderInt64) missing.emplace_back("shaderInt64");
    const auto family = std::ranges::find_if(facts.queueFamilies, [](const VkQueueFamilyProperties& f) {
        return (f.queueFlags & VK_QUEUE_COMPUTE_BIT) && f.timestampValidBits > 0;
    });
    if (family == facts.queueFamilies.end())
        missing.emplace_back("a compute queue with timestamps");
    else {
        report.queueFamily = static_cast<std::uint32_t>(family - facts.queueFamilies.begin());
        report.sparseBinding =
            facts.sparseBinding && facts.sparseResidencyBuffer && (family->queueFlags & VK_QUEUE_SPARSE_BINDING_BIT);
    }
    if (!missing.empty()) report.refusal = "lacks " + joined(missing, ", ");
    return report;
}

Result<DeviceReport> chooseDevice(std::span<const DeviceReport> devices, std::string_view selector) {
    if (devices.empty()) return fail(ErrorCode::NoDevice, "Vulkan finds no device");
    const auto usable = [](const DeviceReport& d) { return d.refusal.empty(); };
    if (selector.empty()) {
        auto found = std::ranges::find_if(devices, [&](const DeviceReport& d) { return usable(d) && !d.cpu; });
        if (found == devices.end()) found = std::ranges::find_if(devices, usable);
        if (found != devices.end()) return *found;
        return fail(ErrorCode::NoDevice, "no usable device: {} {}", devices.front().name, devices.front().refusal);
    }
    const bool isIndex = std::ranges::all_of(selector, [](unsigned char c) { return std::isdigit(c); });
    const std::string wanted = lowered(selector);
    std::vector<std::string> names;
    for (const DeviceReport& report : devices) {
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

std::optional<std::uint32_t> chooseMemoryType(const VkPhysicalDeviceMemoryProperties& memory, std::uint32_t allowedBits,
                                              VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags preferred) {
    for (const VkMemoryPropertyFlags flags : {wanted | preferred, wanted})
        for (std::uint32_t i = 0; i < memory.memoryTypeCount; ++i)
            if ((allowedBits >> i & 1u) && (memory.memoryTypes[i].propertyFlags & flags) == flags) return i;
    return std::nullopt;
}

} // namespace spikescope
