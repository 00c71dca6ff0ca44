#pragma once
// The Vulkan loader, an instance, and what its devices can do.

#include "core/gpu/device_choice.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace spikescope {

struct InstanceOptions {
    bool validate = false; // Khronos' validation layer with synchronisation checks; fails where it is not installed
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
    // See chooseDevice().
    Result<DeviceReport> choose(std::string_view selector) const;

    int validationMessages() const { return m_messages.load(); } // warnings and errors of the validation layer so far

private:
    Instance() = default;
    DeviceCapabilities ask(VkPhysicalDevice handle) const;
    void askForMatrices(VkPhysicalDevice handle, DeviceCapabilities& facts) const;

    void* m_library = nullptr;
    VkInstance m_instance = VK_NULL_HANDLE;
    VkDebugUtilsMessengerEXT m_messenger = VK_NULL_HANDLE;
    std::atomic<int> m_messages{0};
};

} // namespace spikescope
