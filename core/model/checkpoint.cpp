#include "core/model/checkpoint.h"

#include "core/base/text.h"
#include "core/model/model_files.h"
#include "core/model/weight_scales.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace spikescope {

namespace {

// Of tiny autoencoders, whose names are too short to be searched for behind any prefix.
constexpr std::array<std::string_view, 4> tinyPrefixes{"", "first_stage_model.", "vae.", "model."};

// [512, 512] and [512, 512, 1, 1] are the same 1×1 convolution.
std::vector<std::uint64_t> trimmed(std::vector<std::uint64_t> shape) {
    while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
    return shape;
}

// What a file is that is no VAE we know, by a name that its kind always has.
struct Signature {
    std::string_view part, kind;
};
constexpr std::array signatures{
    Signature{"lora_", "a LoRA"},
    Signature{".lora", "a LoRA"},
    Signature{"control_model.", "a ControlNet"},
    Signature{"controlnet_", "a ControlNet"},
    Signature{"double_blocks.", "a FLUX transformer"},
    Signature{"single_transformer_blocks.", "a FLUX transformer"},
    Signature{"joint_blocks.", "a Stable Diffusion 3 transformer"},
    Signature{"transformer_blocks.", "a diffusion transformer"},
    Signature{"model.diffusion_model.", "a Stable Diffusion model without its VAE"},
    Signature{"down_blocks.0.attentions.", "a diffusion U-Net"},
    Signature{"input_blocks.", "a diffusion U-Net"},
    Signature{"text_model.encoder.", "a CLIP text encoder"},
    Signature{"encoder.block.0.layer.", "a T5 text encoder"},
    Signature{"model.layers.0.self_attn.", "a language model"},
    Signature{"layers.0.self_attn.", "a language model"},
    Signature{"encoder.layer.0.attention.", "a BERT encoder"},
    Signature{"decoder.middle.", "a Wan or Qwen-Image video VAE (not supported yet)"},
    Signature{"decoder.up_blocks.0.upsamplers.0.upscale_conv.", "a SeedVR2 video VAE (not supported yet)"},
    Signature{".conv_y.", "a CogVideoX video VAE (not supported yet)"},
    Signature{"latents_mean", "an LTX video VAE (not supported yet)"},
    Signature{"per_channel_statistics.", "an LTX video VAE (not supported yet)"},
    Signature{"block_in.resnets.", "a Mochi video VAE (not supported yet)"},
    Signature{"decoder.output_proj.", "a Mochi video VAE (not supported yet)"},
    Signature{".conv_inverted.", "a DC-AE autoencoder (not supported yet)"},
    Signature{"decoder.stages.0.op_list.", "a DC-AE autoencoder (not supported yet)"},
    Signature{"encoder.project_in.", "a DC-AE autoencoder (not supported yet)"},
    Signature{"spatial_res_block.", "a Stable Video Diffusion VAE (not supported yet)"},
    // Behind those whose causal convolutions have the same names.
    Signature{"mid_block.resnets.0.conv1.conv.", "a HunyuanVideo VAE (not supported yet)"},
    Signature{"mid.block_1.conv1.conv.", "a HunyuanVideo VAE (not supported yet)"},
    Signature{".gamma", "a Wan or Qwen-Image video VAE (not supported yet)"},
};

std::string looksLike(const TensorFile& file) {
    for (const Signature& signature : signatures)
        for (const TensorView& tensor : file.tensors())
            if (tensor.name.find(signature.part) != std::string::npos) return std::string(signature.kind);
    return "no model this program knows";
}

// One file, or the shards of a model.
Result<TensorFile> openAll(const std::string& name, const std::vector<ModelFiles::File>& files) {
    if (files.size() == 1 && files.front().tensors.empty()) return TensorFile::open(files.front().path);
    std::vector<TensorFile> shards;
    for (const ModelFiles::File& file : files) {
        TRY(TensorFile shard, TensorFile::open(file.path));
        for (const std::string& tensor : file.tensors)
            if (!shard.find(tensor))
                return fail(ErrorCode::BadInput, "file {}: tensor {} is not in it, where the index {} has it",
                            quote(file.path), quote(tensor), quote(name));
        shard.keep([&](const TensorView& tensor) { return file.tensors.contains(tensor.name); });
        shards.push_back(std::move(shard));
    }
    return TensorFile::merge(name, std::move(shards));
}

// mflux keeps convolutions channels last, [out][rows][columns][in], and has the outermost ones in a module more than
// diffusers. Its files then look like all others.
Result<void> undoChannelsLast(TensorFile& file) {
    const bool isChannelsLast = std::ranges::any_of(file.tensors(), [](const TensorView& tensor) {
        const auto& s = tensor.shape;
        const bool outer = tensor.name.ends_with("conv_in.weight") || tensor.name.ends_with("conv_out.weight") ||
                           tensor.name.ends_with("conv_in.conv2d.weight") ||
                           tensor.name.ends_with("conv_out.conv2d.weight");
        return outer && s.size() == 4 && s[1] == 3 && s[2] == 3 && s[3] > 3;
    });
    if (!isChannelsLast) return {};
    return file.rewrite([](TensorView& tensor) {
        for (const auto& [more, name] : {std::pair<std::string_view, std::string_view>{".conv2d.", "."},
                                         {"conv_norm_out.norm.", "conv_norm_out."}})
            if (const auto at = tensor.name.find(more); at != std::string::npos)
                tensor.name.replace(at, more.size(), name);
        if (tensor.shape.size() != 4 || !tensor.strides.empty()) return;
        const std::uint64_t rows = tensor.shape[1], columns = tensor.shape[2], in = tensor.shape[3];
        tensor.shape = {tensor.shape[0], in, rows, columns};
        tensor.strides = {rows * columns * in, 1, columns * in, in};
    });
}

} // namespace

