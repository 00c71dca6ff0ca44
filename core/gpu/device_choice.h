#pragma once
// Decides from a Vulkan device's own answers what it can be used for. Instance asks the devices; nothing here
// calls Vulkan, so that tests can write down devices that nobody has at hand.

#include "core/gpu/cooperative_matrix.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

// The answers of one physical device, as Vulkan names them.
struct DeviceCapabilities {
    std::string name, driverName, driverInfo;
    std::uint32_t driverVersion = 0, apiVersion = VK_API_VERSION_1_2;
    VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
    VkDriverId driver = static_cast<VkDriverId>(0);
    std::uint64_t maxMemoryAllocationSize = 0; // bytes

    std::uint32_t subgroupSize = 0, minSubgroupSize = 0, maxSubgroupSize = 0;
    VkShaderStageFlags subgroupStages = 0, requiredSubgroupSizeStages = 0;
    VkSubgroupFeatureFlags subgroupOperations = 0;

    std::vector<VkMemoryHeap> heaps;
    std::vector<VkQueueFamilyProperties> queueFamilies;
    std::vector<std::string> extensions;
    std::vector<CooperativeMatrixProperties> matrices;

    bool bufferDeviceAddress = false, timelineSemaphore = false, vulkanMemoryModel = false, shaderFloat16 = false;
    bool shaderInt64 = false, shaderInt16 = false, sparseBinding = false, sparseResidencyBuffer = false;
    bool subgroupSizeControl = false, computeFullSubgroups = false, cooperativeMatrix = false;
    bool bfloat16Type = false, bfloat16CooperativeMatrix = false;

    bool has(std::string_view extension) const;
};

// One physical device, as `devices` lists it.
struct DeviceReport {
    std::uint32_t index = 0;
    std::string name, driver, type, vulkan; // type: discrete GPU, integrated GPU, CPU …
    std::uint64_t heapBytes = 0;            // largest device-local heap; of a CPU device the machine's memory
    std::uint64_t largestAllocation = 0;    // as the driver says
    std::uint32_t subgroupSize = 0;
    bool cpu = false;
    bool cpuKernels = false; // Mesa's CPU device as our CPU kernels need it
    bool memoryBudget = false, cooperativeMatrix = false;
    bool bf16Matrices = false, fp16Matrices = false; // products of 16×16 matrices, summed in fp32, by subgroups of 32
    bool sparseBinding = false;                      // of buffers that are bound in part, on the queue in use
    std::string refusal;                             // why it cannot be used; empty: it can

    VkPhysicalDevice handle = VK_NULL_HANDLE;
    std::uint32_t queueFamily = 0;
};

// machineBytes: memory of the machine.
DeviceReport describeDevice(std::uint32_t index, const DeviceCapabilities& facts, std::uint64_t machineBytes);
// selector: an index, part of a name, or "cpu"; empty: the first usable GPU, else the CPU device.
Result<DeviceReport> chooseDevice(std::span<const DeviceReport> devices, std::string_view selector);
// The first memory type of `allowedBits` with all of `wanted`, if possible one with `preferred` too.
std::optional<std::uint32_t> chooseMemoryType(const VkPhysicalDeviceMemoryProperties& memory, std::uint32_t allowedBits,
                                              VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags preferred);

} // namespace spikescope
