// What compare-images says of two pictures: known errors come out as computed by hand, a seam stands in the bin beside
// its edge, and nothing that is not a number passes for a small error.

#include "core/io/image_difference.h"
#include "tests/support/folder_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>

#include <unistd.h>

namespace spikescope {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

using Value = std::function<float(std::uint64_t x, std::uint64_t y, std::uint64_t channel)>;

ComparedImage image(std::uint32_t width, std::uint32_t height, const Value& value) {
    Picture picture{.width = width, .height = height, .rgb = {}};
    for (std::uint64_t y = 0; y < height; ++y)
        for (std::uint64_t x = 0; x < width; ++x)
            for (std::uint64_t c = 0; c < 3; ++c) picture.rgb.push_back(value(x, y, c));
    return comparedImage(std::move(picture));
}

ComparedImage gray(std::uint32_t width, std::uint32_t height) {
    return image(width, height, [](auto...) { return 0.5f; });
}

SeamEdges seamsOf(const ComparedImage& image, const SeamGrid& grid) {
    return seamEdges(grid, image.pixels.width, image.pixels.height).value();
}

ImageDifference measured(const ComparedImage& a, const ComparedImage& b, const std::optional<SeamGrid>& grid = {}) {
    const auto difference = differenceOf(a, b, grid ? seamsOf(a, *grid) : SeamEdges{});
    EXPECT_TRUE(difference) << difference.error().message;
    return difference ? *difference : ImageDifference{};
}

TEST(ImageDifference, ofAPictureToItselfIsNone) {
    const ComparedImage a = image(5, 3, [](auto x, auto y, auto c) { return static_cast<float>(x * y + c) / 20.0f; });
    const ImageDifference d = measured(a, a);
    EXPECT_TRUE(d.identical());
    EXPECT_EQ(d.psnr, infinity);
    EXPECT_EQ(d.relativeL2, 0.0);
    EXPECT_FALSE(d.worst);
    const ImageDifference black =
        measured(image(2, 2, [](auto...) { return 0.0f; }), image(2, 2, [](auto...) { return -0.0f; }));
    EXPECT_TRUE(black.identical());
    EXPECT_EQ(black.relativeL2, 0.0);
}

TEST(ImageDifference, ofOnePixelIsFoundWhereItIs) {
    const ComparedImage b =
        image(4, 3, [](auto x, auto y, auto c) { return x == 3 && y == 1 && c == 2 ? 0.25f : 0.5f; });
    const ImageDifference d = measured(gray(4, 3), b);
    constexpr double values = 4 * 3 * 3, error = 0.25;
    EXPECT_EQ(d.width, 4u);
    EXPECT_EQ(d.height, 3u);
    EXPECT_EQ(d.maximum, error);
    EXPECT_EQ(d.largestFinite, error);
    ASSERT_TRUE(d.worst);
    EXPECT_EQ(d.worst->x, 3u);
    EXPECT_EQ(d.worst->y, 1u);
    EXPECT_EQ(channelNames[d.worst->channel], "blue");
    EXPECT_DOUBLE_EQ(d.mean, error / values);
    EXPECT_DOUBLE_EQ(d.psnr, 10 * std::log10(values / (error * error)));
    EXPECT_DOUBLE_EQ(d.relativeL2, error / (0.5 * std::sqrt(values)));
    EXPECT_TRUE(d.byDistance.empty());
}

TEST(ImageDifference, isOnTheScaleFromBlackToWhite) {
    ComparedImage signedGray = image(2, 2, [](auto...) { return 0.0f; }),
                  brighter = image(2, 2, [](auto...) { return 0.5f; });
    signedGray.range = brighter.range = ValueRange::Signed;
    EXPECT_TRUE(measured(gray(2, 2), signedGray).identical());
    EXPECT_EQ(measured(signedGray, brighter).maximum, 0.25);
    EXPECT_EQ(measured(signedGray, brighter).relativeL2, 0.5);
    // A difference that adding 0.5 would round away is still one.
    const float tiny = std::numeric_limits<float>::denorm_min();
    ComparedImage almost = image(2, 2, [&](auto...) { return tiny; });
    almost.range = ValueRange::Signed;
    EXPECT_EQ(measured(signedGray, almost).maximum, tiny / 2.0);
}

TEST(ImageDifference, ofWhatIsNotFiniteIsInfinite) {
    for (const float bad : {nan, static_cast<float>(infinity), static_cast<float>(-infinity)}) {
        const ComparedImage b = image(4, 3, [&](auto x, auto y, auto) {
            return x == 1 && y == 2 ? bad : x == 0 ? 0.25f : 0.5f;
        });
        for (const bool toItself : {false, true}) {
            const ComparedImage a = toItself ? b : gray(4, 3);
            for (const auto& [first, second] : {std::pair(&a, &b), std::pair(&b, &a)}) {
                const ImageDifference d = measured(*first, *second, SeamGrid{.tile = {.width = 2, .height = 3}});
                EXPECT_FALSE(d.identical());
                EXPECT_EQ(d.nonFinite, 3u);
                EXPECT_EQ(d.maximum, infinity);
                EXPECT_EQ(d.mean, infinity);
                EXPECT_EQ(d.psnr, -infinity);
                EXPECT_EQ(d.relativeL2, infinity);
                ASSERT_TRUE(d.worst);
                EXPECT_EQ(d.worst->x, 1u);
                EXPECT_EQ(d.worst->y, 2u);
                EXPECT_EQ(d.byDistance[0].rms, infinity);
                EXPECT_EQ(d.largestFinite, toItself ? 0.0 : 0.25);
            }
        }
    }
}

TEST(TileEdges, areBeginsAndEndsInsideThePicture) {
    using Edges = std::vector<std::uint64_t>;
    EXPECT_EQ(tileEdges(16, 16, 4), Edges{});
    EXPECT_EQ(tileEdges(16, 8, 0), Edges{8});
    EXPECT_EQ(tileEdges(20, 8, 2), (Edges{6, 8, 12, 14})); // tiles at 0, 6, 12
    EXPECT_EQ(tileEdges(18, 8, 2), (Edges{6, 8, 10, 14})); // the last one at 10 instead of 12
    EXPECT_EQ(tileEdges(17, 8, 0), (Edges{8, 9, 16}));     // tiles at 0, 8, 9
    EXPECT_EQ(tileEdges(6, 4, 3), (Edges{1, 2, 4, 5}));    // tiles at 0, 1, 2
    EXPECT_EQ(tileEdges(65536, 1, 0).size(), 65535u);
}

TEST(ByDistance, aSeamStandsBesideItsEdge) {
    // Tiles of 256 over 512 pixels meet at column 256. There errors are 0.08, elsewhere 0.01.
    const ComparedImage b = image(512, 3, [](auto x, auto, auto) { return x == 255 || x == 256 ? 0.58f : 0.51f; });
    const ImageDifference d = measured(gray(512, 3), b, SeamGrid{.tile = {.width = 256, .height = 3}});
    ASSERT_EQ(d.byDistance.size(), 7u);
    // Two columns on each side are at 0 and 1, and so on; what is left of 512 is farther than 63.
    const std::uint64_t from[] = {0, 2, 4, 8, 16, 32, 64}, columns[] = {4, 4, 8, 16, 32, 64, 384};
    for (std::size_t i = 0; i < 7; ++i) {
        const DistanceBin& bin = d.byDistance[i];
        EXPECT_EQ(bin.from, from[i]);
        EXPECT_EQ(bin.to, i == 6 ? anyDistance : from[i + 1] - 1);
        EXPECT_EQ(bin.pixels, columns[i] * 3) << i;
        EXPECT_NEAR(bin.maximum, i == 0 ? 0.08 : 0.01, 1e-7) << i;
        EXPECT_NEAR(bin.rms, i == 0 ? std::sqrt((0.08 * 0.08 + 0.01 * 0.01) / 2) : 0.01, 1e-7) << i;
    }
    ASSERT_TRUE(d.seamVisibility);
    EXPECT_NEAR(*d.seamVisibility, std::sqrt(32.5), 1e-4);
}

TEST(ByDistance, theNearerOfBothAxesCounts) {
    // Tiles of 8 over 16 × 16 meet at column and row 8: a pixel is at most 7 from either, so four bins have any.
    const ComparedImage b = image(16, 16, [](auto x, auto y, auto) { return x == 0 && y == 7 ? 0.75f : 0.5f; });
    const ImageDifference d = measured(gray(16, 16), b, SeamGrid{.tile = {.width = 8, .height = 8}});
    const std::uint64_t pixels[] = {16 * 16 - 12 * 12, 12 * 12 - 8 * 8, 8 * 8, 0, 0, 0, 0};
    for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(d.byDistance[i].pixels, pixels[i]) << i;
    EXPECT_EQ(d.byDistance[0].maximum, 0.25);
    EXPECT_EQ(d.byDistance[2].maximum, 0.0);
    EXPECT_EQ(d.seamVisibility, infinity); // the last bin with pixels has no error
}

TEST(ByDistance, aRatioThatIsNoneIsNotANumber) {
    const SeamGrid small{.tile = {.width = 2, .height = 2}}, large{.tile = {.width = 8, .height = 8}};
    EXPECT_FALSE(measured(gray(16, 16), gray(16, 16), large).seamVisibility); // 0 / 0
    const ComparedImage b = image(4, 4, [](auto...) { return 0.25f; });
    EXPECT_FALSE(measured(gray(4, 4), b, small).seamVisibility); // all are beside an edge
}

TEST(ImageDifference, refusesWhatCannotBeCompared) {
    const auto expectRefused = [](const auto& result, ErrorCode code, const char* part) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, code);
        EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
    };
    const auto tiles = [](std::uint64_t width, std::uint64_t height, std::uint64_t overlap) {
        return seamEdges({.tile = {.width = width, .height = height}, .overlap = overlap}, 8, 6);
    };
    expectRefused(differenceOf(gray(8, 6), gray(6, 8)), ErrorCode::BadInput, "8x6 pixels, the other 6x8");
    expectRefused(tiles(9, 6, 0), ErrorCode::BadUsage, "9x6 is larger than the pictures of 8x6");
    expectRefused(tiles(8, 7, 0), ErrorCode::BadUsage, "8x7 is larger");
    expectRefused(tiles(8, 6, 0), ErrorCode::BadUsage, "8x6 is the pictures' size");
    expectRefused(tiles(4, 2, 2), ErrorCode::BadUsage, "overlap: 2 pixels");
}