std::string tinyOriginalName(std::string_view diffusersName) {
    const bool decoder = diffusersName.starts_with("decoder.");
    std::string_view rest = diffusersName;
    for (const std::string_view part : {"decoder.layers.", "encoder.layers."})
        if (rest.starts_with(part)) rest.remove_prefix(part.size());
    int index = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
    if (error != std::errc{}) return std::string(diffusersName);
    // The original decoder counts its clamp as layer 0.
    return fmt::format("{}{}", index + (decoder ? 1 : 0), std::string_view(end, rest.data() + rest.size()));
}

// The decoder and the encoder of one autoencoder: of several in a file one with both halves, with the shortest prefix.
Result<bool> Checkpoint::recogniseKl() {
    using Halves = std::array<const KlPlace*, 2>; // by VaeTask
    const std::vector<KlPlace> places = findKl(m_file);
    const auto rank = [](const Halves& halves) {
        const KlPlace* any = halves[0] ? halves[0] : halves[1];
        return std::pair(halves[0] && halves[1], -static_cast<std::ptrdiff_t>(any->prefix.size()));
    };
    Halves chosen{};
    for (const KlPlace& place : places) {
        Halves halves{};
        for (const KlPlace& other : places)
            if (other.prefix == place.prefix && !halves[other.task == VaeTask::Encode])
                halves[other.task == VaeTask::Encode] = &other;
        if (chosen == Halves{} || rank(halves) > rank(chosen)) chosen = halves;
    }
    if (chosen == Halves{}) return false;
    std::array<std::optional<KlShapes>, 2> shapes;
    for (const VaeTask task : bothTasks) {
        const auto i = static_cast<std::size_t>(task);
        if (!chosen[i]) continue;
        TRY(shapes[i], klShapes(m_file, *chosen[i]));
        half(task) = {.has = true, .at = chosen[i]->at, .levels = shapes[i]->half.levels.size()};
        m_layout = chosen[i]->layout;
        m_prefix = chosen[i]->prefix;
    }
    const KlShapes& latents = shapes[0] ? *shapes[0] : *shapes[1];
    const auto add = [&](Family family) {
        family.latentChannels = latents.latentChannels;
        if (shapes[0]) family.decoder = shapes[0]->half;
        if (shapes[1]) family.encoder = shapes[1]->half;
        m_candidates.push_back(std::move(family));
    };
    for (const Family& family : families())
        if (family.backbone == Backbone::Kl && &family != &otherKl() &&
            family.latentChannels == latents.latentChannels && family.decoder.factor() == latents.half.factor())
            add(family);
    if (m_candidates.empty()) add(otherKl());
    return true;
}

