#pragma once
// Graph and controls to Program: fuses ops, decides which tensors exist, in which dtype, and how each op is computed.

#include "core/program/controls.h"
#include "core/program/lowered_calls.h"

#include <span>

namespace spikescope {

// `unused`: parameters that are loaded with the model although this op does not need them. `merged`: parts of the op
// that differ in nothing but their place in the picture are lowered once and repeated; such a program can be planned,
// but not run.
Program lower(const Graph& graph, const Controls& controls, std::span<const Weight> unused = {}, bool merged = false);

// Rows of queries whose scores exist at a time. 2560 keep a GPU busy and take a third of what the last maps of a
// decoder do; huge pictures get fewer, so that the block stays within 4 GiB. Where those maps are on the host the
// scores would be the peak: 1024 there, near 256 MiB.
std::uint64_t attentionRows(const Controls& controls, std::uint64_t pixels);
// Whether a 3×3 convolution behind a norm of this map norms as it reads. Wider maps have few pixels: a pass of their
// own is faster than norming them for every block of output channels, and they are no peak.
bool normsOnLoad(const Controls& controls, const Shape& map);

// Of a graph that is a part of a larger one: what is made outside of it. All of it by the graph's own indices.
struct Surroundings {
    // By value: where a map that nothing in the graph makes lies, and where one goes that must lie somewhere.
    std::vector<std::optional<TensorId>> tensors;
    std::vector<bool> usedUp; // by value: nothing reads that map behind this graph, which may write over it
    // By node: of norms whose statistics are made; empty: of none.
    std::vector<std::optional<TensorId>> coefficients;
    bool outputIsMap = false; // the output is a map like others and may lie over what it is made of
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
