// Every kernel of every set against the obvious version in double precision, at sizes that are no multiple of anything,
// in all storage types. Protects: indexing at edges, packing, fusions, rounding.

#include "tests/support/one_call.h"

#include <future>
#include <set>

namespace spikescope {
namespace {

struct ConvCase {
    std::uint64_t n = 1, h, w, in, out; // h and w: of the input
    std::uint32_t kernel = 3, stride = 1, pad = 1;
    bool upsample = false, bias = true;
    enum { NoResidual, Residual, ResidualInPlace } residual = NoResidual;
    Activation activation = Activation::None;
    DType dtype = DType::F32;
    ConvMethod method = ConvMethod::Direct;
    std::uint64_t chunkRows = 0; // of im2col; 0: all
    bool copies = false;         // of input and output, as for another layout
    std::optional<DType> weights = std::nullopt;
};

class ConvTest : public testing::TestWithParam<std::tuple<KernelChoice, ConvCase>> {};

TEST_P(ConvTest, agreesWithTheReference) {
    const auto& [choice, c] = GetParam();
    OneCall one(choice);
    ConvCall call{.kernel = c.kernel,
                  .stride = c.stride,
                  .padTop = static_cast<std::int32_t>(c.pad),
                  .padLeft = static_cast<std::int32_t>(c.pad),
                  .upsample = c.upsample,
                  .activation = c.activation};
    const std::uint64_t h = c.upsample ? 2 * c.h : c.h, w = c.upsample ? 2 * c.w : c.w, padEnd = c.kernel == 3 ? 1 : 0;
    const Shape in{c.n, c.h, c.w, c.in};
    const Shape out{c.n, (h + c.pad + padEnd - c.kernel) / c.stride + 1, (w + c.pad + padEnd - c.kernel) / c.stride + 1,
                    c.out};
    const DType inType = c.in % 4 ? DType::F32 : c.dtype, weightType = c.weights.value_or(c.dtype);
    const bool folded = c.method == ConvMethod::Folded;
    call.method = c.method;
    call.in = one.add(inType, in);
    call.weight = one.add(weightType, {1, 1, 1, c.in * c.out * (folded ? 16 : c.kernel * c.kernel)}, Category::Weights);
    call.out = one.add(c.out % 4 ? DType::F32 : c.dtype, out);
    if (c.bias) call.bias = one.add(DType::F32, {1, 1, 1, c.out});
    if (c.residual == ConvCase::Residual) call.residual = one.add(c.dtype, out);
    if (c.residual == ConvCase::ResidualInPlace) call.residual = call.out;
    if (c.method == ConvMethod::Im2col) {
        call.chunkRows = c.chunkRows ? c.chunkRows : out.n * out.h;
        call.columns = one.add(inType, {1, 1, call.chunkRows * out.w, 9 * c.in}, Category::Workspace);
    }
    if (c.method == ConvMethod::Winograd) {
        const std::uint64_t tilesY = (out.h + 5) / 6, tilesX = (out.w + 5) / 6, tiles = out.n * tilesY * tilesX;
        call.winograd = {.padded = one.add(inType, {out.n, 6 * tilesY + 2, 6 * tilesX + 2, c.in}, Category::Workspace),
                         .filters = one.add(inType, {1, 64, c.in, c.out}, Category::Workspace),
                         .inputs = one.add(inType, {1, 64, tiles, c.in}, Category::Workspace),
                         .products = one.add(inType, {1, 64, tiles, c.out}, Category::Workspace)};
    }
    if (c.copies) {
        call.inCopy = one.add(inType, in, Category::Workspace);
        call.outCopy = one.add(one.program.tensor(call.out).dtype, out, Category::Workspace);
    }

    const reference::Map input{in, one.fill(call.in, 1.0)};
    const std::vector<double> weights = one.fillWeights(call);
    const std::vector<double> bias = c.bias ? one.fill(*call.bias, 0.1) : std::vector<double>{};
    reference::Map residual{out, {}};
    if (call.residual) residual.values = one.fill(*call.residual, 1.0);
    const reference::Map expected =
        reference::conv(call, input, weights, bias, call.residual ? &residual : nullptr, out);
    one.run(call);
    // Winograd's workspaces are rounded to 16 bits like any map, and its transforms take differences of large numbers;
    // folded kernels are rounded after their sums.
    double allowed = tolerance(one.program.tensor(call.out).dtype);
    if (c.method == ConvMethod::Winograd) allowed *= inType == DType::F32 ? 8.0 : 20.0;
    if (folded) allowed = 2.0 * std::max(allowed, tolerance(weightType));
    EXPECT_LE(reference::relativeError(one.read(call.out), expected.values), allowed);
}

constexpr ConvMethod direct = ConvMethod::Direct, foldedMethod = ConvMethod::Folded, im2col = ConvMethod::Im2col,
                     winograd = ConvMethod::Winograd;
const ConvCase convCases[] = {
    {.h = 5, .w = 7, .in = 16, .out = 32},
    {.h = 17, .w = 19, .in = 64, .out = 64, .residual = ConvCase::ResidualInPlace, .activation = Activation::Relu},
    {.n = 2, .h = 9, .w = 6, .in = 32, .out = 48, .bias = false, .residual = ConvCase::Residual},
    {.h = 16, .w = 16, .in = 32, .out = 16, .activation = Activation::Relu, .dtype = DType::BF16},
    {.h = 11, .w = 13, .in = 32, .out = 64, .residual = ConvCase::ResidualInPlace, .dtype = DType::BF16},
    {.h = 11, .w = 13, .in = 32, .out = 64, .residual = ConvCase::ResidualInPlace, .dtype = DType::F16},
    {.h = 5, .w = 7, .in = 32, .out = 32, .upsample = true},
    // What tensor cores take, at sizes that are no multiple of their tiles.
    {.h = 17, .w = 19, .in = 32, .out = 128, .dtype = DType::BF16},
    {.n = 2, .h = 33, .w = 50, .in = 64, .out = 256, .residual = ConvCase::ResidualInPlace, .dtype = DType::BF16},
    {.h = 21, .w = 9, .in = 96, .out = 128, .upsample = true, .dtype = DType::BF16},
    {.n = 2,
     .h = 8,
     .w = 5,
     .in = 128,
     .out = 128,
     .upsample = true,
     .residual = ConvCase::Residual,
     .dtype = DType::BF16},
    {.n = 2, .h = 33, .w = 18, .in = 64, .out = 128, .residual = ConvCase::ResidualInPlace, .dtype = DType::F16},
    {.h = 9, .w = 10, .in = 64, .out = 128, .upsample = true, .dtype = DType::F16},
    {.n = 2,
     .h = 13,
     .w = 11,
     .in = 64,
     .out = 136,
     .kernel = 1,
     .pad = 0,
     .residual = ConvCase::ResidualInPlace,
     .dtype = DType::F16},
    {.n = 2,
     .h = 33,
     .w = 18,
     .in = 64,
     .out = 64,
     .residual = ConvCase::ResidualInPlace,
     .activation = Activation::Relu,
     .dtype = DType::BF16},
    {.h = 17, .w = 19, .in = 64, .out = 64, .activation = Activation::Relu, .dtype = DType::BF16},
    {.h = 9, .w = 21, .in = 32, .out = 192, .bias = false, .activation = Activation::Relu, .dtype = DType::F16},
    {.h = 11,
     .w = 20,
     .in = 64,
     .out = 128,
     .bias = false,
     .residual = ConvCase::Residual,
     .activation = Activation::Relu,
     .dtype = DType::F16},
    {.n = 2, .h = 3, .w = 9, .in = 64, .out = 16, .upsample = true, .bias = false, .dtype = DType::BF16},
    {.h = 12, .w = 10, .in = 32, .out = 32, .stride = 2, .pad = 0},
    {.n = 2, .h = 8, .w = 14, .in = 64, .out = 64, .stride = 2, .bias = false, .dtype = DType::F16},
    {.h = 9, .w = 11, .in = 3, .out = 64, .activation = Activation::Relu},
    {.n = 2, .h = 9, .w = 11, .in = 3, .out = 128, .dtype = DType::BF16},
    {.n = 2, .h = 9, .w = 11, .in = 64, .out = 3},
    // Latents of three channels: between the quant conv and the decoder, and the encoder's six moments.
    {.n = 2, .h = 9, .w = 11, .in = 3, .out = 3, .kernel = 1, .pad = 0},
    {.h = 7, .w = 6, .in = 6, .out = 6, .kernel = 1, .pad = 0},
    {.n = 2, .h = 5, .w = 9, .in = 3, .out = 6, .bias = false},
    {.n = 2, .h = 9, .w = 11, .in = 128, .out = 6, .dtype = DType::BF16},
    {.h = 19, .w = 6, .in = 128, .out = 3, .dtype = DType::BF16},
    {.h = 37, .w = 70, .in = 64, .out = 3, .dtype = DType::BF16},
    {.h = 9, .w = 11, .in = 256, .out = 3, .dtype = DType::BF16},
    {.h = 9, .w = 11, .in = 16, .out = 4},
    {.h = 6, .w = 5, .in = 4, .out = 4, .kernel = 1, .pad = 0},
    {.n = 2, .h = 6, .w = 5, .in = 64, .out = 128, .kernel = 1, .pad = 0},
    {.h = 7,
     .w = 9,
     .in = 256,
     .out = 64,
     .kernel = 1,
     .pad = 0,
     .bias = false,
     .residual = ConvCase::ResidualInPlace,
     .dtype = DType::F16},
    {.h = 7,
     .w = 9,
     .in = 64,
     .out = 64,
     .kernel = 1,
     .pad = 0,
     .residual = ConvCase::Residual,
     .activation = Activation::Relu,
     .dtype = DType::BF16},
    {.n = 2,
     .h = 13,
     .w = 11,
     .in = 64,
     .out = 136,
     .kernel = 1,
     .pad = 0,
     .residual = ConvCase::ResidualInPlace,
     .dtype = DType::BF16},
    {.h = 7, .w = 9, .in = 256, .out = 128, .kernel = 1, .pad = 0, .bias = false, .dtype = DType::BF16},
    {.h = 1, .w = 1, .in = 32, .out = 32},
    // Columns: whole, row by row, in chunks that cut a picture; upsampled, with a stride, to and from few
    // channels.
    {.h = 17,
     .w = 19,
     .in = 64,
     .out = 64,
     .residual = ConvCase::ResidualInPlace,
     .activation = Activation::Relu,
     .method = im2col},
    {.n = 2,
     .h = 9,
     .w = 6,
     .in = 32,
     .out = 48,
     .bias = false,
     .residual = ConvCase::Residual,
     .method = im2col,
     .chunkRows = 1},
    {.n = 2, .h = 7, .w = 5, .in = 32, .out = 64, .dtype = DType::BF16, .method = im2col, .chunkRows = 3},
    {.n = 2,
     .h = 3,
     .w = 9,
     .in = 64,
     .out = 16,
     .upsample = true,
     .bias = false,
     .dtype = DType::F16,
     .method = im2col,
     .chunkRows = 4},
    {.h = 12, .w = 10, .in = 32, .out = 32, .stride = 2, .pad = 0, .method = im2col, .chunkRows = 2},
    {.n = 2, .h = 8, .w = 14, .in = 64, .out = 64, .stride = 2, .bias = false, .dtype = DType::BF16, .method = im2col},
    {.n = 2, .h = 9, .w = 11, .in = 3, .out = 64, .activation = Activation::Relu, .method = im2col, .chunkRows = 5},
    {.n = 2, .h = 9, .w = 11, .in = 64, .out = 3, .dtype = DType::BF16, .method = im2col, .chunkRows = 4},
    {.h = 9, .w = 11, .in = 16, .out = 4, .method = im2col},
    // Winograd: sizes that fill tiles and that do not.
    {.h = 12, .w = 18, .in = 32, .out = 32, .method = winograd},
    {.n = 2,
     .h = 13,
     .w = 7,
     .in = 64,
     .out = 32,
     .bias = false,
     .residual = ConvCase::Residual,
     .activation = Activation::Relu,
     .method = winograd},
    {.h = 11,
     .w = 13,
     .in = 32,
     .out = 64,
     .residual = ConvCase::ResidualInPlace,
     .dtype = DType::F16,
     .method = winograd},
    {.h = 16, .w = 16, .in = 64, .out = 64, .dtype = DType::BF16, .method = winograd},
    {.h = 5, .w = 7, .in = 32, .out = 32, .upsample = true, .method = winograd},
    {.h = 1, .w = 1, .in = 32, .out = 32, .method = winograd},
    {.h = 87, .w = 30, .in = 32, .out = 96, .residual = ConvCase::Residual, .method = winograd},
    {.n = 2,
     .h = 31,
     .w = 25,
     .in = 64,
     .out = 64,
     .bias = false,
     .residual = ConvCase::ResidualInPlace,
     .activation = Activation::Relu,
     .dtype = DType::BF16,
     .method = winograd},
    {.n = 2,
     .h = 16,
     .w = 17,
     .in = 96,
     .out = 32,
     .upsample = true,
     .activation = Activation::Relu,
     .dtype = DType::F16,
     .method = winograd},
    // Folded upsampling.
    {.h = 5, .w = 7, .in = 32, .out = 32, .upsample = true, .method = foldedMethod},
    {.n = 2,
     .h = 3,
     .w = 9,
     .in = 64,
     .out = 16,
     .upsample = true,
     .bias = false,
     .activation = Activation::Relu,
     .dtype = DType::BF16,
     .method = foldedMethod},
    {.n = 2,
     .h = 8,
     .w = 8,
     .in = 64,
     .out = 64,
     .upsample = true,
     .bias = false,
     .residual = ConvCase::ResidualInPlace,
     .dtype = DType::F16,
     .method = foldedMethod},
    {.h = 9,
     .w = 19,
     .in = 64,
     .out = 64,
     .upsample = true,
     .bias = false,
     .activation = Activation::Relu,
     .dtype = DType::BF16,
     .method = foldedMethod},
    {.h = 1, .w = 1, .in = 32, .out = 48, .upsample = true, .method = foldedMethod},
    // Copies for another layout, and 16-bit weights under promoted feature maps.
    {.n = 2, .h = 9, .w = 6, .in = 32, .out = 48, .residual = ConvCase::Residual, .dtype = DType::BF16, .copies = true},
    {.h = 7,
     .w = 9,
     .in = 64,
     .out = 64,
     .kernel = 1,
     .pad = 0,
     .residual = ConvCase::ResidualInPlace,
     .activation = Activation::Relu,
     .copies = true},
    {.h = 9, .w = 11, .in = 64, .out = 3, .dtype = DType::BF16, .copies = true},
    {.h = 9,
     .w = 11,
     .in = 32,
     .out = 32,
     .residual = ConvCase::ResidualInPlace,
     .dtype = DType::F16,
     .method = im2col,
     .chunkRows = 2,
     .copies = true},
    {.h = 9, .w = 11, .in = 32, .out = 32, .residual = ConvCase::Residual, .method = winograd, .copies = true},
    {.h = 9, .w = 11, .in = 32, .out = 64, .residual = ConvCase::Residual, .weights = DType::BF16},
    {.h = 9, .w = 11, .in = 32, .out = 64, .residual = ConvCase::Residual, .method = im2col, .weights = DType::F16},
    {.h = 9, .w = 11, .in = 32, .out = 64, .method = winograd, .weights = DType::BF16},
    {.h = 9, .w = 11, .in = 32, .out = 64, .upsample = true, .method = foldedMethod, .weights = DType::BF16},
    {.h = 7,
     .w = 9,
     .in = 256,
     .out = 64,
     .kernel = 1,
     .pad = 0,
     .bias = false,
     .residual = ConvCase::ResidualInPlace,
     .weights = DType::F16},
};

constexpr KernelChoice bothSets[] = {KernelChoice::Portable, KernelChoice::Best};
INSTANTIATE_TEST_SUITE_P(Kernels, ConvTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(convCases)));

struct CopyCase {
    Shape shape;
    bool upsample;
    DType dtype;
};
class CopyTest : public testing::TestWithParam<std::tuple<KernelChoice, CopyCase>> {};

TEST_P(CopyTest, movesEveryElement) {
    const auto& [choice, c] = GetParam();
    OneCall one(choice);
    const std::uint64_t factor = c.upsample ? 2 : 1;
    const Shape doubled{c.shape.n, factor * c.shape.h, factor * c.shape.w, c.shape.c};
    const TensorId in = one.add(c.dtype, c.shape), out = one.add(c.dtype, doubled);
    const reference::Map from{c.shape, one.fill(in, 1.0)};
    one.run(CopyCall{.in = in, .out = out, .upsample = c.upsample});
    const reference::Map to{doubled, one.read(out)};
    for (std::uint64_t n = 0; n < doubled.n; ++n)
        for (std::uint64_t y = 0; y < doubled.h; ++y)
            for (std::uint64_t x = 0; x < doubled.w; ++x)
                for (std::uint64_t k = 0; k < doubled.c; ++k)
                    ASSERT_EQ(to.at(n, y, x, k), from.at(n, y / factor, x / factor, k));
}

const CopyCase copyCases[] = {
    {{2, 5, 7, 3}, false, DType::F32}, {{1, 1, 1, 3}, false, DType::F32}, {{2, 5, 7, 64}, false, DType::BF16},
    {{1, 3, 3, 4}, false, DType::F16}, {{2, 5, 7, 64}, true, DType::F32}, {{1, 1, 1, 4}, true, DType::BF16},
    {{2, 3, 5, 32}, true, DType::F16},
};
INSTANTIATE_TEST_SUITE_P(Kernels, CopyTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(copyCases)));

