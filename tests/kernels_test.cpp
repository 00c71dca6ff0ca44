// Every kernel of every set against the obvious version in double precision, at sizes that are no multiple of anything,
// in all storage types. Protects: indexing at edges, packing, fusions, rounding.

#include "core/graph/float_convert.h"
#include "core/kernels/portable_kernels.h"
#include "core/run/session.h"
#include "tests/support/reference_ops.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>

namespace spikescope {
namespace {

double rounded(DType dtype, double value) {
    const auto f = static_cast<float>(value);
    if (dtype == DType::F16) return fp16ToFloat(floatToFp16(f));
    if (dtype == DType::BF16) return bf16ToFloat(floatToBf16(f));
    return f;
}

// The CPU device, which every machine with Mesa has, unless another is named.
std::string testDevice() {
    const char* named = std::getenv("SPIKESCOPE_TEST_DEVICE");
    return named ? named : "cpu";
}

// One session for each set: some drivers refuse after a handful of instances in a process, and pipelines take long to
// make. They end before main() does, while the driver's own globals are still there.
struct OpenSet {
    std::unique_ptr<Session> session;
    std::unique_ptr<ShaderLibrary> shaders;
    std::unique_ptr<Kernels> kernels;
};
std::map<KernelChoice, OpenSet> sets;

class EndOfSets : public testing::Environment {
    void TearDown() override { sets.clear(); }
};
const auto* const endOfSets = testing::AddGlobalTestEnvironment(new EndOfSets);

// A program of one call over host-visible tensors.
class OneCall {
public:
    explicit OneCall(KernelChoice choice) {
        OpenSet& set = sets[choice];
        if (!set.session) {
            auto opened = Session::open({.device = testDevice(),
                                         .kernels = choice,
                                         .validate = choice == KernelChoice::Portable && testDevice() == "cpu",
                                         .cacheFolder = {}});
            EXPECT_TRUE(opened) << opened.error().message;
            set.session = std::move(*opened);
            set.shaders = std::move(*ShaderLibrary::create(set.session->device(), {}));
            set.kernels = Kernels::create(set.session->device(), *set.shaders, choice);
        }
        session = set.session.get();
        shaders = set.shaders.get();
        kernels = set.kernels.get();
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
        ASSERT_TRUE((*executor)->evaluate(0));
    }

    std::mt19937 random{42};
    Session* session = nullptr;
    std::unique_ptr<VulkanHeap> heap;
    ShaderLibrary* shaders = nullptr;
    Kernels* kernels = nullptr;
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
    ConvMethod method = ConvMethod::Direct;
    std::uint64_t chunkRows = 0; // of im2col; 0: all
    bool copies = false;         // of input and output, as for another layout
    std::optional<DType> weights = std::nullopt;
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
    // Weights in the checkpoint's order, then packed as the kernel wants them.
    std::vector<double> weights(c.in * c.out * c.kernel * c.kernel);
    std::vector<float> stored(weights.size());
    std::normal_distribution<double> normal(0.0, 1.0 / std::sqrt(static_cast<double>(c.in * c.kernel * c.kernel)));
    for (std::size_t i = 0; i < weights.size(); ++i)
        stored[i] = static_cast<float>(weights[i] = rounded(weightType, normal(one.random)));
    const StoredValues<DType::F32> values{reinterpret_cast<const std::byte*>(stored.data())};
    const WeightPacking packing = one.kernels->packing(call, one.program);
    if (folded)
        packFoldedWeights(values, c.in * c.out, packing, weightType, 0, c.in * c.out * 16, one.data(call.weight));
    else
        packWeights(values, packing, weightType, 0, stored.size(), one.data(call.weight));
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
    // Folded doublings.
    {1, 5, 7, 32, 32, 3, 1, 1, true, true, ConvCase::NoResidual, Activation::None, DType::F32, foldedMethod},
    {2, 3, 9, 64, 16, 3, 1, 1, true, false, ConvCase::NoResidual, Activation::Relu, DType::BF16, foldedMethod},
    {2, 8, 8, 64, 64, 3, 1, 1, true, false, ConvCase::ResidualInPlace, Activation::None, DType::F16, foldedMethod},
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

// Products as no call asks for them at these sizes: every tile, rows that lie apart, a norm on the way in.
class OneProduct final : public PortableKernels {
public:
    using PortableKernels::PortableKernels;
    using PortableKernels::Product;
    using PortableKernels::Tile;

