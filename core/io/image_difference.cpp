#include "core/io/image_difference.h"

#include "core/base/text.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

namespace spikescope {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::uint64_t channels = channelNames.size();

// The errors of two pictures of one size, row by row.
class RowErrors {
public:
    RowErrors(const ComparedImage& a, const ComparedImage& b)
        : m_a(a)
        , m_b(b)
        , m_rowA(a.pixels.width * channels)
        , m_rowB(m_rowA.size())
        , m_errors(m_rowA.size()) {}

    // Valid until the next call.
    std::span<const double> read(std::uint64_t y) {
        m_a.pixels.read(y * m_rowA.size(), m_rowA);
        m_b.pixels.read(y * m_rowB.size(), m_rowB);
        // Offsets are taken from each other, not added to values, so that no difference is rounded away.
        const double scaleA = scaleOf(m_a), scaleB = scaleOf(m_b), offset = offsetOf(m_b) - offsetOf(m_a);
        for (std::size_t i = 0; i < m_errors.size(); ++i) {
            m_errors[i] = std::abs(m_rowB[i] * scaleB - m_rowA[i] * scaleA + offset);
            if (!std::isfinite(m_errors[i])) m_errors[i] = infinity;
        }
        return m_errors;
    }

    double squaresOfA() const { // in the row read last
        double sum = 0;
        for (const float value : m_rowA) {
            const double unit = value * scaleOf(m_a) + offsetOf(m_a);
            sum += unit * unit;
        }
        return sum;
    }

private:
    static double scaleOf(const ComparedImage& image) { return image.range == ValueRange::Signed ? 0.5 : 1.0; }
    static double offsetOf(const ComparedImage& image) { return image.range == ValueRange::Signed ? 0.5 : 0.0; }

    const ComparedImage& m_a;
    const ComparedImage& m_b;
    std::vector<float> m_rowA, m_rowB;
    std::vector<double> m_errors;
};

// Of each pixel along an axis, to the nearest edge; pixels on both sides of an edge are at 0 from it.
std::vector<std::uint64_t> distances(std::uint64_t length, const std::vector<std::uint64_t>& edges) {
    std::vector<std::uint64_t> result(length, anyDistance);
    for (std::uint64_t x = 0, next = 0; x < length; ++x) {
        if (next < edges.size() && edges[next] <= x) ++next; // edges ascend by at least one pixel
        if (next > 0) result[x] = x - edges[next - 1];
        if (next < edges.size()) result[x] = std::min(result[x], edges[next] - x - 1);
    }
    return result;
}

// Collects errors by distance: 0 to 1, and from there each bin is twice as wide, up to the last one, 64 and more.
class DistanceBins {
public:
    DistanceBins(const ComparedImage& image, const SeamEdges& seams)
        : m_x(distances(image.pixels.width, seams.x))
        , m_y(distances(image.pixels.height, seams.y))
        , m_bins(7) {
        for (std::size_t i = 0; i < m_bins.size(); ++i) {
            m_bins[i].from = i == 0 ? 0 : std::uint64_t{1} << i;
            m_bins[i].to = i + 1 == m_bins.size() ? anyDistance : (std::uint64_t{2} << i) - 1;
        }
    }

    void add(std::uint64_t x, std::uint64_t y, std::span<const double> errors) {
        const std::uint64_t distance = std::min(m_x[x], m_y[y]);
        const auto bin = static_cast<std::size_t>(std::bit_width(distance | 1)) - 1;
        DistanceBin& sum = m_bins[std::min(bin, m_bins.size() - 1)];
        ++sum.pixels;
        for (const double error : errors) {
            sum.rms += error * error;
            sum.maximum = std::max(sum.maximum, error);
        }
    }

    void finish(ImageDifference& difference) {
        const DistanceBin* last = nullptr;
        for (DistanceBin& bin : m_bins) {
            if (bin.pixels == 0) continue;
            bin.rms = std::sqrt(bin.rms / static_cast<double>(bin.pixels * channels));
            last = &bin;
        }
        if (last != &m_bins.front()) {
            const double ratio = m_bins.front().rms / last->rms;
            if (!std::isnan(ratio)) difference.seamVisibility = ratio;
        }
        difference.byDistance = std::move(m_bins);
    }

private:
    std::vector<std::uint64_t> m_x, m_y;
    std::vector<DistanceBin> m_bins; // rms holds the sum of squares until finish()
};

} // namespace

ComparedImage comparedImage(Picture picture) {
    const auto data = std::make_shared<const Picture>(std::move(picture));
    return {
        .pixels = {.width = data->width,
                   .height = data->height,
                   .read = [data](std::uint64_t begin,
                                  std::span<float> out) { std::copy_n(&data->rgb[begin], out.size(), out.data()); }},
        .range = ValueRange::Unit};
}

Result<ComparedImage> openComparedImage(const std::string& path, const std::optional<std::string>& key,
                                        ValueRange tensorRange) {
    TRY(const bool isPicture, isPictureFile(path));
    if (isPicture) {
        if (key)
            return fail(ErrorCode::BadUsage, "{}: holds one picture without a name, so {} cannot be chosen.",
                        quote(path), quote(*key));
        TRY(Picture picture, readPicture(path));
        return comparedImage(std::move(picture));
    }
    TRY(HostTensor tensor, readTensorFile(path, key, NonFinite::Keep));
    TRY(Input input, imageInput(std::move(tensor), path));
    if (input.batch != 1)
        return fail(ErrorCode::BadInput, "{}: holds {} pictures; one can be compared.", quote(path), input.batch);
    return ComparedImage{.pixels = std::move(input), .range = tensorRange};
}