bool Checkpoint::recogniseTiny(const std::string& prefix) {
    m_backbone = Backbone::Tiny;
    const auto conv = [&](const std::string& name) -> const TensorView* {
        const TensorView* tensor = m_file.find(name);
        return tensor && tensor->shape.size() == 4 && tensor->shape[0] == 64 ? tensor : nullptr;
    };
    const auto isPicture = [](const TensorView* tensor) { return tensor && tensor->shape[1] == 3; };
    const TensorView* decoderIn = conv(prefix + "decoder.layers.0.weight");
    const TensorView* encoderIn = conv(prefix + "encoder.layers.0.weight");
    m_layout = NameLayout::Diffusers;
    m_prefix = prefix;
    std::string lastOfEncoder = prefix + "encoder.layers.14.weight";
    if (!decoderIn && !isPicture(encoderIn)) {
        m_layout = NameLayout::Original;
        for (const std::string_view half : {"decoder.", "taesd_decoder.", ""}) {
            const std::string at = prefix + std::string(half);
            decoderIn = conv(at + "1.weight");
            // An encoder has a layer 0, and block 1 without a weight of its own.
            if (decoderIn && conv(at + "0.weight")) decoderIn = nullptr;
            if (decoderIn) {
                m_half[0].at = at;
                break;
            }
        }
        for (const std::string_view half : {"encoder.", "taesd_encoder.", ""}) {
            const std::string at = prefix + std::string(half);
            encoderIn = conv(at + "0.weight");
            if (isPicture(encoderIn)) {
                m_half[1].at = at;
                lastOfEncoder = at + "14.weight";
                break;
            }
        }
    }
    const TensorView* encoderOut = m_file.find(lastOfEncoder);
    m_half[0].has = decoderIn != nullptr;
    m_half[1].has = isPicture(encoderIn) && encoderOut && !encoderOut->shape.empty();
    if (!hasDecoder() && !hasEncoder()) return false;
    const std::uint64_t latentChannels = hasDecoder() ? decoderIn->shape[1] : encoderOut->shape[0];
    for (const Family& family : families())
        if (family.backbone == Backbone::Tiny && family.latentChannels == latentChannels)
            m_candidates.push_back(family);
    return !m_candidates.empty();
}

Result<Checkpoint> Checkpoint::open(const std::string& path) {
    TRY(const ModelFiles files, findModelFiles(path));
    TRY(TensorFile file, openAll(path, files.weights));
    CHECK(undoChannelsLast(file));
    Checkpoint checkpoint(std::move(file));
    CHECK(checkpoint.recognise());
    if (!files.config) return checkpoint;
    TRY(const std::optional<ModelConfig> config, readModelConfig(*files.config));
    if (config) CHECK(checkpoint.heed(*config));
    return checkpoint;
}

Result<void> Checkpoint::recognise() {
    TRY(const bool isKl, recogniseKl());
    if (isKl) return {};
    for (const std::string_view prefix : tinyPrefixes)
        if (recogniseTiny(std::string(prefix))) return {};
    for (const TensorView& tensor : m_file.tensors())
        for (const VaeTask task : bothTasks)
            if (tensor.shape.size() == 4 && tensor.name.ends_with(fmt::format("{}.conv_in.weight", halfName(task))))
                return fail(
                    ErrorCode::BadInput,
                    "file {}: incomplete: it has tensor {}, and of the same {} no mid_block.resnets.0.conv1.weight "
                    "or no {}_blocks.0.resnets.0.conv2.weight, by neither layout's name",
                    quote(m_file.fileName()), quote(tensor.name), halfName(task),
                    task == VaeTask::Decode ? "up" : "down");
    return fail(ErrorCode::BadInput, "file {}: its {} tensors are not those of a supported VAE; it looks like {}",
                quote(m_file.fileName()), m_file.tensors().size(), looksLike(m_file));
}

