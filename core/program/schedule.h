#pragma once
// Calls to steps: in which order memory is taken and given back. Loading, other models in memory, batches and lifetimes
// are decided here; what is computed is decided in lower.cpp.

#include "core/program/controls.h"
#include "core/program/lowered_calls.h"

namespace spikescope {

// The largest transfer between host and device that is under way at a time, in bytes.
constexpr std::uint64_t stagingBytes = std::uint64_t{8} << 20;
// Other models are taken in blocks of this size, in bytes, as models of many tensors are.
constexpr std::uint64_t residentBlock = std::uint64_t{1} << 30;

Program schedule(LoweredCalls lowered, const Controls& controls);

} // namespace spikescope
