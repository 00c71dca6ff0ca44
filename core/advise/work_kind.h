#pragma once
// Calls whose times differ by the size of their feature maps alone.

#include "core/program/program.h"

namespace spikescope {

// What such calls have in common: the kernel, channels and dtypes of its tensors, stride, upsampling.
// "conv3x3_norm bf16x512 bf16 fp32 > bf16x256 upsampled". Without spaces at the ends.
std::string workKind(const KernelCall& call, const Program& program);

// How large a call is among those of its kind: flops, or bytes where it moves more of those.
double workOf(const KernelCall& call, const Program& program);

} // namespace spikescope