std::vector<std::uint64_t> tileEdges(std::uint64_t length, std::uint64_t tile, std::uint64_t overlap) {
    std::vector<std::uint64_t> edges;
    for (std::uint64_t begin = 0; begin + tile < length;) {
        edges.push_back(begin + tile);
        begin = std::min(begin + tile - overlap, length - tile);
        edges.push_back(begin);
    }
    std::ranges::sort(edges);
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
    return edges;
}

Result<SeamEdges> seamEdges(const SeamGrid& grid, std::uint64_t width, std::uint64_t height) {
    const Sides tile = grid.tile;
    if (tile.width > width || tile.height > height)
        return fail(ErrorCode::BadUsage, "tile: {}x{} is larger than the pictures of {}x{} pixels", tile.width,
                    tile.height, width, height);
    if (tile.width == width && tile.height == height)
        return fail(ErrorCode::BadUsage, "tile: {}x{} is the pictures' size, so no tiles meet in them", width, height);
    if (grid.overlap >= std::min(tile.width, tile.height))
        return fail(ErrorCode::BadUsage, "overlap: {} pixels are not less than a tile's {}x{}", grid.overlap,
                    tile.width, tile.height);
    return SeamEdges{.x = tileEdges(width, tile.width, grid.overlap),
                     .y = tileEdges(height, tile.height, grid.overlap)};
}

Result<ImageDifference> differenceOf(const ComparedImage& a, const ComparedImage& b, const SeamEdges& seams) {
    const auto [width, height] = Sides{a.pixels.width, a.pixels.height};
    if (b.pixels.width != width || b.pixels.height != height)
        return fail(ErrorCode::BadInput, "one picture has {}x{} pixels, the other {}x{}; only one size can be compared",
                    width, height, b.pixels.width, b.pixels.height);
    std::optional<DistanceBins> bins;
    if (!seams.empty()) bins.emplace(a, seams);

    ImageDifference result{.width = width, .height = height};
    double sum = 0, squares = 0, squaresOfA = 0;
    RowErrors rows(a, b);
    for (std::uint64_t y = 0; y < height; ++y) {
        const std::span<const double> errors = rows.read(y);
        for (std::uint64_t i = 0; i < errors.size(); ++i) {
            const double error = errors[i];
            sum += error;
            squares += error * error;
            if (error > result.maximum) {
                result.maximum = error;
                result.worst = {.x = i / channels, .y = y, .channel = i % channels};
            }
            if (error < infinity)
                result.largestFinite = std::max(result.largestFinite, error);
            else
                ++result.nonFinite;
        }
        squaresOfA += rows.squaresOfA();
        for (std::uint64_t x = 0; bins && x < width; ++x) bins->add(x, y, errors.subspan(x * channels, channels));
    }
    const auto values = static_cast<double>(width * height * channels);
    result.mean = sum / values;
    result.psnr = -10.0 * std::log10(squares / values);
    if (result.nonFinite != 0)
        result.relativeL2 = infinity; // also where A's own norm is not a number
    else if (squares != 0)
        result.relativeL2 = std::sqrt(squares / squaresOfA);
    if (bins) bins->finish(result);
    return result;
}

std::array<float, 3> heatColour(double value) {
    // The stops are a quarter apart and about as far in luminance, which between them is a straight line.
    constexpr std::array<std::array<double, 3>, 5> stops{
        {{0, 0, 0}, {0.10, 0.08, 0.50}, {0.80, 0.15, 0.60}, {1, 0.60, 0.15}, {1, 1, 1}}};
    const double place = std::clamp(value, 0.0, 1.0) * (stops.size() - 1);
    const auto below = std::min(static_cast<std::size_t>(place), stops.size() - 2);
    const double part = place - static_cast<double>(below);
    std::array<float, 3> colour{};
    for (std::size_t i = 0; i < colour.size(); ++i)
        colour[i] = static_cast<float>(std::lerp(stops[below][i], stops[below + 1][i], part));
    return colour;
}

Result<void> writeHeatMap(PngWriter& writer, const ComparedImage& a, const ComparedImage& b,
                          const ImageDifference& difference, const SeamEdges& seams) {
    // Dashes, so that the errors of a seam are seen between them; a colour that the map does not have.
    constexpr std::uint64_t dash = 4;
    constexpr std::array<float, 3> edgeColour{0.20f, 0.85f, 0.45f};
    const auto dashed = [](std::uint64_t at) { return at / dash % 2 == 0; };
    const double white = difference.largestFinite > 0 ? difference.largestFinite : 1.0;
    std::vector<float> heat(difference.width * channels);
    const auto paint = [&](std::uint64_t x, const std::array<float, 3>& colour) {
        std::ranges::copy(colour, heat.begin() + static_cast<std::ptrdiff_t>(x * channels));
    };
    RowErrors rows(a, b);
    for (std::uint64_t y = 0; y < difference.height; ++y) {
        const std::span<const double> errors = rows.read(y);
        const bool edge = std::ranges::binary_search(seams.y, y);
        for (std::uint64_t x = 0; x < difference.width; ++x)
            paint(x, edge && dashed(x) ? edgeColour
                                       : heatColour(std::ranges::max(errors.subspan(x * channels, channels)) / white));
        if (dashed(y))
            for (const std::uint64_t x : seams.x) paint(x, edgeColour);
        CHECK(writer.writeRows(heat));
    }
    return {};
}

} // namespace spikescope
