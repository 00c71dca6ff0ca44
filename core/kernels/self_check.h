#pragma once
// Whether two sets of kernels give the same results for small calls.

#include "core/kernels/kernels.h"

namespace spikescope {

// Runs two convolutions, one with a residual and one to few channels, at a size that is no multiple of a tile, and one
// attention, with feature maps and weights of `type`. Vulkan leaves the order in which lanes hold a cooperative matrix
// to the driver; the kernels rely on one order, and this check finds drivers with another one.
Result<bool> agree(Device& device, Kernels& expected, Kernels& found, DType type);

} // namespace spikescope
