#pragma once
// Calls with their tensors, before memory is taken and given back around them.
//
//   work unit                      one tile, several concurrent ones, or a whole image
//     stream 0: call 0  call 3     tiles in flight: stream s runs beside the others, in memory of its own
//     stream 1: call 1  call 4     calls in one column are a concurrent group, with no barrier between them
//     calls:    call 6             after all streams, one at a time
//     outputs:  rows 0 to 63       rows of the output that are complete now

#include "core/program/controls.h"
#include "core/program/program.h"

#include <span>

namespace spikescope {

// One tile in flight: the upload of its input and its calls.
struct TileStream {
    TensorId input;
    InputRegion from;
    std::vector<std::uint32_t> calls;
};
// Streams that run concurrently and share nothing but weights; then calls that follow all of them, and downloads.
struct WorkUnit {
    std::vector<TileStream> streams;
    std::vector<std::uint32_t> calls;
    std::vector<OutputRows> outputs; // that are complete then
    // From call group `firstGroup` to the next entry's, calls compute this area of the output only; ascending.
    // Concurrent tiles share an entry's range.
    struct Area {
        std::size_t firstGroup = 0;
        OutputArea area;
    };
    std::vector<Area> areas = {};
};

// In a merged program: work units, or earlier sequences, one after another, each `times` times.
struct Sequence {
    struct Item {
        std::size_t index = 0;
        std::uint64_t times = 1;
    };
    bool ofUnits = false;
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
    // Of one pass. Without sequences, all work units in order. With sequences, one of each kind of unit, where units of
    // a kind differ in nothing but their place in the image; the last sequence is the pass.
    std::vector<WorkUnit> units;
    std::vector<Sequence> sequences;
    // Tensors that live through the whole pass: constants, and rows that tiles are added to, which begin as zeros and
    // are cleared when they have been downloaded.
    std::vector<TensorId> persistent;

    // All calls so far, from the input to the output, as one work unit for each image or for all of them.
    void addWhole(TensorId input, TensorId output, bool merged);
    // The pass is `first` for the first image and `further` for each one after it.
    void addPictures(Sequence first, Sequence further, std::uint64_t pictures);
    // Indices of the calls from this one on.
    std::vector<std::uint32_t> callsFrom(std::size_t first) const;

    LayerId addLayer(std::string name);
    TensorId add(Tensor tensor);
    // The tensor of a parameter, which from now on belongs to this layer.
    TensorId weightTensor(WeightId weight, LayerId layer);
    // A tensor for the input, or for a region of it.
    TensorId addInput(Shape shape);
    // A view of rows of a tensor of one image.
    TensorId addRows(TensorId map, std::uint64_t first, std::uint64_t rows);
};

Tensor featureMapTensor(std::string name, LayerId layer, Category category, DType dtype, Shape shape);
Tensor workspaceTensor(std::string name, LayerId layer, std::vector<std::uint64_t> dims, DType dtype = DType::F32);
// Of all feature maps between the input and the output.
DType featureMapType(const Controls& controls);
// Of one feature map: kernels take numbers of channels that are no multiple of four in fp32 alone.
DType featureMapType(const Controls& controls, const Shape& shape);

// The layers, the weights and the input of a graph, without calls.
LoweredCalls lowerWeights(const Graph& graph, const Controls& controls, std::span<const Weight> unused);

} // namespace spikescope
