#pragma once
// Rates of the cost model as measured on a device, and kept in the cache folder.

#include "core/advise/rates.h"
#include "core/backend/backend.h"

namespace spikescope {

// The rates kept for this device, its driver and its kernels, when they have been measured before.
std::optional<Rates> keptRates(const Backend& backend, const std::string& cacheFolder);
// The same; without any, they are measured by small runs of all lowerings (12 s on a GPU, half a minute on a CPU
// device) and kept.
Result<Rates> ratesOf(Backend& backend, const std::string& cacheFolder,
                      const std::function<void()>& beforeMeasuring = {});

} // namespace spikescope
