// Checkpoints by their names: every family, both layouts, prefixes, storage types, inside full-model files. The files
// are sparse: right headers over data of zeros that is never written. Protects: name maps, detection, tensor and
// parameter counts.

#include "core/model/parameters.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace spikescope {
namespace {

struct StoredTensor {
    std::string name;
    std::vector<std::uint64_t> shape;
};

std::vector<Weight> weightsOf(const Family& family, bool decoder = true, bool encoder = true) {
    std::vector<Weight> all;
    for (const VaeTask op : {VaeTask::Encode, VaeTask::Decode}) {
        if (!(op == VaeTask::Decode ? decoder : encoder)) continue;
        const auto weights = halfWeights(family, op);
        all.insert(all.end(), weights->begin(), weights->end());
    }
    return all;
}

// The names of a layout as files have them; 1×1 attention weights of the original layout have four dimensions.
std::vector<StoredTensor> stored(const Family& family, NameLayout layout, const std::string& prefix,
                                 const std::vector<Weight>& weights) {
    std::vector<StoredTensor> tensors;
    for (const Weight& weight : weights) {
        std::string name = weight.name;
        std::vector<std::uint64_t> shape = weight.dims;
        if (layout == NameLayout::Original) {
            if (family.backbone == Backbone::Tiny) {
                name = std::string(name.starts_with("decoder.") ? "decoder." : "encoder.") + tinyOriginalName(name);
            } else {
                const bool decoder = name.starts_with("decoder."), encoder = name.starts_with("encoder.");
                if (decoder || encoder)
                    name = name.substr(0, 8) +
                           klNames(name.substr(8), layout, (decoder ? family.decoder : family.encoder).levels.size())
                               .front();
                if (shape.size() == 2) shape.insert(shape.end(), {1, 1});
            }
        }
        tensors.push_back({prefix + name, shape});
    }
    return tensors;
}

class CheckpointTest : public testing::Test {
protected:
    void TearDown() override { std::filesystem::remove(path); }

