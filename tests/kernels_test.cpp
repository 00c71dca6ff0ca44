// Every kernel of every set against the obvious version in double precision, at sizes that are no multiple of anything,
// in all storage types. Protects: indexing at edges, packing, fusions, rounding.

#include "core/graph/float_convert.h"
#include "core/run/session.h"
#include "tests/support/reference_ops.h"

#include <gtest/gtest.h>

#include <random>

namespace spikescope {
namespace {

double rounded(DType dtype, double value) {
    const auto f = static_cast<float>(value);
    if (dtype == DType::F16) return fp16ToFloat(floatToFp16(f));
    if (dtype == DType::BF16) return bf16ToFloat(floatToBf16(f));
    return f;
}

// A program of one call over host-visible tensors.
class OneCall {
public:
    explicit OneCall(KernelChoice choice) {
        auto opened = Session::open(
            {.device = "cpu", .kernels = choice, .validate = choice == KernelChoice::Portable, .cacheFolder = {}});
        EXPECT_TRUE(opened) << opened.error().message;
        session = std::move(*opened);
        auto instance = Instance::create();
        shaders = std::move(*ShaderLibrary::create(session->device(), {}));
        kernels = Kernels::create(session->device(), *shaders, choice);
        heap = std::move(*VulkanHeap::create(session->device()));
    }
    ~OneCall() {
        for (const Placement& placement : placements) heap->free(placement.block);
        EXPECT_EQ(heap->liveBlocks(), 0u);
        EXPECT_EQ(session->validationMessages(), 0);
    }

    TensorId add(DType dtype, Shape shape, Category category = Category::Activation) {
        Tensor tensor{.name = "t",
                      .category = category,
                      .dtype = dtype,
                      .shape = shape,
                      .dims = {shape.n, shape.h, shape.w, shape.c},
                      .bytes = shape.elements() * sizeOf(dtype)};
        auto block = heap->allocate((tensor.bytes + 255) / 256 * 256, MemoryKind::HostVisible);
        EXPECT_TRUE(block);
        std::memset(heap->mapped(block->id), 0xff, block->bytes); // NaN wherever nothing is written
        placements.push_back({.block = *block, .offset = 0, .bytes = tensor.bytes});
        bindings.push_back({.buffer = heap->buffer(block->id), .offset = 0, .address = block->address});
        program.tensors.push_back(std::move(tensor));
        return TensorId{static_cast<std::uint32_t>(program.tensors.size() - 1)};
    }
    std::byte* data(TensorId id) { return heap->mapped(placements[id.index].block.id); }
    void set(TensorId id, std::uint64_t i, double value) {
        const auto f = static_cast<float>(value);
        const DType dtype = program.tensor(id).dtype;
        const std::uint16_t half = dtype == DType::F16 ? floatToFp16(f) : floatToBf16(f);
        dtype == DType::F32 ? std::memcpy(data(id) + 4 * i, &f, 4) : std::memcpy(data(id) + 2 * i, &half, 2);
    }
    // Random values as they are after rounding to the tensor's type.
    std::vector<double> fill(TensorId id, double scale, double shift = 0.0) {
        std::normal_distribution<double> normal(shift, scale);
        std::vector<double> values(program.tensor(id).bytes / sizeOf(program.tensor(id).dtype));
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = rounded(program.tensor(id).dtype, normal(random));
            set(id, i, values[i]);
        }
        return values;
    }
    std::vector<double> read(TensorId id) {
        const Tensor& tensor = program.tensor(id);
        std::vector<double> values(tensor.shape.elements());
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (tensor.dtype == DType::F32) {
                float f;
                std::memcpy(&f, data(id) + 4 * i, 4);
                values[i] = f;
            } else {
                std::uint16_t bits;
                std::memcpy(&bits, data(id) + 2 * i, 2);
                values[i] = tensor.dtype == DType::F16 ? fp16ToFloat(bits) : bf16ToFloat(bits);
            }
        }
        return values;
    }
    void run(const KernelCall& call) {
        program.layers = {"layer"};
        for (Tensor& tensor : program.tensors) tensor.layer = LayerId{0};
        program.steps = {DispatchStep{.call = call, .layer = LayerId{0}}};
        const Parameters parameters(7);
        const Input input;
        const CancelFlag cancel;
        auto executor =
            Executor::create(session->device(), *heap, *kernels, program, {parameters, input, {}, cancel, {}});
        ASSERT_TRUE(executor) << executor.error().message;
        for (std::uint32_t i = 0; i < placements.size(); ++i) (*executor)->bind(TensorId{i}, placements[i]);
        const auto done = (*executor)->dispatch(std::get<DispatchStep>(program.steps[0]), 0);
        ASSERT_TRUE(done) << done.error().message;
        ASSERT_TRUE((*executor)->evaluate());
    }

