#include "core/program/layer_groups.h"

#include <fmt/format.h>

namespace spikescope {

namespace {

// The path up to and with the number that follows `part`; nothing when `part` is not in the path.
std::string_view upToNumberAfter(std::string_view path, std::string_view part) {
    const auto at = path.find(part);
    if (at == std::string_view::npos) return {};
    const auto end = path.find('.', at + part.size());
    return path.substr(0, end);
}

} // namespace

std::string_view blockOf(std::string_view layer) {
    for (const std::string_view part : {".resnets.", ".attentions.", ".upsamplers.", ".downsamplers.", ".layers."})
        if (const auto block = upToNumberAfter(layer, part); !block.empty()) return block;
    return layer;
}

std::string stageOf(std::string_view layer, const Shape& output) {
    for (const std::string_view part : {".up_blocks.", ".down_blocks."})
        if (const auto stage = upToNumberAfter(layer, part); !stage.empty()) return std::string(stage);
    const std::string_view half = layer.substr(0, layer.find('.'));
    if (layer.find(".mid_block") != std::string_view::npos) return fmt::format("{}.mid_block", half);
    if (layer.find(".layers.") != std::string_view::npos) return fmt::format("{}.{}x{}", half, output.w, output.h);
    if (layer.ends_with("_out") || layer == "quant_conv") return "out";
    return "in";
}

std::uint32_t heldUntil(std::span<const std::string_view> layers, std::uint32_t user,
                        std::optional<std::uint32_t> maker) {
    const std::string_view layer = layers[user];
    std::string_view outer = upToNumberAfter(layer, ".up_blocks.");
    if (outer.empty()) outer = upToNumberAfter(layer, ".down_blocks.");
    if (outer.empty() && layer.find(".mid_block.") != std::string_view::npos)
        outer = layer.substr(0, layer.find(".mid_block.") + std::string_view(".mid_block").size());
    const std::string_view inner = blockOf(layer);
    for (const std::string_view module : {outer, inner}) {
        const auto inside = [&](std::string_view path) {
            return path.starts_with(module) && (path.size() == module.size() || path[module.size()] == '.');
        };
        if (module.empty() || (maker && inside(layers[*maker]))) continue;
        std::uint32_t last = user;
        while (last + 1 < layers.size() && inside(layers[last + 1])) ++last;
        return last;
    }
    return user;
}

} // namespace spikescope
