// What pipelines hand over becomes what the decoder takes: scaling, shift, FLUX.2's packing, and the device's order.

#include "core/io/latents.h"
#include "core/io/latents_file.h"
#include "core/tensors/safetensors_writer.h"
#include "tests/support/folder_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

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
    const auto refused = [&](const char* family, std::vector<std::uint64_t> shape, bool scaled, Sides size,
                             const char* message) {
        const auto input =
            latentsInput(*findFamily(family), counting(std::move(shape)), scaled, parameters, "z.npy", size);
        ASSERT_FALSE(input);
        EXPECT_EQ(input.error().message, "file 'z.npy', tensor 'z': shape " + std::string(message));
    };
    refused("sd15", {16, 2, 2}, true, {}, "[16, 2, 2] does not fit, latents of sd15 have 4 channels");
    refused("flux1", {4, 2, 2}, true, {},
            "[4, 2, 2] does not fit, latents of flux1 have 16 channels, or 64 when packed");
    refused("flux2", {32, 2, 2}, true, {},
            "[32, 2, 2] does not fit, scaled (packed) latents of flux2 have 128 channels");
    refused("flux2", {128, 2, 2}, false, {}, "[128, 2, 2] does not fit, latents of flux2 have 32 channels");
    refused("sd15", {2, 2}, true, {}, "[2, 2] has 2 dimensions, latents of sd15 have 3 (CHW) to 5 (NCFHW)");
    refused("sd15", {1, 4, 0, 2}, true, {}, "[1, 4, 0, 2] is empty");
    refused("sd15", {1, 4, 9, 2, 2}, true, {}, "[1, 4, 9, 2, 2] has 9 frames, one can be read");
    refused("flux1", {1, 24, 64}, true, {},
            "[1, 24, 64] is of 24 packed tokens, whose size must be given with --size: "
            "64x96, 96x64, 48x128, 128x48, 32x192, 192x32 and others");
    const auto input = latentsInput(*findFamily("flux2"), counting({1, 24, 128}), true, parameters, "z.npy", {64, 64});
    ASSERT_FALSE(input);
    EXPECT_EQ(input.error().code, ErrorCode::BadUsage);
    EXPECT_EQ(input.error().message,
              "size 64x64: file 'z.npy', tensor 'z': shape [1, 24, 128] is of 24 packed tokens, each of 16x16 pixels; "
              "sizes that fit are 64x96, 96x64, 48x128, 128x48, 32x192, 192x32 and others");
    for (const Sides size : {Sides{64, 98}, Sides{96, 96}, Sides{std::uint64_t{1} << 63, 64}})
        EXPECT_FALSE(latentsInput(*findFamily("flux1"), counting({24, 64}), true, parameters, "z.npy", size));
}

// `tensor` with its axes in another order: axis i of the result is axis from[i] of it, or one of size 1 (-1).
HostTensor permuted(const HostTensor& tensor, const std::vector<int>& from) {
    HostTensor result{.shape = {}, .values = std::vector<float>(tensor.values.size()), .name = tensor.name};
    for (const int axis : from) result.shape.push_back(axis < 0 ? 1 : tensor.shape[static_cast<std::size_t>(axis)]);
    for (std::size_t at = 0; at < result.values.size(); ++at) {
        std::vector<std::uint64_t> index(tensor.shape.size(), 0);
        std::size_t rest = at;
        for (std::size_t i = from.size(); i-- > 0; rest /= result.shape[i])
            if (from[i] >= 0) index[static_cast<std::size_t>(from[i])] = rest % result.shape[i];
        std::size_t source = 0;
        for (std::size_t i = 0; i < index.size(); ++i) source = source * tensor.shape[i] + index[i];
        result.values[at] = tensor.values[source];
    }
    return result;
}

TEST(Latents, ofEveryLayoutAreTheSame) {
    const Family& flux1 = *findFamily("flux1");
    const Parameters parameters(7);
    for (const std::uint64_t batch : {1u, 2u}) {
        const HostTensor nchw = counting({batch, 16, 3, 5});
        const auto expected = latentsInput(flux1, nchw, true, parameters, "z.npy");
        ASSERT_TRUE(expected);
        std::vector<std::vector<int>> orders{{0, 2, 3, 1}, {0, 1, -1, 2, 3}, {0, -1, 1, 2, 3}, {0, -1, 2, 3, 1}};
        if (batch == 1) orders.insert(orders.end(), {{1, 2, 3}, {2, 3, 1}, {1, -1, 2, 3}});
        for (const std::vector<int>& order : orders) {
            const HostTensor tensor = permuted(nchw, order);
            const auto input = latentsInput(flux1, tensor, true, parameters, "z.npy");
            ASSERT_TRUE(input) << input.error().message;
            EXPECT_EQ(input->width, 40u);
            EXPECT_EQ(input->height, 24u);
            EXPECT_EQ(input->batch, batch);
            EXPECT_EQ(all(*input, nchw.values.size()), all(*expected, nchw.values.size()))
                << fmt::format("{}", fmt::join(order, " "));
        }
    }
    // Channels first wherever they can be: 16 rows of 3 × 16 pixels would fit as well.
    EXPECT_EQ(latentsInput(flux1, counting({16, 3, 16}), true, parameters, "z.npy")->height, 24u);
}

