#include "core/kernels/tile_choices.h"

#include <nlohmann/json.hpp>

#include <bit>

namespace spikescope {

namespace {
constexpr std::string_view schema = "spikescope.tiles/1";
}

std::string TileChoices::keyOf(std::string_view shader, std::span<const Define> defines, std::uint64_t inner,
                               std::uint64_t columns, std::uint64_t rows) {
    std::string key(shader.substr(0, shader.find('.')));
    for (const Define& define : defines) key += " " + define.name + (define.value == "1" ? "" : "=" + define.value);
    return key + fmt::format(" {}→{} rows 2^{}", inner, columns, std::bit_width(rows) - 1);
}

std::string TileChoices::toJson() const {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& [key, tile] : m_chosen) list.push_back({{"call", key}, {"tile", tile}});
    return nlohmann::ordered_json{{"schema", schema}, {"tiles", std::move(list)}}.dump(1);
}

Result<TileChoices> TileChoices::fromJson(std::string_view text) {
    const auto broken = fail(ErrorCode::BadInput, "not a table of tiles");
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("tiles") || !json["tiles"].is_array() || !json.contains("schema") ||
        json["schema"] != schema)
        return broken;
    TileChoices choices;
    for (const auto& entry : json["tiles"]) {
        const auto word = [&](const char* name) {
            return entry.is_object() && entry.contains(name) && entry[name].is_string() ? entry[name].get<std::string>()
                                                                                        : std::string();
        };
        if (word("call").empty() || word("tile").empty()) return broken;
        choices.m_chosen[word("call")] = word("tile");
    }
    return choices;
}

} // namespace spikescope