    std::mt19937 random{42};
    std::unique_ptr<Session> session;
    std::unique_ptr<VulkanHeap> heap;
    std::unique_ptr<ShaderLibrary> shaders;
    std::unique_ptr<Kernels> kernels;
    Program program;
    Bindings bindings;
    std::vector<Placement> placements;
};

// The error that rounding the result alone makes, with room for fp32 sums.
double tolerance(DType dtype) { return dtype == DType::F32 ? 1e-6 : dtype == DType::F16 ? 4e-4 : 3e-3; }

struct ConvCase {
    std::uint64_t n, h, w, in, out;
    std::uint32_t kernel, stride, pad;
    bool upsample, bias;
    enum { NoResidual, Residual, ResidualInPlace } residual;
    Activation activation;
    DType dtype;
};

class ConvTest : public testing::TestWithParam<std::tuple<KernelChoice, ConvCase>> {};

TEST_P(ConvTest, agreesWithTheReference) {
    const auto& [choice, c] = GetParam();
    OneCall one(choice);
    ConvCall call{
        .kernel = c.kernel, .stride = c.stride, .padBegin = c.pad, .upsample = c.upsample, .activation = c.activation};
    const std::uint64_t h = c.upsample ? 2 * c.h : c.h, w = c.upsample ? 2 * c.w : c.w, padEnd = c.kernel == 3 ? 1 : 0;
    const Shape in{c.n, c.h, c.w, c.in};
    const Shape out{c.n, (h + c.pad + padEnd - c.kernel) / c.stride + 1, (w + c.pad + padEnd - c.kernel) / c.stride + 1,
                    c.out};
    call.in = one.add(c.in % 4 ? DType::F32 : c.dtype, in);
    call.weight = one.add(c.dtype, {1, 1, 1, c.in * c.out * c.kernel * c.kernel}, Category::Weights);
    call.out = one.add(c.out % 4 ? DType::F32 : c.dtype, out);
    if (c.bias) call.bias = one.add(DType::F32, {1, 1, 1, c.out});
    if (c.residual == ConvCase::Residual) call.residual = one.add(c.dtype, out);
    if (c.residual == ConvCase::ResidualInPlace) call.residual = call.out;

    const reference::Map input{in, one.fill(call.in, 1.0)};
    // Weights in the checkpoint's order, then packed as the kernel wants them.
    std::vector<double> weights(c.in * c.out * c.kernel * c.kernel);
    std::vector<float> stored(weights.size());
    std::normal_distribution<double> normal(0.0, 1.0 / std::sqrt(static_cast<double>(c.in * c.kernel * c.kernel)));
    for (std::size_t i = 0; i < weights.size(); ++i)
        stored[i] = static_cast<float>(weights[i] = rounded(c.dtype, normal(one.random)));
    packWeights(StoredValues<DType::F32>{reinterpret_cast<const std::byte*>(stored.data())},
                one.kernels->packing(call, one.program), c.dtype, 0, stored.size(), one.data(call.weight));
    const std::vector<double> bias = c.bias ? one.fill(*call.bias, 0.1) : std::vector<double>{};
    reference::Map residual{out, {}};
    if (call.residual) residual.values = one.fill(*call.residual, 1.0);
    const reference::Map expected =
        reference::conv(call, input, weights, bias, call.residual ? &residual : nullptr, out);
    one.run(call);
    EXPECT_LE(reference::relativeError(one.read(call.out), expected.values),
              tolerance(one.program.tensor(call.out).dtype));
}

