// Every kernel of every set against the obvious version in double precision, at sizes that are no multiple of anything,
// in all storage types. Protects: indexing at edges, packing, fusions, rounding.

#include "tests/support/one_call.h"

#include <future>
#include <set>

namespace spikescope {
namespace {

struct ConvCase {
    std::uint64_t n, h, w, in, out;
    std::uint32_t kernel, stride, pad;
    bool upsample, bias;
    enum { NoResidual, Residual, ResidualInPlace } residual;
    Activation activation;
    DType dtype;
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
    {1, 5, 7, 16, 32, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {1, 17, 19, 64, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::Relu, DType::F32},
    {2, 9, 6, 32, 48, 3, 1, 1, false, false, ConvCase::Residual, Activation::None, DType::F32},
    {1, 16, 16, 32, 16, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::Relu, DType::BF16},
    {1, 11, 13, 32, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::None, DType::BF16},
    {1, 11, 13, 32, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::None, DType::F16},
    {1, 5, 7, 32, 32, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::F32},
    // What tensor cores take, at sizes that are no multiple of their tiles.
    {1, 17, 19, 32, 128, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16},
    {2, 33, 50, 64, 256, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::None, DType::BF16},
    {1, 21, 9, 96, 128, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::BF16},
    {2, 8, 5, 128, 128, 3, 1, 1, true, true, ConvCase::Residual, Activation::None, DType::BF16},
    {2, 33, 18, 64, 128, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::None, DType::F16},
    {1, 9, 10, 64, 128, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::F16},
    {2, 13, 11, 64, 136, 1, 1, 0, false, true, ConvCase::ResidualInPlace, Activation::None, DType::F16},
    {2, 33, 18, 64, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::Relu, DType::BF16},
    {1, 17, 19, 64, 64, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::Relu, DType::BF16},
    {1, 9, 21, 32, 192, 3, 1, 1, false, false, ConvCase::NoResidual, Activation::Relu, DType::F16},
    {1, 11, 20, 64, 128, 3, 1, 1, false, false, ConvCase::Residual, Activation::Relu, DType::F16},
    {2, 3, 9, 64, 16, 3, 1, 1, true, false, ConvCase::NoResidual, Activation::None, DType::BF16},
    {1, 12, 10, 32, 32, 3, 2, 0, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {2, 8, 14, 64, 64, 3, 2, 1, false, false, ConvCase::NoResidual, Activation::None, DType::F16},
    {1, 9, 11, 3, 64, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::Relu, DType::F32},
    {2, 9, 11, 3, 128, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16},
    {2, 9, 11, 64, 3, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {1, 19, 6, 128, 3, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16},
    {1, 37, 70, 64, 3, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16},
    {1, 9, 11, 256, 3, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16},
    {1, 9, 11, 16, 4, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {1, 6, 5, 4, 4, 1, 1, 0, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {2, 6, 5, 64, 128, 1, 1, 0, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {1, 7, 9, 256, 64, 1, 1, 0, false, false, ConvCase::ResidualInPlace, Activation::None, DType::F16},
    {1, 7, 9, 64, 64, 1, 1, 0, false, true, ConvCase::Residual, Activation::Relu, DType::BF16},
    {2, 13, 11, 64, 136, 1, 1, 0, false, true, ConvCase::ResidualInPlace, Activation::None, DType::BF16},
    {1, 7, 9, 256, 128, 1, 1, 0, false, false, ConvCase::NoResidual, Activation::None, DType::BF16},
    {1, 1, 1, 32, 32, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    // Columns: whole, row by row, in pieces that cut a picture; after a doubling, with a stride, to and from few
    // channels.
    {1, 17, 19, 64, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::Relu, DType::F32, im2col},
    {2, 9, 6, 32, 48, 3, 1, 1, false, false, ConvCase::Residual, Activation::None, DType::F32, im2col, 1},
    {2, 7, 5, 32, 64, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16, im2col, 3},
    {2, 3, 9, 64, 16, 3, 1, 1, true, false, ConvCase::NoResidual, Activation::None, DType::F16, im2col, 4},
    {1, 12, 10, 32, 32, 3, 2, 0, false, true, ConvCase::NoResidual, Activation::None, DType::F32, im2col, 2},
    {2, 8, 14, 64, 64, 3, 2, 1, false, false, ConvCase::NoResidual, Activation::None, DType::BF16, im2col},
    {2, 9, 11, 3, 64, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::Relu, DType::F32, im2col, 5},
    {2, 9, 11, 64, 3, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16, im2col, 4},
    {1, 9, 11, 16, 4, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32, im2col},
    // Winograd: sizes that fill tiles and that do not.
    {1, 12, 18, 32, 32, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32, winograd},
    {2, 13, 7, 64, 32, 3, 1, 1, false, false, ConvCase::Residual, Activation::Relu, DType::F32, winograd},
    {1, 11, 13, 32, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::None, DType::F16, winograd},
    {1, 16, 16, 64, 64, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16, winograd},
    {1, 5, 7, 32, 32, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::F32, winograd},
    {1, 1, 1, 32, 32, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32, winograd},
    {1, 87, 30, 32, 96, 3, 1, 1, false, true, ConvCase::Residual, Activation::None, DType::F32, winograd},
    {2, 31, 25, 64, 64, 3, 1, 1, false, false, ConvCase::ResidualInPlace, Activation::Relu, DType::BF16, winograd},
    {2, 16, 17, 96, 32, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::Relu, DType::F16, winograd},
    // Folded doublings.
    {1, 5, 7, 32, 32, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::F32, foldedMethod},
    {2, 3, 9, 64, 16, 3, 1, 1, true, false, ConvCase::NoResidual, Activation::Relu, DType::BF16, foldedMethod},
    {2, 8, 8, 64, 64, 3, 1, 1, true, false, ConvCase::ResidualInPlace, Activation::None, DType::F16, foldedMethod},
    {1, 9, 19, 64, 64, 3, 1, 1, true, false, ConvCase::NoResidual, Activation::Relu, DType::BF16, foldedMethod},
    {1, 1, 1, 32, 48, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::F32, foldedMethod},
    // Copies for another layout, and 16-bit weights under promoted maps.
    {2, 9, 6, 32, 48, 3, 1, 1, false, true, ConvCase::Residual, Activation::None, DType::BF16, direct, 0, true},
    {1, 7, 9, 64, 64, 1, 1, 0, false, true, ConvCase::ResidualInPlace, Activation::Relu, DType::F32, direct, 0, true},
    {1, 9, 11, 64, 3, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16, direct, 0, true},
    {1, 9, 11, 32, 32, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::None, DType::F16, im2col, 2, true},
    {1, 9, 11, 32, 32, 3, 1, 1, false, true, ConvCase::Residual, Activation::None, DType::F32, winograd, 0, true},
    {1, 9, 11, 32, 64, 3, 1, 1, false, true, ConvCase::Residual, Activation::None, DType::F32, direct, 0, false,
     DType::BF16},
    {1, 9, 11, 32, 64, 3, 1, 1, false, true, ConvCase::Residual, Activation::None, DType::F32, im2col, 0, false,
     DType::F16},
    {1, 9, 11, 32, 64, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32, winograd, 0, false,
     DType::BF16},
    {1, 9, 11, 32, 64, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::F32, foldedMethod, 0, false,
     DType::BF16},
    {1, 7, 9, 256, 64, 1, 1, 0, false, false, ConvCase::ResidualInPlace, Activation::None, DType::F32, direct, 0, false,
     DType::F16},
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
    std::uint64_t n, h, w, c;
    std::uint32_t groups;
    Activation activation;
    DType dtype;
    double shift; // mean of the values: far from zero, naive sums of squares lose all digits
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
    {1, 12, 16, 128, 32, Activation::Silu, DType::F32, 0.0},  {2, 7, 5, 512, 32, Activation::Silu, DType::F32, 0.0},
    {1, 13, 11, 256, 32, Activation::None, DType::BF16, 0.0}, {1, 9, 9, 256, 4, Activation::Relu, DType::F16, 0.0},
    {1, 16, 16, 128, 32, Activation::Silu, DType::F32, 30.0}, {1, 1, 1, 512, 32, Activation::None, DType::F32, 0.0},
};
INSTANTIATE_TEST_SUITE_P(Kernels, NormTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(normCases)));

struct AttentionCase {
    std::uint64_t n, h, w, c, chunk;
    DType dtype;
};
class AttentionTest : public testing::TestWithParam<std::tuple<KernelChoice, AttentionCase>> {};

TEST_P(AttentionTest, agreesWithTheReference) {
    const auto& [choice, c] = GetParam();
    OneCall one(choice);
    const Shape shape{c.n, c.h, c.w, c.c};
    // The workspace is one of two, which lie before and behind the maps: kernels may count from one to the other.
    const auto addScores = [&] { return one.add(DType::F32, {1, 1, c.chunk, (c.h * c.w + 3) / 4 * 4}); };
    const TensorId before = addScores(), q = one.add(c.dtype, shape), k = one.add(c.dtype, shape),
                   v = one.add(c.dtype, shape), behind = addScores();
    const float scale = 1.0f / std::sqrt(static_cast<float>(c.c));
    for (const TensorId scores : {before, behind}) {
        const reference::Map mq{shape, one.fill(q, 1.5)}, mk{shape, one.fill(k, 1.5)}, mv{shape, one.fill(v, 1.0)};
        const reference::Map expected = reference::attention(mq, mk, mv, scale);
        // The output over the queries, as the lowering may place it.
        one.run(AttentionCall{
            .q = q, .k = k, .v = v, .scores = scores, .out = q, .usesUp = true, .chunkRows = c.chunk, .scale = scale});
        EXPECT_LE(reference::relativeError(one.read(q), expected.values), 2 * tolerance(c.dtype));
    }
}

const AttentionCase attentionCases[] = {
    {1, 4, 6, 64, 24, DType::F32},
    {2, 5, 5, 128, 8, DType::F32},
    {1, 3, 7, 512, 16, DType::BF16},
    {1, 8, 8, 512, 64, DType::F16},
    {1, 1, 1, 512, 1, DType::F32},
    {2, 9, 13, 64, 117, DType::F32},
    {2, 8, 12, 64, 40, DType::BF16},
    {1, 16, 16, 512, 100, DType::BF16},
    {1, 16, 32, 64, 200, DType::BF16},
    {1, 16, 16, 512, 100, DType::F16},
    {1, 4, 8, 64, 32, DType::BF16},
    {1, 16, 44, 256, 300, DType::BF16},
    {2, 8, 24, 256, 128, DType::F16},
    {1, 8, 8, 256, 64, DType::BF16},
    {1, 23, 29, 256, 200, DType::BF16},
    {2, 11, 13, 512, 143, DType::F16},
    {1, 18, 7, 256, 64, DType::BF16},
    // The portable kernels take four parts of these keys, the last of which is shorter.
    {1, 20, 26, 64, 256, DType::F32},
    {2, 20, 26, 64, 256, DType::F16},
};
INSTANTIATE_TEST_SUITE_P(Kernels, AttentionTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(attentionCases)));

// Threads that ask at the same time get the same pipeline, one that cannot be made does not stop the others.
TEST(Pipelines, areMadeOnceForAllThreads) {
    OneCall one(KernelChoice::Portable);
    const auto library = std::move(*ShaderLibrary::create(one.session->device(), {}));
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
