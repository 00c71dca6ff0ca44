#pragma once
// Graph and controls to Program: fuses ops, decides which tensors exist, in which dtype, and how each op is computed.

#include "core/program/controls.h"
#include "core/program/lowered_calls.h"

#include <span>

namespace spikescope {

// `unused`: parameters that are loaded with the model although this pass does not need them. `merged`: work units
// that differ in nothing but their place in the image are lowered once and repeated; such a program can be planned, but
// not run.
Program lower(const Graph& graph, const Controls& controls, std::span<const Weight> unused = {}, bool merged = false);

// Rows of queries whose scores exist at a time. 2560 rows keep a GPU busy and take a third of the memory of a decoder's
// last feature maps; huge images get fewer, so that the scores stay within 4 GiB. Where those maps are on the host the
// scores would be the peak: 1024 rows there, near 256 MiB.
std::uint64_t attentionRows(const Controls& controls, std::uint64_t pixels);
// Whether a 3×3 convolution after a norm of this shape norms as it reads. Tensors of more channels have few pixels:
// norming them once is faster than for every block of output channels, and they are no peak.
bool normsOnLoad(const Controls& controls, const Shape& map);

// Where a graph is part of a larger one: tensors of its inputs, and required destinations of its outputs. By the
// graph's own indices.
struct GraphBindings {
    // By value: the tensor of an input, or the tensor that a computed value must be written to.
    std::vector<std::optional<TensorId>> tensors;
    std::vector<bool> isLastUse; // by value: this graph is the last reader of the input and may overwrite it
    // By node: of norms whose statistics exist; empty: of none.
    std::vector<std::optional<TensorId>> coefficients;
    bool outputIsMap = false; // the output is a feature map like others and may be computed in place
    // Statistics of the output for a norm outside; lowering fills in `in`, `partials` and `slices`.
    std::optional<GroupNormStatsCall> stats;
};
// Appends the calls of a graph whose weights are lowered; returns the output's tensor.
TensorId lowerInto(LoweredCalls& lowered, const Graph& graph, const Controls& controls, const GraphBindings& bindings);
// The same for a graph from the input, or a region of it, to the output.
struct InputOutput {
    TensorId input, output;
};
InputOutput lowerInto(LoweredCalls& lowered, const Graph& graph, const Controls& controls);

} // namespace spikescope
