#pragma once
// Every single flip of a control from a configuration, planned: what it does to the peak, and by the cost model to
// time.

#include "core/advise/estimate.h"
#include "core/job/job.h"
#include "core/program/flips.h"
#include "core/timeline/peak.h"

namespace spikescope {

struct PlannedControls {
    Controls controls; // complete: model and size are set
    // As if blocks could be as large as one likes: also what cannot run here has a peak to show.
    Peak peak;
    std::uint64_t weights = 0; // bytes on the device
    std::optional<double> ms;  // of the last pass, see estimatePass()
    double unknown = 0.0;      // share of it by calls that were never measured
    bool fits = true;          // on a heap of the traits that has no more than the available bytes
};
Result<PlannedControls> planControls(const Controls& controls, const HeapTraits& traits, const Rates* rates,
                                     std::optional<std::uint64_t> availableBytes);

// Every flip of a control that changes it and contradicts no other one.
struct FlippedControls {
    std::string_view control;
    std::string from, to;
    Controls controls;
};
std::vector<FlippedControls> flippedControls(const Controls& controls);

// Without rates no times. Flips that contradict another control, or that the model's files do not allow, are left out.
// The budget is not enforced: what would not fit is shown with its peak. `availableBytes`: of a heap that has no more,
// on which flips that need more are planned once again: an allocator that caches then gives back what it does not use.
Result<Advice> advise(const Controls& controls, const HeapTraits& traits, const Rates* rates,
                      std::optional<std::uint64_t> availableBytes = std::nullopt);

// Writes into the failure of a Recording that ran out of device memory which single flips would have fitted.
void adviseFailure(Recording& recording, const Controls& controls, const HeapTraits& traits);

} // namespace spikescope
