#pragma once
// Carries a Program's steps out on a Vulkan device.

#include "core/gpu/vulkan_heap.h"
#include "core/kernels/kernels.h"
#include "core/model/parameters.h"
#include "core/program/walk.h"
#include "core/run/command_stream.h"
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
    // For tests: every tensor begins as NaN, so that whoever reads what nobody wrote shows.
    bool poison = false;
};

class Executor final : public Machine {
public:
    static Result<std::unique_ptr<Executor>> create(Device& device, VulkanHeap& heap, Kernels& kernels,
                                                    const Program& program, const ExecutorIo& io);

    void enter(Phase phase) override;
    Result<void> bind(TensorId tensor, const Placement& placement) override;
    void unbind(TensorId tensor) override;
    Result<void> fill(const FillStep& step, std::uint32_t op) override;
    Result<void> upload(const UploadStep& step, std::uint32_t op) override;
    Result<void> dispatch(const Call& call, bool besideNext, std::uint32_t op) override;
    Result<void> download(const DownloadStep& step, std::uint32_t op) override;
    Result<void> clear(const ClearStep& step) override;
    Result<void> evaluate(std::uint32_t ahead) override;
    std::optional<Sample> sample() override;

    Result<void> readTimes(std::vector<RecordedOp>& ops) { return m_commands.readTimes(ops); } // see CommandStream
    double loadMs() const; // host time of the load phase

private:
    Executor(Device& device, VulkanHeap& heap, Kernels& kernels, const Program& program, const ExecutorIo& io);
    Result<void> makePipelines() const;
    Result<void> poison(TensorId tensor);
    Result<void> transfer(const TransferCall& call, std::uint32_t op);
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
    CommandStream m_commands;
    std::vector<std::uint64_t> m_encoded;        // by call: m_moves when it was; 0: not yet
    std::vector<Dispatch> m_dispatches;          // of the call that is being encoded
    std::vector<BoundTensor> m_lastBound;        // by tensor, of those that are free too
    std::uint64_t m_moves = 1;                   // times that a tensor of kernels was bound elsewhere than before
    std::future<Result<void>> m_makingPipelines; // while weights are loaded; its end waits for that
    Result<void> m_pipelines;                    // what became of it
    std::uint32_t m_opCount = 0;
    std::vector<std::uint64_t> m_batches; // the last submissions of batches that were ended and not waited for
    std::uint64_t m_halfBusy[2] = {0, 0}; // the submission that reads each half of the staging buffer
    int m_half = 0;
    std::chrono::steady_clock::time_point m_loadBegin{}, m_loadEnd{};
    std::uint64_t m_nonFinite = 0;
    std::string m_firstNonFinite;
};

} // namespace spikescope