// Tokens as FLUX's pipelines make them, by their formula: view(c, h/2, 2, w/2, 2), then permute(h/2, w/2, c, 2, 2).
TEST(Latents, tokensAreUnpacked) {
    const Parameters parameters(7);
    const std::uint64_t h = 4, w = 6;
    const HostTensor maps = counting({2, 16, h, w});
    const HostTensor parts{.shape = {2, 16, h / 2, 2, w / 2, 2}, .values = maps.values, .name = "z"};
    HostTensor tokens = permuted(parts, {0, 2, 4, 1, 3, 5});
    tokens.shape = {2, h / 2 * w / 2, 64};
    const auto expected = latentsInput(*findFamily("flux1"), maps, true, parameters, "z.npy");
    for (const bool scaled : {true, false}) {
        const auto direct = latentsInput(*findFamily("flux1"), maps, scaled, parameters, "z.npy");
        const auto input = latentsInput(*findFamily("flux1"), tokens, scaled, parameters, "z.npy", {8 * w, 8 * h});
        ASSERT_TRUE(input) << input.error().message;
        EXPECT_EQ(input->width, 8 * w);
        EXPECT_EQ(input->height, 8 * h);
        EXPECT_EQ(input->batch, 2u);
        EXPECT_EQ(all(*input, maps.values.size()), all(*direct, maps.values.size()));
    }
    // flux2's are the packed maps row by row, and take the same statistics.
    const HostTensor packed = counting({1, 128, 2, 3});
    HostTensor rows = permuted(packed, {0, 2, 3, 1});
    const auto maps2 = latentsInput(*findFamily("flux2"), packed, true, parameters, "z.npy");
    for (std::vector<std::uint64_t> shape : {std::vector<std::uint64_t>{1, 6, 128}, {6, 128}}) {
        rows.shape = std::move(shape);
        const auto input = latentsInput(*findFamily("flux2"), rows, true, parameters, "z.npy", {48, 32});
        ASSERT_TRUE(input) << input.error().message;
        EXPECT_EQ(all(*input, packed.values.size()), all(*maps2, packed.values.size()));
    }
    // A tiny autoencoder takes them as they are.
    const auto tiny = latentsInput(*findFamily("taef2"), packed, true, parameters, "z.npy");
    ASSERT_TRUE(tiny) << tiny.error().message;
    EXPECT_EQ(all(*tiny, 2)[1], 24.0f); // channel 1 of the first pixel is packed channel 4
}

class LatentsFiles : public FolderTest {
protected:
    void SetUp() override {
        FolderTest::SetUp();
        m_path = m_folder + "z.latent";
    }

    // Tensors that count from 0, in this order.
    void put(const std::vector<std::pair<std::string, std::vector<std::uint64_t>>>& named) {
        std::vector<SafetensorsWriter::Tensor> tensors;
        for (const auto& [name, shape] : named) tensors.push_back({.name = name, .dtype = DType::F32, .shape = shape});
        auto writer = SafetensorsWriter::create(m_path, tensors);
        ASSERT_TRUE(writer) << writer.error().message;
        for (std::size_t i = 0; i < named.size(); ++i) {
            const HostTensor tensor = counting(named[i].second);
            ASSERT_TRUE(writer->write(i, 0, std::as_bytes(std::span(tensor.values))));
        }
        ASSERT_TRUE(writer->commit());
    }
    Result<LatentsFile> read(const char* family, const std::optional<std::string>& key = {}, bool scaled = true) {
        return readLatentsFile(*findFamily(family), m_path, key, scaled);
    }
    std::string m_path;
};

