// An output that is not finite names the layer where that began and the largest value before it, whatever the lowering.
// The decoder is a small one whose values are known to overflow fp16 in one convolution.

#include "tests/support/folder_test.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"
#include "tests/support/stored_tensors.h"

#include <algorithm>
#include <array>

namespace spikescope {
namespace {

class Overflow : public FolderTest {
protected:
    void SetUp() override {
        FolderTest::SetUp();
        Family family = *findFamily("kl");
        family.latentChannels = 8;
        family.decoder = {.levels = {{32, 2}, {32, 2}}, .codeChannels = 8, .quantConv = false, .midAttention = false};
        std::vector<TensorWithValues> tensors = syntheticTensors(family, std::array{VaeTask::Decode});
        for (TensorWithValues& tensor : tensors) {
            if (tensor.name == before + ".bias") std::ranges::fill(tensor.values, 5000.0f);
            // Over 288 values of about 0.4.
            if (tensor.name == first + ".weight") std::ranges::fill(tensor.values, 30000.0f);
        }
        path = m_folder + "decoder.safetensors";
        writeTensors(path, tensors);
        auto opened = VulkanBackend::open({.device = testDevice()});
        ASSERT_TRUE(opened) << opened.error().message;
        backend = std::move(*opened);
    }

    Ran run(NamedValues values) {
        values.insert(values.begin(), {{"weights", path}, {"size", "32x32"}});
        return runToMemory(*backend, jobOf(controlsOf(values), std::uint64_t{3}));
    }

    const std::string before = "decoder.mid_block.resnets.1.conv2", first = "decoder.up_blocks.0.resnets.0.conv2";
    std::string path;
    std::unique_ptr<VulkanBackend> backend;
};

TEST_F(Overflow, namesTheFirstLayerAndTheLargestValueBeforeIt) {
    for (const NamedValues& lowering :
         std::vector<NamedValues>{{{"preset", "mlx-today"}},
                                  {{"preset", "fastest"}},
                                  {{"preset", "leanest"}},
                                  {{"conv", "winograd"}},
                                  {{"lifetime", "stream"}, {"allocator", "caching"}},
                                  {{"tile", "stripe:16"}},
                                  {{"size", "64x64"}, {"tile", "32"}, {"overlap", "0"}}}) {
        NamedValues values = lowering;
        values.emplace_back("activations", "fp16");
        const Ran ran = run(values);
        ASSERT_TRUE(ran.outcome.error) << describe(values);
        const std::string& message = ran.outcome.error->message;
        EXPECT_EQ(ran.outcome.error->code, ErrorCode::BadInput) << message;
        EXPECT_NE(message.find("layer '" + first + "' is the first whose output is not finite"), std::string::npos)
            << describe(values) << message;
        EXPECT_NE(message.find("of layer '" + before + "'"), std::string::npos) << describe(values) << message;
        EXPECT_NE(message.find("fp16 ends at 65504"), std::string::npos) << message;
        double largest = 0;
        const auto at = message.find("before it is ");
        ASSERT_NE(at, std::string::npos) << message;
        ASSERT_EQ(std::sscanf(message.c_str() + at, "before it is %lf", &largest), 1);
        EXPECT_NEAR(largest, 5000, 50) << describe(values); // what else is added there is small
        const Recording& recording = ran.outcome.recording;
        ASSERT_TRUE(recording.failure);
        EXPECT_EQ(recording.failure->layer, first) << describe(values);
        EXPECT_EQ(recording.failure->message, message);
        EXPECT_EQ(recording.events.back().allocated, 0u);
        EXPECT_EQ(backend->heap().liveBlocks(), 0u);
    }
}

// Where it begins at the first layer, what came before is the input.
TEST_F(Overflow, inTheFirstLayerNamesTheInput) {
    Job job = jobOf(controlsOf({{"weights", path}, {"size", "32x32"}, {"activations", "fp16"}}), std::uint64_t{3});
    job.input->read = [](std::uint64_t, std::span<float> out) { std::ranges::fill(out, 2e6f); };
    const Ran ran = runToMemory(*backend, job);
    ASSERT_TRUE(ran.outcome.error);
    const std::string& message = ran.outcome.error->message;
    EXPECT_NE(message.find("layer 'decoder.conv_in' is the first"), std::string::npos) << message;
    EXPECT_NE(message.find("before it is 2e+06, of layer 'input'"), std::string::npos) << message;
}

// The largest value need not be near the end of fp16, and bf16 has room for all of them.
TEST_F(Overflow, isNoneWhereTheFormatHasRoom) {
    for (const char* activations : {"bf16", "fp32"}) {
        const Ran ran = run({{"activations", activations}});
        EXPECT_FALSE(ran.outcome.error) << activations << ran.outcome.error->message;
    }
}

} // namespace
} // namespace spikescope
