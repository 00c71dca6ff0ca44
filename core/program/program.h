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
    std::optional<WeightId> weight;                       // the parameter it holds
    std::optional<std::uint32_t> constant = std::nullopt; // of the program's, that it holds
    bool folded = false; // the parameter as the four 2×2 kernels [phase][out][in][2][2] of ConvMethod::Folded
    bool packed = false; // in host memory, but in the order that the device's kernels want
    MemoryKind memory = MemoryKind::Device;
    // A map that lies in the memory of another one and is neither acquired nor released: some of its rows, or the first
    // channels of its pixels, which are as far apart as those of the other one.
    std::optional<TensorId> within;
    std::uint64_t offset = 0;      // bytes from where the other one begins
    std::uint64_t pixelStride = 0; // elements from pixel to pixel; 0: as many as channels

    std::uint64_t stride() const { return pixelStride ? pixelStride : shape.c; }
};

enum class ConvMethod : std::uint8_t {
    Direct, // no workspace
    Folded, // 3×3 after a doubling as four 2×2 convolutions of the stored input, one for each parity of row and column
    Im2col,   // 3×3: columns [rows × out width, 9 × in channels], tap by tap, then a matrix product
    Winograd, // 3×3, stride 1: F(6×6, 3×3)
};
// Output rows and columns of one Winograd tile, and input rows and columns that it reads.
constexpr std::uint64_t winogradTile = 6, winogradReach = winogradTile + 2;
// Channels of a pixel that one workgroup of any kernel makes together.
constexpr std::uint64_t mostChannelsInPlace = 128;

// Statistics of each group, folded with gamma and beta into (scale, shift) for each channel of each picture.
// partials: [n, slices, groups] of (count, mean, sum of squared deviations, 0) in fp32. coefficients: [n, c, 2] in
// fp32.
struct GroupNormStatsCall {
    TensorId in, gamma, beta, partials, coefficients;
    std::uint32_t groups = 32;
    std::uint64_t slices = 1;
    float eps = 1e-6f;
    // Of a map of one picture whose parts are summed one after another: the moments of this part go to totals
    // [slots, groups, 4], the coefficients come out with the last one.
    std::optional<TensorId> totals = std::nullopt;
    std::uint32_t slot = 0, slots = 1;
};
// out = activation(conv(upsampled in) + bias + residual); out may be the residual. A 1×1 convolution to at most
// mostChannelsInPlace channels may write within its input.
struct ConvCall {
    TensorId in, weight, out;
    std::optional<TensorId> bias, residual;
    std::uint32_t kernel = 3, stride = 1;
    // Rows above and columns left of the input (doubled, if it is) at which the first output pixel begins to read; what
    // lies outside of the input reads as zero. Below zero: rows and columns of the input that it does not read, when
    // input and output are parts of larger maps. Of a folded convolution an odd number.
    std::int32_t padTop = 1, padLeft = 1;
    bool upsample = false; // the input is read as if doubled by nearest neighbour
    Activation activation = Activation::None;
    ConvMethod method = ConvMethod::Direct;

    // Im2col: `chunkRows` rows of output at a time, counted over all pictures; dtype of the input.
    std::optional<TensorId> columns;
    std::uint64_t chunkRows = 0;
    // Winograd, all in the dtype of the input, t tiles over all pictures: the input padded to whole tiles
    // [n, 6 tilesY + 2, 6 tilesX + 2, in], filters [64, in, out], inputs [64, t, in] and products [64, t, out].
    struct Winograd {
        TensorId padded, filters, inputs, products;
    };
    std::optional<Winograd> winograd;
    // Direct, 3×3: the input is read as activation(in * scale + shift).
    struct NormOnLoad {
        TensorId coefficients;
        Activation activation = Activation::None;
        bool usesUp = false; // nothing reads the input again: kernels may norm it in place
    };
    std::optional<NormOnLoad> norm;
    // Of the output, for the norm behind it; at least convSlices() slices.
    std::optional<GroupNormStatsCall> stats;