TEST_F(LatentsFiles, ofComfyUiSayTheirScale) {
    const std::vector<std::uint64_t> shape{1, 4, 2, 2}, packed{1, 128, 2, 2};
    put({{"latent_format_version_0", {0}}, {"latent_tensor", shape}});
    for (const std::optional<std::string>& key : {std::optional<std::string>(), {"latent_tensor"}}) {
        const auto marked = read("sdxl", key);
        ASSERT_TRUE(marked) << marked.error().message;
        EXPECT_FALSE(marked->scaled);
        EXPECT_EQ(marked->tensor.values, counting(shape).values);
        ASSERT_EQ(marked->notes.size(), 1u);
        EXPECT_EQ(marked->notes[0],
                  "file '" + m_path +
                      "', tensor 'latent_tensor': the latents are ComfyUI's, by the mark "
                      "'latent_format_version_0' the decoder's input already, so they are not scaled");
    }
    // A tiny decoder takes what a large one's pipelines scale.
    EXPECT_EQ(read("taesd")->tensor.values[3], static_cast<float>(3 * 0.18215));
    const auto asked = read("sdxl", std::nullopt, false);
    EXPECT_FALSE(asked->scaled);
    EXPECT_TRUE(asked->notes.empty());

    put({{"latent_tensor", shape}});
    const auto first = read("sdxl");
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_FALSE(first->scaled);
    EXPECT_EQ(first->tensor.values[3], static_cast<float>(3 / 0.18215));
    EXPECT_EQ(first->notes.size(), 1u);

    // FLUX.2's are packed and normalised there.
    put({{"latent_format_version_0", {0}}, {"latent_tensor", packed}});
    for (const char* family : {"flux2", "taef2"}) {
        EXPECT_TRUE(read(family)->scaled);
        EXPECT_EQ(read(family)->tensor.values, counting(packed).values);
    }
}

TEST_F(LatentsFiles, areChosenByTheNamesThatProgramsGive) {
    const std::vector<std::uint64_t> shape{4, 2, 2};
    const auto chosen = [&](const std::vector<std::string>& names) {
        std::vector<std::pair<std::string, std::vector<std::uint64_t>>> tensors;
        for (const std::string& name : names) tensors.emplace_back(name, shape);
        put(tensors);
        const auto latents = read("sd15");
        return latents ? latents->tensor.name : latents.error().message;
    };
    EXPECT_EQ(chosen({"anything"}), "anything");
    EXPECT_EQ(chosen({"mask", "latents"}), "latents");
    EXPECT_EQ(chosen({"latent", "noise_mask"}), "latent");
    EXPECT_EQ(chosen({"batch_index", "samples"}), "samples");
    EXPECT_EQ(chosen({"latents_64x96", "latents_flipped_64x96", "alpha_mask_64x96"}), "latents_64x96");
    EXPECT_EQ(chosen({"latents_1x8x12_bfloat16", "latents_control_1x8x12_bfloat16"}), "latents_1x8x12_bfloat16");
    const std::string two = "'" + m_path + "': ";
    EXPECT_EQ(chosen({"latents_64x96", "latents_96x64", "crop_ltrb_64x96"}),
              two + "2 tensors may be the latents, so one must be named: 'latents_64x96', 'latents_96x64'.");
    EXPECT_EQ(chosen({"a", "b"}), two + "holds 2 tensors, so one must be named: 'a', 'b'.");
    for (const std::string odd :
         {"latents_", "latents_64", "latents_64x", "latents_x64", "latents_1x2x3x4", "latents_64x64_"})
        EXPECT_EQ(chosen({"a", odd}), two + "holds 2 tensors, so one must be named: 'a', '" + odd + "'.");
    EXPECT_EQ(chosen({"mask", "latents"}), "latents");
    EXPECT_EQ(read("sd15")->notes.front(), "file '" + m_path + "': the latents are tensor 'latents'; not read: 'mask'");
}

// sd-scripts keeps what an encoder made, which only that of FLUX has scaled; OneTrainer never scales.
TEST_F(LatentsFiles, ofTrainersCachesSayTheirScale) {
    put({{"latents", {4, 2, 2}}, {"original_size", {2}}, {"crop_ltrb", {4}}});
    EXPECT_FALSE(read("sd15")->scaled);
    EXPECT_FALSE(read("sdxl")->scaled);
    put({{"latents_2x2", {16, 2, 2}}, {"original_size_2x2", {2}}, {"crop_ltrb_2x2", {4}}});
    EXPECT_FALSE(read("sd3")->scaled);
    EXPECT_TRUE(read("flux1")->scaled);
    put({{"latent_image", {4, 2, 2}}, {"crop_offset", {2}}});
    EXPECT_FALSE(read("sd15")->scaled);
    put({{"latent", {4, 2, 2}}});
    EXPECT_TRUE(read("sd15")->scaled);
    put({{"latent_image", {32, 2, 2}}});
    const auto raw = read("taef2");
    ASSERT_FALSE(raw);
    EXPECT_NE(raw.error().message.find("taef2 takes normalised ones, packed into 128 channels"), std::string::npos)
        << raw.error().message;
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
