#include "app/engine/picture.h"

#include "core/io/image_difference.h"
#include "core/io/sinks.h"

#include <QRgba64>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

const QRgba64* line(const QImage& image, int y) { return reinterpret_cast<const QRgba64*>(image.constScanLine(y)); }

ComparedImage comparedImageOf(const QImage& image) {
    const auto width = static_cast<std::uint64_t>(image.width());
    const auto read = [image, width](std::uint64_t begin, std::span<float> out) { // whole rows
        const QRgba64* pixel = line(image, static_cast<int>(begin / (3 * width)));
        for (std::size_t i = 0; i + 2 < out.size(); i += 3, ++pixel) {
            out[i] = static_cast<float>(pixel->red()) / 65535.0f;
            out[i + 1] = static_cast<float>(pixel->green()) / 65535.0f;
            out[i + 2] = static_cast<float>(pixel->blue()) / 65535.0f;
        }
    };
    return {.pixels = {.width = width, .height = static_cast<std::uint64_t>(image.height()), .read = read},
            .range = ValueRange::Unit};
}

// By the largest of a pixel's errors, of 65535.
QImage heatOf(const QImage& a, const QImage& b, double largest) {
    std::vector<QRgb> colours;
    const auto count = static_cast<std::size_t>(std::lround(largest * 65535.0)) + 1;
    for (std::size_t i = 0; i < count; ++i) {
        const auto colour = heatColour(count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0.0);
        const auto byte = [](float value) { return static_cast<int>(std::lround(255.0f * value)); };
        colours.push_back(qRgb(byte(colour[0]), byte(colour[1]), byte(colour[2])));
    }
    QImage heat(a.size(), QImage::Format_RGB32);
    const auto apart = [](quint16 u, quint16 v) { return static_cast<std::size_t>(std::abs(int{u} - int{v})); };
    for (int y = 0; y < a.height(); ++y) {
        auto* out = reinterpret_cast<QRgb*>(heat.scanLine(y));
        for (int x = 0; x < a.width(); ++x) {
            const QRgba64 p = line(a, y)[x], q = line(b, y)[x];
            out[x] =
                colours[std::max({apart(p.red(), q.red()), apart(p.green(), q.green()), apart(p.blue(), q.blue())})];
        }
    }
    return heat;
}

std::optional<PictureDifference::AtEdges> atEdges(const ImageDifference& difference) {
    const auto& bins = difference.byDistance;
    const auto farthest =
        std::ranges::find_if(bins.rbegin(), bins.rend(), [](const DistanceBin& b) { return b.pixels; });
    if (farthest == bins.rend() || &*farthest == &bins.front()) return std::nullopt;
    return PictureDifference::AtEdges{
        .near = bins.front().rms, .far = farthest->rms, .nearPixels = bins.front().to + 1, .farPixels = farthest->from};
}

} // namespace

Result<PictureDifference> differenceOf(const QImage& a, const QImage& b, const TileEdges& edges) {
    const QImage left = a.convertToFormat(QImage::Format_RGBX64), right = b.convertToFormat(QImage::Format_RGBX64);
    TRY(const ImageDifference difference,
        differenceOf(comparedImageOf(left), comparedImageOf(right), {.x = edges.x, .y = edges.y}));
    return PictureDifference{.psnr = difference.psnr,
                             .largest = difference.maximum,
                             .heat = heatOf(left, right, difference.maximum),
                             .atEdges = atEdges(difference)};
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
    TRY(const auto sink, tensorSink(path, VaeTask::Encode, moments.family,
                                    {.n = moments.n, .h = moments.h, .w = moments.w, .c = moments.c}));
    const std::uint64_t picture = moments.h * moments.w * moments.c;
    for (std::uint64_t n = 0; n < moments.n; ++n)
        CHECK(sink->write(n, 0, moments.h, std::span(moments.values).subspan(n * picture, picture)));
    return sink->commit();
}

} // namespace spikescope