    // The copies of a framework whose maps have another layout: the input is copied and read there; the result is
    // written to a copy and copied on to `out`.
    std::optional<TensorId> inCopy, outCopy;
};
// out = activation(in * scale + shift); out may be in.
struct GroupNormApplyCall {
    TensorId in, coefficients, out;
    Activation activation = Activation::None;
};
// For each picture and each block of chunkRows queries: scores = q kᵀ scale, softmax by row, out = scores v.
// scores: [chunkRows, pixels rounded up to a multiple of four] in fp32. out may be q.
struct AttentionCall {
    TensorId q, k, v, scores, out;
    bool usesUp = false; // nothing reads k and v again: kernels may rearrange them in place
    std::uint64_t chunkRows = 0;
    float scale = 1.0f;
};
struct TanhClampCall {
    TensorId in, out;
};
// out = activation(in); out may be in.
struct ActivationCall {
    TensorId in, out;
    Activation activation = Activation::Silu;
};
// out = in, or in doubled by nearest neighbour.
struct CopyCall {
    TensorId in, out;
    bool upsample = false;
};
// out = in, one of which lies in memory of the host: copied by the device, but by no kernel.
struct TransferCall {
    TensorId in, out;
    bool toHost = false;
};
// band[(bandRow + y) % band rows][column + x] += in[y][x] rowWeights[y] columnWeights[x], fp32; from row `crossing` on
// with the second line of columnWeights. The weights are [h] and [2, w], at elements of a constant.
struct BlendCall {
    TensorId in, weights, out;
    std::uint64_t rowWeights = 0, columnWeights = 0;
    std::uint64_t bandRow = 0, column = 0, crossing = 0;
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
// Where in the op's input a part of it begins: pictures, rows and columns.
struct InputPart {
    std::uint64_t picture = 0, y = 0, x = 0;
    bool again = false; // an earlier upload of the same run of the op brought another part
};
// Fills a tensor through the staging buffer: with a parameter, a constant, or a part of the op's input. `from`: a host
// tensor that holds the parameter; without one it is read where it is stored.
struct UploadStep {
    TensorId tensor, staging;
    std::optional<TensorId> from;
    InputPart part;
};
struct DispatchStep {
    std::uint32_t call; // of the program's
    // The next dispatch may run beside it: of a row of such dispatches and the one behind them none touches what
    // another one writes.
    bool besideNext = false;
};
// Rows of the op's output.
struct OutputRows {
    TensorId tensor;
    std::uint64_t firstRow = 0, rows = 0; // of each picture of the tensor
    std::uint64_t picture = 0, y = 0;     // what they are in the output
};
// Hands rows of the output to the host through the staging buffer.
struct DownloadStep {
    TensorId staging;
    OutputRows output;
};
// What the steps from here on make is for these parts of the output alone, beside each other; none: for all of it.
struct AreaStep {
    std::vector<OutputArea> areas;
};
// Sets rows of a map to zero.
struct ClearStep {
    TensorId tensor;
    std::uint64_t firstRow = 0, rows = 0;
};
// Ends a batch and waits for the batch `ahead` batches before it; with 0, for all that was submitted.
struct EvaluateStep {
    std::uint32_t ahead = 0;
};
// The steps of a block of the program's, so many times. A block releases what it acquires. In plans alone.
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
    bool retiredReleases = false;    // the device is done with a tensor whenever it is released
    std::vector<std::string> layers; // the graph's, then "input", "weights" and "output" for what has no module
    std::vector<Weight> weights;
    std::vector<Tensor> tensors;
    std::vector<std::vector<float>> constants;
    std::vector<Call> calls;
    std::vector<Step> steps;
    std::vector<std::vector<Step>> blocks; // those that are repeated, after the ones within them
    Shape input, output;                   // of the op, all pictures

    const Tensor& tensor(TensorId id) const { return tensors[id.index]; }
    // Whose memory holds the tensor.
    TensorId storage(TensorId id) const { return tensor(id).within.value_or(id); }
};

// What a call reads and writes, in this order: every tensor that must be alive while it runs.
std::vector<TensorId> reads(const KernelCall& call);
std::vector<TensorId> writes(const KernelCall& call);
std::string kernelName(const KernelCall& call);
OpKind opKind(const KernelCall& call);
// Multiplications and additions of the call counted apart.
std::uint64_t flops(const KernelCall& call, const Program& program);
// Bytes that the call reads and writes when each tensor crosses the bus once in each direction that it is used in.
std::uint64_t traffic(const KernelCall& call, const Program& program);
TensorId output(const KernelCall& call);
// Slices that a convolution may need for the statistics of its output: one for each of its tiles.
std::uint64_t convSlices(const Shape& out);

} // namespace spikescope
