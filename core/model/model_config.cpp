#include "core/model/model_config.h"

#include "core/base/mapped_file.h"
#include "core/base/text.h"

#include <nlohmann/json.hpp>

#include <array>
#include <cmath>
#include <string_view>
#include <tuple>

namespace spikescope {

namespace {

constexpr std::uint64_t largestFile = 1 << 20; // bytes
constexpr std::size_t mostChannels = 4096;

class Reader {
public:
    Reader(const nlohmann::json& json, const std::string& path)
        : m_json(json)
        , m_path(path) {}

    // Null is as if the key were not there.
    Result<void> read(const char* key, std::optional<double>& value) const {
        const auto* found = find(key);
        if (!found) return {};
        if (!found->is_number() || !std::isfinite(found->get<double>())) return wrong(key, "a number");
        value = found->get<double>();
        return {};
    }
    Result<void> read(const char* key, std::optional<bool>& value) const {
        const auto* found = find(key);
        if (!found) return {};
        if (!found->is_boolean()) return wrong(key, "true or false");
        value = found->get<bool>();
        return {};
    }
    Result<void> read(const char* key, std::optional<std::uint32_t>& value) const {
        const auto* found = find(key);
        if (!found) return {};
        if (!isCount(*found)) return wrong(key, "a number from 1 to 4096");
        value = found->get<std::uint32_t>();
        return {};
    }
    Result<void> read(const char* key, std::vector<std::uint32_t>& values) const {
        return readList(key, values, "numbers from 1 to 4096", isCount);
    }
    Result<void> read(const char* key, std::vector<float>& values) const {
        return readList(key, values, "numbers", [](const nlohmann::json& element) {
            return element.is_number() && std::isfinite(element.get<float>());
        });
    }

private:
    static bool isCount(const nlohmann::json& value) {
        return value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 &&
               value.get<std::uint64_t>() <= mostChannels;
    }
    template <class T, class Fits>
    Result<void> readList(const char* key, std::vector<T>& values, std::string_view what, const Fits& fits) const {
        const auto* found = find(key);
        if (!found) return {};
        if (!found->is_array() || found->size() > mostChannels) return wrong(key, fmt::format("a list of {}", what));
        std::vector<T> read;
        for (const auto& element : *found) {
            if (!fits(element)) return wrong(key, fmt::format("a list of {}", what));
            read.push_back(element.template get<T>());
        }
        values = std::move(read);
        return {};
    }
    const nlohmann::json* find(const char* key) const {
        const auto found = m_json.find(key);
        return found == m_json.end() || found->is_null() ? nullptr : &*found;
    }
    tl::unexpected<Error> wrong(const char* key, std::string_view what) const {
        return fail(ErrorCode::BadInput, "file {}: {} is not {}", quote(m_path), key, what);
    }

    const nlohmann::json& m_json;
    const std::string& m_path;
};

} // namespace

Result<std::optional<ModelConfig>> readModelConfig(const std::string& path) {
    TRY(const MappedFile file, MappedFile::open(path));
    if (file.bytes().size() > largestFile)
        return fail(ErrorCode::BadInput, "file {}: {} bytes, the most for a configuration is {}", quote(path),
                    file.bytes().size(), largestFile);
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
    if (!json.is_object()) return fail(ErrorCode::BadInput, "file {}: not a JSON object", quote(path));
    const auto kind = json.find("_class_name");
    const bool isVae = kind != json.end() && kind->is_string() && kind->get<std::string>().starts_with("Autoencoder");
    if (!isVae && !(kind == json.end() && json.contains("scaling_factor"))) return std::optional<ModelConfig>{};
    ModelConfig config{.path = path};
    const Reader reader(json, path);
    CHECK(reader.read("scaling_factor", config.scaling));
    CHECK(reader.read("shift_factor", config.shift));
    CHECK(reader.read("latents_mean", config.latentsMean));
    CHECK(reader.read("latents_std", config.latentsStd));
    CHECK(reader.read("norm_num_groups", config.normGroups));
    CHECK(reader.read("latent_channels", config.latentChannels));
    // A decoder of its own widths has them under other keys; so have both halves of asymmetric autoencoders.
    for (const auto& [half, layers, channels] :
         {std::tuple(&config.decoder, std::array{"layers_per_up_block", "decoder_layers_per_block"},
                     std::array{"up_block_out_channels", "decoder_block_out_channels"}),
          std::tuple(&config.encoder, std::array{"layers_per_down_block", "encoder_layers_per_block"},
                     std::array{"down_block_out_channels", "encoder_block_out_channels"})}) {
        CHECK(reader.read("layers_per_block", half->layersPerBlock));
        for (const char* key : layers) CHECK(reader.read(key, half->layersPerBlock));
        CHECK(reader.read("block_out_channels", half->blockOutChannels));
        for (const char* key : channels) CHECK(reader.read(key, half->blockOutChannels));
    }
    CHECK(reader.read("use_quant_conv", config.quantConv));
    CHECK(reader.read("use_post_quant_conv", config.postQuantConv));
    CHECK(reader.read("mid_block_add_attention", config.midAttention));
    CHECK(reader.read("force_upcast", config.forceUpcast));
    if (config.scaling == 0.0) return fail(ErrorCode::BadInput, "file {}: scaling_factor is 0", quote(path));
    if (config.latentsMean.size() != config.latentsStd.size())
        return fail(ErrorCode::BadInput, "file {}: latents_mean has {} values, latents_std {}", quote(path),
                    config.latentsMean.size(), config.latentsStd.size());
    return config;
}

} // namespace spikescope
