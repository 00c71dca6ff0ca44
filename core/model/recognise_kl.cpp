#include "core/model/recognise_kl.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace spikescope {

namespace {

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
    return text;
}

// Block `index` of the half in the order of diffusers' names, which count a decoder's blocks from the latents on.
std::string blockName(VaeTask task, std::size_t index) {
    return fmt::format("{}_blocks.{}", task == VaeTask::Decode ? "up" : "down", index);
}

// Reads one half.
class HalfReader {
public:
    HalfReader(const TensorFile& file, const KlPlace& place)
        : m_file(file)
        , m_place(place) {}

    Result<KlShapes> read() {
        CHECK(readLevels());
        TRY(const TensorView* first, conv("conv_in.weight"));
        TRY(const TensorView* last, conv("conv_out.weight"));
        const bool decode = m_place.task == VaeTask::Decode;
        const TensorView *image = decode ? last : first, *code = decode ? first : last;
        if (const std::uint64_t channels = image->shape[decode ? 0 : 1]; channels != 3)
            return fail(ErrorCode::BadInput, "file {}, tensor {}: its images have {} channels, 3 are supported",
                        quote(m_file.fileName()), quote(image->name), channels);
        TRY(m_half.codeChannels, channelsOf(*code, decode ? 1 : 0));
        m_half.midAttention = find("mid_block.attentions.0.to_q.weight") != nullptr;
        std::uint64_t latents = decode ? m_half.codeChannels : m_half.codeChannels / 2;
        if (const TensorView* quant = quantConv(m_file, m_place, "weight")) {
            m_half.quantConv = true;
            if (quant->shape.size() < 2)
                return fail(ErrorCode::BadInput, "file {}, tensor {}: shape {} is not a convolution's",
                            quote(m_file.fileName()), quote(quant->name), shapeText(quant->shape));
            latents = decode ? quant->shape[1] : quant->shape[0] / 2;
        }
        if (latents == 0 || latents > KlHalf::mostChannels)
            return fail(ErrorCode::BadInput, "file {}, tensor {}: shape {} gives latents of {} channels",
                        quote(m_file.fileName()), quote(code->name), shapeText(code->shape), latents);
        return KlShapes{.half = std::move(m_half), .latentChannels = static_cast<std::uint32_t>(latents)};
    }

private:
    Result<void> readLevels() {
        m_levels = 0;
        while (m_levels <= KlHalf::mostLevels && hasBlock(m_levels)) ++m_levels;
        if (m_levels > KlHalf::mostLevels)
            return fail(ErrorCode::BadInput, "file {}: its {} has more than {} levels", quote(m_file.fileName()),
                        halfName(m_place.task), KlHalf::mostLevels);
        m_half.levels.resize(m_levels);
        for (std::size_t block = 0; block < m_levels; ++block) {
            // Levels count from the image on.
            KlHalf::Level& level = m_half.levels[m_place.task == VaeTask::Decode ? m_levels - 1 - block : block];
            const std::string name = blockName(m_place.task, block);
            const auto resnet = [&](std::uint32_t j) { return fmt::format("{}.resnets.{}.conv2.weight", name, j); };
            while (level.resnets <= KlHalf::mostResnets && find(resnet(level.resnets))) ++level.resnets;
            if (level.resnets > KlHalf::mostResnets)
                return fail(ErrorCode::BadInput, "file {}: block {} of its {} has more than {} resnets",
                            quote(m_file.fileName()), block, halfName(m_place.task), KlHalf::mostResnets);
            TRY(const TensorView* weight, conv(resnet(0)));
            TRY(level.channels, channelsOf(*weight, 0));
            level.attention = find(name + ".attentions.0.to_q.weight") != nullptr;
        }
        return {};
    }
    bool hasBlock(std::size_t block) const {
        const std::string_view side = m_place.task == VaeTask::Decode ? "up" : "down";
        return m_file.find(m_place.layout == NameLayout::Diffusers
                               ? fmt::format("{}{}_blocks.{}.resnets.0.conv2.weight", m_place.at, side, block)
                               : fmt::format("{}{}.{}.block.0.conv2.weight", m_place.at, side, block)) != nullptr;
    }

    const TensorView* find(std::string_view name) const {
        for (const std::string& known : klNames(name, m_place.layout, m_levels))
            if (const TensorView* tensor = m_file.find(m_place.at + known)) return tensor;
        return nullptr;
    }
    Result<const TensorView*> conv(const std::string& name) const {
        const TensorView* tensor = find(name);
        if (!tensor)
            return fail(ErrorCode::BadInput, "file {}: its {} has no {}", quote(m_file.fileName()),
                        halfName(m_place.task), quote(name));
        if (tensor->shape.size() != 4)
            return fail(ErrorCode::BadInput,
                        "file {}, tensor {}: shape {} has {} dimensions, a convolution over images has 4",
                        quote(m_file.fileName()), quote(tensor->name), shapeText(tensor->shape), tensor->shape.size());
        return tensor;
    }
    Result<std::uint32_t> channelsOf(const TensorView& tensor, std::size_t dim) const {
        const std::uint64_t channels = tensor.shape[dim];
        if (channels == 0 || channels > KlHalf::mostChannels)
            return fail(ErrorCode::BadInput, "file {}, tensor {}: {} channels, 1 to {} are supported",
                        quote(m_file.fileName()), quote(tensor.name), channels, KlHalf::mostChannels);
        return static_cast<std::uint32_t>(channels);
    }

