#pragma once
// Rates of a device: measured on it, kept in the cache folder, and refined by every run.

#include "core/advise/rates.h"
#include "core/backend/backend.h"
#include "core/job/job.h"

namespace spikescope {

// The rates kept for this device, its driver and its kernels, when they have been measured before.
std::optional<Rates> keptRates(const Backend& backend, const std::string& cacheFolder);

struct RateProgress {
    std::size_t done = 0, total = 0; // calls
    std::string_view kind;           // of the one that comes next
};
struct MeasureOptions {
    std::string cacheFolder;
    bool again = false; // also what is known
    // Of a CPU device: the largest share of the processors' time that others may take, 0 to 1.
    double mostLoad = 0.25;
    const CancelFlag* cancel = nullptr;
    std::function<void(const RateProgress&)> progress;
};

struct MeasuredRates {
    Rates rates;
    std::size_t added = 0;    // samples
    std::size_t left = 0;     // calls for which there was no time
    std::string disagreement; // why nothing was kept; empty: it was
};

// Times the calls of these controls, of all presets and of every single flip from them, in small pictures, as far as
// they are not known yet, for at most 15 s on a GPU and 30 s on a CPU device, the most important ones first. Where
// repeats disagree, or others keep the processor of a CPU device busy, nothing is kept and the rates are those from
// before.
Result<MeasuredRates> measureRates(Backend& backend, const Controls& controls, const MeasureOptions& options);

// Whether every kind of call of a program was measured.
bool knowsKindsOf(const Rates& rates, const Program& program);

// Adds the times of a run's ops to the rates that are kept. A run that took more than 1.5 times what was
// estimated teaches nothing, for the machine may have been busy or shaders were compiled: the sentence that comes back
// says so.
std::string learnFromRun(Backend& backend, const Job& job, const Recording& run, const std::string& cacheFolder);

} // namespace spikescope