TEST(ActivationKernel, agreesWithTheReferenceAlsoInPlace) {
    for (const KernelChoice choice : bothSets)
        for (const DType dtype : {DType::F32, DType::F16, DType::BF16})
            for (const Activation activation : {Activation::Silu, Activation::Relu})
                for (const bool inPlace : {false, true}) {
                    OneCall one(choice);
                    const Shape shape{2, 5, 7, 32};
                    const TensorId in = one.add(dtype, shape), out = inPlace ? in : one.add(dtype, shape);
                    std::vector<double> values = one.fill(in, 4.0);
                    for (double& value : values) value = reference::activate(activation, value);
                    one.run(ActivationCall{.in = in, .out = out, .activation = activation});
                    EXPECT_LE(reference::relativeError(one.read(out), values), tolerance(dtype));
                }
}

struct NormCase {
    std::uint64_t n = 1, h, w, c;
    std::uint32_t groups = 32;
    Activation activation;
    DType dtype = DType::F32;
    double shift = 0.0; // mean of the values: far from zero, naive sums of squares lose all digits
};

class NormTest : public testing::TestWithParam<std::tuple<KernelChoice, NormCase>> {};

TEST_P(NormTest, agreesWithTheReference) {
    const auto& [choice, c] = GetParam();
    OneCall one(choice);
    const Shape shape{c.n, c.h, c.w, c.c};
    const std::uint64_t slices = 3;
    const TensorId in = one.add(c.dtype, shape), gamma = one.add(DType::F32, {1, 1, 1, c.c}),
                   beta = one.add(DType::F32, {1, 1, 1, c.c});
    const TensorId partials = one.add(DType::F32, {c.n, slices, c.groups, 4}),
                   coefficients = one.add(DType::F32, {c.n, 1, c.c, 2});
    const reference::Map input{shape, one.fill(in, 1.0, c.shift)};
    const std::vector<double> g = one.fill(gamma, 0.1, 1.0), b = one.fill(beta, 0.1);
    const reference::Map expected = reference::groupNorm(input, g, b, c.groups, 1e-6, c.activation);
    one.run(GroupNormStatsCall{.in = in,
                               .gamma = gamma,
                               .beta = beta,
                               .partials = partials,
                               .coefficients = coefficients,
                               .groups = c.groups,
                               .slices = slices,
                               .eps = 1e-6f});
    const std::vector<double> first = one.read(coefficients);
    one.run(GroupNormApplyCall{.in = in, .coefficients = coefficients, .out = in, .activation = c.activation});
    // A mean far from zero leaves fewer digits in the inputs themselves.
    EXPECT_LE(reference::relativeError(one.read(in), expected.values), tolerance(c.dtype) * std::max(1.0, c.shift));
}

