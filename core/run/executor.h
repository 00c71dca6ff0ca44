#pragma once
// Carries a Program's steps out on a Vulkan device.

#include "core/gpu/vulkan_heap.h"
#include "core/kernels/kernels.h"
#include "core/model/parameters.h"
#include "core/program/walk.h"
#include "core/run/latents.h"
#include "core/run/sinks.h"

#include <chrono>
#include <future>

namespace spikescope {

struct Progress {
    std::uint32_t done = 0, total = 0; // ops
    std::string_view layer;
    // A copy of what is recorded up to now, with the times of the ops that the device has finished. Valid during the
    // call.
    std::function<Recording()> recordingSoFar;
};

struct ExecutorIo {
    const Parameters& parameters;
    const Input& input;
    std::span<const std::unique_ptr<OutputSink>> sinks;
    const CancelFlag& cancel;
    std::function<void(const Progress&)> progress; // may be empty
};

class Executor final : public Machine {
public:
    static Result<std::unique_ptr<Executor>> create(Device& device, VulkanHeap& heap, Kernels& kernels,
                                                    const Program& program, const ExecutorIo& io);
    ~Executor() override;

    void enter(Phase phase) override;
    void bind(TensorId tensor, const Placement& placement) override;
    void unbind(TensorId tensor) override;
    Result<void> fill(const FillStep& step, std::uint32_t op) override;
    Result<void> upload(const UploadStep& step, std::uint32_t op) override;
    Result<void> dispatch(const Call& call, bool besideNext, std::uint32_t op) override;
    Result<void> download(const DownloadStep& step, std::uint32_t op) override;
    Result<void> clear(const ClearStep& step) override;
    Result<void> evaluate(std::uint32_t ahead) override;
    std::optional<Sample> sample() override;

    // Begin and end of every op that has run, in nanoseconds since the first one began; what has not run takes no time.
    Result<void> readTimes(std::vector<RecordedOp>& ops) const;
    double loadMs() const; // host time of the load phase

private:
    Executor(Device& device, VulkanHeap& heap, Kernels& kernels, const Program& program, const ExecutorIo& io);
    Result<void> makePipelines() const;
    Result<VkCommandBuffer> begin(); // what is being recorded, behind a barrier
    Result<void> submit();           // it, if there is any
    Result<void> transfer(const TransferCall& call, std::uint32_t op);
    Result<void> recordWave();
    void beginOp(VkCommandBuffer commands, std::uint32_t op);
    void endOp(VkCommandBuffer commands, std::uint32_t op);
    void readInput(const Tensor& tensor, const InputPart& part, std::uint64_t begin, std::span<float> out) const;
    void writeSource(const UploadStep& step, std::uint64_t begin, std::uint64_t count, std::byte* out) const;
    void pack(const Tensor& tensor, std::optional<TensorId> from, std::uint64_t begin, std::uint64_t count,
              std::byte* out) const;
    ParameterValues valuesOf(const Tensor& tensor, std::optional<TensorId> from) const;
    WeightPacking packingOf(const Tensor& tensor) const;
    std::byte* hostData(TensorId tensor) const;
    void countNonFinite(const Tensor& output, std::span<const float> values, std::uint64_t n, std::uint64_t y);
    void report(std::uint32_t op, LayerId layer) const;

    Device& m_device;
    VulkanHeap& m_heap;
    Kernels& m_kernels;
    const Program& m_program;
    ExecutorIo m_io;
    Bindings m_bindings;
    std::vector<Placement> m_placements;
    std::vector<WeightPacking> m_packings; // by WeightId; empty for what is not a convolution's weight
    // What calls became, as long as no tensor has moved since: those of tiles, and of repeated runs, are the same
    // again.
    struct Encoded {
        std::vector<Dispatch> dispatches;
        std::uint64_t moves = 0;
    };
    std::vector<Encoded> m_encoded;              // by call
    std::vector<BoundTensor> m_lastBound;        // by tensor, of those that are free too
    std::uint64_t m_moves = 1;                   // times that a tensor was bound elsewhere than before
    std::future<Result<void>> m_makingPipelines; // while weights are loaded; its end waits for that
    Result<void> m_pipelines;                    // what became of it
    // Ops that may run beside each other and are not recorded yet.
    struct WaveOp {
        const std::vector<Dispatch>* dispatches;
        std::uint64_t flops;
        std::uint32_t op;
    };
    std::vector<WaveOp> m_wave;
    VkCommandBuffer m_commands = VK_NULL_HANDLE; // being recorded
    std::uint64_t m_recordedFlops = 0;           // in them
    std::uint32_t m_opCount = 0;
    VkQueryPool m_queries = VK_NULL_HANDLE;
    std::uint64_t m_queriesReset = 0;     // the submission that makes the timestamps ready; 0: not yet
    std::vector<std::uint64_t> m_batches; // the last submission of every batch that was ended
    std::uint64_t m_halfBusy[2] = {0, 0}; // the submission that reads each half of the staging buffer
    int m_half = 0;
    std::chrono::steady_clock::time_point m_loadBegin{}, m_loadEnd{};
    std::uint64_t m_nonFinite = 0;
    std::string m_firstNonFinite;
};

} // namespace spikescope
