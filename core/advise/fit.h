#pragma once
// The fastest configuration that fits: controls are changed until the planned peak of what is reserved is within a
// budget, first those that leave the picture as it is, then, where that is allowed, those that do not.

#include "core/advise/advice.h"
#include "core/base/cancel.h"

#include <limits>

namespace spikescope {

struct FitOptions {
    std::vector<std::string> kept; // controls that stay as they are unless nothing fits with them
    bool approximate = false;      // tiles with norms and attention of their own may be used
    bool dtype = false;            // weights and activations may have fewer bits, also where kept
    std::uint64_t availableHostBytes = std::numeric_limits<std::uint64_t>::max(); // for tensors in host memory
    const CancelFlag* cancel = nullptr;
};

// A budget given without a device, on a machine with only a CPU device, is meant for some other device.
bool isBudgetOfOther(const Controls& asked, bool cpuDevice);

// One change on the way from the configuration that was asked for to the chosen one, with what the configuration is
// after it and all changes before it. More than one control where one alone would contradict another.
struct FitStep {
    struct Change {
        std::string control, from, to;
    };
    std::vector<Change> changes;
    std::uint64_t allocated = 0, reserved = 0; // peaks, bytes
    double ms = 0.0;
};

struct Fit {
    PlannedControls asked;
    std::optional<PlannedControls> chosen; // none: nothing that was found fits
    std::vector<FitStep> steps;
    std::vector<std::string> released; // of the kept controls: nothing fitted with them
    PlannedControls leanest;           // of all that was planned the smallest reserved peak
    std::string refusal;               // where nothing fits: what a heap says to the leanest
    bool measured = false;             // times are by the device's rates, else by counted work
};

// On a heap of these traits with so many bytes available. Without rates, counted work orders configurations.
Result<Fit> fit(const Controls& asked, const HeapTraits& traits, std::uint64_t availableBytes, const Rates* rates,
                const FitOptions& options = {});

} // namespace spikescope
