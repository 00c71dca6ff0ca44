#pragma once
// Graph and controls to Program: fuses ops, decides which tensors exist, in which dtype, and how each op is computed.

#include "core/program/controls.h"
#include "core/program/program.h"

#include <span>

namespace spikescope {

// `unused`: parameters that are loaded with the model although this op does not need them.
Program lower(const Graph& graph, const Controls& controls, std::span<const Weight> unused = {});

} // namespace spikescope
