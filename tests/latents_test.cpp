// What pipelines hand over becomes what the decoder takes: scaling, shift, FLUX.2's packing, and the device's order.

#include "core/io/latents.h"

#include <gtest/gtest.h>

#include <cmath>

namespace spikescope {
namespace {

HostTensor counting(std::vector<std::uint64_t> shape) {
    HostTensor tensor{.shape = std::move(shape), .values = {}, .name = "z"};
    std::uint64_t count = 1;
    for (const std::uint64_t dim : tensor.shape) count *= dim;
    for (std::uint64_t i = 0; i < count; ++i) tensor.values.push_back(static_cast<float>(i));
    return tensor;
}

std::vector<float> all(const Input& input, std::uint64_t count) {
    std::vector<float> values(count);
    // In pieces of an odd size, as a staging buffer would ask for them.
    for (std::uint64_t at = 0; at < count; at += 7)
        input.read(at, std::span(values).subspan(at, std::min<std::uint64_t>(7, count - at)));
    return values;
}

TEST(Latents, areUnscaledAndReordered) {
    const Family& flux1 = *findFamily("flux1");
    const auto input = latentsInput(flux1, counting({2, 16, 3, 5}), true, Parameters(7), "z.npy");
    ASSERT_TRUE(input) << input.error().message;
    EXPECT_EQ(input->width, 40u);
    EXPECT_EQ(input->height, 24u);
    EXPECT_EQ(input->batch, 2u);
    const std::vector<float> values = all(*input, 2 * 16 * 3 * 5);
    // Element (n 1, y 2, x 3, c 4) of NHWC is (1, 4, 2, 3) of NCHW.
    const float raw = ((1.0f * 16 + 4) * 3 + 2) * 5 + 3;
    EXPECT_FLOAT_EQ(values[((1 * 3 + 2) * 5 + 3) * 16 + 4], raw / 0.3611f + 0.1159f);
    const auto unscaled = latentsInput(flux1, counting({16, 3, 5}), false, Parameters(7), "z.npy");
    ASSERT_TRUE(unscaled);
    EXPECT_EQ(all(*unscaled, 16 * 15)[1], 15.0f); // channel 1 of the first pixel
}

TEST(Latents, packedOnesAreUnpackedWithTheirStatistics) {
    const Family& flux2 = *findFamily("flux2");
    const Parameters parameters(7);
    const auto input = latentsInput(flux2, counting({128, 2, 3}), true, parameters, "z.npy");
    ASSERT_TRUE(input) << input.error().message;
    EXPECT_EQ(input->width, 48u);
    EXPECT_EQ(input->height, 32u);
    const std::vector<float> values = all(*input, 32 * 4 * 6);
    const std::uint64_t channels[] = {128};
    const SyntheticTensor mean("bn.running_mean", channels, 7), variance("bn.running_var", channels, 7);
    for (const auto& [c, y, x] : {std::array<std::uint64_t, 3>{0, 0, 0}, {5, 1, 0}, {5, 0, 1}, {31, 3, 5}}) {
        const std::uint64_t packed = 4 * c + 2 * (y % 2) + x % 2;
        const double raw = static_cast<double>((packed * 2 + y / 2) * 3 + x / 2);
        EXPECT_FLOAT_EQ(values[(y * 6 + x) * 32 + c],
                        static_cast<float>(raw * std::sqrt(variance[packed] + 1e-4) + mean[packed]));
    }
}

TEST(Latents, ofTheWrongKindAreRefused) {
    const Parameters parameters(7);
    const auto refused = [&](const char* family, std::vector<std::uint64_t> shape, bool scaled, const char* part) {
        const auto input = latentsInput(*findFamily(family), counting(std::move(shape)), scaled, parameters, "z.npy");
        ASSERT_FALSE(input);
        EXPECT_NE(input.error().message.find(part), std::string::npos) << input.error().message;
    };
    refused("sd15", {16, 2, 2}, true, "16 channels");
    refused("flux2", {32, 2, 2}, true, "128");
    refused("flux2", {128, 2, 2}, false, "32");
    refused("sd15", {2, 2}, true, "2 dimensions");
    refused("sd15", {1, 4, 0, 2}, true, "empty");
}

TEST(Pictures, thatAreEmptyAreRefused) {
    const auto input = imageInput(counting({3, 0, 4}), "image.npy");
    ASSERT_FALSE(input);
    EXPECT_EQ(input.error().message, "file 'image.npy', tensor 'z': shape [3, 0, 4] is empty");
}

TEST(Pictures, takeTheFamilysRange) {
    const Picture picture{.width = 1, .height = 1, .rgb = {0.0f, 0.5f, 1.0f}};
    EXPECT_EQ(all(pictureInput(*findFamily("flux1"), picture), 3), (std::vector<float>{-1.0f, 0.0f, 1.0f}));
    EXPECT_EQ(all(pictureInput(*findFamily("taesd"), picture), 3), (std::vector<float>{0.0f, 0.5f, 1.0f}));
}

} // namespace
} // namespace spikescope