TEST(HeatColour, growsBrighterFromBlackToWhite) {
    EXPECT_EQ(heatColour(0), (std::array<float, 3>{0, 0, 0}));
    EXPECT_EQ(heatColour(1), (std::array<float, 3>{1, 1, 1}));
    EXPECT_EQ(heatColour(infinity), heatColour(1));
    double last = -1;
    for (int i = 0; i <= 1000; ++i) {
        const auto colour = heatColour(i / 1000.0);
        const double luminance = 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2];
        EXPECT_GT(luminance, last) << i;
        last = luminance;
    }
}

class ImageFiles : public FolderTest {
protected:
    // A .npy file of these float32 values.
    std::string npy(const std::string& name, const std::string& shape, const std::vector<float>& values) const {
        std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }";
        header.resize(117, ' ');
        std::ofstream file(m_folder + name, std::ios::binary);
        file << "\x93NUMPY\x01" << std::string("\0\x76\0", 3) << header << '\n';
        file.write(reinterpret_cast<const char*>(values.data()),
                   static_cast<std::streamsize>(values.size() * sizeof(float)));
        return m_folder + name;
    }
};

TEST_F(ImageFiles, holdChannelsApartAndTheirRange) {
    // One row of two pixels: red 1 and 0, green 0.5 and 0, blue 0 and 1.
    const std::vector<float> planes{1, 0, 0.5f, 0, 0, 1};
    std::vector<float> scaled;
    for (const float value : planes) scaled.push_back(2 * value - 1);
    const ComparedImage expected = image(2, 1, [](auto x, auto, auto c) {
        return x == 0 ? 1.0f - 0.5f * static_cast<float>(c) : c == 2 ? 1.0f : 0.0f;
    });
    const struct {
        const char* shape;
        ValueRange range;
        const std::vector<float>& values;
    } cases[] = {{"(3, 1, 2)", ValueRange::Unit, planes}, {"(1, 3, 1, 2)", ValueRange::Signed, scaled}};
    for (const auto& c : cases) {
        const auto opened = openComparedImage(npy("a.npy", c.shape, c.values), {}, c.range);
        ASSERT_TRUE(opened) << opened.error().message;
        EXPECT_TRUE(measured(expected, *opened).identical()) << c.shape;
    }
    const auto two = openComparedImage(npy("two.npy", "(2, 3, 1, 1)", planes), {}, ValueRange::Unit);
    ASSERT_FALSE(two);
    EXPECT_NE(two.error().message.find("two.npy': holds 2 pictures"), std::string::npos) << two.error().message;
    auto png = PngWriter::create(m_folder + "x.png", 1, 1, 8);
    ASSERT_TRUE(png && png->writeRows(std::vector<float>(3)) && png->commit());
    const auto key = openComparedImage(m_folder + "x.png", "key", ValueRange::Unit);
    ASSERT_FALSE(key);
    EXPECT_NE(key.error().message.find("'key' cannot be chosen"), std::string::npos) << key.error().message;
}

