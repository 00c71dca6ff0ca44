#include "core/model/autoencoder_kl.h"

#include <array>
#include <cmath>

namespace spikescope {

namespace {

constexpr std::array<std::uint64_t, 4> channels{128, 256, 512, 512};
constexpr std::uint32_t groups = 32;
constexpr float eps = 1e-6f;

class KlBuilder {
public:
    GraphBuilder g;

    ValueId normSilu(const std::string& path, ValueId x) { return g.silu(g.groupNorm(path, x, groups, eps)); }

    ValueId resnet(const std::string& path, ValueId x, std::uint64_t out) {
        ValueId h = g.conv(path + ".conv1", normSilu(path + ".norm1", x), out, 3);
        h = normSilu(path + ".norm2", h);
        // The shortcut comes before conv2, so that conv2 can add onto it.
        if (g.shape(x).c != out) x = g.conv(path + ".conv_shortcut", x, out, 1);
        return g.add(path, g.conv(path + ".conv2", h, out, 3), x);
    }

    ValueId attention(const std::string& path, ValueId x) {
        const std::uint64_t c = g.shape(x).c;
        const ValueId normed = g.groupNorm(path + ".group_norm", x, groups, eps);
        const ValueId q = g.linear(path + ".to_q", normed, c);
        const ValueId k = g.linear(path + ".to_k", normed, c);
        const ValueId v = g.linear(path + ".to_v", normed, c);
        const ValueId mixed = g.attention(path, q, k, v, 1.0f / std::sqrt(static_cast<float>(c)));
        return g.add(path, g.linear(path + ".to_out.0", mixed, c), x);
    }

    ValueId middle(const std::string& path, ValueId x) {
        x = resnet(path + ".resnets.0", x, channels.back());
        x = attention(path + ".attentions.0", x);
        return resnet(path + ".resnets.1", x, channels.back());
    }
};

} // namespace

Result<Graph> klDecoder(const Family& family, Shape latents) {
    KlBuilder b;
    ValueId x = b.g.input(latents);
    if (family.quantConv) x = b.g.conv("post_quant_conv", x, family.latentChannels, 1);
    x = b.g.conv("decoder.conv_in", x, channels.back(), 3);
    x = b.middle("decoder.mid_block", x);
    for (std::size_t i = 0; i < channels.size(); ++i) {
        const std::string block = fmt::format("decoder.up_blocks.{}", i);
        const std::uint64_t out = channels[channels.size() - 1 - i];
        for (int j = 0; j < 3; ++j) x = b.resnet(fmt::format("{}.resnets.{}", block, j), x, out);
        if (i + 1 < channels.size()) {
            const std::string up = block + ".upsamplers.0";
            x = b.g.conv(up + ".conv", b.g.upsample(up, x), out, 3);
        }
    }
    x = b.normSilu("decoder.conv_norm_out", x);
    return b.g.finish(b.g.conv("decoder.conv_out", x, 3, 3));
}

Result<Graph> klEncoder(const Family& family, Shape picture) {
    KlBuilder b;
    ValueId x = b.g.conv("encoder.conv_in", b.g.input(picture), channels.front(), 3);
    for (std::size_t i = 0; i < channels.size(); ++i) {
        const std::string block = fmt::format("encoder.down_blocks.{}", i);
        for (int j = 0; j < 2; ++j) x = b.resnet(fmt::format("{}.resnets.{}", block, j), x, channels[i]);
        // Padded to the right and below alone.
        if (i + 1 < channels.size()) x = b.g.convDown(block + ".downsamplers.0.conv", x, channels[i], 0);
    }
    x = b.middle("encoder.mid_block", x);
    x = b.normSilu("encoder.conv_norm_out", x);
    x = b.g.conv("encoder.conv_out", x, 2 * family.latentChannels, 3);
    if (family.quantConv) x = b.g.conv("quant_conv", x, 2 * family.latentChannels, 1);
    return b.g.finish(x);
}

} // namespace spikescope