Result<void> Checkpoint::heed(const ModelConfig& config) {
    if (m_backbone == Backbone::Tiny) return {}; // its scaling is not that of the latents
    const std::size_t channels = m_candidates.front().latentChannels;
    if (!config.latentsMean.empty() && config.latentsMean.size() != channels)
        return fail(ErrorCode::BadInput,
                    "file {}: latents_mean has {} values, the checkpoint's latents have {} channels",
                    quote(config.path), config.latentsMean.size(), channels);
    for (Family& family : m_candidates) {
        family.latentsMean = config.latentsMean;
        family.latentsStd = config.latentsStd;
        if (config.normGroups) family.decoder.normGroups = family.encoder.normGroups = *config.normGroups;
    }
    noteContradictions(config);
    if (config.forceUpcast.value_or(false))
        m_notes.push_back(
            "config.json says force_upcast: fp16 is too narrow for this VAE's activations, bf16 and fp32 do");
    if (!config.scaling) return {};
    const double scaling = *config.scaling, shift = config.shift.value_or(0.0);
    const std::string said =
        config.shift ? fmt::format("scaling {}, shift {}", scaling, shift) : fmt::format("scaling {}", scaling);
    const auto others = std::stable_partition(m_candidates.begin(), m_candidates.end(), [&](const Family& family) {
        return std::abs(family.scaling - scaling) < 1e-6 && std::abs(family.shift - shift) < 1e-6;
    });
    if (others == m_candidates.begin()) {
        Family own = m_candidates.front();
        own.name = otherKl().name;
        own.scaling = scaling;
        own.shift = shift;
        own.packedLatents = false;
        m_candidates.insert(m_candidates.begin(), std::move(own));
    }
    m_familyIsSaid = true;
    m_notes.push_back(fmt::format("family {} by config.json: {}", m_candidates.front().name, said));
    return {};
}

// The tensors decide; where the file beside them says otherwise, that is worth knowing.
void Checkpoint::noteContradictions(const ModelConfig& config) {
    const Family& family = m_candidates.front();
    const auto differs = [&](std::string_view key, const auto& said, const auto& has) {
        m_notes.push_back(fmt::format("config.json says {} {}, the tensors say {}", key, said, has));
    };
    if (config.latentChannels && *config.latentChannels != family.latentChannels)
        differs("latent_channels", *config.latentChannels, family.latentChannels);
    for (const VaeTask task : bothTasks) {
        if (!has(task)) continue;
        const bool decode = task == VaeTask::Decode;
        const KlHalf& half = family.half(task);
        const std::optional<bool> quantConv = decode ? config.postQuantConv : config.quantConv;
        if (quantConv && *quantConv != half.quantConv)
            differs(decode ? "use_post_quant_conv" : "use_quant_conv", *quantConv, half.quantConv);
        if (config.midAttention && *config.midAttention != half.midAttention)
            differs("mid_block_add_attention", *config.midAttention, half.midAttention);
        std::vector<std::uint32_t> channels;
        for (const KlHalf::Level& level : half.levels) channels.push_back(level.channels);
        const ModelConfig::Half& said = decode ? config.decoder : config.encoder;
        if (!said.blockOutChannels.empty() && said.blockOutChannels != channels)
            differs("block_out_channels", fmt::format("[{}]", fmt::join(said.blockOutChannels, ", ")),
                    fmt::format("[{}] in the {}", fmt::join(channels, ", "), halfName(task)));
        const std::uint32_t more = decode ? 1 : 0; // a decoder has one resnet more in each level
        if (said.layersPerBlock && *said.layersPerBlock + more != half.levels.front().resnets)
            differs("layers_per_block", *said.layersPerBlock, half.levels.front().resnets - more);
    }
}

Result<Checkpoint::Choice> Checkpoint::choose(std::string_view model) const {
    std::vector<std::string> names;
    for (const Family& family : m_candidates) names.emplace_back(family.name);
    Choice choice{.family = m_candidates.front(), .notes = m_notes};
    const bool isDecided = m_candidates.size() == 1 || m_familyIsSaid;
    if (choice.family.name == otherKl().name && !m_familyIsSaid)
        choice.notes.push_back("no family has such latents: they are taken as the decoder's input, without scaling");
    std::vector<std::string> others;
    for (const TensorView* tensor : unused())
        if (!tensor->name.ends_with("num_batches_tracked")) others.push_back(tensor->name);
    if (!others.empty())
        choice.notes.push_back(others.size() == 1 ? fmt::format("tensor {} is left out", quote(others.front()))
                                                  : fmt::format("{} tensors are left out, first {}", others.size(),
                                                                quote(others.front())));
    if (model.empty()) {
        if (!isDecided)
            choice.notes.push_back(fmt::format(
                "the checkpoint's tensors fit {}; taken as {} (--model chooses; they differ in how latents are scaled)",
                joined(names, ", "), names.front()));
        return choice;
    }
    const auto wanted = std::ranges::find(m_candidates, model, &Family::name);
    if (wanted == m_candidates.end())
        return fail(ErrorCode::BadInput, "file {}: its tensors are those of {}, not of model {}",
                    quote(m_file.fileName()), joined(names, " or "), model);
    choice.family = *wanted;
    if (isDecided && wanted != m_candidates.begin())
        choice.notes.push_back(fmt::format("model {} was asked for: its scaling of latents is used", model));
    return choice;
}

