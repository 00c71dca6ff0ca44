#include "app/engine/picture.h"

#include "core/run/picture.h"
#include "core/run/sinks.h"

#include <QRgba64>

#include <algorithm>
#include <cmath>
#include <limits>

namespace spikescope {

namespace {

const QRgba64* line(const QImage& image, int y) { return reinterpret_cast<const QRgba64*>(image.constScanLine(y)); }

// Black, violet, orange, white.
QRgb heatOf(double t) {
    const auto part = [](double v) { return static_cast<int>(std::lround(255.0 * std::clamp(v, 0.0, 1.0))); };
    return qRgb(part(2.0 * t), part(3.0 * t * t - 0.6 * t),
                part(t < 0.4 ? 1.8 * t : (t > 0.8 ? 5.0 * (t - 0.8) : 0.72 - 1.8 * (t - 0.4))));
}

} // namespace

Result<PictureDifference> differenceOf(const QImage& a, const QImage& b) {
    if (a.size() != b.size())
        return fail(ErrorCode::BadUsage, "a picture of {}x{} cannot be compared with one of {}x{}", a.width(),
                    a.height(), b.width(), b.height());
    const QImage left = a.convertToFormat(QImage::Format_RGBX64), right = b.convertToFormat(QImage::Format_RGBX64);
    PictureDifference difference{.heat = QImage(a.size(), QImage::Format_RGB32)};
    const auto apart = [](quint16 u, quint16 v) { return static_cast<std::uint16_t>(std::abs(int{u} - int{v})); };
    std::vector<std::uint16_t> most; // of the three channels, by pixel
    most.reserve(static_cast<std::size_t>(a.width()) * static_cast<std::size_t>(a.height()));
    std::uint64_t squares = 0;
    for (int y = 0; y < a.height(); ++y)
        for (int x = 0; x < a.width(); ++x) {
            const QRgba64 p = line(left, y)[x], q = line(right, y)[x];
            const std::uint16_t red = apart(p.red(), q.red()), green = apart(p.green(), q.green()),
                                blue = apart(p.blue(), q.blue());
            squares += std::uint64_t{red} * red + std::uint64_t{green} * green + std::uint64_t{blue} * blue;
            most.push_back(std::max({red, green, blue}));
        }
    const std::uint16_t largest = most.empty() ? std::uint16_t{0} : *std::ranges::max_element(most);
    const double count = 3.0 * a.width() * a.height();
    const double mean = static_cast<double>(squares) / count / (65535.0 * 65535.0);
    difference.psnr = squares ? -10.0 * std::log10(mean) : std::numeric_limits<double>::infinity();
    difference.largest = largest / 65535.0;
    auto value = most.begin();
    for (int y = 0; y < a.height(); ++y) {
        auto* out = reinterpret_cast<QRgb*>(difference.heat.scanLine(y));
        for (int x = 0; x < a.width(); ++x) out[x] = heatOf(largest ? static_cast<double>(*value++) / largest : 0.0);
    }
    return difference;
}

Result<void> savePng(const QImage& picture, const std::string& path, int bits) {
    const QImage image = picture.convertToFormat(QImage::Format_RGBX64);
    TRY(PngWriter writer, PngWriter::create(path, static_cast<std::uint32_t>(image.width()),
                                            static_cast<std::uint32_t>(image.height()), bits));
    std::vector<float> row(3 * static_cast<std::size_t>(image.width()));
    for (int y = 0; y < image.height(); ++y) {
        for (int x = 0; x < image.width(); ++x) {
            const QRgba64 pixel = line(image, y)[x];
            float* out = &row[3 * static_cast<std::size_t>(x)];
            out[0] = static_cast<float>(pixel.red()) / 65535.0f;
            out[1] = static_cast<float>(pixel.green()) / 65535.0f;
            out[2] = static_cast<float>(pixel.blue()) / 65535.0f;
        }
        CHECK(writer.writeRows(row));
    }
    return writer.commit();
}

Result<void> saveMoments(const Moments& moments, const std::string& path) {
    TRY(const auto sink, tensorSink(path, VaeOp::Encode, *moments.family,
                                    {.n = moments.n, .h = moments.h, .w = moments.w, .c = moments.c}));
    const std::uint64_t picture = moments.h * moments.w * moments.c;
    for (std::uint64_t n = 0; n < moments.n; ++n)
        CHECK(sink->write(n, 0, moments.h, std::span(moments.values).subspan(n * picture, picture)));
    return sink->commit();
}

} // namespace spikescope
