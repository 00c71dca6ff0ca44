#pragma once
// Whether two sets of kernels make the same of small calls.

#include "core/kernels/kernels.h"

namespace spikescope {

// Two convolutions, one with a residual and one to few channels, at a size that is no multiple of a tile, and one
// attention, over maps and weights of `type`. In which order lanes hold a cooperative matrix is the driver's own
// affair, and this is how one finds out that it is another than the kernels take for granted.
Result<bool> agree(Device& device, Kernels& expected, Kernels& found, DType type);

} // namespace spikescope
