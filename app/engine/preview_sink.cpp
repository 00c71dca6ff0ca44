#include "app/engine/preview_sink.h"

#include <QRgba64>

#include <algorithm>
#include <cmath>
#include <new>

namespace spikescope {

Result<std::unique_ptr<PreviewSink>> PreviewSink::create(const Family& family, VaeTask op, OutputShape shape) {
    auto sink = std::unique_ptr<PreviewSink>(new PreviewSink(family, shape));
    const auto refused = [&] {
        return fail(ErrorCode::OutOfHostMemory, "{} pictures of {}x{} do not fit into the machine's memory", shape.n,
                    shape.w, shape.h);
    };
    if (op == VaeTask::Encode) {
        sink->m_moments = std::make_shared<Moments>(
            Moments{.family = family, .n = shape.n, .h = shape.h, .w = shape.w, .c = shape.c, .values = {}});
        try {
            sink->m_moments->values.resize(shape.n * shape.h * shape.w * shape.c);
        } catch (const std::bad_alloc&) {
            return refused();
        }
        return sink;
    }
    for (std::uint64_t i = 0; i < shape.n; ++i) {
        QImage image(static_cast<int>(shape.w), static_cast<int>(shape.h), QImage::Format_RGBX64);
        if (image.isNull()) return refused();
        image.fill(Qt::transparent);
        sink->m_pictures.images.push_back(std::move(image));
    }
    return sink;
}

Result<void> PreviewSink::write(std::uint64_t n, std::uint64_t y, std::uint64_t rows, std::span<const float> values) {
    if (m_moments) {
        const std::uint64_t at = (n * m_shape.h + y) * m_shape.w * m_shape.c;
        std::ranges::copy(values, m_moments->values.begin() + static_cast<std::ptrdiff_t>(at));
        return {};
    }
    // KL decoders make values from -1 to 1, tiny ones from 0 to 1.
    const float scale = m_family.backbone == Backbone::Kl ? 0.5f : 1.0f;
    const float shift = m_family.backbone == Backbone::Kl ? 0.5f : 0.0f;
    QImage& image = m_pictures.images[n];
    const float* value = values.data();
    const auto code = [&] {
        const float unit = std::clamp(*value++ * scale + shift, 0.0f, 1.0f);
        return static_cast<quint16>(std::isnan(unit) ? 0 : std::lround(unit * 65535.0f));
    };
    for (std::uint64_t row = 0; row < rows; ++row) {
        auto* out = reinterpret_cast<QRgba64*>(image.scanLine(static_cast<int>(y + row)));
        for (std::uint64_t x = 0; x < m_shape.w; ++x) {
            const quint16 r = code(), g = code(), b = code();
            out[x] = QRgba64::fromRgba64(r, g, b, 65535);
        }
    }
    m_pictures.rows += rows;
    return {};
}

PicturePtr PreviewSink::pictures() const {
    return m_moments ? nullptr : std::make_shared<const DecodedPictures>(m_pictures);
}

} // namespace spikescope