    Result<void> encode(const KernelCall&, const Program& program, const Bindings& bindings,
                        std::vector<Dispatch>& dispatches) override {
        return product(what, defines, {program, bindings, dispatches}, tile);
    }

    Product what;
    std::vector<Define> defines;
    Tile tile;
};

struct ProductCase {
    std::uint64_t in, out;
    std::uint32_t kernel, stride;
    bool upsample, keys; // keys: b as rows
    std::optional<Activation> norm;
    DType dtype;
};
class ProductTest : public testing::TestWithParam<std::tuple<OneProduct::Tile, ProductCase>> {};

TEST_P(ProductTest, agreesWithTheReference) {
    const auto& [tile, c] = GetParam();
    OneCall one(KernelChoice::Portable);
    constexpr std::uint64_t pictures = 2, height = 13, width = 11, apart = 8;
    const std::uint32_t scaling = c.upsample ? 2 : 1, pad = c.kernel == 3 ? 1 : 0;
    const Shape in{pictures, height, width, c.in}, stored{pictures, height, width, c.in + apart};
    const Shape out{pictures, (scaling * height - 1) / c.stride + 1, (scaling * width - 1) / c.stride + 1, c.out};
    const std::uint64_t outStride = (c.out + 3) / 4 * 4 + apart;
    const TensorId input = one.add(c.dtype, stored), output = one.add(c.dtype, {pictures, out.h, out.w, outStride}),
                   weight = one.add(c.dtype, {1, c.kernel * c.kernel, c.in, c.out}), bias = one.add(DType::F32, out),
                   coefficients = one.add(DType::F32, {pictures, 1, c.in, 2});
    const std::vector<double> all = one.fill(input, 1.0), before = one.fill(output, 1.0),
                              weights = one.fill(weight, 0.1), shifts = one.fill(bias, 0.1),
                              pairs = one.fill(coefficients, 0.5, 1.0);

    const auto norm = [&](std::uint64_t picture, std::uint64_t channel, double x) {
        if (!c.norm) return x;
        const std::uint64_t pair = 2 * (picture * c.in + channel);
        return reference::activate(*c.norm, x * pairs[pair] + pairs[pair + 1]);
    };
    reference::Map map{{in.n, scaling * in.h, scaling * in.w, in.c}, {}};
    for (std::uint64_t n = 0; n < map.shape.n; ++n)
        for (std::uint64_t y = 0; y < map.shape.h; ++y)
            for (std::uint64_t x = 0; x < map.shape.w; ++x)
                for (std::uint64_t k = 0; k < c.in; ++k)
                    map.values.push_back(
                        norm(n, k, all[((n * height + y / scaling) * width + x / scaling) * stored.c + k]));
    std::vector<double> ordered; // [out][in][tap]
    for (std::uint64_t o = 0; o < c.out; ++o)
        for (std::uint64_t k = 0; k < c.in; ++k)
            for (std::uint64_t tap = 0; tap < c.kernel * c.kernel; ++tap)
                ordered.push_back(weights[c.keys ? o * c.in + k : (tap * c.in + k) * c.out + o]);
    reference::Map residual{out, {}};
    for (std::uint64_t i = 0; i < out.elements(); ++i)
        residual.values.push_back(before[i / c.out * outStride + i % c.out]);
    const reference::Map expected = reference::conv(
        {.kernel = c.kernel, .stride = c.stride, .padBegin = pad, .activation = Activation::Relu}, map, ordered,
        {shifts.begin(), shifts.begin() + static_cast<std::ptrdiff_t>(c.out)}, c.keys ? nullptr : &residual, out);

    OneProduct kernels(*one.shaders);
    kernels.what = {.in = one.bindings[input.index].address,
                    .weight = one.bindings[weight.index].address,
                    .bias = one.bindings[bias.index].address,
                    .residual = one.bindings[output.index].address,
                    .out = one.bindings[output.index].address,
                    .coefficients = one.bindings[coefficients.index].address,
                    .pictures = pictures,
                    .rows = static_cast<std::uint32_t>(out.pixels()),
                    .columns = static_cast<std::uint32_t>(c.out),
                    .inner = static_cast<std::uint32_t>(c.in),
                    .inStride = static_cast<std::uint32_t>(stored.c),
                    .weightStride = static_cast<std::uint32_t>(c.keys ? c.in : c.out),
                    .outStride = static_cast<std::uint32_t>(outStride),
                    .inHeight = height,
                    .inWidth = width,
                    .outHeight = static_cast<std::uint32_t>(out.h),
                    .outWidth = static_cast<std::uint32_t>(out.w),
                    .pad = static_cast<std::int32_t>(pad)};
    const std::string type = shaderType(c.dtype);
    kernels.defines = {{"IN", type}, {"WEIGHT", type}, {"OUT", type}, {"BIAS", "1"}, {"ACTIVATION_RELU", "1"}};
    kernels.defines.push_back(c.keys ? Define{"B_NK", "1"} : Define{"RESIDUAL", type});
    if (c.kernel > 1 || c.stride > 1)
        for (const Define& define :
             {Define{"KERNEL", std::to_string(c.kernel)}, Define{"STRIDE", std::to_string(c.stride)}})
            kernels.defines.push_back(define);
    if (c.upsample) kernels.defines.push_back({"UPSAMPLE", "1"});
    if (c.norm) kernels.defines.push_back({"NORM", "1"});
    if (c.norm == Activation::Silu) kernels.defines.push_back({"NORM_SILU", "1"});
    if (c.norm == Activation::Relu) kernels.defines.push_back({"NORM_RELU", "1"});
    kernels.tile = tile;
    one.kernels = &kernels;
    one.run(ActivationCall{.in = input, .out = output});

    const std::vector<double> after = one.read(output);
    std::vector<double> found;
    for (std::uint64_t i = 0; i < after.size(); ++i) {
        if (i % outStride < c.out) found.push_back(after[i]);
        if (i % outStride >= outStride - apart) {
            ASSERT_EQ(after[i], before[i]) << "between rows";
        }
    }
    EXPECT_LE(reference::relativeError(found, expected.values), tolerance(c.dtype));
}

const OneProduct::Tile productTiles[] = {{128, 128, 8, 8}, {128, 64, 8, 8}, {64, 64, 4, 8}};
const ProductCase productCases[] = {
    {24, 136, 1, 1, false, false, Activation::Silu, DType::F32},
    {20, 64, 1, 1, false, false, Activation::None, DType::BF16},
    {24, 132, 3, 1, false, false, Activation::Silu, DType::F32},
    {12, 68, 3, 1, true, false, Activation::Relu, DType::F16},
    {16, 64, 3, 2, false, false, std::nullopt, DType::F32},
    {24, 131, 1, 1, false, true, std::nullopt, DType::F32}, // columns no multiple of four
    {20, 65, 1, 1, false, true, std::nullopt, DType::BF16},
};
INSTANTIATE_TEST_SUITE_P(Kernels, ProductTest,
                         testing::Combine(testing::ValuesIn(productTiles), testing::ValuesIn(productCases)));

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
    {1, 4, 6, 64, 24, DType::F32},   {2, 5, 5, 128, 8, DType::F32},      {1, 3, 7, 512, 16, DType::BF16},
    {1, 8, 8, 512, 64, DType::F16},  {1, 1, 1, 512, 1, DType::F32},      {2, 9, 13, 64, 117, DType::F32},
    {2, 8, 12, 64, 40, DType::BF16}, {1, 16, 16, 512, 100, DType::BF16}, {1, 16, 32, 64, 200, DType::BF16},
};
INSTANTIATE_TEST_SUITE_P(Kernels, AttentionTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(attentionCases)));

} // namespace
} // namespace spikescope
