#pragma once
// What other programs leave of the machine's processors.

#include <chrono>

namespace spikescope {

// Share of the time of all processors that is spent on something during the window, 0 to 1; the caller sleeps
// meanwhile. 0 where the system does not say.
double machineLoad(std::chrono::milliseconds window);

} // namespace spikescope
