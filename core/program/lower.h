#pragma once
// Graph and controls to Program: fuses ops, decides which tensors exist, in which dtype, and how each op is computed.

#include "core/program/controls.h"
#include "core/program/lowered_calls.h"

#include <span>

namespace spikescope {

// `unused`: parameters that are loaded with the model although this op does not need them.
Program lower(const Graph& graph, const Controls& controls, std::span<const Weight> unused = {});

// Of a graph that is a part of a larger one: what is made outside of it. All of it by the graph's own indices.
struct Surroundings {
    // By value: where a map that nothing in the graph makes lies, and where one goes that must lie somewhere.
    std::vector<std::optional<TensorId>> tensors;
    std::vector<bool> usedUp; // by value: nothing reads that map behind this graph, which may write over it
    // By node: of norms whose statistics are made; empty: of none.
    std::vector<std::optional<TensorId>> coefficients;
    // The statistics of the output that a norm outside wants; `in`, `partials` and `slices` are filled in.
    std::optional<GroupNormStatsCall> stats;
};
// Appends the calls of a graph of which all weights are lowered; returns the output's tensor.
TensorId lowerInto(LoweredCalls& lowered, const Graph& graph, const Controls& controls, const Surroundings& around);
// The same of a graph from the op's input, or a part of it, to the output.
struct InputOutput {
    TensorId input, output;
};
InputOutput lowerInto(LoweredCalls& lowered, const Graph& graph, const Controls& controls);

} // namespace spikescope
