#pragma once
// A graph lowered under a set of controls: tensors with their sizes, and a flat list of steps. Planner and executor
// walk the same list. Everything that decides how much memory is held is in here; kernels only choose how to compute.

#include "core/base/id.h"
#include "core/graph/dtype.h"
#include "core/graph/graph.h"
#include "core/memory/heap.h"
#include "core/memory/recording.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace spikescope {

using TensorId = Id<struct TensorTag>;

enum class Activation : std::uint8_t { None, Silu, Relu };

struct Tensor {
    std::string name;
    LayerId layer; // that makes or owns it
    Category category = Category::Activation;
    DType dtype = DType::F32;
    Shape shape;                     // of maps; weights and workspaces have dims alone
    std::vector<std::uint64_t> dims; // as shown to people
    std::uint64_t bytes = 0;
    std::optional<WeightId> weight; // the parameter it holds

    MemoryKind kind() const { return category == Category::Staging ? MemoryKind::HostVisible : MemoryKind::Device; }
};

// out = activation(conv(upsampled in) + bias + residual); out may be the residual.
struct ConvCall {
    TensorId in, weight, out;
    std::optional<TensorId> bias, residual;
    std::uint32_t kernel = 3, stride = 1, padBegin = 1;
    bool upsample = false; // the input is read as if doubled by nearest neighbour
    Activation activation = Activation::None;
};
// Statistics of each group, folded with gamma and beta into (scale, shift) for each channel of each picture.
// partials: [n, slices, groups] of (count, mean, sum of squared deviations, 0) in fp32. coefficients: [n, c, 2] in
// fp32.
struct GroupNormStatsCall {
    TensorId in, gamma, beta, partials, coefficients;
    std::uint32_t groups = 32;
    std::uint64_t slices = 1;
    float eps = 1e-6f;
};
// out = activation(in * scale + shift); out may be in.
struct GroupNormApplyCall {
    TensorId in, coefficients, out;
    Activation activation = Activation::None;
};
// For each picture and each block of chunkRows queries: scores = q kᵀ scale, softmax by row, out = scores v.
// scores: [chunkRows, pixels rounded up to a multiple of four] in fp32.
struct AttentionCall {
    TensorId q, k, v, scores, out;
    std::uint64_t chunkRows = 0;
    float scale = 1.0f;
};
struct TanhClampCall {
    TensorId in, out;
};

using KernelCall = std::variant<ConvCall, GroupNormStatsCall, GroupNormApplyCall, AttentionCall, TanhClampCall>;

struct PhaseStep {
    Phase phase;
};
struct AcquireStep {
    TensorId tensor;
};
struct ReleaseStep {
    TensorId tensor;
};
// Fills a tensor from the host through the staging buffer: a parameter, or the input of the op.
struct UploadStep {
    TensorId tensor, staging;
};
struct DispatchStep {
    KernelCall call;
    LayerId layer;
};
// Hands the output of the op to the host through the staging buffer.
struct DownloadStep {
    TensorId tensor, staging;
};
// Submits what is recorded and waits for it.
struct EvaluateStep {};

using Step = std::variant<PhaseStep, AcquireStep, ReleaseStep, UploadStep, DispatchStep, DownloadStep, EvaluateStep>;

struct Program {
    std::vector<std::string> layers; // the graph's, then "input", "weights" and "output" for what has no module
    std::vector<Weight> weights;
    std::vector<Tensor> tensors;
    std::vector<Step> steps;

    const Tensor& tensor(TensorId id) const { return tensors[id.index]; }
};

// What a call reads and writes, in this order: every tensor that must be alive while it runs.
std::vector<TensorId> reads(const KernelCall& call);
std::vector<TensorId> writes(const KernelCall& call);
std::string kernelName(const KernelCall& call);
// Multiplications and additions of the call counted apart.
std::uint64_t flops(const KernelCall& call, const Program& program);
TensorId output(const KernelCall& call);

} // namespace spikescope
