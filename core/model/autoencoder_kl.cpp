#include "core/model/autoencoder_kl.h"

#include <cmath>

namespace spikescope {

namespace {

constexpr float eps = 1e-6f;

class KlBuilder {
public:
    explicit KlBuilder(const KlHalf& half)
        : m_half(half) {}
    GraphBuilder g;

    ValueId normSilu(const std::string& path, ValueId x) { return g.silu(norm(path, x)); }

    ValueId resnet(const std::string& path, ValueId x, std::uint64_t out) {
        ValueId h = g.conv(path + ".conv1", normSilu(path + ".norm1", x), out, 3);
        h = normSilu(path + ".norm2", h);
        // The shortcut comes before conv2, so that conv2 can add onto it.
        if (g.shape(x).c != out) x = g.conv(path + ".conv_shortcut", x, out, 1);
        return g.add(path, g.conv(path + ".conv2", h, out, 3), x);
    }

    ValueId attention(const std::string& path, ValueId x) {
        const std::uint64_t c = g.shape(x).c;
        const ValueId normed = norm(path + ".group_norm", x);
        const ValueId q = g.linear(path + ".to_q", normed, c);
        const ValueId k = g.linear(path + ".to_k", normed, c);
        const ValueId v = g.linear(path + ".to_v", normed, c);
        const ValueId mixed = g.attention(path, q, k, v, 1.0f / std::sqrt(static_cast<float>(c)));
        return g.add(path, g.linear(path + ".to_out.0", mixed, c), x);
    }

    // The resnets of level `index` of the half, in a block of this name.
    ValueId level(const std::string& path, ValueId x, std::size_t index) {
        const KlHalf::Level& level = m_half.levels[index];
        for (std::uint32_t j = 0; j < level.resnets; ++j) {
            x = resnet(fmt::format("{}.resnets.{}", path, j), x, level.channels);
            if (level.attention) x = attention(fmt::format("{}.attentions.{}", path, j), x);
        }
        return x;
    }

    ValueId middle(const std::string& path, ValueId x) {
        const std::uint64_t channels = m_half.levels.back().channels;
        x = resnet(path + ".resnets.0", x, channels);
        if (m_half.midAttention) x = attention(path + ".attentions.0", x);
        return resnet(path + ".resnets.1", x, channels);
    }

private:
    ValueId norm(const std::string& path, ValueId x) { return g.groupNorm(path, x, m_half.normGroups, eps); }

    const KlHalf& m_half;
};

} // namespace

Result<Graph> klDecoder(const KlHalf& half, Shape latents) {
    KlBuilder b(half);
    ValueId x = b.g.input(latents);
    if (half.quantConv) x = b.g.conv("post_quant_conv", x, half.codeChannels, 1);
    x = b.g.conv("decoder.conv_in", x, half.levels.back().channels, 3);
    x = b.middle("decoder.mid_block", x);
    for (std::size_t level = half.levels.size(); level-- > 0;) {
        const std::string block = fmt::format("decoder.up_blocks.{}", half.levels.size() - 1 - level);
        x = b.level(block, x, level);
        if (level > 0) {
            const std::string up = block + ".upsamplers.0";
            x = b.g.conv(up + ".conv", b.g.upsample(up, x), half.levels[level].channels, 3);
        }
    }
    x = b.normSilu("decoder.conv_norm_out", x);
    return b.g.finish(b.g.conv("decoder.conv_out", x, 3, 3));
}

Result<Graph> klEncoder(const KlHalf& half, std::uint64_t latentChannels, Shape picture) {
    KlBuilder b(half);
    ValueId x = b.g.conv("encoder.conv_in", b.g.input(picture), half.levels.front().channels, 3);
    for (std::size_t level = 0; level < half.levels.size(); ++level) {
        const std::string block = fmt::format("encoder.down_blocks.{}", level);
        x = b.level(block, x, level);
        // Padded to the right and below alone.
        if (level + 1 < half.levels.size())
            x = b.g.convDown(block + ".downsamplers.0.conv", x, half.levels[level].channels, 0);
    }
    x = b.middle("encoder.mid_block", x);
    x = b.normSilu("encoder.conv_norm_out", x);
    x = b.g.conv("encoder.conv_out", x, half.codeChannels, 3);
    if (half.quantConv) x = b.g.conv("quant_conv", x, 2 * latentChannels, 1);
    return b.g.finish(x);
}

} // namespace spikescope
