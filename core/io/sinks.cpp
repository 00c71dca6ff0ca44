#include "core/io/sinks.h"

#include <filesystem>

namespace spikescope {

namespace {

class PngSink final : public OutputSink {
public:
    PngSink(std::vector<PngWriter> writers, Backbone backbone)
        : m_writers(std::move(writers))
        , m_signed(backbone == Backbone::Kl) {}

    Result<void> write(std::uint64_t n, std::uint64_t, std::uint64_t, std::span<const float> values) override {
        if (!m_signed) return m_writers[n].writeRows(values);
        m_unit.assign(values.begin(), values.end());
        for (float& value : m_unit) value = value * 0.5f + 0.5f;
        return m_writers[n].writeRows(m_unit);
    }
    Result<void> commit() override {
        for (PngWriter& writer : m_writers) CHECK(writer.commit());
        return {};
    }

private:
    std::vector<PngWriter> m_writers;
    std::vector<float> m_unit;
    bool m_signed; // values in [-1, 1]
};

class TensorSink final : public OutputSink {
public:
    TensorSink(SafetensorsWriter writer, OutputShape shape, std::uint64_t channelsPerTensor)
        : m_writer(std::move(writer))
        , m_shape(shape)
        , m_channels(channelsPerTensor) {}

    Result<void> write(std::uint64_t n, std::uint64_t y, std::uint64_t rows, std::span<const float> values) override {
        m_plane.resize(rows * m_shape.w);
        for (std::uint64_t c = 0; c < m_shape.c; ++c) {
            for (std::uint64_t i = 0; i < m_plane.size(); ++i) m_plane[i] = values[i * m_shape.c + c];
            const std::uint64_t at = ((n * m_channels + c % m_channels) * m_shape.h + y) * m_shape.w * sizeof(float);
            CHECK(m_writer.write(c / m_channels, at, std::as_bytes(std::span(m_plane))));
        }
        return {};
    }
    Result<void> commit() override { return m_writer.commit(); }

private:
    SafetensorsWriter m_writer;
    OutputShape m_shape;
    std::uint64_t m_channels;
    std::vector<float> m_plane;
};

} // namespace

std::string pngPath(const std::string& path, std::uint64_t picture, std::uint64_t pictures) {
    if (pictures == 1) return path;
    std::filesystem::path file(path);
    file.replace_filename(fmt::format("{}-{}{}", file.stem().string(), picture, file.extension().string()));
    return file.string();
}

Result<std::unique_ptr<OutputSink>> pngSink(const std::string& path, Backbone backbone, OutputShape shape,
                                            int bitDepth) {
    std::vector<PngWriter> writers;
    for (std::uint64_t i = 0; i < shape.n; ++i) {
        TRY(PngWriter writer, PngWriter::create(pngPath(path, i, shape.n), static_cast<std::uint32_t>(shape.w),
                                                static_cast<std::uint32_t>(shape.h), bitDepth));
        writers.push_back(std::move(writer));
    }
    return std::make_unique<PngSink>(std::move(writers), backbone);
}

Result<std::unique_ptr<OutputSink>> tensorSink(const std::string& path, VaeTask op, const Family& family,
                                               OutputShape shape) {
    std::vector<SafetensorsWriter::Tensor> tensors;
    const std::uint64_t channels = op == VaeTask::Decode ? shape.c : family.latentChannels;
    const auto add = [&](std::string name) {
        tensors.push_back(
            {.name = std::move(name), .dtype = DType::F32, .shape = {shape.n, channels, shape.h, shape.w}});
    };
    if (op == VaeTask::Decode) {
        add("decoded");
    } else {
        add("mean");
        if (shape.c == 2 * channels) add("logvar");
    }
    TRY(SafetensorsWriter writer, SafetensorsWriter::create(path, tensors));
    return std::make_unique<TensorSink>(std::move(writer), shape, channels);
}

} // namespace spikescope
