#pragma once
// Time of a pass over a plan: host and device followed op by op, each with what it takes on the device as measured.
// A model, and said to be one: the only number of this program that is neither counted nor measured.

#include "core/advise/rates.h"

namespace spikescope {

struct Estimate {
    double ms = 0.0;      // device time of the last pass, as the last of Recording::opTimes()
    double unknown = 0.0; // share of it that comes of kinds of calls that were never measured, 0 to 1
};

// `plan` and `trace`: of one walk over the program. Nothing where the rates know nothing like a call of it.
std::optional<Estimate> estimatePass(const Program& program, const Recording& plan, std::span<const TraceItem> trace,
                                     const Rates& rates);

} // namespace spikescope
