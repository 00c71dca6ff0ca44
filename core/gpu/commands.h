#pragma once
// A command buffer and what its commands need while they run: descriptors, buffer views and timestamps. It may be
// submitted once or many times, but is in flight only once at a time.

#include "core/gpu/device.h"

namespace spikescope {

class Commands {
public:
    static Result<std::unique_ptr<Commands>> create(Device& device);
    ~Commands(); // not while in flight
    Commands(const Commands&) = delete;
    Commands& operator=(const Commands&) = delete;

    enum class Use : std::uint8_t { Once, Again };
    // Starts recording from nothing; not while in flight. `timestamps`: the largest number of stamps.
    Result<void> begin(Use use, std::uint32_t timestamps = 0);
    Result<void> end();

    Device& device() { return m_device; }
    VkCommandBuffer handle() const { return m_commands; } // to record into
    // Later shaders and copies see what earlier ones wrote.
    void barrier();
    void stamp(VkPipelineStageFlagBits stage);
    // Debuggers show this name for what is recorded between the two.
    void beginLabel(const std::string& name);
    void endLabel();
    Result<VkDescriptorSet> descriptorSet(VkDescriptorSetLayout layout);
    Result<VkBufferView> view(const VkBufferViewCreateInfo& info);

    std::uint64_t submission() const { return m_submission; } // the last one; 0: none since begin()
    std::uint32_t stamps() const { return m_stamps; }
    // The stamps of the last submission, which has finished, in order.
    Result<void> readStamps(std::span<std::uint64_t> ticks) const;

private:
    friend class Device;
    explicit Commands(Device& device)
        : m_device(device) {}
    Result<void> provideTimestamps(std::uint32_t count);

    Device& m_device;
    VkCommandBuffer m_commands = VK_NULL_HANDLE;
    std::vector<VkDescriptorPool> m_pools;
    std::size_t m_sets = 0; // in use, of the pools in order
    std::vector<VkBufferView> m_views;
    VkQueryPool m_queries = VK_NULL_HANDLE;
    std::uint32_t m_queryCount = 0, m_stamps = 0;
    std::uint64_t m_submission = 0;
    bool m_recording = false;
};

} // namespace spikescope