    const TensorFile& m_file;
    const KlPlace& m_place;
    KlHalf m_half;
    std::size_t m_levels = 0;
};

} // namespace

std::vector<KlPlace> findKl(const TensorFile& file) {
    constexpr std::string_view first = "conv_in.weight";
    std::vector<KlPlace> places;
    for (const TensorView& tensor : file.tensors()) {
        if (!tensor.name.ends_with(first) || tensor.shape.size() != 4) continue;
        const std::string at = tensor.name.substr(0, tensor.name.size() - first.size());
        if (!at.empty() && !at.ends_with('.')) continue;
        const auto has = [&](std::string_view name) { return file.find(at + std::string(name)) != nullptr; };
        for (const NameLayout layout : {NameLayout::Diffusers, NameLayout::Original}) {
            const bool diffusers = layout == NameLayout::Diffusers;
            if (!has(diffusers ? "mid_block.resnets.0.conv1.weight" : "mid.block_1.conv1.weight")) continue;
            const bool up = has(diffusers ? "up_blocks.0.resnets.0.conv2.weight" : "up.0.block.0.conv2.weight"),
                       down = has(diffusers ? "down_blocks.0.resnets.0.conv2.weight" : "down.0.block.0.conv2.weight");
            if (up == down) continue; // a U-Net has both
            const VaeTask task = up ? VaeTask::Decode : VaeTask::Encode;
            const std::string own = std::string(halfName(task)) + ".";
            places.push_back({.task = task,
                              .layout = layout,
                              .at = at,
                              .prefix = at.ends_with(own) ? at.substr(0, at.size() - own.size()) : at});
        }
    }
    return places;
}

Result<KlShapes> klShapes(const TensorFile& file, const KlPlace& place) { return HalfReader(file, place).read(); }

std::vector<std::string> klNames(std::string_view diffusersName, NameLayout layout, std::size_t levels) {
    std::string name(diffusersName);
    if (layout == NameLayout::Diffusers) {
        // Files of old diffusers name the attention's parts differently.
        std::vector<std::string> names{name};
        if (name.find(".attentions.") != std::string::npos)
            for (const auto& [now, before] : {std::pair{".to_q.", ".query."}, std::pair{".to_k.", ".key."},
                                              std::pair{".to_v.", ".value."}, std::pair{".to_out.0.", ".proj_attn."}})
                if (name.find(now) != std::string::npos) names.push_back(replaced(name, now, before));
        return names;
    }
    if (name.find("attentions.") != std::string::npos)
        for (const auto& [now, original] :
             {std::pair{".group_norm.", ".norm."}, std::pair{".to_q.", ".q."}, std::pair{".to_k.", ".k."},
              std::pair{".to_v.", ".v."}, std::pair{".to_out.0.", ".proj_out."}})
            name = replaced(std::move(name), now, original);
    for (const auto& [now, original] :
         {std::pair{"mid_block.resnets.0.", "mid.block_1."}, std::pair{"mid_block.resnets.1.", "mid.block_2."},
          std::pair{"mid_block.attentions.0.", "mid.attn_1."}, std::pair{"conv_norm_out.", "norm_out."},
          std::pair{"conv_shortcut.", "nin_shortcut."}, std::pair{".resnets.", ".block."},
          std::pair{".attentions.", ".attn."}, std::pair{".upsamplers.0.", ".upsample."},
          std::pair{".downsamplers.0.", ".downsample."}, std::pair{"down_blocks.", "down."}})
        name = replaced(std::move(name), now, original);
    // Blocks of the decoder count from the image on: of four up_blocks.0 is up.3.
    constexpr std::string_view up = "up_blocks.";
    if (name.starts_with(up)) {
        std::size_t block = 0;
        const auto [end, error] = std::from_chars(name.data() + up.size(), name.data() + name.size(), block);
        if (error == std::errc{} && block < levels)
            name = fmt::format("up.{}{}", levels - 1 - block, std::string_view(end, name.data() + name.size()));
    }
    return {name};
}

const TensorView* quantConv(const TensorFile& file, const KlPlace& place, std::string_view parameter) {
    const std::string_view name = place.task == VaeTask::Decode ? "post_quant_conv" : "quant_conv";
    // Black Forest Labs keep it in the half that it belongs to.
    for (const std::string& before : {place.prefix, place.at})
        if (const TensorView* tensor = file.find(fmt::format("{}{}.{}", before, name, parameter))) return tensor;
    return nullptr;
}

} // namespace spikescope
