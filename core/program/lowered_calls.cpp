#include "core/program/lowered_calls.h"

#include <algorithm>
#include <numeric>

namespace spikescope {

LayerId LoweredCalls::addLayer(std::string name) {
    program.layers.push_back(std::move(name));
    return LayerId{static_cast<std::uint32_t>(program.layers.size() - 1)};
}

TensorId LoweredCalls::add(Tensor tensor) {
    program.tensors.push_back(std::move(tensor));
    return TensorId{static_cast<std::uint32_t>(program.tensors.size() - 1)};
}

TensorId LoweredCalls::addRows(TensorId map, std::uint64_t first, std::uint64_t rows) {
    Tensor tensor = program.tensor(map);
    if (first == 0 && rows == tensor.shape.h) return map;
    const std::uint64_t rowElements = tensor.shape.w * tensor.shape.c;
    tensor.offset += first * tensor.shape.w * tensor.stride() * sizeOf(tensor.dtype);
    tensor.bytes = rows * rowElements * sizeOf(tensor.dtype);
    tensor.shape.h = rows;
    tensor.dims = {tensor.shape.n, rows, tensor.shape.w, tensor.shape.c};
    tensor.within = program.storage(map);
    return add(std::move(tensor));
}

TensorId LoweredCalls::weightTensor(WeightId weight, LayerId layer) {
    const TensorId id = weights[weight.index];
    program.tensors[id.index].layer = layer;
    return id;
}

TensorId LoweredCalls::addInput(Shape shape) {
    const auto known = std::ranges::find(program.layers, "input");
    const LayerId layer = known == program.layers.end()
                              ? addLayer("input")
                              : LayerId{static_cast<std::uint32_t>(known - program.layers.begin())};
    return add(featureMapTensor("input", layer, Category::Image, DType::F32, shape));
}

std::vector<std::uint32_t> LoweredCalls::callsFrom(std::size_t first) const {
    std::vector<std::uint32_t> calls(program.calls.size() - first);
    std::iota(calls.begin(), calls.end(), static_cast<std::uint32_t>(first));
    return calls;
}

void LoweredCalls::addWhole(TensorId input, TensorId output, bool merged) {
    const Shape in = program.tensor(input).shape, out = program.tensor(output).shape;
    if (merged)
        addPictures({.ofUnits = true, .items = {{.index = 0}}}, {.ofUnits = true, .items = {{.index = 1}}},
                    program.input.n / in.n);
    // What is lowered for one image runs for each. In a merged program the second unit stands for all later ones.
    for (std::uint64_t picture = 0; picture < program.input.n && !(merged && picture > in.n); picture += in.n)
        units.push_back(
            {.streams = {{.input = input, .from = {.picture = picture, .again = picture > 0}, .calls = callsFrom(0)}},
             .calls = {},
             .outputs = {{.tensor = output, .rows = out.h, .picture = picture}}});
}

void LoweredCalls::addPictures(Sequence first, Sequence further, std::uint64_t pictures) {
    sequences.push_back(std::move(first));
    if (pictures == 1) return;
    sequences.push_back(std::move(further));
    Sequence run;
    run.add(sequences.size() - 2);
    run.add(sequences.size() - 1, pictures - 1);
    sequences.push_back(std::move(run));
}

Tensor featureMapTensor(std::string name, LayerId layer, Category category, DType dtype, Shape shape) {
    return {.name = std::move(name),
            .layer = layer,
            .category = category,
            .dtype = dtype,
            .shape = shape,
            .dims = {shape.n, shape.h, shape.w, shape.c},
            .bytes = shape.elements() * sizeOf(dtype)};
}

Tensor workspaceTensor(std::string name, LayerId layer, std::vector<std::uint64_t> dims, DType dtype) {
    std::uint64_t bytes = sizeOf(dtype);
    for (const std::uint64_t dim : dims) bytes *= dim;
    return {.name = std::move(name),
            .layer = layer,
            .category = Category::Workspace,
            .dtype = dtype,
            .dims = std::move(dims),
            .bytes = bytes};
}

DType featureMapType(const Controls& controls) {
    // Scalars in fp32 meet the latents before a KL decoder's first layer; what they touch is fp32 from there on.
    const Family* family = findFamily(controls.model);
    const bool scaled = controls.op == VaeTask::Decode && family && family->backbone == Backbone::Kl;
    return controls.promote && scaled ? DType::F32 : controls.activations;
}

DType featureMapType(const Controls& controls, const Shape& shape) {
    return shape.c % 4 == 0 ? featureMapType(controls) : DType::F32;
}

namespace {

TensorId addWeight(LoweredCalls& lowered, const Weight& weight, const Controls& controls) {
    // One-dimensional parameters are a few hundredths of a percent of the bytes and stay fp32.
    // So do those between two numbers of channels that are no multiples of four.
    const bool isFew = weight.dims.size() > 1 && weight.dims[0] % 4 != 0 && weight.dims[1] % 4 != 0;
    const DType dtype = weight.dims.size() == 1 || isFew ? DType::F32 : controls.weightType();
    std::uint64_t elements = 1;
    for (const std::uint64_t dim : weight.dims) elements *= dim;
    lowered.weights.push_back(lowered.add({.name = weight.name,
                                           .category = Category::Weights,
                                           .dtype = dtype,
                                           .dims = weight.dims,
                                           .bytes = elements * sizeOf(dtype),
                                           .weight = WeightId{static_cast<std::uint32_t>(lowered.weights.size())}}));
    return lowered.weights.back();
}

} // namespace

LoweredCalls lowerWeights(const Graph& graph, const Controls& controls, std::span<const Weight> unused) {
    LoweredCalls lowered;
    lowered.program.layers = graph.layers;
    lowered.program.weights = graph.weights;
    for (const Weight& weight : graph.weights) addWeight(lowered, weight, controls);
    if (!unused.empty()) {
        const LayerId other = lowered.addLayer(controls.op == VaeTask::Decode ? "encoder" : "decoder");
        for (const Weight& weight : unused) {
            lowered.program.weights.push_back(weight);
            lowered.program.tensors[addWeight(lowered, weight, controls).index].layer = other;
        }
    }
    lowered.program.input = graph.shape(graph.input);
    lowered.program.output = graph.shape(graph.output);
    lowered.program.input.n = lowered.program.output.n = controls.batch;
    return lowered;
}

} // namespace spikescope
