#pragma once
// The one loop that carries a Program out: a plan walks it with a machine that does nothing over a virtual heap, a run
// with the device over the device's heap. So both make the same Recording but for addresses and times.

#include "core/base/cancel.h"
#include "core/memory/allocator.h"
#include "core/program/controls.h"
#include "core/program/program.h"

#include <optional>

namespace spikescope {

class Machine {
public:
    virtual ~Machine() = default;

    virtual void enter(Phase) {}
    virtual Result<void> bind(TensorId, const Placement&) { return {}; }
    virtual void unbind(TensorId) {}
    // `op` is the index in the Recording under which the op's times are wanted.
    virtual Result<void> fill(const FillStep&, std::uint32_t /*op*/) { return {}; }
    virtual Result<void> upload(const UploadStep&, std::uint32_t /*op*/) { return {}; }
    virtual Result<void> dispatch(std::uint32_t /*call*/, bool /*concurrentWithNext*/, std::uint32_t /*op*/) {
        return {};
    }
    virtual Result<void> download(const DownloadStep&, std::uint32_t /*op*/) { return {}; }
    virtual Result<void> clear(const ClearStep&) { return {}; }
    // Ends a batch, and waits until at most `ahead` of the ended batches run.
    virtual Result<void> evaluate(std::uint32_t /*ahead*/) { return {}; }
    // What the system says now; nothing in a plan.
    virtual std::optional<Sample> sample() { return std::nullopt; }
};

// On failure or cancellation the walk stops, waits for the device and frees everything, all of it recorded; the
// Recording's failure then says where.
Result<void> walk(const Program& program, Allocator& allocator, Recording& recording, Recorder& recorder,
                  Machine& machine, const CancelFlag& cancel);

// The failure as the report shows it. Where no single tensor was refused, the largest is named: it decides the arena.
Failure failureOf(const Error& error, const Program& program, std::uint64_t bytesFree, std::uint32_t event,
                  TensorId tensor = {}, LayerId layer = {});

// All of a Recording that is known before the walk: controls, layers and tensors.
void describe(const Program& program, const Controls& controls, Recording& recording);

// Lifetimes of all tensors of a Program, on the clock of its steps.
struct Lifetimes {
    std::vector<Lifetime> lives;
    EarlierOverlaps earlier;
};
Lifetimes lifetimes(const Program& program);

} // namespace spikescope