    // A file of these tensors, its data a hole in the file system.
    const std::string& write(const std::vector<StoredTensor>& tensors, const std::string& dtype = "F32") {
        nlohmann::ordered_json header;
        std::uint64_t at = 0;
        const std::uint64_t size = dtype == "F32" ? 4 : dtype == "I64" ? 8 : 2;
        for (const StoredTensor& tensor : tensors) {
            std::uint64_t bytes = size;
            for (const std::uint64_t dim : tensor.shape) bytes *= dim;
            header[tensor.name] = {{"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {at, at + bytes}}};
            at += bytes;
        }
        std::string text = header.dump();
        text.resize((text.size() + 7) / 8 * 8, ' ');
        const std::uint64_t length = text.size();
        std::ofstream file(path, std::ios::binary | std::ios::trunc);
        file.write(reinterpret_cast<const char*>(&length), 8) << text;
        file.close();
        std::filesystem::resize_file(path, 8 + length + at);
        return path;
    }

    std::string path = testing::TempDir() + "spikescope_checkpoint_" + std::to_string(getpid()) + ".safetensors";
};

TEST_F(CheckpointTest, recognisesEveryFamilyInBothLayoutsWithPrefixes) {
    for (const Family& family : families())
        for (const NameLayout layout : {NameLayout::Diffusers, NameLayout::Original})
            for (const std::string prefix : {"", "first_stage_model.", "vae."})
                for (const std::string dtype : {"F32", "F16", "BF16"}) {
                    if (family.name == "kl") continue; // what no other family is
                    const std::string what = fmt::format("{} layout {} prefix '{}' {}", family.name,
                                                         static_cast<int>(layout), prefix, dtype);
                    std::vector<StoredTensor> tensors = stored(family, layout, prefix, weightsOf(family));
                    for (int i = 0; i < 300; ++i)
                        tensors.push_back({fmt::format("model.diffusion_model.blocks.{}.weight", i), {4, 4}});
                    auto checkpoint = Checkpoint::open(write(tensors, dtype));
                    ASSERT_TRUE(checkpoint) << what << ": " << checkpoint.error().message;
                    EXPECT_TRUE(std::ranges::count(checkpoint->candidates(), family.name, &Family::name)) << what;
                    EXPECT_EQ(checkpoint->layout(), layout) << what;
                    EXPECT_EQ(checkpoint->prefix(), prefix) << what;
                    EXPECT_TRUE(checkpoint->hasDecoder() && checkpoint->hasEncoder()) << what;
                    Parameters parameters(std::move(*checkpoint));
                    const Result<void> bound = parameters.bind(weightsOf(family), "the model");
                    EXPECT_TRUE(bound) << what << ": " << bound.error().message;
                }
}

TEST_F(CheckpointTest, acceptsOneHalf) {
    for (const Family& family : families())
        for (const bool decoder : {true, false}) {
            auto checkpoint = Checkpoint::open(
                write(stored(family, NameLayout::Diffusers, "", weightsOf(family, decoder, !decoder))));
            ASSERT_TRUE(checkpoint) << family.name << checkpoint.error().message;
            EXPECT_EQ(checkpoint->hasDecoder(), decoder) << family.name;
            EXPECT_EQ(checkpoint->hasEncoder(), !decoder) << family.name;
        }
}

TEST_F(CheckpointTest, acceptsAttentionNamesOfOldDiffusers) {
    std::vector<StoredTensor> tensors =
        stored(*findFamily("sd15"), NameLayout::Diffusers, "", weightsOf(*findFamily("sd15")));
    for (StoredTensor& tensor : tensors)
        for (const auto& [now, before] : {std::pair{".to_q.", ".query."}, std::pair{".to_k.", ".key."},
                                          std::pair{".to_v.", ".value."}, std::pair{".to_out.0.", ".proj_attn."}})
            if (const auto at = tensor.name.find(now); at != std::string::npos)
                tensor.name.replace(at, std::string(now).size(), before);
    auto checkpoint = Checkpoint::open(write(tensors));
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    Parameters parameters(std::move(*checkpoint));
    EXPECT_TRUE(parameters.bind(weightsOf(*findFamily("sd15")), "the model"));
}

TEST_F(CheckpointTest, saysWhatIsMissingOrWrong) {
    const Family& flux1 = *findFamily("flux1");
    const auto sentence = [&](const std::vector<StoredTensor>& tensors, const std::string& dtype = "F32") {
        auto checkpoint = Checkpoint::open(write(tensors, dtype));
        EXPECT_TRUE(checkpoint) << checkpoint.error().message;
        Parameters parameters(std::move(*checkpoint));
        const Result<void> bound = parameters.bind(weightsOf(flux1, true, false), "the flux1 decoder");
        EXPECT_FALSE(bound);
        return bound ? std::string{} : bound.error().message;
    };
    const std::vector<StoredTensor> whole = stored(flux1, NameLayout::Diffusers, "", weightsOf(flux1, true, false));
    std::vector<StoredTensor> fewer = whole;
    std::erase_if(fewer,
                  [](const StoredTensor& t) { return t.name.find("up_blocks.2.resnets.1") != std::string::npos; });
    EXPECT_NE(
        sentence(fewer).find(
            "8 of the 138 tensors of the flux1 decoder are missing, first decoder.up_blocks.2.resnets.1.norm1.weight"),
        std::string::npos)
        << sentence(fewer);
    std::vector<StoredTensor> bent = whole;
    bent[4].shape[0] = 513;
    EXPECT_NE(sentence(bent).find(bent[4].name), std::string::npos) << sentence(bent);
    EXPECT_NE(sentence(bent).find("513"), std::string::npos) << sentence(bent);
    EXPECT_NE(sentence(whole, "I64").find("I64"), std::string::npos);
}

TEST_F(CheckpointTest, saysWhatAnotherModelLooksLike) {
    for (const auto& [name, kind] : {std::pair{"text_model.encoder.layers.0.mlp.fc1.weight", "CLIP"},
                                     std::pair{"double_blocks.0.img_attn.qkv.weight", "FLUX"},
                                     std::pair{"encoder.block.0.layer.0.SelfAttention.q.weight", "T5"},
                                     std::pair{"model.layers.0.self_attn.q_proj.weight", "language model"},
                                     std::pair{"decoder.middle.0.residual.0.gamma", "Wan"}}) {
        const auto checkpoint = Checkpoint::open(write({{name, {4, 4}}}));
        ASSERT_FALSE(checkpoint);
        EXPECT_NE(checkpoint.error().message.find(kind), std::string::npos) << checkpoint.error().message;
    }
}

// Whatever a KL autoencoder's widths, levels and attention are, its graph is the one of its own tensors.
TEST_F(CheckpointTest, readsTheArchitectureFromTheShapes) {
    const KlHalf::Level narrow{64, 3}, with{128, 3, true};
    Family f4 = *findFamily("kl"), f16 = f4, half = *findFamily("flux1"), small = *findFamily("flux2"), bare = half;
    f4.latentChannels = 3;
    f4.decoder = {.levels = {{128, 3}, {256, 3}, {512, 3}}, .codeChannels = 3, .quantConv = true};
    f4.encoder = {.levels = {{128, 2}, {256, 2}, {512, 2}}, .codeChannels = 6, .quantConv = true};
    f16.latentChannels = 16;
    f16.decoder = {.levels = {{128, 3}, {128, 3}, {256, 3}, {256, 3}, {512, 3, true}}, .codeChannels = 16};
    f16.decoder.quantConv = true;
    f16.encoder = {.levels = {{128, 2}, {128, 2}, {256, 2}, {256, 2}, {512, 2, true}}, .codeChannels = 32};
    f16.encoder.quantConv = true;
    half.decoder.levels = {narrow, {128, 3}, {256, 3}, {256, 3}};
    half.decoder.quantConv = half.encoder.quantConv = true; // with 16 channels, too
    small.decoder.levels = {{96, 3}, {192, 3}, {384, 3}, {384, 3}};
    bare.decoder.midAttention = bare.encoder.midAttention = false;
    bare.decoder.levels = {{128, 4}, {256, 4}, with, {512, 4}};
    bare.decoder.levels[2].resnets = 4;
    const std::pair<const char*, const Family*> cases[] = {
        {"kl-f4", &f4}, {"kl-f16", &f16}, {"half width", &half}, {"small decoder", &small}, {"bare", &bare}};
    for (const auto& [what, family] : cases)
        for (const NameLayout layout : {NameLayout::Diffusers, NameLayout::Original})
            for (const std::string prefix : {"", "net.module.", "state_dict.model.first_stage_model."}) {
                auto checkpoint = Checkpoint::open(write(stored(*family, layout, prefix, weightsOf(*family))));
                ASSERT_TRUE(checkpoint) << what << ": " << checkpoint.error().message;
                const Family& read = checkpoint->candidates().front();
                EXPECT_EQ(read.decoder, family->decoder) << what << ": " << describe(read.decoder);
                EXPECT_EQ(read.encoder, family->encoder) << what << ": " << describe(read.encoder);
                EXPECT_EQ(read.latentChannels, family->latentChannels) << what;
                EXPECT_EQ(checkpoint->prefix(), prefix) << what;
                for (const VaeTask task : {VaeTask::Decode, VaeTask::Encode}) {
                    const Result<void> fits = checkpoint->checkHalf(task);
                    EXPECT_TRUE(fits) << what << ": " << fits.error().message;
                }
                EXPECT_TRUE(checkpoint->unused().empty()) << what << checkpoint->unused().front()->name;
            }
    EXPECT_EQ(sizeMultiple(f4, VaeTask::Decode), 4u);
    EXPECT_EQ(sizeMultiple(f16, VaeTask::Encode), 16u);
}

TEST_F(CheckpointTest, findsQuantConvsInsideTheHalves) {
    const Family& flux2 = *findFamily("flux2");
    std::vector<StoredTensor> tensors = stored(flux2, NameLayout::Original, "", weightsOf(flux2));
    for (StoredTensor& tensor : tensors) {
        if (tensor.name.starts_with("quant_conv")) tensor.name = "encoder." + tensor.name;
        if (tensor.name.starts_with("post_quant_conv")) tensor.name = "decoder." + tensor.name;
    }
    const auto checkpoint = Checkpoint::open(write(tensors));
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    EXPECT_TRUE(checkpoint->candidates().front().decoder.quantConv);
    EXPECT_TRUE(checkpoint->checkHalf(VaeTask::Decode));
    EXPECT_TRUE(checkpoint->checkHalf(VaeTask::Encode));
}

TEST_F(CheckpointTest, findsAHalfThatIsAlone) {
    const Family& flux1 = *findFamily("flux1");
    for (const NameLayout layout : {NameLayout::Diffusers, NameLayout::Original})
        for (const bool decoder : {true, false}) {
            std::vector<StoredTensor> tensors = stored(flux1, layout, "", weightsOf(flux1, decoder, !decoder));
            for (StoredTensor& tensor : tensors) tensor.name = tensor.name.substr(std::string("decoder.").size());
            const auto checkpoint = Checkpoint::open(write(tensors));
            ASSERT_TRUE(checkpoint) << checkpoint.error().message;
            EXPECT_EQ(checkpoint->hasDecoder(), decoder);
            EXPECT_EQ(checkpoint->hasEncoder(), !decoder);
            EXPECT_TRUE(checkpoint->checkHalf(decoder ? VaeTask::Decode : VaeTask::Encode));
        }
}

// As mflux saves it. The value of every weight is checked: its place in the file is another one.
TEST_F(CheckpointTest, readsConvolutionsThatAreChannelsLast) {
    Family family = *findFamily("flux1");
    family.decoder.levels = {{32, 3}, {32, 3}, {32, 3}, {32, 3}};
    const std::vector<Weight> weights = weightsOf(family, true, false);
    std::vector<StoredTensor> tensors;
    for (const Weight& weight : weights) {
        std::vector<std::uint64_t> shape = weight.dims;
        if (shape.size() == 4) shape = {shape[0], shape[2], shape[3], shape[1]};
        std::string name = weight.name;
        for (const auto& [now, more] :
             {std::pair{"conv_in.", "conv_in.conv2d."}, std::pair{"conv_out.", "conv_out.conv2d."},
              std::pair{"conv_norm_out.", "conv_norm_out.norm."}})
            if (name.starts_with(std::string("decoder.") + now)) name.replace(8, std::string(now).size(), more);
        tensors.push_back({name, shape});
    }
    write(tensors);
    {
        // Every value says where it is in its tensor.
        std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
        std::uint64_t header = 0;
        file.read(reinterpret_cast<char*>(&header), 8);
        file.seekp(static_cast<std::streamoff>(8 + header));
        for (const StoredTensor& tensor : tensors) {
            std::uint64_t count = 1;
            for (const std::uint64_t dim : tensor.shape) count *= dim;
            for (std::uint64_t i = 0; i < count; ++i) {
                const auto value = static_cast<float>(i);
                file.write(reinterpret_cast<const char*>(&value), 4);
            }
        }
    }
    auto checkpoint = Checkpoint::open(path);
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    EXPECT_EQ(checkpoint->candidates().front().decoder, family.decoder);
    Parameters parameters(std::move(*checkpoint));
    ASSERT_TRUE(parameters.bind(weights, "the decoder"));
    for (const Weight& weight : weights) {
        const auto& d = weight.dims;
        std::visit(
            [&](const auto& values) {
                if (d.size() != 4) {
                    EXPECT_EQ(values[d[0] - 1], static_cast<float>(d[0] - 1)) << weight.name;
                    return;
                }
                for (const std::uint64_t o : {std::uint64_t{0}, d[0] - 1})
                    for (std::uint64_t c = 0; c < d[1]; ++c)
                        for (std::uint64_t tap = 0; tap < d[2] * d[3]; ++tap)
                            ASSERT_EQ(values[(o * d[1] + c) * d[2] * d[3] + tap],
                                      static_cast<float>((o * d[2] * d[3] + tap) * d[1] + c))
                                << weight.name;
            },
            parameters.values(weight));
    }
}

TEST_F(CheckpointTest, namesWeightsThatAreNoNumbers) {
    Family family = *findFamily("flux1");
    family.decoder.levels = {{32, 1}, {32, 1}};
    const std::vector<Weight> weights = weightsOf(family, true, false);
    for (const std::string dtype : {"F32", "F16", "BF16"}) {
        const std::vector<StoredTensor> tensors = stored(family, NameLayout::Diffusers, "", weights);
        write(tensors, dtype);
        const std::uint64_t size = dtype == "F32" ? 4 : 2;
        {
            std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
            std::uint64_t header = 0;
            file.read(reinterpret_cast<char*>(&header), 8);
            for (const std::uint64_t index : {5u, 9u}) { // of the first tensor: all bits one are NaN
                file.seekp(static_cast<std::streamoff>(8 + header + index * size));
                file.write("\xff\xff\xff\xff", static_cast<std::streamsize>(size));
            }
        }
        auto checkpoint = Checkpoint::open(path);
        ASSERT_TRUE(checkpoint) << checkpoint.error().message;
        Parameters parameters(std::move(*checkpoint));
        const Result<void> finite = parameters.checkFinite(weights.front(), DType::BF16);
        ASSERT_FALSE(finite) << dtype;
        EXPECT_NE(finite.error().message.find(weights.front().name), std::string::npos) << finite.error().message;
        EXPECT_NE(finite.error().message.find("2 of its"), std::string::npos) << finite.error().message;
        EXPECT_NE(finite.error().message.find("index 5"), std::string::npos) << finite.error().message;
        EXPECT_TRUE(parameters.checkFinite(weights[1], DType::F16));
    }
}

// Video VAEs and others by a name that each has in the layouts it is published in.
TEST_F(CheckpointTest, otherModelsAreNamed) {
    for (const auto& [kind, names] : std::vector<std::pair<std::string, std::vector<std::string>>>{
             {"CogVideoX",
              {"decoder.conv_in.conv.weight", "decoder.mid_block.resnets.0.norm1.conv_y.conv.weight",
               "decoder.mid_block.resnets.0.conv1.conv.weight"}},
             {"HunyuanVideo", {"decoder.conv_in.conv.weight", "decoder.mid_block.resnets.0.conv1.conv.weight"}},
             {"LTX", {"latents_mean", "latents_std", "decoder.mid_block.resnets.0.conv1.conv.weight"}},
             {"LTX", {"per_channel_statistics.mean-of-means", "decoder.conv_in.conv.weight"}},
             {"Mochi", {"decoder.block_in.resnets.0.conv1.conv.weight", "decoder.conv_in.weight"}},
             {"DC-AE", {"decoder.up_blocks.0.0.conv_out.conv_inverted.weight", "decoder.conv_in.weight"}},
             {"Wan", {"decoder.mid_block.resnets.0.norm1.gamma", "decoder.conv_in.weight"}},
             {"Wan", {"decoder.middle.0.residual.0.gamma", "decoder.conv1.weight"}},
             {"Stable Video Diffusion", {"decoder.mid_block.resnets.0.spatial_res_block.conv1.weight"}}}) {
        std::vector<StoredTensor> tensors;
        for (const std::string& name : names) tensors.push_back({name, {4, 4, 3, 3, 3}});
        const auto checkpoint = Checkpoint::open(write(tensors));
        ASSERT_FALSE(checkpoint) << kind;
        EXPECT_NE(checkpoint.error().message.find("looks like a"), std::string::npos) << checkpoint.error().message;
        EXPECT_NE(checkpoint.error().message.find(kind), std::string::npos) << checkpoint.error().message;
    }
}

// Of an asymmetric autoencoder (a wider decoder with more resnets, which can take a mask) the decode without a mask
// runs; what the mask goes through is left out by name.
TEST_F(CheckpointTest, asymmetricDecodersRunWithoutTheirMask) {
    Family family = otherKl();
    family.latentChannels = 4;
    family.encoder = usualEncoder(4, true);
    family.decoder = {.levels = {{192, 3}, {384, 3}, {768, 3}, {768, 3}}, .codeChannels = 4, .quantConv = true};
    std::vector<StoredTensor> tensors = stored(family, NameLayout::Diffusers, "", weightsOf(family));
    tensors.push_back({"decoder.condition_encoder.layers.0.weight", {192, 3, 3, 3}});
    tensors.push_back({"decoder.condition_encoder.layers.0.bias", {192}});
    const auto checkpoint = Checkpoint::open(write(tensors, "F16"));
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    EXPECT_EQ(checkpoint->candidates().front().decoder, family.decoder);
    EXPECT_EQ(checkpoint->candidates().front().encoder, family.encoder);
    EXPECT_TRUE(checkpoint->checkHalf(VaeTask::Decode) && checkpoint->checkHalf(VaeTask::Encode));
    const std::vector<std::string> notes = checkpoint->choose("")->notes;
    EXPECT_NE(std::ranges::find(notes, "2 tensors are left out, first 'decoder.condition_encoder.layers.0.weight'"),
              notes.end())
        << notes.front();
}

TEST_F(CheckpointTest, isNoUNet) {
    const auto checkpoint = Checkpoint::open(write({{"conv_in.weight", {320, 4, 3, 3}},
                                                    {"mid_block.resnets.0.conv1.weight", {1280, 1280, 3, 3}},
                                                    {"up_blocks.0.resnets.0.conv2.weight", {1280, 1280, 3, 3}},
                                                    {"down_blocks.0.resnets.0.conv2.weight", {320, 320, 3, 3}},
                                                    {"down_blocks.0.attentions.0.norm.weight", {320}}}));
    ASSERT_FALSE(checkpoint);
    EXPECT_NE(checkpoint.error().message.find("U-Net"), std::string::npos) << checkpoint.error().message;
}

// A folder of its own for a checkpoint and what lies beside it.
class ModelFolder : public CheckpointTest {
protected:
    void SetUp() override {
        folder = testing::TempDir() + "spikescope_model_" + std::to_string(getpid());
        std::filesystem::create_directories(folder + "/vae");
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    void put(const std::string& name, const Family& family) {
        path = folder + "/" + name;
        write(stored(family, NameLayout::Diffusers, "", weightsOf(family)), "F16");
    }
    void putText(const std::string& name, const std::string& text) { std::ofstream(folder + "/" + name) << text; }
    std::string familyOf(const std::string& name) {
        const auto checkpoint = Checkpoint::open(folder + name);
        return checkpoint ? std::string(checkpoint->candidates().front().name) : checkpoint.error().message;
    }

    std::string folder;
};

TEST_F(ModelFolder, takesTheFamilyFromConfigJson) {
    const Family& sdxl = *findFamily("sdxl");
    put("vae/diffusion_pytorch_model.fp16.safetensors", sdxl);
    EXPECT_EQ(familyOf("/vae"), "sd15"); // nothing says otherwise
    putText("vae/config.json", R"({"_class_name": "AutoencoderKL", "scaling_factor": 0.13025, "force_upcast": true,
        "block_out_channels": [128, 256, 512, 512], "latent_channels": 4, "layers_per_block": 2})");
    for (const char* name : {"", "/vae", "/vae/config.json", "/vae/diffusion_pytorch_model.fp16.safetensors"}) {
        const auto checkpoint = Checkpoint::open(folder + name);
        ASSERT_TRUE(checkpoint) << name << checkpoint.error().message;
        EXPECT_EQ(checkpoint->candidates().front().name, "sdxl") << name;
        const auto choice = checkpoint->choose("");
        EXPECT_EQ(choice->notes.back(), "family sdxl by config.json: scaling 0.13025") << name;
        EXPECT_EQ(choice->notes.size(), 2u) << name;                            // and that fp16 is too narrow
        EXPECT_EQ(checkpoint->choose("sd15")->family.scaling, 0.18215) << name; // as asked for
        EXPECT_FALSE(checkpoint->choose("flux1")) << name;
    }
    // A scaling of its own makes it none of the families.
    putText("vae/config.json", R"({"_class_name": "AutoencoderKL", "scaling_factor": 0.5, "layers_per_block": 3})");
    const auto other = Checkpoint::open(folder);
    ASSERT_TRUE(other) << other.error().message;
    EXPECT_EQ(other->candidates().front().name, "kl");
    EXPECT_EQ(other->candidates().front().scaling, 0.5);
    EXPECT_NE(other->choose("")->notes.front().find("layers_per_block 3, the tensors say 2"), std::string::npos)
        << other->choose("")->notes.front();
    // What is not a VAE's says nothing of it.
    putText("vae/config.json", R"({"model_type": "t5", "scaling_factor": "x", "_class_name": "T5EncoderModel"})");
    EXPECT_EQ(familyOf("/vae"), "sd15");
    for (const char* broken : {"{", R"({"_class_name": "AutoencoderKL", "scaling_factor": "much"})",
                               R"({"_class_name": "AutoencoderKL", "scaling_factor": 0})",
                               R"({"_class_name": "AutoencoderKL", "latents_mean": [1, 2], "latents_std": [1, 2]})"}) {
        putText("vae/config.json", broken);
        EXPECT_NE(familyOf("/vae").find("config.json"), std::string::npos) << broken;
    }
}

// FLUX.2's small decoder as it is published: a folder with both layouts and the decoder alone, whose config.json gives
// the decoder widths of its own.
TEST_F(ModelFolder, flux2sSmallDecoderOpensInEachOfItsFiles) {
    Family small = *findFamily("flux2");
    small.decoder.levels = {{96, 3}, {192, 3}, {384, 3}, {384, 3}};
    std::vector<StoredTensor> tensors = stored(small, NameLayout::Diffusers, "", weightsOf(small));
    tensors.insert(tensors.end(), {{"bn.running_mean", {128}}, {"bn.running_var", {128}}});
    path = folder + "/diffusion_pytorch_model.safetensors";
    write(tensors, "BF16");
    tensors = stored(small, NameLayout::Original, "", weightsOf(small));
    for (StoredTensor& tensor : tensors) {
        if (tensor.name.starts_with("quant_conv")) tensor.name = "encoder." + tensor.name;
        if (tensor.name.starts_with("post_quant_conv")) tensor.name = "decoder." + tensor.name;
    }
    tensors.insert(tensors.end(), {{"bn.running_mean", {128}}, {"bn.running_var", {128}}});
    path = folder + "/full_encoder_small_decoder.safetensors";
    write(tensors, "BF16");
    std::erase_if(tensors, [](const StoredTensor& tensor) { return tensor.name.starts_with("encoder."); });
    path = folder + "/small_decoder.safetensors";
    write(tensors, "BF16");
    putText("config.json", R"({"_class_name": "AutoencoderKLFlux2", "block_out_channels": [128, 256, 512, 512],
        "decoder_block_out_channels": [96, 192, 384, 384], "latent_channels": 32, "layers_per_block": 2})");
    for (const char* name : {"", "/diffusion_pytorch_model.safetensors", "/full_encoder_small_decoder.safetensors",
                             "/small_decoder.safetensors"}) {
        const auto checkpoint = Checkpoint::open(folder + name);
        ASSERT_TRUE(checkpoint) << name << checkpoint.error().message;
        EXPECT_EQ(checkpoint->candidates().front().name, "flux2") << name;
        EXPECT_EQ(checkpoint->candidates().front().decoder, small.decoder) << name;
        EXPECT_TRUE(checkpoint->checkHalf(VaeTask::Decode)) << name;
        EXPECT_EQ(checkpoint->hasEncoder(), !std::string_view(name).starts_with("/small")) << name;
        EXPECT_EQ(checkpoint->choose("")->notes, std::vector<std::string>{}) << name;
    }
}

TEST_F(ModelFolder, choosesAmongFiles) {
    put("vae/diffusion_pytorch_model.fp16.safetensors", *findFamily("sdxl"));
    put("vae/diffusion_pytorch_model.safetensors", *findFamily("flux1"));
    EXPECT_EQ(familyOf("/vae"), "flux1"); // the one without a variant
    EXPECT_EQ(familyOf(""), "flux1");
    put("vae/other.safetensors", *findFamily("sd15"));
    EXPECT_EQ(familyOf(""), "flux1"); // as diffusers
    put("vae/another.safetensors", *findFamily("sd15"));
    for (const char* diffusers : {"diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors"})
        std::filesystem::remove(folder + "/vae/" + diffusers);
    EXPECT_NE(familyOf("").find("several weights"), std::string::npos) << familyOf("");
    std::filesystem::remove_all(folder + "/vae");
    EXPECT_NE(familyOf("").find("no weights"), std::string::npos) << familyOf("");
    for (const auto& [index, sentence] :
         {std::pair{R"({"weight_map": {"a": "gone.safetensors"}})", "of 1 is missing"},
          std::pair{R"({"weight_map": {"a": "../up.safetensors"}})", "not the name of a file"},
          std::pair{R"({"weight_map": {}})", "empty"}, std::pair{R"({"a": 1})", "no weight_map"}}) {
        putText("m.safetensors.index.json", index);
        EXPECT_NE(familyOf("").find(sentence), std::string::npos) << index << familyOf("");
    }
}

// Which shard a tensor is taken from is the index's to say: shards may hold more than it names.
TEST_F(ModelFolder, takesTensorsFromTheShardsThatTheIndexNames) {
    const Family& family = *findFamily("flux1");
    std::vector<StoredTensor> all = stored(family, NameLayout::Diffusers, "", weightsOf(family));
    const auto half = static_cast<std::ptrdiff_t>(all.size() / 2);
    std::vector<StoredTensor> first(all.begin(), all.begin() + half), second(all.begin() + half, all.end());
    nlohmann::json map;
    for (const StoredTensor& tensor : first) map[tensor.name] = "m-1-of-2.safetensors";
    for (const StoredTensor& tensor : second) map[tensor.name] = "m-2-of-2.safetensors";
    second.push_back(first.front()); // once more, and
    second.push_back({"decoder.something.else", {3}});
    path = folder + "/vae/m-1-of-2.safetensors";
    write(first, "F16");
    path = folder + "/vae/m-2-of-2.safetensors";
    write(second, "F16");
    for (const std::string& index : {"m.safetensors.index.json", "m.safetensors.index.fp16.json"}) {
        putText("vae/" + index, nlohmann::json{{"weight_map", map}}.dump());
        for (const std::string& name : {std::string("/vae/" + index), std::string("/vae")}) {
            const auto checkpoint = Checkpoint::open(folder + name);
            ASSERT_TRUE(checkpoint) << name << checkpoint.error().message;
            EXPECT_EQ(checkpoint->candidates().front().name, "flux1");
            EXPECT_EQ(checkpoint->file().tensors().size(), all.size());
            EXPECT_TRUE(checkpoint->unused().empty());
        }
        std::filesystem::remove(folder + "/vae/" + index);
    }
    map[first.front().name] = "m-2-of-2.safetensors";
    map["decoder.nowhere"] = "m-1-of-2.safetensors";
    putText("vae/m.safetensors.index.json", nlohmann::json{{"weight_map", map}}.dump());
    EXPECT_NE(familyOf("/vae").find("tensor 'decoder.nowhere' is not in it"), std::string::npos) << familyOf("/vae");
}

// Counts as published with the models.
TEST(Families, haveTheirTensorsAndParameters) {
    struct Known {
        const char* name;
        std::size_t tensors;
        std::uint64_t decoder, encoder;
    };
    for (const Known& known :
         {Known{"sd15", 248, 49'490'179, 34'163'592}, Known{"sdxl", 248, 49'490'179, 34'163'592},
          Known{"sd3", 244, 49'545'475, 34'274'208}, Known{"flux1", 244, 49'545'475, 34'274'208},
          Known{"z-image", 244, 49'545'475, 34'274'208}, Known{"flux2", 248, 49'619'203, 34'421'696}}) {
        const Family& family = *findFamily(known.name);
        std::uint64_t counts[2] = {0, 0};
        for (const Weight& weight : weightsOf(family)) {
            std::uint64_t elements = 1;
            for (const std::uint64_t dim : weight.dims) elements *= dim;
            if (weight.name.starts_with("decoder.")) counts[0] += elements;
            if (weight.name.starts_with("encoder.")) counts[1] += elements;
        }
        EXPECT_EQ(weightsOf(family).size(), known.tensors)
            << known.name; // flux2 has three statistics of packed latents besides
        EXPECT_EQ(counts[0], known.decoder) << known.name;
        EXPECT_EQ(counts[1], known.encoder) << known.name;
    }
}

TEST(Synthetic, matchesTheReferenceGenerator) {
    std::ifstream file(std::string(SPIKESCOPE_SHARED_DATA) + "/golden/golden.json");
    if (!file) GTEST_SKIP() << "the reference data is not beside this checkout";
    const auto facts = nlohmann::json::parse(file);
    const std::vector<Weight> weights = weightsOf(*findFamily("flux1"));
    for (const auto& [name, values] : facts["check"].items()) {
        const std::string wanted = name;
        const auto weight = std::ranges::find(weights, wanted, &Weight::name);
        // The reference's conv_in has four or sixteen latent channels; the scale tells which.
        std::vector<std::uint64_t> dims = weight->dims;
        const SyntheticTensor sixteen(name, dims, 7);
        if (wanted == "decoder.conv_in.weight") dims[1] = 4;
        const SyntheticTensor four(name, dims, 7);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const auto expected = static_cast<float>(values[i].get<double>());
            EXPECT_TRUE(sixteen[i] == expected || four[i] == expected)
                << name << " " << i << ": " << sixteen[i] << " " << expected;
        }
    }
}

} // namespace
} // namespace spikescope
