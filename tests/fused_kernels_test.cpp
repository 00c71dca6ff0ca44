// Convolutions that norm what they read, that make the statistics of what they write, and that read and write maps
// within wider ones, against the same in double precision. Protects: what presets leanest and fastest are made of.

#include "tests/support/one_call.h"

namespace spikescope {
namespace {

struct FusedCase {
    Shape in;
    std::uint64_t out;
    DType dtype;
    std::optional<Activation> norm = std::nullopt; // on load, with this activation
    std::uint32_t groups = 0;                      // of the statistics; 0: none
    bool upsample = false, folded = false;
    enum { NoResidual, Residual, ResidualInPlace } residual = NoResidual;
    bool inWithin = false, outWithin = false; // maps of twice the channels
};

class FusedConvTest : public testing::TestWithParam<std::tuple<KernelChoice, FusedCase>> {};

TEST_P(FusedConvTest, agreesWithTheReference) {
    const auto& [choice, c] = GetParam();
    OneCall one(choice);
    const auto add = [&](DType dtype, Shape shape, bool within) {
        const std::uint64_t channels = shape.c;
        if (within) shape.c *= 2;
        const TensorId id = one.add(dtype, shape);
        return within ? one.addWithin(id, channels) : id;
    };
    const std::uint64_t factor = c.upsample ? 2 : 1;
    const Shape out{c.in.n, factor * c.in.h, factor * c.in.w, c.out};
    ConvCall call{.upsample = c.upsample, .method = c.folded ? ConvMethod::Folded : ConvMethod::Direct};
    call.in = add(c.dtype, c.in, c.inWithin);
    call.weight = one.add(c.dtype, {1, 1, 1, c.in.c * c.out * (c.folded ? 16 : 9)}, Category::Weights);
    call.out = add(c.out % 4 ? DType::F32 : c.dtype, out, c.outWithin);
    call.bias = one.add(DType::F32, {1, 1, 1, c.out});
    if (c.residual == FusedCase::Residual) call.residual = add(c.dtype, out, !c.outWithin); // another stride than out
    if (c.residual == FusedCase::ResidualInPlace) call.residual = call.out;
    reference::Map input{c.in, one.fill(call.in, 1.0)};
    if (c.norm) {
        call.norm = {.coefficients = one.add(DType::F32, {c.in.n, 1, c.in.c, 2}), .activation = *c.norm};
        const std::vector<double> coefficients = one.fill(call.norm->coefficients, 0.5, 0.5);
        for (std::size_t i = 0; i < input.values.size(); ++i) {
            const std::size_t channel = i / (c.in.pixels() * c.in.c) * c.in.c + i % c.in.c;
            input.values[i] = reference::activate(*c.norm, input.values[i] * coefficients[2 * channel] +
                                                               coefficients[2 * channel + 1]);
        }
    }
    std::vector<double> gamma, beta;
    if (c.groups) {
        const std::uint64_t slices = convSlices(out);
        call.stats = {.in = call.out,
                      .gamma = one.add(DType::F32, {1, 1, 1, c.out}),
                      .beta = one.add(DType::F32, {1, 1, 1, c.out}),
                      .partials = one.add(DType::F32, {out.n, slices, c.groups, 4}),
                      .coefficients = one.add(DType::F32, {out.n, 1, c.out, 2}),
                      .groups = c.groups,
                      .slices = slices};
        gamma = one.fill(call.stats->gamma, 0.1, 1.0);
        beta = one.fill(call.stats->beta, 0.1);
    }
    const std::vector<double> weights = one.fillWeights(call);
    const std::vector<double> bias = one.fill(*call.bias, 0.5);
    reference::Map residual{out, {}};
    if (call.residual) residual.values = one.fill(*call.residual, 1.0);
    const reference::Map expected =
        reference::conv(call, input, weights, bias, call.residual ? &residual : nullptr, out);
    one.run(call);
    const std::vector<double> made = one.read(call.out);
    // Kernels may round what they normed to the map's type, as a pass of its own does; folded kernels are rounded sums.
    const double allowed = (c.norm || c.folded ? 2.0 : 1.0) * tolerance(c.dtype);
    EXPECT_LE(reference::relativeError(made, expected.values), allowed);
    if (!c.groups) return;
    // Of what was written; before or after its rounding makes little difference to sums.
    std::vector<double> wanted;
    const std::uint64_t perGroup = c.out / c.groups;
    for (std::uint64_t n = 0; n < out.n; ++n)
        for (std::uint64_t k = 0; k < c.out; ++k) {
            double sum = 0, squares = 0;
            const double count = static_cast<double>(out.pixels() * perGroup);
            for (std::uint64_t i = 0; i < out.pixels() * perGroup; ++i) {
                const double v =
                    made[(n * out.pixels() + i / perGroup) * c.out + k / perGroup * perGroup + i % perGroup];
                sum += v;
                squares += v * v;
            }
            const double mean = sum / count, scale = gamma[k] / std::sqrt(squares / count - mean * mean + 1e-6);
            wanted.push_back(scale);
            wanted.push_back(beta[k] - mean * scale);
        }
    EXPECT_LE(reference::relativeError(one.read(call.stats->coefficients), wanted), 1e-3);
}

constexpr Activation silu = Activation::Silu, none = Activation::None;
const FusedCase fusedCases[] = {
    {{1, 17, 19, 128}, 128, DType::BF16, silu, 32, false, false, FusedCase::NoResidual},
    {{2, 33, 10, 128}, 128, DType::BF16, silu, 32, false, false, FusedCase::ResidualInPlace, true, true},
    {{1, 16, 8, 128}, 128, DType::BF16, none, 0, false, false, FusedCase::Residual, true, false},
    {{1, 20, 7, 256}, 128, DType::BF16, silu, 32, false, false, FusedCase::Residual, false, true},
    {{2, 18, 9, 256}, 256, DType::BF16, silu, 32, false, false, FusedCase::ResidualInPlace},
    {{1, 17, 12, 64}, 512, DType::BF16, std::nullopt, 32, false, false, FusedCase::Residual},
    {{1, 17, 12, 64}, 512, DType::BF16, silu, 16, false, false, FusedCase::NoResidual},
    {{2, 17, 9, 64}, 128, DType::BF16, std::nullopt, 32, true, true},
    {{1, 8, 20, 96}, 256, DType::BF16, std::nullopt, 32, true, true},
    {{1, 9, 10, 64}, 256, DType::BF16, std::nullopt, 32, true, false},
    {{1, 21, 18, 128}, 3, DType::BF16, silu, 0, false, false, FusedCase::NoResidual, true},
    {{2, 16, 33, 64}, 3, DType::BF16, std::nullopt, 0},
    {{1, 17, 19, 128}, 128, DType::F16, silu, 32, false, false, FusedCase::ResidualInPlace, true, true},
    {{1, 17, 10, 256}, 256, DType::F16, silu, 32},
    {{1, 9, 10, 64}, 128, DType::F16, std::nullopt, 32, true, true},
    {{1, 21, 18, 64}, 3, DType::F16, silu, 0},
    {{1, 9, 11, 32}, 64, DType::F32, silu, 4, false, false, FusedCase::ResidualInPlace, true, true},
    {{2, 9, 11, 64}, 32, DType::F16, Activation::Relu, 8, false, false, FusedCase::Residual, true, false},
    {{2, 9, 11, 32}, 3, DType::F32, silu, 0, false, false, FusedCase::NoResidual, true},
    {{2, 5, 7, 32}, 64, DType::F32, std::nullopt, 16, true, true},
};
constexpr KernelChoice bothSets[] = {KernelChoice::Portable, KernelChoice::Best};
INSTANTIATE_TEST_SUITE_P(Kernels, FusedConvTest,
                         testing::Combine(testing::ValuesIn(bothSets), testing::ValuesIn(fusedCases)));

TEST(InPlaceConv, takesTheFirstChannelsOfItsInput) {
    for (const KernelChoice choice : bothSets)
        for (const DType dtype : {DType::F32, DType::F16, DType::BF16})
            for (const std::uint64_t channels : {128, 64}) {
                OneCall one(choice);
                ConvCall call{.kernel = 1, .padTop = 0, .padLeft = 0};
                const Shape in{2, 9, 15, 256}, out{2, 9, 15, channels};
                call.in = one.add(dtype, in);
                call.out = one.addWithin(call.in, channels);
                call.weight = one.add(dtype, {1, 1, 1, in.c * channels}, Category::Weights);
                call.bias = one.add(DType::F32, {1, 1, 1, channels});
                const reference::Map input{in, one.fill(call.in, 1.0)};
                const std::vector<double> weights = one.fillWeights(call);
                const std::vector<double> bias = one.fill(*call.bias, 0.5);
                const reference::Map expected = reference::conv(call, input, weights, bias, nullptr, out);
                one.run(call);
                EXPECT_LE(reference::relativeError(one.read(call.out), expected.values), tolerance(dtype));
            }
}

} // namespace
} // namespace spikescope
