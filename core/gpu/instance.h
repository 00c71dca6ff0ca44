#pragma once
// The Vulkan loader, an instance, and what its devices can do.

#include "core/gpu/functions.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace spikescope {

struct InstanceOptions {
    bool validate = false; // Khronos' validation layer with synchronisation checks; fails where it is not installed
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

class Instance {
public:
    // NoDevice when there is no loader or it has no driver.
    static Result<std::shared_ptr<Instance>> create(const InstanceOptions& options = {});
    ~Instance();
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;

    VulkanFunctions vk;
    Result<std::vector<DeviceReport>> devices() const;
    // selector: an index, part of a name, or "cpu"; empty: the first usable GPU, else the CPU device.
    Result<DeviceReport> choose(std::string_view selector) const;

    int validationMessages() const { return m_messages.load(); } // warnings and errors of the validation layer so far

private:
    Instance() = default;
    DeviceReport describe(std::uint32_t index, VkPhysicalDevice handle) const;
    void findMatrices(VkPhysicalDevice handle, DeviceReport& report) const;

    void* m_library = nullptr;
    VkInstance m_instance = VK_NULL_HANDLE;
    VkDebugUtilsMessengerEXT m_messenger = VK_NULL_HANDLE;
    std::atomic<int> m_messages{0};
};

} // namespace spikescope
