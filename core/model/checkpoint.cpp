#include "core/model/checkpoint.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace spikescope {

namespace {

constexpr std::array<std::string_view, 4> prefixes{"", "first_stage_model.", "vae.", "model."};

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
    return text;
}

int digitAt(std::string_view text, std::size_t at) {
    return at < text.size() && text[at] >= '0' && text[at] <= '9' ? text[at] - '0' : -1;
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
    Signature{".gamma", "a Wan or Qwen-Image video VAE (not supported yet)"},
};

std::string looksLike(const TensorFile& file) {
    for (const Signature& signature : signatures)
        for (const TensorView& tensor : file.tensors())
            if (tensor.name.find(signature.part) != std::string::npos) return std::string(signature.kind);
    return "no model this program knows";
}

} // namespace

std::vector<std::string> klNames(std::string_view diffusersName, NameLayout layout) {
    std::string name(diffusersName);
    if (layout == NameLayout::Diffusers) {
        // Files of old diffusers name the attention's parts differently.
        std::vector<std::string> names{name};
        for (const auto& [now, before] : {std::pair{"attentions.0.to_q.", "attentions.0.query."},
                                          std::pair{"attentions.0.to_k.", "attentions.0.key."},
                                          std::pair{"attentions.0.to_v.", "attentions.0.value."},
                                          std::pair{"attentions.0.to_out.0.", "attentions.0.proj_attn."}})
            if (name.find(now) != std::string::npos) names.push_back(replaced(name, now, before));
        return names;
    }
    for (const auto& [now, original] :
         {std::pair{"mid_block.resnets.0.", "mid.block_1."}, std::pair{"mid_block.resnets.1.", "mid.block_2."},
          std::pair{"mid_block.attentions.0.group_norm.", "mid.attn_1.norm."},
          std::pair{"mid_block.attentions.0.to_q.", "mid.attn_1.q."},
          std::pair{"mid_block.attentions.0.to_k.", "mid.attn_1.k."},
          std::pair{"mid_block.attentions.0.to_v.", "mid.attn_1.v."},
          std::pair{"mid_block.attentions.0.to_out.0.", "mid.attn_1.proj_out."},
          std::pair{"conv_norm_out.", "norm_out."}, std::pair{"conv_shortcut.", "nin_shortcut."},
          std::pair{".resnets.", ".block."}, std::pair{".upsamplers.0.", ".upsample."},
          std::pair{".downsamplers.0.", ".downsample."}, std::pair{"down_blocks.", "down."}})
        name = replaced(std::move(name), now, original);
    // Decoder blocks count from the picture's end: up_blocks.0 is up.3.
    constexpr std::string_view up = "up_blocks.";
    if (const auto at = name.find(up); at != std::string::npos)
        if (const int block = digitAt(name, at + up.size()); block >= 0)
            name.replace(at, up.size() + 1, fmt::format("up.{}", 3 - block));
    return {name};
}

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

void Checkpoint::setCandidates(Backbone backbone, std::uint64_t latentChannels) {
    m_backbone = backbone;
    for (const Family& family : families())
        if (family.backbone == backbone && family.latentChannels == latentChannels) m_candidates.push_back(&family);
}

bool Checkpoint::recogniseKl(const std::string& prefix) {
    const TensorView* decoderIn = m_file.find(prefix + "decoder.conv_in.weight");
    const TensorView* encoderIn = m_file.find(prefix + "encoder.conv_in.weight");
    const TensorView* encoderOut = m_file.find(prefix + "encoder.conv_out.weight");
    m_hasDecoder = decoderIn && decoderIn->shape.size() == 4;
    m_hasEncoder = encoderIn && encoderIn->shape.size() == 4 && encoderOut && encoderOut->shape.size() == 4;
    if (!m_hasDecoder && !m_hasEncoder) return false;
    setCandidates(Backbone::Kl, m_hasDecoder ? decoderIn->shape[1] : encoderOut->shape[0] / 2);
    if (m_candidates.empty()) return false;
    const bool original = m_file.find(prefix + "decoder.mid.block_1.conv1.weight") ||
                          m_file.find(prefix + "encoder.mid.block_1.conv1.weight");
    m_layout = original ? NameLayout::Original : NameLayout::Diffusers;
    m_prefix = prefix;
    return true;
}

bool Checkpoint::recogniseTiny(const std::string& prefix) {
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
                m_halfPrefix[0] = at;
                break;
            }
        }
        for (const std::string_view half : {"encoder.", "taesd_encoder.", ""}) {
            const std::string at = prefix + std::string(half);
            encoderIn = conv(at + "0.weight");
            if (isPicture(encoderIn)) {
                m_halfPrefix[1] = at;
                lastOfEncoder = at + "14.weight";
                break;
            }
        }
    }
    const TensorView* encoderOut = m_file.find(lastOfEncoder);
    m_hasDecoder = decoderIn != nullptr;
    m_hasEncoder = isPicture(encoderIn) && encoderOut && !encoderOut->shape.empty();
    if (!m_hasDecoder && !m_hasEncoder) return false;
    setCandidates(Backbone::Tiny, m_hasDecoder ? decoderIn->shape[1] : encoderOut->shape[0]);
    return !m_candidates.empty();
}

Result<Checkpoint> Checkpoint::open(const std::string& path) {
    TRY(TensorFile file, TensorFile::open(path));
    Checkpoint checkpoint(std::move(file));
    for (const std::string_view prefix : prefixes)
        if (checkpoint.recogniseKl(std::string(prefix)) || checkpoint.recogniseTiny(std::string(prefix)))
            return checkpoint;
    return fail(ErrorCode::BadInput, "file {}: its {} tensors are not those of a supported VAE; it looks like {}",
                quote(path), checkpoint.m_file.tensors().size(), looksLike(checkpoint.m_file));
}

const TensorView* Checkpoint::find(std::string_view diffusersName) const {
    if (m_backbone == Backbone::Tiny && m_layout == NameLayout::Original)
        return m_file.find(m_halfPrefix[diffusersName.starts_with("decoder.") ? 0 : 1] +
                           tinyOriginalName(diffusersName));
    if (m_backbone == Backbone::Tiny) return m_file.find(m_prefix + std::string(diffusersName));
    for (const std::string& name : klNames(diffusersName, m_layout))
        if (const TensorView* tensor = m_file.find(m_prefix + name)) return tensor;
    return nullptr;
}

} // namespace spikescope