const ConvCase convCases[] = {
    {1, 5, 7, 16, 32, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {1, 17, 19, 64, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::Relu, DType::F32},
    {2, 9, 6, 32, 48, 3, 1, 1, false, false, ConvCase::Residual, Activation::None, DType::F32},
    {1, 16, 16, 32, 16, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::Relu, DType::BF16},
    {1, 11, 13, 32, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::None, DType::BF16},
    {1, 11, 13, 32, 64, 3, 1, 1, false, true, ConvCase::ResidualInPlace, Activation::None, DType::F16},
    {1, 5, 7, 32, 32, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {2, 3, 9, 64, 16, 3, 1, 1, true, false, ConvCase::NoResidual, Activation::None, DType::BF16},
    {1, 12, 10, 32, 32, 3, 2, 0, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {2, 8, 14, 64, 64, 3, 2, 1, false, false, ConvCase::NoResidual, Activation::None, DType::F16},
    {1, 9, 11, 3, 64, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::Relu, DType::F32},
    {2, 9, 11, 3, 128, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16},
    {2, 9, 11, 64, 3, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {1, 19, 6, 128, 3, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::BF16},
    {1, 9, 11, 16, 4, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {1, 6, 5, 4, 4, 1, 1, 0, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {2, 6, 5, 64, 128, 1, 1, 0, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
    {1, 7, 9, 256, 64, 1, 1, 0, false, false, ConvCase::ResidualInPlace, Activation::None, DType::F16},
    {1, 7, 9, 64, 64, 1, 1, 0, false, true, ConvCase::Residual, Activation::Relu, DType::BF16},
    {1, 1, 1, 32, 32, 3, 1, 1, false, true, ConvCase::NoResidual, Activation::None, DType::F32},
};

constexpr KernelChoice bothSets[] = {KernelChoice::Portable, KernelChoice::Best};
INSTANTIATE_TEST_SUITE_P(Kernels, ConvTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(convCases)));

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
    const TensorId q = one.add(c.dtype, shape), k = one.add(c.dtype, shape), v = one.add(c.dtype, shape);
    const TensorId scores = one.add(DType::F32, {1, 1, c.chunk, (c.h * c.w + 3) / 4 * 4});
    const float scale = 1.0f / std::sqrt(static_cast<float>(c.c));
    const reference::Map mq{shape, one.fill(q, 1.5)}, mk{shape, one.fill(k, 1.5)}, mv{shape, one.fill(v, 1.0)};
    const reference::Map expected = reference::attention(mq, mk, mv, scale);
    // The output over the queries, as the lowering may place it.
    one.run(AttentionCall{.q = q, .k = k, .v = v, .scores = scores, .out = q, .chunkRows = c.chunk, .scale = scale});
    EXPECT_LE(reference::relativeError(one.read(q), expected.values), 2 * tolerance(c.dtype));
}

const AttentionCase attentionCases[] = {
    {1, 4, 6, 64, 24, DType::F32},  {2, 5, 5, 128, 8, DType::F32}, {1, 3, 7, 512, 16, DType::BF16},
    {1, 8, 8, 512, 64, DType::F16}, {1, 1, 1, 512, 1, DType::F32},
};
INSTANTIATE_TEST_SUITE_P(Kernels, AttentionTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(attentionCases)));

} // namespace
} // namespace spikescope
