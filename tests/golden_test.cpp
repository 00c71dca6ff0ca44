// Whole decodes and encodes against references computed in double precision, and the tiny models on a real picture.
// Protects: graphs, weights' names, scaling, and the accuracy that a storage type allows.

#include "core/tensors/tensor_file.h"
#include "tests/support/run_support.h"

#include <nlohmann/json.hpp>

#include <fstream>

namespace spikescope {
namespace {

class GoldenTest : public testing::Test {
protected:
    void SetUp() override {
        if (!haveSharedData()) GTEST_SKIP() << "the reference data is not beside this checkout";
        std::ifstream file(sharedData("golden/golden.json"));
        facts = nlohmann::json::parse(file);
        backend = openCpu();
        ASSERT_TRUE(backend);
    }

    static std::vector<float> tensor(const std::string& file, const std::string& key) {
        auto read = readTensorFile(sharedData(file), key);
        EXPECT_TRUE(read) << read.error().message;
        return read ? std::move(read->values) : std::vector<float>{};
    }

    Ran run(Controls controls, const InputChoice& input) {
        auto job = makeJob(std::move(controls), input);
        EXPECT_TRUE(job) << job.error().message;
        Ran ran = runToMemory(*backend, *job);
        EXPECT_FALSE(ran.outcome.error) << ran.outcome.error->message;
        EXPECT_EQ(backend->heap().liveBlocks(), 0u);
        return ran;
    }

    double decodeError(const std::string& family, DType dtype) {
        Controls controls;
        controls.model = family;
        controls.activations = dtype;
        const Ran ran =
            run(controls, InputFile{sharedData("golden/kl_and_video.safetensors"), family + ".latents", false});
        return relativeL2(toNchw(ran.output, ran.shape, 0, 3),
                          tensor("golden/kl_and_video.safetensors", family + ".decoded"));
    }

    nlohmann::json facts;
    std::unique_ptr<VulkanBackend> backend;
};

constexpr const char* klFamilies[] = {"sd15", "sdxl", "sd3", "flux1", "flux2"};

TEST_F(GoldenTest, decodesInFp32) {
    for (const char* family : klFamilies) EXPECT_LE(decodeError(family, DType::F32), 2e-5) << family;
}

TEST_F(GoldenTest, encodesInFp32) {
    for (const std::string family : klFamilies) {
        Controls controls;
        controls.model = family;
        controls.op = VaeTask::Encode;
        controls.activations = DType::F32;
        const Ran ran =
            run(controls, InputFile{sharedData("golden/kl_and_video.safetensors"), family + ".image", true});
        const std::uint64_t z = ran.shape.c / 2;
        EXPECT_LE(relativeL2(toNchw(ran.output, ran.shape, 0, z),
                             tensor("golden/kl_and_video.safetensors", family + ".encoded_mean")),
                  2e-5)
            << family;
        EXPECT_LE(relativeL2(toNchw(ran.output, ran.shape, z, z),
                             tensor("golden/kl_and_video.safetensors", family + ".encoded_logvar")),
                  2e-5)
            << family;
    }
}

TEST_F(GoldenTest, decodesInHalfPrecisionAsWellAsPyTorch) {
    for (const std::string family : klFamilies) {
        const double bf16 = decodeError(family, DType::BF16), fp16 = decodeError(family, DType::F16);
        EXPECT_LE(bf16, 1.25 * facts[family]["pytorch_bf16_error"]["rel_l2"].get<double>()) << family;
        EXPECT_LE(fp16, 1.25 * facts[family]["pytorch_fp16_error"]["rel_l2"].get<double>()) << family;
        RecordProperty(family + ".bf16", std::to_string(bf16));
        RecordProperty(family + ".fp16", std::to_string(fp16));
    }
}

TEST_F(GoldenTest, tinyModelsDecodeTheShiba) {
    for (const std::string model : {"taesd", "taef1", "taef2"}) {
        Controls controls;
        controls.weights = sharedData("models/" + model + "_decoder.safetensors");
        controls.activations = DType::F32;
        const Ran ran = run(controls, InputFile{sharedData("golden/tiny_shiba.safetensors"), model + ".latents", true});
        const std::vector<float> expected = tensor("golden/tiny_shiba.safetensors", model + ".decoded_0_1");
        const std::vector<float> decoded = toNchw(ran.output, ran.shape, 0, 3);
        ASSERT_EQ(decoded.size(), expected.size());
        float worst = 0;
        for (std::size_t i = 0; i < decoded.size(); ++i)
            worst = std::max(worst, std::abs(std::clamp(decoded[i], 0.0f, 1.0f) - std::clamp(expected[i], 0.0f, 1.0f)));
        EXPECT_LE(worst, 2.0f / 255.0f) << model;
    }
}

TEST_F(GoldenTest, tinyModelsEncodeAndDecodeTheShiba) {
    auto picture = readPicture(sharedData("images/shiba_512.png"));
    ASSERT_TRUE(picture) << picture.error().message;
    for (const std::string model : {"taesd", "taef1", "taef2"}) {
        Controls controls;
        controls.op = VaeTask::Encode;
        controls.activations = DType::F32;
        controls.weights = sharedData("models/" + model + "_encoder.safetensors");
        const Ran encoded = run(controls, InputFile{sharedData("images/shiba_512.png"), std::nullopt, true});

        controls.op = VaeTask::Decode;
        controls.weights = sharedData("models/" + model + "_decoder.safetensors");
        controls.width = controls.height = 512;
        auto job = makeJob(controls, std::uint64_t{0});
        ASSERT_TRUE(job) << job.error().message;
        job->input->read = [&](std::uint64_t begin, std::span<float> out) {
            std::copy_n(encoded.output.begin() + static_cast<std::ptrdiff_t>(begin), out.size(), out.begin());
        };
        const Ran decoded = runToMemory(*backend, *job);
        ASSERT_FALSE(decoded.outcome.error) << decoded.outcome.error->message;
        double squares = 0;
        for (std::size_t i = 0; i < decoded.output.size(); ++i) {
            const double d = std::clamp(decoded.output[i], 0.0f, 1.0f) - picture->rgb[i];
            squares += d * d;
        }
        const double psnr = -10.0 * std::log10(squares / static_cast<double>(decoded.output.size()));
        EXPECT_NEAR(psnr, facts[model]["psnr_vs_original"].get<double>(), 0.1) << model;
    }
}

} // namespace
} // namespace spikescope
