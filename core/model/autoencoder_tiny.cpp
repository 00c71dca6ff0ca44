#include "core/model/autoencoder_tiny.h"

namespace spikescope {

namespace {

constexpr std::uint64_t width = 64;

class TinyBuilder {
public:
    explicit TinyBuilder(std::string half)
        : m_half(std::move(half)) {}
    GraphBuilder g;

    std::string layer(int index) const { return fmt::format("{}.layers.{}", m_half, index); }

    ValueId block(int index, ValueId x, bool pooled) {
        const std::string path = layer(index);
        if (pooled) {
            const ValueId wide = g.conv(path + ".pool.0", x, 4 * width, 1, false);
            const ValueId normed = g.relu(g.groupNorm(path + ".pool.1", wide, 4, 1e-5f));
            x = g.add(path + ".pool", g.conv(path + ".pool.3", normed, width, 1, false), x);
        }
        ValueId h = g.relu(g.conv(path + ".conv.0", x, width, 3));
        h = g.relu(g.conv(path + ".conv.2", h, width, 3));
        h = g.conv(path + ".conv.4", h, width, 3);
        return g.relu(g.add(path, h, x));
    }

private:
    std::string m_half;
};

} // namespace

Result<Graph> tinyDecoder(const Family& family, Shape latents) {
    TinyBuilder b("decoder");
    ValueId x = b.g.tanhClamp("decoder.clamp", b.g.input(latents));
    x = b.g.relu(b.g.conv(b.layer(0), x, width, 3));
    // Layers: 2-4 blocks, 5 upsample, 6 conv, and so on at twice the size each; one block at full size.
    for (int stage = 0; stage < 3; ++stage) {
        const int first = 2 + 5 * stage;
        for (int i = 0; i < 3; ++i) x = b.block(first + i, x, family.pooledBlocks && stage == 0);
        x = b.g.conv(b.layer(first + 4), b.g.upsample(b.layer(first + 3), x), width, 3, false);
    }
    x = b.block(17, x, false);
    return b.g.finish(b.g.conv(b.layer(18), x, 3, 3));
}

Result<Graph> tinyEncoder(const Family& family, Shape picture) {
    TinyBuilder b("encoder");
    ValueId x = b.g.conv(b.layer(0), b.g.input(picture), width, 3);
    x = b.block(1, x, false);
    for (int stage = 0; stage < 3; ++stage) {
        const int first = 2 + 4 * stage;
        x = b.g.convDown(b.layer(first), x, width, 1, false);
        for (int i = 1; i <= 3; ++i) x = b.block(first + i, x, family.pooledBlocks && stage == 2);
    }
    return b.g.finish(b.g.conv(b.layer(14), x, family.latentChannels, 3));
}

} // namespace spikescope
