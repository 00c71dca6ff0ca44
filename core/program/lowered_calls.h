#pragma once
// Calls with their tensors, before memory is taken and given back around them.

#include "core/program/controls.h"
#include "core/program/program.h"

#include <span>

namespace spikescope {

struct LoweredCalls {
    Program program; // without steps
    std::vector<DispatchStep> calls;
    TensorId input, output;
    std::vector<TensorId> weights; // in the order of loading

    LayerId addLayer(std::string name);
    TensorId add(Tensor tensor);
    // Rows of a map of one picture, where they are.
    TensorId addRows(TensorId map, std::uint64_t first, std::uint64_t rows);
};

Tensor mapTensor(std::string name, LayerId layer, Category category, DType dtype, Shape shape);
Tensor workspaceTensor(std::string name, LayerId layer, std::vector<std::uint64_t> dims, DType dtype = DType::F32);
// Of the maps between the input and the output.
DType mapType(const Controls& controls);

// The layers, the weights and the input of a graph, without calls.
LoweredCalls lowerWeights(const Graph& graph, const Controls& controls, std::span<const Weight> unused);

} // namespace spikescope