const NormCase normCases[] = {
    {.h = 12, .w = 16, .c = 128, .activation = Activation::Silu},
    {.n = 2, .h = 7, .w = 5, .c = 512, .activation = Activation::Silu},
    {.h = 13, .w = 11, .c = 256, .activation = Activation::None, .dtype = DType::BF16},
    {.h = 9, .w = 9, .c = 256, .groups = 4, .activation = Activation::Relu, .dtype = DType::F16},
    {.h = 16, .w = 16, .c = 128, .activation = Activation::Silu, .shift = 30.0},
    {.h = 1, .w = 1, .c = 512, .activation = Activation::None},
    // Groups of 3, 6, 12 and 24 channels, of which a round of 512 channels holds no whole number.
    {.n = 2, .h = 7, .w = 5, .c = 96, .activation = Activation::Silu},
    {.n = 2, .h = 13, .w = 11, .c = 192, .activation = Activation::Silu, .dtype = DType::BF16},
    {.h = 9, .w = 9, .c = 384, .activation = Activation::None, .shift = 30.0},
    {.n = 2, .h = 7, .w = 6, .c = 768, .activation = Activation::Silu, .dtype = DType::F16},
    {.h = 5, .w = 3, .c = 1152, .groups = 384, .activation = Activation::None},
};
INSTANTIATE_TEST_SUITE_P(Kernels, NormTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(normCases)));

