// Convolutions of some rows and columns of a map, read from and written to larger maps, against the same part of the
// whole convolution in double precision. Protects: tiles and bands, whose inner edges are no edges of the picture.

#include "tests/support/one_call.h"

namespace spikescope {
namespace {

struct WindowCase {
    std::uint64_t in, out;
    DType dtype;
    ConvMethod method = ConvMethod::Direct;
    bool upsample = false, norm = false, residual = false;
    std::uint32_t kernel = 3, stride = 1;
};

class WindowTest : public testing::TestWithParam<std::tuple<KernelChoice, WindowCase>> {};

TEST_P(WindowTest, isThatPartOfTheWhole) {
    const auto& [choice, c] = GetParam();
    constexpr std::uint64_t h = 24, w = 13;
    const std::uint64_t scaling = c.upsample ? 2 : 1;
    const std::int64_t pad = c.kernel == 3 && c.stride == 1 ? 1 : 0;
    const Shape whole{1, h * scaling / c.stride, w * scaling / c.stride, c.out};
    // Output rows of the picture's upper edge, of its midst and of its lower edge, as a folded convolution wants them.
    for (const auto& [begin, end] : {std::pair<std::uint64_t, std::uint64_t>{0, 6}, {4, 10}, {6, whole.h}}) {
        OneCall one(choice);
        ConvCall call{.kernel = c.kernel, .stride = c.stride, .upsample = c.upsample, .method = c.method};
        const auto first = static_cast<std::int64_t>(begin * c.stride) - pad,
                   last = static_cast<std::int64_t>((end - 1) * c.stride + c.kernel) - pad;
        const auto factor = static_cast<std::int64_t>(scaling);
        const auto inBegin = static_cast<std::uint64_t>(std::max<std::int64_t>(first, 0) / factor),
                   inEnd = std::min(h, static_cast<std::uint64_t>((last + factor - 1) / factor));
        call.padTop = static_cast<std::int32_t>(static_cast<std::int64_t>(inBegin) * factor - first);
        call.padLeft = static_cast<std::int32_t>(pad);

        const DType inType = c.in % 4 ? DType::F32 : c.dtype;
        const TensorId map = one.add(inType, {1, h, w, c.in}),
                       result = one.add(c.out % 4 ? DType::F32 : c.dtype, whole);
        call.in = one.addRows(map, inBegin, inEnd - inBegin);
        call.out = one.addRows(result, begin, end - begin);
        const std::uint64_t taps = c.method == ConvMethod::Folded ? 16 : c.kernel * c.kernel;
        call.weight = one.add(c.dtype, {1, 1, 1, c.in * c.out * taps}, Category::Weights);
        call.bias = one.add(DType::F32, {1, 1, 1, c.out});
        const Shape part{1, end - begin, whole.w, c.out};
        if (c.method == ConvMethod::Im2col) {
            call.chunkRows = 4;
            call.columns = one.add(inType, {1, 1, call.chunkRows * whole.w, 9 * c.in}, Category::Workspace);
        }
        if (c.method == ConvMethod::Winograd) {
            const std::uint64_t tilesY = (part.h + 5) / 6, tilesX = (part.w + 5) / 6, tiles = tilesY * tilesX;
            call.winograd = {.padded = one.add(inType, {1, 6 * tilesY + 2, 6 * tilesX + 2, c.in}, Category::Workspace),
                             .filters = one.add(inType, {1, 64, c.in, c.out}, Category::Workspace),
                             .inputs = one.add(inType, {1, 64, tiles, c.in}, Category::Workspace),
                             .products = one.add(inType, {1, 64, tiles, c.out}, Category::Workspace)};
        }
        reference::Map input{{1, h, w, c.in}, one.fill(map, 1.0)};
        reference::Map residual{whole, {}};
        if (c.residual) {
            const TensorId added = one.add(c.dtype, whole);
            residual.values = one.fill(added, 1.0);
            call.residual = one.addRows(added, begin, end - begin);
        }
        if (c.norm) {
            call.norm = {.coefficients = one.add(DType::F32, {1, 1, c.in, 2}), .activation = Activation::Silu};
            const std::vector<double> coefficients = one.fill(call.norm->coefficients, 0.5, 0.5);
            for (std::size_t i = 0; i < input.values.size(); ++i)
                input.values[i] = reference::activate(Activation::Silu, input.values[i] * coefficients[2 * (i % c.in)] +
                                                                            coefficients[2 * (i % c.in) + 1]);
        }
        const std::vector<double> weights = one.fillWeights(call), bias = one.fill(*call.bias, 0.5);
        ConvCall all = call;
        all.padTop = all.padLeft = static_cast<std::int32_t>(pad);
        const std::vector<double> expected =
            reference::conv(all, input, weights, bias, c.residual ? &residual : nullptr, whole).values;
        one.run(call);
        double allowed = tolerance(c.dtype) * (c.norm || c.method == ConvMethod::Folded ? 2.0 : 1.0);
        if (c.method == ConvMethod::Winograd) allowed *= c.dtype == DType::F32 ? 8.0 : 20.0;
        const auto at = [&](std::uint64_t row) { return static_cast<std::ptrdiff_t>(row * whole.w * whole.c); };
        const std::vector<double> wanted(expected.begin() + at(begin), expected.begin() + at(end));
        EXPECT_LE(reference::relativeError(one.read(call.out), wanted), allowed) << "rows " << begin << " to " << end;
        // Rows beside them are not touched: they hold what they were given, no number.
        const std::vector<double> everything = one.read(result);
        for (std::uint64_t y = 0; y < whole.h; ++y)
            EXPECT_TRUE((y >= begin && y < end) || std::isnan(everything[y * whole.w * whole.c])) << "row " << y;
    }
}

constexpr ConvMethod folded = ConvMethod::Folded, im2col = ConvMethod::Im2col, winograd = ConvMethod::Winograd,
                     direct = ConvMethod::Direct;
const WindowCase cases[] = {
    {32, 64, DType::F32},
    {64, 128, DType::BF16, direct, false, true, true},
    {128, 128, DType::F16, direct, false, true},
    {256, 256, DType::BF16, direct, false, true},
    {64, 128, DType::BF16, direct, true},
    {32, 64, DType::F32, direct, true},
    {64, 128, DType::BF16, folded, true},
    {32, 32, DType::F32, folded, true},
    {64, 3, DType::BF16, direct, false, true},
    {64, 3, DType::F32},
    {3, 32, DType::F32},
    {16, 64, DType::BF16},
    {32, 32, DType::F32, im2col},
    {32, 64, DType::BF16, im2col, true},
    {64, 64, DType::F32, winograd},
    {32, 64, DType::F32, winograd, true},
    {32, 64, DType::BF16, direct, false, false, false, 3, 2},
    {64, 128, DType::BF16, direct, false, false, true, 1},
};
INSTANTIATE_TEST_SUITE_P(Kernels, WindowTest,
                         testing::Combine(testing::Values(KernelChoice::Portable, KernelChoice::Best),
                                          testing::ValuesIn(cases)));

} // namespace
} // namespace spikescope
