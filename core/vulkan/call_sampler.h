#pragma once
// Times many calls quickly: all in one block of memory, one submission behind the other, so that the device is never
// idle and keeps its clock.

#include "core/backend/backend.h"
#include "core/gpu/vulkan_heap.h"
#include "core/kernels/kernels.h"

#include <deque>

namespace spikescope {

class CallSampler {
public:
    static Result<std::unique_ptr<CallSampler>> create(Device& device, VulkanHeap& heap, Kernels& kernels);
    ~CallSampler();

    // See Backend::timeCalls().
    Result<void> sample(std::span<const CallOfProgram> calls,
                        const std::function<bool(std::size_t, const std::optional<CallTimes>&)>& each);

private:
    CallSampler(Device& device, VulkanHeap& heap, Kernels& kernels)
        : m_device(device)
        , m_heap(heap)
        , m_kernels(kernels) {}

    Result<void> makeMemory(std::span<const CallOfProgram> calls);
    bool fits(const CallOfProgram& call) const; // into the memory
    Bindings bind(const CallOfProgram& call) const;
    Result<std::vector<Dispatch>> encode(const CallOfProgram& call);
    Result<void> wake(const CallOfProgram& call);
    // Refills the memory that the call uses and carries it out several times. Waits for the oldest submission where as
    // many are in flight as may be.
    Result<void> submit(std::size_t index, const CallOfProgram& call);
    Result<void> finishOldest();

    struct Submission {
        std::unique_ptr<Commands> commands;
        std::size_t index = 0;
        std::uint64_t passes = 1;
    };
    struct Sample {
        std::size_t index = 0;
        double ns = 0.0, between = 0.0;
    };

    Device& m_device;
    VulkanHeap& m_heap;
    Kernels& m_kernels;
    HeapBlock m_memory, m_staging;
    std::deque<Submission> m_inFlight;               // the oldest first
    std::vector<std::unique_ptr<Commands>> m_unused; // command buffers
    std::vector<Sample> m_finished;                  // since the caller looked
};

} // namespace spikescope