struct AttentionCase {
    std::uint64_t n = 1, h, w, c, chunk;
    DType dtype = DType::F32;
};
class AttentionTest : public testing::TestWithParam<std::tuple<KernelChoice, AttentionCase>> {};

TEST_P(AttentionTest, agreesWithTheReference) {
    const auto& [choice, c] = GetParam();
    OneCall one(choice);
    const Shape shape{c.n, c.h, c.w, c.c};
    // The workspace is one of two, at addresses below and above the tensors: kernels may count from one to the other.
    const auto addScores = [&] { return one.add(DType::F32, {1, 1, c.chunk, (c.h * c.w + 3) / 4 * 4}); };
    const TensorId before = addScores(), q = one.add(c.dtype, shape), k = one.add(c.dtype, shape),
                   v = one.add(c.dtype, shape), behind = addScores();
    const float scale = 1.0f / std::sqrt(static_cast<float>(c.c));
    for (const TensorId scores : {before, behind}) {
        const reference::Map mq{shape, one.fill(q, 1.5)}, mk{shape, one.fill(k, 1.5)}, mv{shape, one.fill(v, 1.0)};
        const reference::Map expected = reference::attention(mq, mk, mv, scale);
        // The output over the queries, as the lowering may place it.
        one.run(AttentionCall{.q = q,
                              .k = k,
                              .v = v,
                              .scores = scores,
                              .out = q,
                              .isLastUse = true,
                              .chunkRows = c.chunk,
                              .scale = scale});
        EXPECT_LE(reference::relativeError(one.read(q), expected.values), 2 * tolerance(c.dtype));
    }
}

