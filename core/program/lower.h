#pragma once
// Graph and controls to Program: fuses ops, decides which tensors exist, in which dtype and for how long.

#include "core/program/controls.h"
#include "core/program/program.h"

namespace spikescope {

// The largest transfer between host and device that is under way at a time, in bytes.
constexpr std::uint64_t stagingBytes = std::uint64_t{8} << 20;

Program lower(const Graph& graph, const Controls& controls);

} // namespace spikescope
