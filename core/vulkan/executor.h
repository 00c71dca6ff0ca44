#pragma once
// Carries out a Program's steps on a Vulkan device.

#include "core/backend/host_transfer.h"
#include "core/gpu/vulkan_heap.h"
#include "core/kernels/kernels.h"
#include "core/vulkan/command_stream.h"

#include <chrono>
#include <future>

namespace spikescope {

struct ExecutorOptions {
    SubmitPolicy submit;
    // Every tensor begins as NaN, so that reading what was never written shows in the output.
    bool poison = false;
};

class Executor final : public RunMachine {
public:
    static Result<std::unique_ptr<Executor>> create(Device& device, VulkanHeap& heap, Kernels& kernels,
                                                    const Program& program, const RunIo& io,
                                                    const ExecutorOptions& options);

    void enter(Phase phase) override;
    Result<void> bind(TensorId tensor, const Placement& placement) override;
    void unbind(TensorId tensor) override;
    Result<void> fill(const FillStep& step, std::uint32_t op) override;
    Result<void> upload(const UploadStep& step, std::uint32_t op) override;
    Result<void> dispatch(std::uint32_t call, bool concurrentWithNext, std::uint32_t op) override;
    Result<void> download(const DownloadStep& step, std::uint32_t op) override;
    Result<void> clear(const ClearStep& step) override;
    Result<void> evaluate(std::uint32_t ahead) override;
    std::optional<Sample> sample() override;

    Result<void> readTimes(std::vector<RecordedOp>& ops) override { return m_commands.readTimes(ops); }
    double loadMs() const override;
    bool outputIsFinite() const override { return m_host.outputIsFinite(); }

private:
    Executor(Device& device, VulkanHeap& heap, Kernels& kernels, const Program& program, const RunIo& io,
             const ExecutorOptions& options);
    Result<void> makePipelines() const;
    Result<void> fillWith(TensorId tensor, std::uint32_t word);
    Result<void> checkValues(const Call& call);
    void makeVisibleToHost(VkCommandBuffer commands) const;
    Result<void> transfer(const TransferCall& call, std::uint32_t op);
    std::byte* hostData(TensorId tensor) const;
    const std::byte* hostData(std::optional<TensorId> tensor) const { return tensor ? hostData(*tensor) : nullptr; }
    void report(std::uint32_t op, LayerId layer) const;

    Device& m_device;
    VulkanHeap& m_heap;
    Kernels& m_kernels;
    const Program& m_program;
    RunIo m_io;
    std::optional<std::uint32_t> m_beginsAs; // every word of a tensor that was just bound
    HostTransfer m_host;
    Bindings m_bindings;
    std::vector<Placement> m_placements;
    CommandStream m_commands;
    std::vector<std::uint64_t> m_encodedGeneration; // by call: m_bindingGeneration when it was encoded; 0: never
    std::vector<Dispatch> m_dispatches;             // of the call that is being encoded
    std::vector<BoundTensor> m_lastBound;           // by tensor, also of those that are unbound
    std::uint64_t m_bindingGeneration = 1;          // incremented whenever a device tensor's address changes
    std::future<Result<void>> m_makingPipelines;    // while weights are loaded; the load phase waits for it
    Result<void> m_pipelines;                       // its result
    std::vector<std::uint64_t> m_batches;           // last submissions of ended batches that were not waited for
    std::uint64_t m_halfBusy[2] = {0, 0};           // the submission that reads each half of the staging buffer
    int m_half = 0;
    std::chrono::steady_clock::time_point m_loadBegin{}, m_loadEnd{};
};

} // namespace spikescope