const AttentionCase attentionCases[] = {
    {.h = 4, .w = 6, .c = 64, .chunk = 24},
    {.n = 2, .h = 5, .w = 5, .c = 128, .chunk = 8},
    {.h = 3, .w = 7, .c = 512, .chunk = 16, .dtype = DType::BF16},
    {.h = 8, .w = 8, .c = 512, .chunk = 64, .dtype = DType::F16},
    {.h = 1, .w = 1, .c = 512, .chunk = 1},
    {.n = 2, .h = 9, .w = 13, .c = 64, .chunk = 117},
    {.n = 2, .h = 8, .w = 12, .c = 64, .chunk = 40, .dtype = DType::BF16},
    {.h = 16, .w = 16, .c = 512, .chunk = 100, .dtype = DType::BF16},
    {.h = 16, .w = 32, .c = 64, .chunk = 200, .dtype = DType::BF16},
    {.h = 16, .w = 16, .c = 512, .chunk = 100, .dtype = DType::F16},
    {.h = 4, .w = 8, .c = 64, .chunk = 32, .dtype = DType::BF16},
    {.h = 16, .w = 44, .c = 256, .chunk = 300, .dtype = DType::BF16},
    {.n = 2, .h = 8, .w = 24, .c = 256, .chunk = 128, .dtype = DType::F16},
    {.h = 8, .w = 8, .c = 256, .chunk = 64, .dtype = DType::BF16},
    {.h = 23, .w = 29, .c = 256, .chunk = 200, .dtype = DType::BF16},
    {.n = 2, .h = 11, .w = 13, .c = 512, .chunk = 143, .dtype = DType::F16},
    {.h = 18, .w = 7, .c = 256, .chunk = 64, .dtype = DType::BF16},
    // The portable kernels make four splits of these keys, the last of which is shorter.
    {.h = 20, .w = 26, .c = 64, .chunk = 256},
    {.n = 2, .h = 20, .w = 26, .c = 64, .chunk = 256, .dtype = DType::F16},
};
INSTANTIATE_TEST_SUITE_P(Kernels, AttentionTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(attentionCases)));

// Threads that ask at the same time get the same pipeline, one that cannot be made does not stop the others.
TEST(Pipelines, areMadeOnceForAllThreads) {
    OneCall one(KernelChoice::Portable);
    const auto library = std::move(*ShaderLibrary::create(one.backend->device(), {}));
    std::vector<std::future<std::vector<Result<Pipeline>>>> threads;
    for (int i = 0; i < 8; ++i)
        threads.push_back(std::async(std::launch::async, [&] {
            return std::vector{library->pipeline("softmax.comp", {}), library->pipeline("missing.comp", {}),
                               library->pipeline("group_norm_coefficients.comp", {})};
        }));
    std::set<VkPipeline> softmax, coefficients;
    for (auto& thread : threads) {
        const auto made = thread.get();
        ASSERT_TRUE(made[0] && made[2]);
        EXPECT_FALSE(made[1]);
        softmax.insert(made[0]->handle);
        coefficients.insert(made[2]->handle);
    }
    EXPECT_EQ(softmax.size(), 1u);
    EXPECT_EQ(coefficients.size(), 1u);
    EXPECT_NE(softmax, coefficients);
}

} // namespace
} // namespace spikescope
