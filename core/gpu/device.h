#pragma once
// A logical device with one queue, to which work is submitted as commands. Not thread-safe: one thread drives a device;
// another one may make pipelines on it at the same time.

#include "core/gpu/instance.h"

#include <array>
#include <optional>
#include <span>
#include <vector>

namespace spikescope {

class Commands;

class Device {
public:
    static Result<std::unique_ptr<Device>> open(std::shared_ptr<Instance> instance, const DeviceReport& report);
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    VulkanFunctions vk; // of this device
    VkDevice handle() const { return m_device; }
    const DeviceReport& report() const { return m_report; }
    const Instance& instance() const { return *m_instance; }
    const VkPhysicalDeviceLimits& limits() const { return m_limits; }
    const std::uint8_t* cacheUuid() const { return m_cacheUuid.data(); } // VK_UUID_SIZE bytes; changes with the driver
    std::uint64_t timestampMask() const { return m_timestampMask; }

    // For RenderDoc, Nsight and the validation layer; nothing where the instance has no names.
    template <class Handle> void setName(VkObjectType type, Handle object, const std::string& name) const {
        setObjectName(type, reinterpret_cast<std::uint64_t>(object), name);
    }
    // See chooseMemoryType().
    Result<std::uint32_t> memoryType(std::uint32_t allowedBits, VkMemoryPropertyFlags wanted,
                                     VkMemoryPropertyFlags preferred) const;
    // Free bytes of the largest device-local heap, by the driver's budget; of a CPU device free memory of the machine.
    std::uint64_t bytesFree() const;
    // Bytes of that heap that this process uses, as the driver counts them; nothing where it does not.
    std::optional<std::uint64_t> bytesUsed() const;

    // Work is submitted in order; submissions are numbered from 1.
    Result<std::uint64_t> submit(std::span<Commands* const> commands); // recording has ended, none is in flight
    Result<std::uint64_t> submit(Commands& commands);
    Result<bool> finished(std::uint64_t submission); // does not wait
    Result<void> wait(std::uint64_t submission);
    // Binds memory to parts of a sparse buffer, and returns when it is done.
    Result<void> bindSparse(VkBuffer buffer, std::span<const VkSparseMemoryBind> binds);
    Result<void> waitAll() { return wait(m_submitted); }
    std::uint64_t submitted() const { return m_submitted; }
    VkCommandPool commandPool() const { return m_pool; }

private:
    struct HeapUse {
        std::uint64_t used = 0, budget = 0;
    };
    HeapUse deviceLocalHeap() const; // the largest one

    Device() = default;
    void setObjectName(VkObjectType type, std::uint64_t object, const std::string& name) const;

    std::shared_ptr<Instance> m_instance;
    DeviceReport m_report;
    VkPhysicalDeviceLimits m_limits{};
    std::array<std::uint8_t, VK_UUID_SIZE> m_cacheUuid{};
    VkPhysicalDeviceMemoryProperties m_memory{};
    std::uint64_t m_timestampMask = 0;
    VkDevice m_device = VK_NULL_HANDLE;
    VkQueue m_queue = VK_NULL_HANDLE;
    VkCommandPool m_pool = VK_NULL_HANDLE;
    VkSemaphore m_timeline = VK_NULL_HANDLE;
    std::vector<VkCommandBuffer> m_handles;        // of one submission
    std::uint64_t m_submitted = 0, m_finished = 0; // m_finished: the last that is known to have finished
};

} // namespace spikescope
