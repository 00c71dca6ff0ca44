#pragma once
// Load → plan → run, for every front end. A Job is what is to be done and needs no device; a Session is an open device.

#include "core/gpu/shader_library.h"
#include "core/gpu/vulkan_heap.h"
#include "core/kernels/kernels.h"
#include "core/program/op_count.h"
#include "core/program/planner.h"
#include "core/run/executor.h"

namespace spikescope {

struct Job {
    Controls controls; // complete: model and size are set
    const Family* family = nullptr;
    Parameters parameters{0};
    std::optional<Input> input; // none: only a plan is possible
    Program program;
    std::vector<std::string> notes; // what was decided for the user, a sentence each

    OutputShape outputShape() const;
};

struct InputFile {
    std::string path;
    std::optional<std::string> key;
    bool scaled = true; // latents as the pipeline hands them over
};

// What feeds the op: a file, a seed for synthetic latents, or nothing.
using InputChoice = std::variant<std::monostate, InputFile, std::uint64_t>;

// Reads headers and the input, checks everything that can be checked without a device, and lowers. No tensor of a
// checkpoint is read.
// Many equal parts of what is only planned are merged, see lower(), unless every event is wanted; what is too large
// then is refused.
Result<Job> prepare(Controls controls, const InputChoice& input, OpLimits limits = {});

// The plan of a job on a heap of these traits.
Recording planJob(const Job& job, const HeapTraits& traits = {});

struct SessionOptions {
    std::string device; // selector, see Instance::choose
    KernelChoice kernels = KernelChoice::Best;
    bool validate = false;
    std::string cacheFolder = defaultCacheFolder();
    // For tests: where memory comes from, and whether it begins as NaN (see ExecutorIo).
    std::function<Result<std::unique_ptr<VulkanHeap>>(Device&)> heap = VulkanHeap::create;
    bool poison = false;
};

struct RunOutcome {
    Recording recording; // also of a run that failed, up to there
    std::optional<Error> error;
};

class Session {
public:
    static Result<std::unique_ptr<Session>> open(const SessionOptions& options);

    // Runs once. Committing the sinks is left to the caller, who may have more to write first.
    RunOutcome run(const Job& job, std::span<const std::unique_ptr<OutputSink>> sinks, const CancelFlag& cancel,
                   std::function<void(const Progress&)> progress = {});

    Device& device() { return *m_device; }
    const Device& device() const { return *m_device; }
    std::string_view kernelSet() const { return m_kernels->name(); }
    std::size_t tunedTiles() const { return m_kernels->tiles().size(); } // kinds of calls whose tiles were chosen
    const VulkanHeap& heap() const { return *m_heap; }
    // For work that is no run: calls that are timed alone.
    VulkanHeap& heap() { return *m_heap; }
    Kernels& kernels() { return *m_kernels; }
    // Where something measured of this device is kept: any change of driver, device, kernels or program changes it.
    std::string cacheFile(std::string_view what, const std::string& folder) const;
    int validationMessages() const { return m_device->instance().validationMessages(); }

private:
    Session() = default;
    Result<void> runSteps(const Job& job, const ExecutorIo& io, Recording& recording);

    // Destroyed from the last to the first.
    std::unique_ptr<Device> m_device;
    std::unique_ptr<VulkanHeap> m_heap;
    std::unique_ptr<ShaderLibrary> m_shaders;
    std::unique_ptr<Kernels> m_kernels;
    bool m_poison = false;
};

} // namespace spikescope
