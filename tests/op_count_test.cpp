// Plans of many equal parts: one stands for all of them, and nothing that is said of memory or work changes. What would
// be too much even so, and runs, whose events are all kept, are refused before anything is lowered, with what is not.

#include "core/advise/fit.h"
#include "core/formats/read_report.h"
#include "core/formats/write_report.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"
#include "tests/support/job_support.h"

#include <chrono>
#include <map>

namespace spikescope {
namespace {

Job merged(const Controls& controls) {
    auto job = makeJob(controls, std::monostate{}, {.detailed = 0});
    EXPECT_TRUE(job) << job.error().message;
    return std::move(*job);
}

struct Sums {
    std::uint64_t times = 0, flops = 0, traffic = 0;
    auto operator<=>(const Sums&) const = default;
};
// By layer, kind of op and phase.
std::map<std::string, Sums> sumsOf(const Recording& recording) {
    std::map<std::string, Sums> sums;
    for (const RecordedOp& op : recording.ops) {
        Sums& sum = sums[fmt::format("{} {} {} {}", layerName(recording, op.layer), op.name, op.dtype, name(op.phase))];
        sum.times += op.times;
        sum.flops += op.times * op.flops;
        sum.traffic += op.times * op.traffic;
    }
    return sums;
}
std::map<std::string, std::uint64_t> flopsOfRows(const Recording& recording) {
    std::map<std::string, std::uint64_t> flops;
    for (const LayerRow& row : layerTable(recording)) flops[row.name] += row.flops;
    return flops;
}

void expectSamePlan(const Recording& full, const Recording& merged, const std::string& what) {
    const Peak a = findPeak(full), b = findPeak(merged);
    EXPECT_EQ(a.allocated, b.allocated) << what;
    EXPECT_EQ(a.reserved, b.reserved) << what;
    EXPECT_EQ(a.working, b.working) << what;
    EXPECT_EQ(a.host, b.host) << what;
    EXPECT_EQ(a.byCategory, b.byCategory) << what;
    EXPECT_EQ(a.fragmentation, b.fragmentation) << what;
    EXPECT_EQ(a.layer, b.layer) << what;
    EXPECT_EQ(a.phase, b.phase) << what;
    const std::vector<PhasePeak> phases = phasePeaks(full), mergedPhases = phasePeaks(merged);
    ASSERT_EQ(phases.size(), mergedPhases.size()) << what;
    for (std::size_t i = 0; i < phases.size(); ++i) {
        EXPECT_EQ(phases[i].phase, mergedPhases[i].phase) << what;
        EXPECT_EQ(phases[i].allocated, mergedPhases[i].allocated) << what;
        EXPECT_EQ(phases[i].reserved, mergedPhases[i].reserved) << what;
        EXPECT_EQ(phases[i].host, mergedPhases[i].host) << what;
        EXPECT_EQ(phases[i].held, mergedPhases[i].held) << what;
    }
    EXPECT_EQ(sumsOf(full), sumsOf(merged)) << what;
    EXPECT_EQ(flopsOfRows(full), flopsOfRows(merged)) << what;
    EXPECT_EQ(full.hostTraffic(), merged.hostTraffic()) << what;
    EXPECT_EQ(full.refusals, merged.refusals) << what;
    EXPECT_EQ(full.failure.has_value(), merged.failure.has_value()) << what;
    // What the last events leave is what a run leaves: nothing.
    ASSERT_FALSE(merged.events.empty()) << what;
    EXPECT_EQ(merged.events.back().allocated, 0u) << what;
    EXPECT_EQ(merged.events.back().reserved, 0u) << what;
}
double countedMs(const Job& job) {
    VirtualHeap heap;
    const TracedPlan traced(job, heap);
    const auto time = estimatePass(job.program, traced.recording, traced.trace(), Rates::ofCountedWork());
    return time ? time->ms : -1.0;
}
void expectSamePlan(const NamedValues& values) {
    const Controls controls = controlsOf(values);
    const Job full = jobOf(controls), once = merged(controls);
    expectSamePlan(planJob(full), planJob(once), describe(values));
    // Where inputs of tiles are merged, the first one of a pass, which does not count, is not told apart.
    const double ms = countedMs(full);
    EXPECT_NEAR(countedMs(once), ms, 1e-3 * ms) << describe(values);
}

// Tiles of one size, of several, moved back, cut, and in three passes at once; rows that leave the band in one piece
// and in two.
const std::vector<NamedValues> tilings{
    {{"size", "328x456"}, {"tile", "64"}, {"overlap", "16"}},
    {{"size", "328x456"}, {"tile", "64x96"}, {"overlap", "40"}, {"tile-grid", "cut"}, {"tiles-in-flight", "3"}},
    {{"size", "456x328"}, {"tile", "64"}, {"overlap", "48"}, {"tile-grid", "diffusers"}, {"batch", "3"}},
    {{"size", "328x264"}, {"tile", "64"}, {"overlap", "16"}, {"tile-grid", "three-passes"}, {"tiles-in-flight", "4"}},
    {{"size", "456x456"}, {"tile", "96"}, {"overlap", "32"}, {"tile-grid", "fitted"}, {"repeat", "3"}, {"batch", "2"}},
};

TEST(MergedPlans, holdWhatFullOnesDoUnderAllPresets) {
    for (const Preset& preset : presets())
        for (const char* model : {"taesd", "flux1"})
            for (const NamedValues& tiling : tilings) {
                if (*model == 'f' && &tiling != &tilings[1]) continue; // ten times the ops
                NamedValues values{{"preset", std::string(preset.name)}, {"blend", "linear"}, {"tile-grid", "even"}};
                values.insert(values.end(), {{"model", model}, {"tile-norm", "auto"}, {"spill", "device"}});
                values.insert(values.end(), tiling.begin(), tiling.end());
                expectSamePlan(values);
            }
}

TEST(MergedPlans, holdWhatFullOnesDoWithEveryAllocatorAndLifetime) {
    for (const char* allocator : {"arena", "direct", "caching", "expandable", "cache-limit:0", "cache-limit:0.004",
                                  "cache-limit:0.02", "cache-limit:1"})
        for (const char* lifetime : {"planned", "stream", "lazy"})
            for (const char* evaluate : {"auto", "ops:7"}) // auto: none, but with lifetime lazy
                for (const NamedValues& tiling : tilings) {
                    NamedValues values = tiling;
                    values.insert(values.end(), {{"model", "taesd"},
                                                 {"lifetime", lifetime},
                                                 {"allocator", allocator},
                                                 {"evaluate", evaluate},
                                                 {"ahead", *evaluate == 'o' ? "2" : "0"}});
                    if (controlsOf(values).allocatorPolicy() == AllocatorPolicy::Arena && *lifetime == 'l') continue;
                    if (!checkControls(controlsOf(values))) continue;
                    expectSamePlan(values);
                }
}

TEST(MergedPlans, holdWhatFullOnesDoOfRunsPicturesAndStripes) {
    for (const char* op : {"decode", "encode"})
        for (const char* preset : {"fastest", "mlx-today", "pytorch-eager"})
            for (const NamedValues& more :
                 {NamedValues{{"repeat", "5"}}, NamedValues{{"repeat", "4"}, {"batch", "3"}},
                  NamedValues{{"tile", "128"}, {"repeat", "4"}}, NamedValues{{"tile", "stripe:64"}, {"repeat", "4"}},
                  NamedValues{{"tile", "stripe:32"}, {"batch", "5"}, {"spill", "recompute"}},
                  NamedValues{{"tile", "stripe:32"}, {"batch", "3"}, {"repeat", "3"}, {"spill", "host"}}}) {
                NamedValues values{{"preset", preset}, {"model", "sd15"}, {"size", "256x192"}, {"op", op}};
                values.insert(values.end(), more.begin(), more.end());
                if (checkControls(controlsOf(values))) expectSamePlan(values);
            }
}

// A heap that is just too small refuses both, and one that makes an allocator give back its cache asks both as often.
TEST(MergedPlans, areRefusedWhereFullOnesAre) {
    for (const char* allocator : {"direct", "caching", "expandable", "cache-limit:1"}) {
        const NamedValues values{{"model", "taesd"},   {"size", "456x328"},     {"tile", "64"},
                                 {"overlap", "16"},    {"batch", "2"},          {"lifetime", "stream"},
                                 {"tile-grid", "cut"}, {"allocator", allocator}};
        const Job full = jobOf(controlsOf(values)), once = merged(controlsOf(values));
        const Peak peak = findPeak(planJob(full));
        for (const std::uint64_t availableBytes :
             {peak.reserved, peak.reserved - 256, (peak.reserved + peak.allocated) / 2, peak.allocated + 4096,
              peak.allocated - 1}) {
            VirtualHeap heap({}, availableBytes), same({}, availableBytes);
            const Recording a = plan(full.program, full.controls, heap), b = plan(once.program, once.controls, same);
            const std::string what = fmt::format("{} availableBytes {}", allocator, availableBytes);
            EXPECT_EQ(a.refusals, b.refusals) << what;
            ASSERT_EQ(a.failure.has_value(), b.failure.has_value()) << what;
            if (!a.failure) continue;
            EXPECT_EQ(a.failure->message, b.failure->message) << what;
            EXPECT_EQ(a.failure->bytesFree, b.failure->bytesFree) << what;
        }
    }
}

TEST(MergedPlans, costWhatOneTileCosts) {
    for (const char* preset : {"fastest", "pytorch-eager", "mlx-today", "sdcpp-tiled"})
        for (const char* overlap : {"16", "56"}) {
            const NamedValues values{{"preset", preset},       {"model", "taesd"},    {"size", "65536x65536"},
                                     {"tile", "64"},           {"tile-grid", "even"}, {"overlap", overlap},
                                     {"tiles-in-flight", "4"}, {"batch", "1024"},     {"repeat", "1024"}};
            const auto begin = std::chrono::steady_clock::now();
            const Job job = jobOf(controlsOf(values));
            const Recording recording = planJob(job);
            EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << describe(values);
            EXPECT_LT(recording.ops.size(), 100'000u) << describe(values);
            EXPECT_FALSE(job.notes.empty());
            std::uint64_t blends = 0;
            for (const RecordedOp& op : recording.ops)
                if (op.name == "blend") blends += op.times;
            const std::uint64_t sides = *overlap == '1' ? 1365 : 8185;
            EXPECT_EQ(blends, sides * sides * 1024 * 1024) << describe(values);
        }
}

TEST(MergedPlans, keepTheirTimesInReports) {
    const Recording recording = planJob(merged(controlsOf({{"model", "taesd"}, {"size", "512x512"}, {"tile", "128"}})));
    const auto read = parseReport(reportJson(recording), "merged.json");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(sumsOf(*read), sumsOf(recording));
}

TEST(Counts, areThoseOfTheOps) {
    for (const char* model : {"taesd", "flux1"})
        for (const char* preset : {"fastest", "mlx-today", "pytorch-eager"})
            for (const NamedValues& more :
                 {NamedValues{{"tile", "128"}, {"repeat", "2"}, {"batch", "2"}},
                  NamedValues{{"tile", "128"}, {"overlap", "96"}, {"tile-grid", "diffusers"}},
                  NamedValues{{"tile", "128"}, {"overlap", "32"}, {"tile-grid", "three-passes"}, {"blend", "feather"}},
                  NamedValues{{"tile", "stripe:64"}, {"tile-norm", "own"}, {"overlap", "16"}},
                  NamedValues{{"tile", "stripe:16"}}, NamedValues{{"tile", "stripe:32"}, {"spill", "host"}},
                  NamedValues{{"tile", "stripe:1/3"}, {"spill", "recompute"}, {"batch", "2"}},
                  NamedValues{{"repeat", "3"}}}) {
                NamedValues values{{"preset", preset}, {"model", model}, {"size", "392x328"}};
                values.insert(values.end(), more.begin(), more.end());
                const Controls controls = controlsOf(values);
                if (!checkControls(controls)) continue;
                const Job job = jobOf(controls);
                const auto graph = buildGraph(job.family, job.controls.op, 392, 328, 1);
                std::uint64_t ops = 0;
                for (const RecordedOp& op : planJob(job).ops)
                    ops += op.phase == Phase::Decode && op.name != "download" && op.layer != noIndex;
                // The weights of the blend come once for each run.
                if (controls.isTiled() && !controls.isStriped()) ops -= controls.repeat;
                EXPECT_EQ(countOps(*graph, job.controls).ops, ops) << describe(values);
            }
}

// The refusal of what is too much; it names a tile or a number of runs that is accepted, of which the next is not.
std::string refusalOf(const NamedValues& values, const OpLimits& limits) {
    const auto job = makeJob(controlsOf(values), std::monostate{}, limits);
    EXPECT_FALSE(job) << describe(values);
    return job ? "" : job.error().message;
}
std::string valueIn(const std::string& refusal, const std::string& option) {
    const std::size_t at = refusal.find(option + " ");
    if (at == std::string::npos) return "";
    const std::size_t begin = at + option.size() + 1;
    return refusal.substr(begin, refusal.find(' ', begin) - begin);
}
bool isAccepted(NamedValues values, const std::string& control, const std::string& value, const OpLimits& limits) {
    values.emplace_back(control, value);
    return makeJob(controlsOf(values), std::monostate{}, limits).has_value();
}

TEST(Refusals, nameTheSmallestTileThatIsNotTooMany) {
    constexpr OpLimits all{.most = 4096, .everyEvent = true};
    for (const NamedValues& tiling : tilings) {
        NamedValues values{{"model", "taesd"}};
        values.insert(values.end(), tiling.begin(), tiling.end());
        values.emplace_back("size", "1024x2048");
        const std::string refusal = refusalOf(values, all), tile = valueIn(refusal, "--tile");
        ASSERT_FALSE(tile.empty()) << refusal;
        EXPECT_TRUE(isAccepted(values, "tile", tile, all)) << describe(values) << refusal;
        const Sides sides = *parseTileSides(tile);
        const std::uint64_t step = controlsOf(values).tileGrid == TileArrangement::ThreePasses ? 16 : 8;
        const std::string smaller = fmt::format("{}x{}", sides.width - step, sides.height - step);
        EXPECT_FALSE(isAccepted(values, "tile", smaller, all)) << describe(values) << refusal;
    }
    for (const char* spill : {"device", "recompute"}) {
        const NamedValues values{{"model", "sd15"}, {"size", "512x4096"}, {"tile", "stripe:16"}, {"spill", spill}};
        const std::string refusal = refusalOf(values, all), tile = valueIn(refusal, "--tile");
        ASSERT_TRUE(tile.starts_with("stripe:")) << refusal;
        EXPECT_TRUE(isAccepted(values, "tile", tile, all)) << refusal;
        const std::uint64_t rows = *parseInteger(tile.substr(7));
        EXPECT_FALSE(isAccepted(values, "tile", fmt::format("stripe:{}", rows - 2), all)) << refusal;
    }
}

TEST(Refusals, sayHowManyThereAre) {
    const std::string tiles = refusalOf(
        {{"model", "taesd"}, {"size", "16384x16384"}, {"tile", "64"}, {"overlap", "16"}}, {.everyEvent = true});
    EXPECT_TRUE(tiles.starts_with("tile 64: 116281 tiles of 38 ops are 4418678 ops, more than the 1048576 ")) << tiles;
    const NamedValues runs{
        {"model", "taesd"}, {"size", "1024x1024"}, {"tile", "128"}, {"overlap", "64"}, {"batch", "2"}};
    NamedValues repeated = runs;
    repeated.emplace_back("repeat", "1000");
    const std::string many = refusalOf(repeated, {.everyEvent = true}), most = valueIn(many, "--repeat");
    EXPECT_TRUE(many.starts_with("tile 128: 225 tiles of 38 ops for each of 2 pictures in each of 1000 runs are "
                                 "17100000 ops, "))
        << many;
    ASSERT_EQ(most, "61") << many;
    EXPECT_TRUE(isAccepted(runs, "repeat", "61", {.everyEvent = true}));
    EXPECT_FALSE(isAccepted(runs, "repeat", "62", {.everyEvent = true}));
    // A control's own limit.
    Controls controls;
    EXPECT_FALSE(setControl(controls, "repeat", "1000000000"));
    // Of whole pictures, too.
    const std::string whole =
        refusalOf({{"model", "taesd"}, {"size", "64x64"}, {"repeat", "100"}}, {.most = 1000, .everyEvent = true});
    EXPECT_TRUE(whole.starts_with("repeat 100: runs of 37 ops are 3700 ops, more than the 1000 ")) << whole;
    EXPECT_EQ(valueIn(whole, "--repeat"), "27") << whole;
}

// Runs need every event, whatever the limits of plans.
TEST(Refusals, areAtOnceAndOfRunsToo) {
    const auto begin = std::chrono::steady_clock::now();
    const NamedValues values{{"model", "taesd"}, {"size", "65536x65536"}, {"tile", "64"}, {"overlap", "56"}};
    const auto run = makeJob(controlsOf(values), std::uint64_t{3});
    ASSERT_FALSE(run);
    EXPECT_EQ(run.error().code, ErrorCode::BadUsage);
    const NamedValues sizes{
        {"model", "taesd"}, {"size", "65536x65536"}, {"tile", "512"}, {"overlap", "504"}, {"tile-grid", "diffusers"}};
    const std::string refusal = refusalOf(sizes, {}), tile = valueIn(refusal, "--tile");
    EXPECT_NE(refusal.find("in parts of 4096 sizes"), std::string::npos) << refusal;
    EXPECT_TRUE(isAccepted(sizes, "tile", tile, {})) << refusal;
    EXPECT_FALSE(isAccepted(sizes, "tile", std::to_string(*parseInteger(tile) - 8), {})) << refusal;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

// A configuration that fits but that a run would refuse is none.
TEST(Refusals, areThoseOfAFitToo) {
    const Controls controls =
        controlsOf({{"model", "taesd"}, {"size", "16384x16384"}, {"tile", "64"}, {"overlap", "16"}});
    const auto found = fit(controls, {}, std::uint64_t{100} << 20, nullptr, {.kept = {"tile", "overlap"}});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_FALSE(found->chosen);
    EXPECT_NE(found->refusal.find("116281 tiles of 38 ops"), std::string::npos) << found->refusal;
}

} // namespace
} // namespace spikescope
