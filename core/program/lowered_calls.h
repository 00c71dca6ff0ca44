#pragma once
// Calls with their tensors, before memory is taken and given back around them.

#include "core/program/controls.h"
#include "core/program/program.h"

#include <span>

namespace spikescope {

// Calls behind a transfer in.
struct Lane {
    TensorId input;
    InputPart from;
    std::vector<std::uint32_t> calls;
};
// Lanes that run beside each other, which share nothing but weights; then calls that follow all of them, and transfers
// out.
struct Part {
    std::vector<Lane> lanes;
    std::vector<std::uint32_t> calls;
    std::vector<OutputRows> outputs; // that are complete behind them
    // Which waves of calls make what part of the output alone: those from `firstWave` on, up to the next area's;
    // ascending. Tiles beside each other have the same ones.
    struct Area {
        std::size_t firstWave = 0;
        OutputArea area;
    };
    std::vector<Area> areas = {};
};

// Of parts that are merged: parts, or earlier sequences, one after another, each so many times.
struct Sequence {
    struct Item {
        std::size_t index = 0;
        std::uint64_t times = 1;
    };
    bool ofParts = false;
    std::vector<Item> items;

    void add(std::size_t index, std::uint64_t times = 1) {
        if (times == 0) return;
        if (items.empty() || items.back().index != index) items.push_back({.index = index, .times = 0});
        items.back().times += times;
    }
};

struct LoweredCalls {
    Program program;               // without steps
    std::vector<TensorId> weights; // in the order of loading
    // Of a run of the op. Without sequences all of them one after another; with sequences, of which the last one is the
    // run, those alone that differ in more than where they lie in the picture.
    std::vector<Part> parts;
    std::vector<Sequence> sequences;
    // Alive as long as the parts are: constants, and maps that parts add to, which begin as zeros and whose rows become
    // zeros again when they have been handed out.
    std::vector<TensorId> lasting;

    // All calls from the input, as it comes in, to the output as one part for each picture, or for all of them.
    void addWhole(TensorId input, TensorId output, bool merged);
    // The run is the first sequence for the first picture and the other one for each picture behind it.
    void addPictures(Sequence first, Sequence further, std::uint64_t pictures);
    // The numbers of the calls from this one on.
    std::vector<std::uint32_t> callsFrom(std::size_t first) const;

    LayerId addLayer(std::string name);
    TensorId add(Tensor tensor);
    // The tensor of a parameter, which from now on belongs to this layer.
    TensorId weightTensor(WeightId weight, LayerId layer);
    // A map for the op's input or a part of it.
    TensorId addInput(Shape shape);
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
