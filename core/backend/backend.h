#pragma once
// What runs programs: a device with its memory and its kernels. Vulkan is one backend; another one is a folder beside
// core/vulkan that implements these two classes. runJob() does the rest for all of them.
//
//   TRY(const auto backend, VulkanBackend::open({.device = "cpu"}));
//   const RunOutcome outcome = runJob(*backend, job, sinks, cancel);

#include "core/backend/value_check.h"
#include "core/base/cancel.h"
#include "core/io/latents.h"
#include "core/io/sinks.h"
#include "core/model/parameters.h"
#include "core/program/submit_policy.h"
#include "core/program/walk.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

struct BackendFacts {
    DeviceInfo device;               // as a Recording names it
    std::vector<MemorySpace> spaces; // those of its Recordings
    bool cpu = false;                // computes on the machine's own processor, in the machine's memory
    bool sparseMemory = false;       // maps memory into ranges of addresses, see Heap::reserveRange()
    SubmitPolicy submit = {};        // how runs hand over their calls
};

// One call of a program, to be timed.
struct CallOfProgram {
    const Program* program = nullptr;
    std::uint32_t call = 0; // index
};
// Device times of a call alone, ns. They agree where nothing else disturbs the device.
struct CallTimes {
    double ns = 0.0;             // the fastest of its repeats
    std::optional<double> again; // the next one, where there were enough to compare
    double between = 0.0;        // from the end of one pass to the beginning of the next
};

// What one run reads and writes beside the device's memory. All of it outlives the run.
struct RunIo {
    const Parameters& parameters;
    const Input& input;
    std::span<const std::unique_ptr<OutputSink>> sinks;
    const CancelFlag& cancel;
    // Before each op with its index and layer, and after the last one; may be empty.
    std::function<void(std::uint32_t op, LayerId layer)> progress;
    // Is shown what every call writes, where tensors begin as zeros so that nothing else is in them; null: nobody
    // looks.
    ValueCheck* values = nullptr;
};

// Carries out one program, once.
class RunMachine : public Machine {
public:
    // Sets begin and end of the ops that have finished; an op that never ran takes no time.
    virtual Result<void> readTimes(std::vector<RecordedOp>& ops) = 0;
    virtual double loadMs() const = 0; // host time of the load phase
    // Whether all values of the output so far are finite numbers; where they are not, the last download has failed.
    virtual bool outputIsFinite() const = 0;
};

class Backend {
public:
    virtual ~Backend() = default;

    virtual const BackendFacts& facts() const = 0;
    virtual Heap& heap() = 0;
    // The program and what `io` refers to outlive the machine. One machine at a time.
    virtual Result<std::unique_ptr<RunMachine>> machine(const Program& program, const RunIo& io) = 0;
    // Times calls on a device that is awake, over random values, more or less in their order. `each` gets the index of
    // a call and its times, or nothing where its tensors take too much memory; when it returns false the rest is left
    // out.
    virtual Result<void> timeCalls(std::span<const CallOfProgram> calls,
                                   const std::function<bool(std::size_t, const std::optional<CallTimes>&)>& each) = 0;
    // Differs between devices, drivers, kernels and versions of this program: whatever changes measured times.
    virtual std::string identity() const = 0;

    // What was measured on this device is kept in the cache folder, a file each for "rates" and "tiles".
    std::string cacheFile(std::string_view what, const std::string& folder) const;
    // Nothing without a folder or a file, and of files too large to be ours.
    std::optional<std::string> readCache(std::string_view what, const std::string& folder) const;
    Result<void> writeCache(std::string_view what, const std::string& folder, std::string_view text) const;
};

} // namespace spikescope
