// What people have of one model: a file, a folder with its configuration, shards, a pickle, a copy under a prefix. All
// of them make the same picture, bit for bit. And quant convs, which are applied where the file has them.

#include "tests/support/archives.h"
#include "tests/support/folder_test.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"
#include "tests/support/stored_tensors.h"

#include <nlohmann/json.hpp>

#include <array>
#include <fstream>

namespace spikescope {
namespace {

class Cases : public FolderTest {
protected:
    void SetUp() override {
        FolderTest::SetUp();
        auto opened = VulkanBackend::open({.device = testDevice()});
        ASSERT_TRUE(opened) << opened.error().message;
        backend = std::move(*opened);
    }

    static Family small(std::uint32_t latentChannels, bool quantConv) {
        Family family = *findFamily("kl");
        family.latentChannels = latentChannels;
        family.decoder = {.levels = {{32, 2}, {32, 2}}, .codeChannels = latentChannels, .quantConv = quantConv};
        family.encoder = {.levels = {{32, 1}, {32, 1}}, .codeChannels = 2 * latentChannels, .quantConv = quantConv};
        return family;
    }
    static std::vector<TensorWithValues> tensorsOf(const Family& family) {
        return syntheticTensors(family, std::array{VaeTask::Decode, VaeTask::Encode});
    }
    std::string put(const std::string& name, std::span<const TensorWithValues> tensors,
                    const std::string& prefix = "") {
        std::filesystem::create_directories(std::filesystem::path(m_folder + name).parent_path());
        writeTensors(m_folder + name, tensors, prefix);
        return m_folder + name;
    }
    std::string putText(const std::string& name, const std::string& text) {
        std::ofstream(m_folder + name, std::ios::binary) << text;
        return m_folder + name;
    }
    // As torch.save({"state_dict": …}, F) writes it.
    static std::string pickle(std::span<const TensorWithValues> tensors) {
        pickled::Items items, storages;
        for (const TensorWithValues& tensor : tensors) {
            const auto elements = static_cast<std::int64_t>(tensor.values.size());
            pickled::Tensor entry{.key = std::to_string(items.size()), .storageElements = elements};
            std::int64_t stride = elements;
            for (const std::uint64_t side : tensor.shape) {
                entry.shape.push_back(static_cast<std::int64_t>(side));
                entry.strides.push_back(stride /= static_cast<std::int64_t>(side));
            }
            items.emplace_back(tensor.name, pickled::tensor(entry));
            storages.emplace_back(entry.key, rawBytes(tensor.values));
        }
        return torchArchive(pickled::dict({{"state_dict", pickled::orderedDict(items)}}), storages).finish();
    }

    std::vector<float> run(const std::string& weights, const NamedValues& more = {}) {
        NamedValues values{{"weights", weights}, {"size", "32x32"}, {"activations", "fp32"}};
        values.insert(values.end(), more.begin(), more.end());
        const Ran ran = runToMemory(*backend, runnableJobOf(controlsOf(values)));
        EXPECT_FALSE(ran.outcome.error) << weights << ran.outcome.error->message;
        return ran.output;
    }

    std::unique_ptr<VulkanBackend> backend;
};

TEST_F(Cases, oneModelMakesOnePictureHoweverItIsKept) {
    const std::vector<TensorWithValues> tensors = tensorsOf(small(4, true));
    const std::string file = put("plain.safetensors", tensors);
    const std::vector<float> picture = run(file);
    ASSERT_FALSE(picture.empty());
    const auto same = [&](const std::string& path) { EXPECT_TRUE(run(path) == picture) << path; };

    same(put("prefixed.safetensors", tensors, "net.module."));
    same(put("full_model.safetensors", tensors, "first_stage_model."));
    same(putText("model.ckpt", pickle(tensors)));
    same(putText("model.bin", pickle(tensors)));

    const std::string config = R"({"_class_name": "AutoencoderKL", "scaling_factor": 1.0})";
    put("pipeline/vae/diffusion_pytorch_model.fp16.safetensors", tensors);
    putText("pipeline/vae/config.json", config);
    putText("pipeline/model_index.json", R"({"_class_name": "Pipeline"})");
    same(m_folder + "pipeline");
    same(m_folder + "pipeline/vae");
    same(m_folder + "pipeline/vae/config.json");

    const std::span<const TensorWithValues> all(tensors);
    nlohmann::json map;
    for (std::size_t shard = 0; shard < 3; ++shard) {
        const std::string name = fmt::format("model-{}-of-3.safetensors", shard + 1);
        const std::size_t begin = shard * all.size() / 3, end = (shard + 1) * all.size() / 3;
        for (const TensorWithValues& tensor : all.subspan(begin, end - begin)) map[tensor.name] = name;
        put("shards/" + name, all.subspan(begin, end - begin));
    }
    const std::string index =
        putText("shards/model.safetensors.index.json", nlohmann::json{{"weight_map", map}}.dump());
    same(index);
    same(m_folder + "shards");
}

// The last convolution of an encoder with a quant conv of twice the identity: exactly twice the moments.
TEST_F(Cases, quantConvsAreAppliedWhereTheFileHasThem) {
    for (const std::uint32_t channels : {4u, 16u}) {
        std::vector<TensorWithValues> with = tensorsOf(small(channels, true));
        for (TensorWithValues& tensor : with) {
            if (tensor.name == "quant_conv.weight") {
                tensor.values.assign(tensor.values.size(), 0.0f);
                for (std::size_t i = 0; i < 2 * channels; ++i) tensor.values[i * (2 * channels + 1)] = 2.0f;
            } else if (tensor.name == "quant_conv.bias") {
                tensor.values.assign(tensor.values.size(), 0.0f);
            }
        }
        std::vector<TensorWithValues> without = with;
        std::erase_if(without,
                      [](const TensorWithValues& t) { return t.name.find("quant_conv") != std::string::npos; });
        const NamedValues encode{{"op", "encode"}};
        std::vector<float> once = run(put("without.safetensors", without), encode);
        for (float& value : once) value *= 2.0f;
        EXPECT_TRUE(run(put("with.safetensors", with), encode) == once) << channels;
        EXPECT_FALSE(run(m_folder + "without.safetensors").empty()) << channels;
    }
}

} // namespace
} // namespace spikescope
