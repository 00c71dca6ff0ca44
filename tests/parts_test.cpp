// Which ops are for which part of the output: the tiles of the grid, each with its ops from its upload to its blend,
// and stripes of rows with those of the last maps. Protects what the window selects where a picture is clicked.

#include "core/formats/read_report.h"
#include "core/formats/write_report.h"
#include "core/program/tile_grid.h"
#include "tests/support/job_support.h"

#include <algorithm>
#include <tuple>

namespace spikescope {
namespace {

constexpr std::uint64_t factor = 8; // pixels for each latent

bool before(const OutputArea& a, const OutputArea& b) {
    return std::tie(a.frame, a.y, a.x, a.height, a.width) < std::tie(b.frame, b.y, b.x, b.height, b.width);
}

std::vector<OutputArea> areasOf(const Recording& recording) {
    std::vector<OutputArea> areas;
    for (const RecordedTile& part : recording.tiles) areas.push_back(part.area);
    return areas;
}

bool isOfOp(const RecordedOp& op) { return op.phase == Phase::Decode || op.phase == Phase::Encode; }

// Every part has ops, they follow each other, and events know them.
void expectInOrder(const Recording& recording, const std::string& what) {
    std::uint32_t free = 0;
    for (const RecordedTile& part : recording.tiles) {
        ASSERT_LE(free, part.firstOp) << what;
        ASSERT_LE(part.firstOp, part.lastOp) << what;
        ASSERT_LT(part.lastOp, recording.ops.size()) << what;
        free = part.lastOp + 1;
    }
    for (const Event& event : recording.events) {
        const bool taken = event.kind == EventKind::Alloc || event.kind == EventKind::Reserve;
        if (!taken && event.op == 0) continue;
        const std::uint32_t op = taken ? event.op : event.op - 1;
        const auto within = std::ranges::find_if(
            recording.tiles, [&](const RecordedTile& part) { return part.firstOp <= op && op <= part.lastOp; });
        ASSERT_EQ(recording.tileOf(event), within == recording.tiles.end()
                                               ? noIndex
                                               : static_cast<std::uint32_t>(within - recording.tiles.begin()))
            << what;
    }
}

TEST(Parts, areTheTilesOfTheGrid) {
    constexpr std::uint64_t width = 456, height = 328, pictures = 2;
    for (const char* preset : {"diffusers-tiled", "comfyui-tiled", "sdcpp-tiled", "seedvr2-tiled", "invokeai-tiled"})
        for (const char* op : {"decode", "encode"}) {
            const NamedValues values{{"preset", preset}, {"model", "taesd"}, {"size", "456x328"}, {"batch", "2"},
                                     {"op", op},         {"tile", "128"},    {"overlap", "32"}};
            const Controls controls = controlsOf(values);
            const Recording recording = planJob(jobOf(controls));
            const std::uint64_t scale = controls.op == VaeTask::Decode ? factor : 1;
            std::vector<OutputArea> expected;
            for (std::uint64_t picture = 0; picture < pictures; ++picture)
                for (const TileGrid& grid : tileGrids(controls, {width / factor, height / factor, factor}, scale))
                    for (const TileLine& row : grid.rows)
                        for (const TileLine& column : grid.columns)
                            expected.push_back({.frame = picture,
                                                .x = column.begin * scale,
                                                .y = row.begin * scale,
                                                .width = column.length * scale,
                                                .height = row.length * scale});
            std::vector<OutputArea> areas = areasOf(recording);
            std::ranges::sort(areas, before);
            std::ranges::sort(expected, before);
            ASSERT_EQ(areas, expected) << describe(values);
            expectInOrder(recording, describe(values));
            std::size_t ops = 0;
            for (const RecordedTile& part : recording.tiles) {
                EXPECT_TRUE(recording.ops[part.firstOp].name.starts_with("upload")) << describe(values);
                EXPECT_EQ(recording.ops[part.lastOp].name, "blend") << describe(values);
                ops += part.lastOp - part.firstOp + 1;
            }
            // Only weights of the blend come in and finished rows go out between them.
            const auto out = std::ranges::count(recording.ops, "download", &RecordedOp::name),
                       all = std::ranges::count_if(recording.ops, isOfOp);
            EXPECT_EQ(ops + 1 + static_cast<std::size_t>(out), static_cast<std::size_t>(all)) << describe(values);
        }
}

TEST(Parts, areStripesWithTheOpsThatMakeTheirRows) {
    for (const char* op : {"decode", "encode"}) {
        const NamedValues values{{"model", "sd15"}, {"size", "256x328"}, {"op", op}, {"tile", "stripe:16"}};
        const Recording recording = planJob(jobOf(controlsOf(values)));
        const std::uint64_t width = *op == 'd' ? 256 : 256 / factor, height = *op == 'd' ? 328 : 328 / factor;
        ASSERT_GT(recording.tiles.size(), 1u) << op;
        std::uint64_t rows = 0;
        for (const RecordedTile& part : recording.tiles) {
            EXPECT_EQ(part.area, (OutputArea{.y = rows, .width = width, .height = part.area.height})) << op;
            EXPECT_EQ(recording.ops[part.lastOp].layer, recording.ops[recording.tiles.back().lastOp].layer) << op;
            rows += part.area.height;
        }
        EXPECT_EQ(rows, height) << op;
        expectInOrder(recording, op);
        // Nothing but the output's way to the host comes behind the last one.
        const std::uint32_t last = recording.tiles.back().lastOp;
        ASSERT_EQ(last + 2u, recording.ops.size()) << op;
        EXPECT_EQ(recording.ops.back().name, "download") << op;
        EXPECT_LT(recording.tiles.front().firstOp, last) << op;
    }
}

TEST(Parts, comeAgainWithEveryRunOfTheOpAndAreNoneOfAWholeOne) {
    EXPECT_TRUE(planJob(jobOf(controlsOf({{"model", "taesd"}, {"size", "256x256"}}))).tiles.empty());
    NamedValues values{{"model", "taesd"}, {"size", "256x256"}, {"tile", "128"}};
    const std::vector<OutputArea> once = areasOf(planJob(jobOf(controlsOf(values))));
    values.emplace_back("repeat", "2");
    const Recording twice = planJob(jobOf(controlsOf(values)));
    expectInOrder(twice, "twice");
    std::vector<OutputArea> expected = once;
    expected.insert(expected.end(), once.begin(), once.end());
    EXPECT_EQ(areasOf(twice), expected);
}

// Ops of tiles in flight take turns, so that they are for all of them; the tiles stay those of the grid.
TEST(Parts, besideEachOtherHaveTheSameOps) {
    NamedValues values{{"model", "taesd"}, {"size", "256x256"}, {"tile", "128"}, {"overlap", "32"}};
    const Recording alone = planJob(jobOf(controlsOf(values)));
    values.emplace_back("tiles-in-flight", "2");
    const Recording beside = planJob(jobOf(controlsOf(values)));
    EXPECT_EQ(areasOf(beside), areasOf(alone));
    // Rows of three tiles: two and one.
    ASSERT_EQ(beside.tiles.size(), 9u);
    for (std::size_t i = 0; i < 9; ++i) {
        const RecordedTile &part = beside.tiles[i], &first = beside.tiles[i % 3 == 1 ? i - 1 : i];
        EXPECT_EQ(std::pair(part.firstOp, part.lastOp), std::pair(first.firstOp, first.lastOp)) << i;
        if (i > 0 && i % 3 != 1) {
            EXPECT_GT(part.firstOp, beside.tiles[i - 1].lastOp) << i;
        }
    }
    const auto read = parseReport(reportJson(beside), "beside.json");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(areasOf(*read), areasOf(beside));
}

} // namespace
} // namespace spikescope
