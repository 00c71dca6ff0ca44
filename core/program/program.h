#pragma once
// A graph lowered under a set of controls: tensors with their sizes, and a flat list of steps. Planner and executor
// walk the same list. Everything that decides how much memory is held is in here; kernels only choose how to compute.

#include "core/base/dtype.h"
#include "core/graph/graph.h"
#include "core/memory/heap.h"
#include "core/memory/recording.h"
#include "core/program/calls/attention.h"
#include "core/program/calls/conv.h"
#include "core/program/calls/copies.h"
#include "core/program/calls/elementwise.h"
#include "core/program/calls/group_norm.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace spikescope {

struct Tensor {
    std::string name;
    LayerId layer; // that makes or owns it
    Category category = Category::Activation;
    DType dtype = DType::F32;
    Shape shape;                     // of feature maps; weights and workspaces have dims alone
    std::vector<std::uint64_t> dims; // as shown to people
    std::uint64_t bytes = 0;
    std::optional<WeightId> weight;                       // the parameter that it holds
    std::optional<std::uint32_t> constant = std::nullopt; // index of the program's constant that it holds
    bool folded = false; // the parameter as the four 2×2 kernels [phase][out][in][2][2] of ConvMethod::Folded
    bool packed = false; // in host memory, but in the order that the device's kernels want
    MemoryKind memory = MemoryKind::Device;
    // A view: it lies in the memory of another tensor and is neither acquired nor released. Some of that tensor's rows,
    // or the first channels of its pixels, whose stride stays.
    std::optional<TensorId> within;
    std::uint64_t offset = 0;      // bytes from the beginning of that tensor
    std::uint64_t pixelStride = 0; // elements from pixel to pixel; 0: as many as channels

    std::uint64_t stride() const { return pixelStride ? pixelStride : shape.c; }
};

using KernelCall = std::variant<ConvCall, GroupNormStatsCall, GroupNormApplyCall, AttentionCall, TanhClampCall,
                                ActivationCall, CopyCall, TransferCall, BlendCall>;

struct PhaseStep {
    Phase phase;
};
struct AcquireStep {
    TensorId tensor;
};
struct ReleaseStep {
    TensorId tensor;
};
// Fills a host tensor with a parameter: as stored, or, from a tensor that holds it so, packed as kernels want it.
struct FillStep {
    TensorId tensor;
    std::optional<TensorId> from;
};
// Where a region of the input begins: image, row and column.
struct InputRegion {
    std::uint64_t picture = 0, y = 0, x = 0;
    bool again = false; // not the first region in this pass
};
// Fills a tensor through the staging buffer: with a parameter, a constant, or a region of the input. `from`: a host
// tensor that holds the parameter; without one it is read from the checkpoint.
struct UploadStep {
    TensorId tensor, staging;
    std::optional<TensorId> from;
    InputRegion region;
};
struct DispatchStep {
    std::uint32_t call; // index
    // No dispatch of a concurrent group, including the first one without the flag, writes memory that another one of
    // the group uses.
    bool concurrentWithNext = false;
};
// Rows of the output.
struct OutputRows {
    TensorId tensor;
    std::uint64_t firstRow = 0, rows = 0; // in each image of the tensor
    std::uint64_t picture = 0, y = 0;     // in the output
};
// Hands rows of the output to the host through the staging buffer.
struct DownloadStep {
    TensorId staging;
    OutputRows output;
};
// The steps from here on compute these areas of the output only (those of concurrent tiles); none: all of it.
struct AreaStep {
    std::vector<OutputArea> areas;
};
// Sets rows of a tensor to zero.
struct ClearStep {
    TensorId tensor;
    std::uint64_t firstRow = 0, rows = 0;
};
// Ends a batch and waits until at most `ahead` ended batches are unfinished.
struct EvaluateStep {
    std::uint32_t ahead = 0;
};
// The steps of one of the program's blocks, `times` times. A block releases what it acquires. Only in programs that are
// planned.
struct RepeatStep {
    std::uint32_t block = 0;
    std::uint64_t times = 1;
};

using Step = std::variant<PhaseStep, AcquireStep, ReleaseStep, FillStep, UploadStep, DispatchStep, DownloadStep,
                          AreaStep, ClearStep, EvaluateStep, RepeatStep>;

struct Call {
    KernelCall kernel;
    LayerId layer;
};

struct Program {
    bool retiredReleases = false;    // the device has finished with a tensor when it is released
    std::vector<std::string> layers; // the graph's, then "input", "weights" and "output" for what has no module
    std::vector<Weight> weights;
    std::vector<Tensor> tensors;
    std::vector<std::vector<float>> constants;
    std::vector<Call> calls;
    std::vector<Step> steps;
    std::vector<std::vector<Step>> blocks; // repeated steps; a block comes after those that it contains
    Shape input, output;                   // of all images

    const Tensor& tensor(TensorId id) const { return tensors[id.index]; }
    // The tensor whose memory holds it.
    TensorId storage(TensorId id) const { return tensor(id).within.value_or(id); }
};

// Of any call, see calls/call.h.
std::vector<TensorId> reads(const KernelCall& call);
std::vector<TensorId> writes(const KernelCall& call);
TensorId output(const KernelCall& call);
std::string kernelName(const KernelCall& call);
OpKind opKind(const KernelCall& call);
std::uint64_t flops(const KernelCall& call, const Program& program);
std::uint64_t traffic(const KernelCall& call, const Program& program);

} // namespace spikescope
