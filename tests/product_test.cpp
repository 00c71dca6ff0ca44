// product.comp at sizes for which no call asks it: every tile, rows that lie apart, a norm on the way in.

#include "core/kernels/portable_kernels.h"
#include "tests/support/one_call.h"

#include <set>

namespace spikescope {
namespace {

class OneProduct final : public PortableKernels {
public:
    using PortableKernels::PortableKernels;

    Result<void> encode(const KernelCall&, const Program& program, const Bindings& bindings,
                        std::vector<Dispatch>& dispatches) override {
        const Target target{program, bindings, dispatches};
        what.inAddress = target.address(input);
        what.weightAddress = target.address(weight);
        what.biasAddress = target.address(bias);
        what.residualAddress = what.outAddress = target.address(output);
        what.coefficientsAddress = target.address(coefficients);
        return product(what, defines, target);
    }

    push::Product what{}; // but for its addresses
    TensorId input, weight, bias, output, coefficients;
    std::vector<Define> defines;
};

// Protects: that a kernel never reads constants that were not laid out for it.
class WrongPush final : public PortableKernels {
public:
    using PortableKernels::PortableKernels;
    Result<void> encode(const KernelCall&, const Program& program, const Bindings& bindings,
                        std::vector<Dispatch>& dispatches) override {
        return add({program, bindings, dispatches}, "copy.comp", {}, push::Blend{}, 1, 64);
    }
};
TEST(PushConstants, ofAnotherSizeThanTheShadersAreRefused) {
    OneCall one(KernelChoice::Portable);
    WrongPush kernels(*one.shaders);
    std::vector<Dispatch> dispatches;
    const auto encoded = kernels.encode(CopyCall{}, one.program, one.bindings, dispatches);
    ASSERT_FALSE(encoded);
    EXPECT_EQ(encoded.error().message, "shader copy.comp takes 36 bytes of push constants, not 64");
}

struct ProductCase {
    std::uint64_t in, out;
    std::uint32_t kernel, stride;
    bool upsample, keys; // keys: b as rows
    std::optional<Activation> norm;
    DType dtype;
};
class ProductTest : public testing::TestWithParam<ProductCase> {};

TEST_P(ProductTest, agreesWithTheReference) {
    const ProductCase& c = GetParam();
    OneCall one(KernelChoice::Portable);
    constexpr std::uint64_t pictures = 2, height = 13, width = 11, apart = 8;
    const std::uint32_t scaling = c.upsample ? 2 : 1;
    const std::int32_t pad = c.kernel == 3 ? 1 : 0;
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
        {.kernel = c.kernel, .stride = c.stride, .padTop = pad, .padLeft = pad, .activation = Activation::Relu}, map,
        ordered, {shifts.begin(), shifts.begin() + static_cast<std::ptrdiff_t>(c.out)}, c.keys ? nullptr : &residual,
        out);

    OneProduct kernels(*one.shaders);
    kernels.input = input;
    kernels.weight = weight;
    kernels.bias = bias;
    kernels.output = output;
    kernels.coefficients = coefficients;
    kernels.what = {.batchStrideA = height * width * stored.c,
                    .pictures = pictures,
                    .rows = static_cast<std::uint32_t>(out.pixels()),
                    .columns = static_cast<std::uint32_t>(c.out),
                    .inner = static_cast<std::uint32_t>(c.in),
                    .inStride = static_cast<std::uint32_t>(stored.c),
                    .weightStride = static_cast<std::uint32_t>(c.keys ? c.in : c.out),
                    .outStride = static_cast<std::uint32_t>(outStride),
                    .residualStride = static_cast<std::uint32_t>(outStride),
                    .inHeight = height,
                    .inWidth = width,
                    .outHeight = static_cast<std::uint32_t>(out.h),
                    .outWidth = static_cast<std::uint32_t>(out.w),
                    .padTop = pad,
                    .padLeft = pad,
                    .scale = 1.0f};
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
    one.kernels = &kernels;
    const ActivationCall any{.in = input, .out = output};
    std::vector<TileQuestion> asked;
    std::vector<Dispatch> dispatches;
    kernels.tiles().listen(&asked);
    ASSERT_TRUE(kernels.encode(any, one.program, one.bindings, dispatches));
    kernels.tiles().listen(nullptr);
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_GE(asked[0].tiles.size(), 3u);
    std::set<VkPipeline> pipelines;
    for (const std::string& tile : asked[0].tiles) {
        SCOPED_TRACE(tile);
        kernels.tiles().set(asked[0].key, tile);
        dispatches.clear();
        ASSERT_TRUE(kernels.encode(any, one.program, one.bindings, dispatches));
        EXPECT_TRUE(pipelines.insert(dispatches.at(0).pipeline.handle).second) << "the choice was not obeyed";
        for (std::uint64_t i = 0; i < before.size(); ++i) one.set(output, i, before[i]);
        one.run(any);

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
}

const ProductCase productCases[] = {
    {24, 136, 1, 1, false, false, Activation::Silu, DType::F32},
    {20, 64, 1, 1, false, false, Activation::None, DType::BF16},
    {24, 132, 3, 1, false, false, Activation::Silu, DType::F32},
    {12, 68, 3, 1, true, false, Activation::Relu, DType::F16},
    {16, 64, 3, 2, false, false, std::nullopt, DType::F32},
    {24, 131, 1, 1, false, true, std::nullopt, DType::F32}, // columns no multiple of four
    {20, 65, 1, 1, false, true, std::nullopt, DType::BF16},
};
INSTANTIATE_TEST_SUITE_P(Kernels, ProductTest, testing::ValuesIn(productCases));

} // namespace
} // namespace spikescope
