#pragma once
// Single calls of kernels, alone and by the device's own clock, over memory full of random values.

#include "core/gpu/vulkan_heap.h"
#include "core/kernels/kernels.h"

#include <memory>

namespace spikescope {

// Memory for everything that some calls read and write. Values are random: zeros can run faster.
class CallMemory {
public:
    static Result<std::unique_ptr<CallMemory>> create(Device& device, VulkanHeap& heap, const Program& program,
                                                      std::span<const KernelCall> calls);
    ~CallMemory();

    const Bindings& bindings() const { return m_bindings; }

private:
    explicit CallMemory(VulkanHeap& heap)
        : m_heap(heap) {}

    VulkanHeap& m_heap;
    std::vector<HeapBlock> m_blocks;
    Bindings m_bindings;
};

class CallTimer {
public:
    static Result<std::unique_ptr<CallTimer>> create(Device& device);

    // Medians of one pass over each of these lists, in ns, after a warm-up. Samples hold many passes and the lists
    // take turns, so a clock that drifts is the same to all of them.
    Result<std::vector<double>> medians(std::span<const std::vector<Dispatch>> lists);
    Result<double> median(std::vector<Dispatch> list);

private:
    explicit CallTimer(Device& device)
        : m_device(device) {}
    Result<void> wake(const std::vector<Dispatch>& list);
    Result<double> sample(const std::vector<Dispatch>& list, std::uint64_t passes);

    Device& m_device;
    std::unique_ptr<Commands> m_commands;
};

} // namespace spikescope