TEST_F(ImageFiles, keepWhatIsNotFinite) {
    const auto opened = openComparedImage(npy("a.npy", "(3, 1, 2)", {0, 0, 0, nan, 0, 0}), {}, ValueRange::Signed);
    ASSERT_TRUE(opened) << opened.error().message;
    const ImageDifference d = measured(*opened, *opened);
    EXPECT_EQ(d.nonFinite, 1u);
    EXPECT_EQ(d.maximum, infinity);
    EXPECT_EQ(d.worst->x, 1u);
    EXPECT_EQ(channelNames[d.worst->channel], "green");
}

TEST_F(ImageFiles, heatMapsShowErrorsBetweenTheDashesOfEdges) {
    const auto error = [](std::uint64_t x, std::uint64_t y) { return x == 2 && y == 5 ? 0.5f : x == 8 ? 0.25f : 0.0f; };
    const ComparedImage b = image(16, 16, [&](auto x, auto y, auto c) { return 0.5f - (c == 1 ? error(x, y) : 0.0f); });
    const SeamGrid grid{.tile = {.width = 8, .height = 16}};
    const auto picture = [&](const std::optional<SeamGrid>& tiles) {
        const std::string path = m_folder + "heat.png";
        auto writer = PngWriter::create(path, 16, 16, 8);
        EXPECT_TRUE(writer &&
                    writeHeatMap(*writer, gray(16, 16), b, measured(gray(16, 16), b),
                                 tiles ? seamsOf(b, *tiles) : SeamEdges{}) &&
                    writer->commit());
        return readPicture(path).value();
    };
    for (const bool tiled : {false, true}) {
        const Picture heat = picture(tiled ? std::optional(grid) : std::nullopt);
        ASSERT_EQ(heat.rgb.size(), 16u * 16u * 3u);
        for (std::uint64_t y = 0; y < 16; ++y)
            for (std::uint64_t x = 0; x < 16; ++x) {
                const auto colour = heatColour(error(x, y) / 0.5);
                bool same = true;
                for (std::size_t c = 0; c < 3; ++c)
                    same = same && std::abs(heat.rgb[(y * 16 + x) * 3 + c] - colour[c]) < 0.5 / 255 + 1e-6;
                EXPECT_EQ(same, !(tiled && x == 8 && y % 8 < 4)) << x << ", " << y;
            }
    }
}

} // namespace
} // namespace spikescope
