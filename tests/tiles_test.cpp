// Approximate tilings against straightforward versions of what the systems do whose names they have: every tile made as
// a picture of its own, then put together in double precision. Protects: grids, overlaps and weights; that rows leave
// in order; that memory does not grow with the picture.

#include "core/program/tile_grid.h"
#include "core/timeline/peak.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

#include <algorithm>
#include <functional>

namespace spikescope {
namespace {

constexpr std::uint64_t factor = 8;

struct Image {
    std::uint64_t h = 0, w = 0, c = 0;
    std::vector<double> values;
    double& at(std::uint64_t y, std::uint64_t x, std::uint64_t k) { return values[(y * w + x) * c + k]; }
};
Image imageOf(std::uint64_t h, std::uint64_t w, std::uint64_t c) {
    return {h, w, c, std::vector<double>(h * w * c, 0.0)};
}

// A family and an op on one picture, whole or of a part of its input, in latents.
class Maker {
public:
    Maker(VulkanBackend& backend, NamedValues common, std::uint64_t w, std::uint64_t h)
        : m_backend(backend)
        , m_common(std::move(common))
        , m_input(*jobOfSize(w, h).input) {}

    Job jobOfSize(std::uint64_t w, std::uint64_t h, const NamedValues& more = {}) const {
        NamedValues values = m_common;
        values.emplace_back("size", fmt::format("{}x{}", w * factor, h * factor));
        values.insert(values.end(), more.begin(), more.end());
        return runnableJobOf(controlsOf(values));
    }
    Image tile(std::uint64_t y, std::uint64_t x, std::uint64_t h, std::uint64_t w) {
        Job job = jobOfSize(w, h);
        const Shape& in = job.program.input;
        const std::uint64_t scale = in.h / h, wholeWidth = m_input.width / factor * scale;
        job.input->read = [&, scale, wholeWidth](std::uint64_t begin, std::span<float> out) {
            for (std::size_t i = 0; i < out.size(); ++i) {
                const std::uint64_t e = begin + i, row = e / (in.w * in.c), rest = e % (in.w * in.c);
                m_input.read(((y * scale + row) * wholeWidth + x * scale) * in.c + rest, out.subspan(i, 1));
            }
        };
        const Ran ran = runToMemory(m_backend, job);
        EXPECT_FALSE(ran.outcome.error) << ran.outcome.error->message;
        return {ran.shape.h, ran.shape.w, ran.shape.c, {ran.output.begin(), ran.output.end()}};
    }
    std::uint64_t width() const { return m_input.width / factor; }
    std::uint64_t height() const { return m_input.height / factor; }

private:
    VulkanBackend& m_backend;
    NamedValues m_common;
    Input m_input;
};

void expectSame(const Ran& ran, const Image& reference, const std::string& what) {
    ASSERT_FALSE(ran.outcome.error) << what << ran.outcome.error->message;
    const std::vector<float> expected(reference.values.begin(), reference.values.end());
    EXPECT_LE(relativeL2(ran.output, expected), 1e-6) << what;
    const Peak peak = findPeak(ran.outcome.recording);
    EXPECT_EQ(peak.allocated, ran.outcome.recording.predicted->first) << what;
    EXPECT_EQ(peak.reserved, ran.outcome.recording.predicted->second) << what;
}

// diffusers: tiles of `tile` every 3/4 of it, each blended onto its upper and then its left neighbour, which were
// blended before; of each the first 3/4 are kept.
Image asDiffusers(Maker& maker, std::uint64_t tile, std::uint64_t scale) {
    const std::uint64_t stride = tile * 3 / 4, extent = tile * scale / 4, kept = tile * scale - extent;
    std::vector<std::vector<Image>> rows;
    for (std::uint64_t y = 0; y < maker.height(); y += stride) {
        rows.emplace_back();
        for (std::uint64_t x = 0; x < maker.width(); x += stride)
            rows.back().push_back(
                maker.tile(y, x, std::min(tile, maker.height() - y), std::min(tile, maker.width() - x)));
    }
    Image out = imageOf(maker.height() * scale, maker.width() * scale, rows[0][0].c);
    for (std::size_t i = 0; i < rows.size(); ++i)
        for (std::size_t j = 0; j < rows[i].size(); ++j) {
            Image& b = rows[i][j];
            if (i > 0) {
                Image& a = rows[i - 1][j];
                const std::uint64_t n = std::min({a.h, b.h, extent});
                for (std::uint64_t y = 0; y < n; ++y)
                    for (std::uint64_t x = 0; x < b.w; ++x)
                        for (std::uint64_t c = 0; c < b.c; ++c) {
                            const double t = static_cast<double>(y) / static_cast<double>(n);
                            b.at(y, x, c) = a.at(a.h - n + y, x, c) * (1 - t) + b.at(y, x, c) * t;
                        }
            }
            if (j > 0) {
                Image& a = rows[i][j - 1];
                const std::uint64_t n = std::min({a.w, b.w, extent});
                for (std::uint64_t y = 0; y < b.h; ++y)
                    for (std::uint64_t x = 0; x < n; ++x)
                        for (std::uint64_t c = 0; c < b.c; ++c) {
                            const double t = static_cast<double>(x) / static_cast<double>(n);
                            b.at(y, x, c) = a.at(y, a.w - n + x, c) * (1 - t) + b.at(y, x, c) * t;
                        }
            }
            for (std::uint64_t y = 0; y < std::min(b.h, kept); ++y)
                for (std::uint64_t x = 0; x < std::min(b.w, kept); ++x)
                    for (std::uint64_t c = 0; c < b.c; ++c) out.at(i * kept + y, j * kept + x, c) = b.at(y, x, c);
        }
    return out;
}

// Adds weighted tiles and divides by the sum of the weights. `begins`: of an axis, by its size and the tile's;
// `weight`: of an element of a tile along one axis, which has a neighbour before and behind or not.
using Begins = std::function<std::vector<std::uint64_t>(std::uint64_t size, std::uint64_t tile)>;
using WeightAt = std::function<double(std::uint64_t i, std::uint64_t length, bool before, bool behind)>;
Image asWeighted(Maker& maker, std::uint64_t tileW, std::uint64_t tileH, std::uint64_t scale, const Begins& begins,
                 const WeightAt& weightAt) {
    Image out, sum;
    for (const std::uint64_t y : begins(maker.height(), tileH))
        for (const std::uint64_t x : begins(maker.width(), tileW)) {
            Image tile = maker.tile(y, x, std::min(tileH, maker.height() - y), std::min(tileW, maker.width() - x));
            if (out.values.empty()) out = sum = imageOf(maker.height() * scale, maker.width() * scale, tile.c);
            for (std::uint64_t i = 0; i < tile.h; ++i)
                for (std::uint64_t j = 0; j < tile.w; ++j)
                    for (std::uint64_t c = 0; c < tile.c; ++c) {
                        const double weight = weightAt(i, tile.h, y > 0, y * scale + tile.h < out.h) *
                                              weightAt(j, tile.w, x > 0, x * scale + tile.w < out.w);
                        out.at(y * scale + i, x * scale + j, c) += weight * tile.at(i, j, c);
                        sum.at(y * scale + i, x * scale + j, c) += weight;
                    }
        }
    for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] /= sum.values[i];
    return out;
}
Begins everyStride(std::uint64_t overlap) {
    return [=](std::uint64_t size, std::uint64_t tile) {
        if (tile >= size) return std::vector<std::uint64_t>{0};
        std::vector<std::uint64_t> all;
        for (std::uint64_t begin = 0; begin < size - overlap; begin += tile - overlap) all.push_back(begin);
        return all;
    };
}

class Tiles : public testing::Test {
protected:
    void SetUp() override {
        backend = openCpu();
        ASSERT_TRUE(backend);
    }
    Maker maker(std::uint64_t w, std::uint64_t h, const std::string& op = "decode") {
        return {*backend, {{"model", "taesd"}, {"op", op}, {"activations", "fp32"}}, w, h};
    }
    Ran tiled(const Maker& maker, const NamedValues& tiling) {
        return runToMemory(*backend, maker.jobOfSize(maker.width(), maker.height(), tiling));
    }
    std::unique_ptr<VulkanBackend> backend;
};

TEST_F(Tiles, ofDiffusersAndInvokeAi) {
    const NamedValues tiling{{"tile", "64"}, {"overlap", "16"}, {"tile-grid", "diffusers"}};
    for (const auto& [w, h] : {std::pair<std::uint64_t, std::uint64_t>{21, 14}, {13, 19}}) {
        Maker decoder = maker(w, h);
        expectSame(tiled(decoder, tiling), asDiffusers(decoder, 8, factor), fmt::format("decode {}x{} ", w, h));
    }
    Maker encoder = maker(20, 13, "encode");
    expectSame(tiled(encoder, {{"tile", "128"}, {"overlap", "32"}, {"tile-grid", "diffusers"}}),
               asDiffusers(encoder, 16, 1), "encode ");
}

TEST_F(Tiles, ofComfyUi) {
    // Feathers of the overlap's length at every edge; the tile, one twice as wide and half as high, and the other way.
    constexpr std::uint64_t tile = 8, overlap = 2;
    Maker decoder = maker(21, 19);
    const WeightAt feather = [](std::uint64_t i, std::uint64_t length, bool, bool) {
        constexpr std::uint64_t n = overlap * factor;
        const auto ramp = [](std::uint64_t k) { return k < n ? static_cast<double>(k + 1) / n : 1.0; };
        return ramp(i) * ramp(length - 1 - i);
    };
    Image mean = imageOf(19 * factor, 21 * factor, 3);
    for (const auto& [w, h] : {std::pair{tile / 2, tile * 2}, {tile * 2, tile / 2}, {tile, tile}}) {
        const Image pass = asWeighted(decoder, w, h, factor, everyStride(overlap), feather);
        for (std::size_t i = 0; i < mean.values.size(); ++i) mean.values[i] += pass.values[i] / 3;
    }
    expectSame(tiled(decoder, {{"tile", "64"}, {"overlap", "16"}, {"tile-grid", "three-passes"}, {"blend", "feather"}}),
               mean, "three passes ");
}

TEST_F(Tiles, ofSeedVr2) {
    constexpr std::uint64_t overlap = 2;
    Maker decoder = maker(21, 14);
    const WeightAt cosine = [](std::uint64_t i, std::uint64_t length, bool before, bool behind) {
        constexpr std::uint64_t n = overlap * factor;
        const auto ramp = [](std::uint64_t k) {
            return 0.5 - 0.5 * std::cos(3.14159265358979323846 * static_cast<double>(k) / (n - 1));
        };
        double weight = 1;
        if (before && i < n) weight *= ramp(i);
        if (behind && i >= length - n) weight *= 1 - ramp(i - (length - n));
        return weight;
    };
    expectSame(tiled(decoder, {{"tile", "64"}, {"overlap", "16"}, {"tile-grid", "cut"}, {"blend", "cosine"}}),
               asWeighted(decoder, 8, 8, factor, everyStride(overlap), cosine), "cosine ");
}

// stable-diffusion.cpp: tiles share what makes them fill the size, here 3 of 21 columns and 2 of 14 rows where a half
// was wanted; the last tile is moved back and blended in where it would have begun.
TEST_F(Tiles, ofStableDiffusionCpp) {
    constexpr std::uint64_t tile = 8;
    Maker decoder = maker(21, 14);
    struct Place {
        std::uint64_t begin, skipped; // elements that are not used
    };
    struct Axis {
        std::uint64_t size, overlap;
        std::vector<Place> places;
    };
    const Axis rows{14, 2, {{0, 0}, {6, 0}}}, columns{21, 3, {{0, 0}, {5, 0}, {10, 0}, {13, 2}}};
    const auto smooth = [](double t) {
        t = std::clamp(t, 0.0, 1.0);
        return t * t * t * (t * (6 * t - 15) + 10);
    };
    Image out = imageOf(14 * factor, 21 * factor, 3);
    const auto weight = [&](std::uint64_t i, const Place& place, const Axis& axis) {
        const auto n = static_cast<double>(axis.overlap * factor);
        const double rise = place.begin > 0 ? (static_cast<double>(i) - static_cast<double>(place.skipped * factor)) / n
                                            : 1,
                     fall = place.begin + tile < axis.size ? static_cast<double>(tile * factor - i) / n : 1;
        return smooth(std::min(rise, fall));
    };
    for (const Place& y : rows.places)
        for (const Place& x : columns.places) {
            Image one = decoder.tile(y.begin, x.begin, tile, tile);
            for (std::uint64_t i = 0; i < one.h; ++i)
                for (std::uint64_t j = 0; j < one.w; ++j)
                    for (std::uint64_t c = 0; c < 3; ++c)
                        out.at(y.begin * factor + i, x.begin * factor + j, c) +=
                            weight(i, y, rows) * weight(j, x, columns) * one.at(i, j, c);
        }
    expectSame(tiled(decoder, {{"tile", "64"}, {"overlap", "32"}, {"tile-grid", "fitted"}, {"blend", "smootherstep"}}),
               out, "smootherstep ");
}

// Where its tiles begin, by its rule. The last row: overlaps that are no whole numbers are cut off.
TEST(TileGrid, fitsAsStableDiffusionCppDoes) {
    struct Case {
        std::uint64_t size, tile, overlap;
        std::vector<std::uint64_t> begins;
    };
    for (const Case& c : std::vector<Case>{{128, 32, 16, {0, 16, 32, 48, 64, 80, 96}},
                                           {100, 32, 16, {0, 17, 34, 51, 68}},
                                           {65, 32, 16, {0, 17, 33}},
                                           {33, 32, 16, {0, 1}},
                                           {32, 32, 16, {0}},
                                           {50, 24, 6, {0, 13, 26}},
                                           {100, 32, 0, {0, 23, 46, 68}},
                                           {77, 24, 3, {0, 18, 36, 53}},
                                           {100, 24, 6, {0, 16, 32, 48, 64, 76}}}) {
        const Controls controls = controlsOf({{"tile", std::to_string(c.tile * factor)},
                                              {"overlap", std::to_string(c.overlap * factor)},
                                              {"tile-grid", "fitted"}});
        std::vector<std::uint64_t> begins;
        const std::vector<TileGrid> grids = tileGrids(controls, {c.size, c.tile, factor}, factor);
        for (const TileLine& column : grids.front().columns) begins.push_back(column.begin);
        EXPECT_EQ(begins, c.begins) << c.size << " in tiles of " << c.tile;
    }
}

// Weights of every arrangement, blend and overlap add up to 1 at every element: a constant picture stays one.
TEST_F(Tiles, addUpToOne) {
    for (const char* grid : {"even", "fitted", "cut", "diffusers", "three-passes"})
        for (const char* blend : {"linear", "cosine", "smootherstep", "crop", "feather"})
            for (const char* overlap : {"0", "8", "24"}) {
                if (std::string_view(grid) == "diffusers" && std::string_view(blend) != "linear") continue;
                const Controls controls =
                    controlsOf({{"tile", "64x80"}, {"overlap", overlap}, {"tile-grid", grid}, {"blend", blend}});
                std::vector<double> sums(17 * 23 * 64, 0.0);
                for (const TileGrid& pass : tileGrids(controls, {23, 17, 8}, 8))
                    for (const TileLine& row : pass.rows)
                        for (const TileLine& column : pass.columns)
                            for (std::uint64_t y = 0; y < row.length * 8; ++y)
                                for (std::uint64_t x = 0; x < column.length * 8; ++x)
                                    sums[(row.begin * 8 + y) * 184 + column.begin * 8 + x] +=
                                        static_cast<double>(row.weights[y]) *
                                        (y >= row.nextBlendStart ? column.weightsBelowBlend : column.weights)[x];
                for (const double sum : sums) ASSERT_NEAR(sum, 1.0, 1e-6) << grid << " " << blend << " " << overlap;
            }
}

// Working memory is that of a tile and of a band of rows, whatever the size; pictures of a batch follow each other.
TEST_F(Tiles, keepTheCeiling) {
    const auto workingAt = [](std::uint64_t w, std::uint64_t h) {
        const Job job = jobOf(controlsOf({{"model", "flux1"},
                                          {"size", fmt::format("{}x{}", w, h)},
                                          {"preset", "fastest"},
                                          {"tile", "512"},
                                          {"overlap", "128"}}));
        return findPeak(planJob(job)).working;
    };
    const std::uint64_t bandRow = 3 * sizeof(float) * 512; // of each column
    const std::uint64_t small = workingAt(1280, 1280);
    constexpr std::uint64_t weights = std::uint64_t{1} << 18; // of rows and columns of tiles
    EXPECT_LE(workingAt(1280, 8192), small + weights);
    EXPECT_LE(workingAt(16384, 1280), small + (16384 - 1280) * bandRow + weights);
    EXPECT_LE(workingAt(16384, 16384), std::uint64_t{400} << 20);

    const Maker two{*backend, {{"model", "taesd"}, {"activations", "fp32"}, {"batch", "2"}}, 14, 9};
    const Ran whole = tiled(two, {{"tile", "off"}}), cut = tiled(two, {{"tile", "stripe:24"}});
    ASSERT_FALSE(cut.outcome.error) << cut.outcome.error->message;
    EXPECT_LE(relativeL2(cut.output, whole.output), 1e-5);
}

} // namespace
} // namespace spikescope