const TensorView* Checkpoint::find(std::string_view diffusersName) const {
    const bool decoder = diffusersName.starts_with("decoder."), encoder = diffusersName.starts_with("encoder.");
    const Half& named = half(encoder ? VaeTask::Encode : VaeTask::Decode);
    if (m_backbone == Backbone::Tiny)
        return m_file.find(m_layout == NameLayout::Original ? named.at + tinyOriginalName(diffusersName)
                                                            : m_prefix + std::string(diffusersName));
    if (decoder || encoder) {
        const std::string_view name = diffusersName.substr(std::string_view("decoder.").size());
        for (const std::string& known : klNames(name, m_layout, named.levels))
            if (const TensorView* tensor = m_file.find(named.at + known)) return tensor;
        return nullptr;
    }
    for (const VaeTask task : bothTasks) {
        const std::string_view conv = task == VaeTask::Decode ? "post_quant_conv." : "quant_conv.";
        if (diffusersName.starts_with(conv))
            return quantConv(m_file, {.task = task, .at = half(task).at, .prefix = m_prefix},
                             diffusersName.substr(conv.size()));
    }
    return m_file.find(m_prefix + std::string(diffusersName));
}

Result<void> Checkpoint::check(std::span<const Weight> weights, std::string_view what) const {
    const std::string file = quote(m_file.fileName());
    std::vector<std::string> missing;
    std::size_t missingCount = 0;
    for (const Weight& weight : weights)
        if (!find(weight.name)) {
            if (++missingCount <= 5) missing.push_back(weight.name);
        }
    if (missingCount)
        return fail(ErrorCode::BadInput, "file {}: {} of the {} tensors of {} are missing, first {}", file,
                    missingCount, weights.size(), what, joined(missing, ", "));
    for (const Weight& weight : weights) {
        const TensorView& tensor = *find(weight.name);
        if (trimmed(tensor.shape) != trimmed(weight.dims))
            return fail(ErrorCode::BadInput, "file {}, tensor {}: shape [{}], {} has [{}]", file, quote(tensor.name),
                        fmt::join(tensor.shape, ", "), what, fmt::join(weight.dims, ", "));
        if (!tensor.stored)
            return fail(ErrorCode::BadInput,
                        "file {}, tensor {}: dtype {} is not one of F64, F32, F16, BF16, F8_E4M3, F8_E5M2", file,
                        quote(tensor.name), tensor.dtypeText);
        CHECK(scalesOf(m_file, tensor));
    }
    return {};
}

Result<void> Checkpoint::checkHalf(VaeTask task) const {
    const Family& family = m_candidates.front();
    TRY(const std::vector<Weight> weights, halfWeights(family, task));
    return check(weights, fmt::format("the {} {}", family.name, halfName(task)));
}

std::set<const TensorView*> Checkpoint::used() const {
    std::set<const TensorView*> used;
    const Family& family = m_candidates.front();
    for (const VaeTask task : bothTasks) {
        if (!has(task)) continue;
        if (const Result<std::vector<Weight>> weights = halfWeights(family, task))
            for (const Weight& weight : *weights)
                if (const TensorView* tensor = find(weight.name)) used.insert(tensor);
    }
    if (family.packedLatents)
        for (const std::string_view statistic : {"bn.running_mean", "bn.running_var"})
            if (const TensorView* tensor = find(statistic)) used.insert(tensor);
    return used;
}

std::vector<const TensorView*> Checkpoint::unused() const {
    const std::set<const TensorView*> known = used();
    std::vector<const TensorView*> others;
    for (const TensorView& tensor : m_file.tensors())
        if (tensor.name.starts_with(m_prefix) && !known.contains(&tensor)) others.push_back(&tensor);
    return others;
}

} // namespace spikescope
