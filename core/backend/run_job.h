#pragma once
// Runs a job on a backend and records it.

#include "core/backend/backend.h"
#include "core/job/job.h"

namespace spikescope {

struct Progress {
    std::uint32_t done = 0, total = 0; // ops
    std::string_view layer;
    // A copy of what is recorded up to now, with the times of the ops that the device has finished. Valid during the
    // call.
    std::function<Recording()> recordingSoFar;
};

struct RunOutcome {
    Recording recording; // also of a run that failed, up to there
    std::optional<Error> error;
};

// The job has an input. Committing the sinks is left to the caller, who may have more to write first.
RunOutcome runJob(Backend& backend, const Job& job, std::span<const std::unique_ptr<OutputSink>> sinks,
                  const CancelFlag& cancel, const std::function<void(const Progress&)>& progress = {});

} // namespace spikescope
