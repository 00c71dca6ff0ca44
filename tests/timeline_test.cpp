#include "core/base/text.h"
#include "core/formats/write_report.h"
#include "core/memory/recorder.h"
#include "core/timeline/compare.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"
#include "tests/support/recordings.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace spikescope {
namespace {

using Json = nlohmann::ordered_json;

TEST(Peak, IsFoundAtItsEvent) {
    const Recording r = smallRun();
    const Peak peak = findPeak(r);
    EXPECT_EQ(peak.allocated, 390u);
    EXPECT_EQ(peak.reserved, 512u);
    EXPECT_EQ(peak.working, 240u);
    EXPECT_EQ(peak.byCategory, (std::array<std::uint64_t, categoryCount>{100, 30, 200, 10, 0, 50}));
    EXPECT_EQ(peak.layer, "decoder.conv_in");
    EXPECT_EQ(peak.opIndex, 2u);
    EXPECT_EQ(peak.phase, Phase::Decode);
    EXPECT_EQ(peak.timeNs, 200);
    EXPECT_EQ(peak.eventIndex, 8u);
    EXPECT_EQ(r.events[peak.eventIndex].tensor, 6u);
}

TEST(Peak, OfEqualHeightsTheFirst) {
    Recording r = smallRun();
    r.events.insert(r.events.end(), r.events.begin(), r.events.end());
    EXPECT_EQ(findPeak(r).eventIndex, 8u);
}

TEST(Peak, WorkingMayPeakElsewhere) {
    Recording r;
    r.layers = {"l"};
    r.tensors = {{.name = "w", .category = Category::Weights}, {.name = "a"}};
    Recorder recorder(r);
    recorder.alloc(1, 0, 70);
    recorder.free(1, 0, 70);
    recorder.alloc(0, 0, 100);
    const Peak peak = findPeak(r);
    EXPECT_EQ(peak.allocated, 100u);
    EXPECT_EQ(peak.working, 70u);
    EXPECT_EQ(peak.eventIndex, 2u);
}

TEST(Peak, WithoutOpsTheTensorTellsTheLayer) {
    Recording r;
    r.kind = RecordingKind::Replay;
    r.layers = {"first", "second"};
    r.tensors = {{.name = "x", .layer = 1}, {.name = "y", .layer = 7}};
    Recorder recorder(r);
    recorder.alloc(0, 0, 1);
    EXPECT_EQ(findPeak(r).layer, "second");
    recorder.alloc(1, 0, 1);
    EXPECT_EQ(findPeak(r).layer, "");
}

TEST(Peak, PastTheLastOpCountsForTheLastOp) {
    Recording r;
    r.layers = {"only"};
    r.tensors = {{.name = "x"}};
    Recorder recorder(r);
    recorder.op({.name = "conv", .beginNs = 3, .endNs = 9});
    recorder.alloc(0, 0, 1);
    const Peak peak = findPeak(r);
    EXPECT_EQ(peak.layer, "only");
    EXPECT_EQ(peak.opIndex, 0u);
    EXPECT_EQ(peak.timeNs, 9);
}

TEST(Peak, OfNothingIsNothing) {
    const Peak peak = findPeak(Recording{});
    EXPECT_EQ(peak.allocated, 0u);
    EXPECT_EQ(peak.eventIndex, noIndex);
    EXPECT_TRUE(phasePeaks(Recording{}).empty());
}

TEST(Peak, OfEachPhase) {
    const std::vector<PhasePeak> peaks = phasePeaks(smallRun());
    ASSERT_EQ(peaks.size(), 3u);
    EXPECT_EQ(peaks[0].phase, Phase::Load);
    EXPECT_EQ(peaks[0].allocated, 170u);
    EXPECT_EQ(peaks[0].reserved, 512u);
    EXPECT_EQ(peaks[1].phase, Phase::Decode);
    EXPECT_EQ(peaks[1].allocated, 390u);
    EXPECT_EQ(peaks[2].phase, Phase::Write);
    EXPECT_EQ(peaks[2].allocated, 155u);
}

TEST(LayerTable, MergesOpsOfALayerAndUploads) {
    const std::vector<LayerRow> rows = layerTable(smallRun());
    ASSERT_EQ(rows.size(), 3u);

    EXPECT_EQ(rows[0].name, "weights");
    EXPECT_EQ(rows[0].op, "upload");
    EXPECT_EQ(rows[0].peakBytes, 170u);
    EXPECT_EQ(rows[0].outputBytes, 100u);
    EXPECT_EQ(rows[0].endNs, 150);
    EXPECT_EQ(rows[0].lastOp, 1u);

    EXPECT_EQ(rows[1].name, "decoder.conv_in");
    EXPECT_EQ(rows[1].peakBytes, 390u);
    EXPECT_EQ(rows[1].workspaceBytes, 200u);

    EXPECT_EQ(rows[2].name, "decoder.conv_out");
    EXPECT_EQ(rows[2].op, "group_norm"); // most flops
    EXPECT_EQ(rows[2].dtype, "F32");     // last output
    EXPECT_EQ(rows[2].phase, Phase::Decode);
    EXPECT_EQ(rows[2].beginNs, 500);
    EXPECT_EQ(rows[2].endNs, 900);
    EXPECT_EQ(rows[2].peakBytes, 210u);
    EXPECT_EQ(rows[2].workspaceBytes, 0u);
    EXPECT_EQ(rows[2].outputBytes, 5u);
    EXPECT_EQ(rows[2].flops, 130u);
    EXPECT_EQ(rows[2].firstOp, 3u);
    EXPECT_EQ(rows[2].lastOp, 4u);
}

TEST(LayerTable, KeepsApartWhatAnotherLayerOrPhaseSeparates) {
    Recording r;
    r.layers = {"a", "b"};
    r.ops = {{.name = "x", .layer = 0, .phase = Phase::Load},   {.name = "x", .layer = 0, .phase = Phase::Decode},
             {.name = "y", .layer = 0, .phase = Phase::Decode}, {.name = "x", .layer = 1, .phase = Phase::Decode},
             {.name = "x", .layer = 0, .phase = Phase::Decode}, {.name = "x", .layer = 9, .phase = Phase::Decode}};
    const std::vector<LayerRow> rows = layerTable(r);
    ASSERT_EQ(rows.size(), 5u);
    EXPECT_EQ(rows[1].op, "y"); // equal flops: the last
    EXPECT_EQ(rows[4].name, "");
}

TEST(LayerTable, UploadsMergeAcrossOtherOpsOfTheLoad) {
    Recording r;
    r.layers = {"a"};
    r.ops = {{.name = "upload", .outputBytes = 1, .dtype = "F16"},
             {.name = "pack"},
             {.name = "upload", .outputBytes = 2, .dtype = "F32"},
             {.name = "pack"},
             {.name = "upload", .phase = Phase::Decode, .outputBytes = 4}};
    const std::vector<LayerRow> rows = layerTable(r);
    ASSERT_EQ(rows.size(), 3u); // each kind of op of the load phase is one pass over the weights
    EXPECT_EQ(rows[0].name, "weights");
    EXPECT_EQ(rows[0].dtype, "mixed");
    EXPECT_EQ(rows[0].outputBytes, 3u);
    EXPECT_EQ(rows[0].lastOp, 2u);
    EXPECT_EQ(rows[1].name, "weights");
    EXPECT_EQ(rows[1].op, "pack");
    EXPECT_EQ(rows[1].lastOp, 3u);
    EXPECT_EQ(rows[2].name, "a");
}

TEST(LayerTable, TextMarksThePeakAndOmitsWhatIsNotThere) {
    Recording r = smallRun();
    std::string text = formatLayerTable(layerTable(r), findPeak(r), 0);
    EXPECT_NE(text.find("→  decoder.conv_in"), std::string::npos) << text;
    EXPECT_NE(text.find("time"), std::string::npos) << text;
    EXPECT_NE(text.find("390 B"), std::string::npos) << text;
    EXPECT_EQ(std::ranges::count(text, '\n'), 3) << text;

    for (RecordedOp& op : r.ops) op.beginNs = op.endNs = 0;
    text = formatLayerTable(layerTable(r), findPeak(r), 1);
    EXPECT_EQ(text.find("time"), std::string::npos) << text;
    EXPECT_NE(text.find("→  decoder.conv_in"), std::string::npos) << text;
    EXPECT_EQ(text.find("decoder.conv_out"), std::string::npos) << text;
    EXPECT_NE(text.find("and 2 rows with lower peaks"), std::string::npos) << text;
}

TEST(LayerTable, TextIsAlignedAndFreeOfControlCharacters) {
    EXPECT_EQ(alignedText({{"ä", "1"}, {"bcd", "22"}, {"e\x1b[2J"}}, 1), "ä       1\nbcd    22\ne?[2J");
    const std::string longName = std::string(100, 'x') + "end";
    EXPECT_EQ(alignedText({{longName}}, 1), "…" + std::string(60, 'x') + "end");
    EXPECT_EQ(printable("a\xc2\x9b"
                        "b\xc2\xa0\xc2"),
              "a?b\xc2\xa0\xc2");
    EXPECT_EQ(alignedText({{std::string(200, '\x80')}}, 1), std::string(200, '\x80')); // not UTF-8: no harm
}

TEST(TimelineProperty, CategoriesSumToThePeakAndRowsReachIt) {
    for (unsigned seed = 0; seed < 500; ++seed) {
        const Recording r = randomRun(seed);
        const Peak peak = findPeak(r);
        EXPECT_EQ(std::accumulate(peak.byCategory.begin(), peak.byCategory.end(), std::uint64_t{0}), peak.allocated);
        const std::vector<LayerRow> rows = layerTable(r);
        EXPECT_EQ(std::ranges::max(rows, {}, &LayerRow::peakBytes).peakBytes, peak.allocated) << seed;
        std::uint64_t highestPhase = 0;
        for (const PhasePeak& phase : phasePeaks(r)) highestPhase = std::max(highestPhase, phase.allocated);
        EXPECT_EQ(highestPhase, peak.allocated);
    }
}

TEST(Summary, HasTheFieldsOfTheContract) {
    const Json json = Json::parse(summaryJson(smallRun()));
    EXPECT_EQ(json["schema"], "spikescope.run/2");
    EXPECT_EQ(json["kind"], "run");
    EXPECT_EQ(json["device"].dump(),
              R"({"name":"Card \"A\"","driver":"1.2","kernels":"portable","heap_bytes":1073741824})");
    EXPECT_EQ(json["spaces"].dump(),
              R"([{"name":"host","kind":"host","bytes":0,"allocated_bytes":0,"reserved_bytes":0},)"
              R"({"name":"device","kind":"device","bytes":1073741824,"allocated_bytes":390,)"
              R"("reserved_bytes":512}])");
    EXPECT_EQ(json["controls"].dump(), R"({"model":"flux1","size":"64x64","barrier":"layer"})");
    EXPECT_EQ(json["peak"].dump(),
              R"({"allocated_bytes":390,"reserved_bytes":512,"working_bytes":240,"host_bytes":0,"fragmentation":0.0,)"
              R"("by_category":{"weights":100,)"
              R"("activation":30,"workspace":200,"image":10,"staging":0,"resident":50},"layer":"decoder.conv_in",)"
              R"("op_index":2,"phase":"decode","time_ns":200})");
    EXPECT_EQ(json["phases"][0].dump(),
              R"({"phase":"load","allocated_bytes":170,"reserved_bytes":512,"host_bytes":0,"held_bytes":170})");
    EXPECT_EQ(json["predicted"].dump(), R"({"allocated_bytes":390,"reserved_bytes":512})");
    EXPECT_EQ(json["host_peak_bytes"], 12345);
    EXPECT_EQ(json["duration_ms"], 1.25);
    EXPECT_EQ(json["load_ms"], 0.5);
    ASSERT_EQ(json["layers"].size(), 3u);
    EXPECT_EQ(json["layers"][1].dump(),
              R"({"name":"decoder.conv_in","op":"conv3x3","phase":"decode","dtype":"F16","begin_ns":200,"end_ns":500,)"
              R"("peak_bytes":390,"workspace_bytes":200,"output_bytes":30,"flops":900})");
    EXPECT_TRUE(json["failure"].is_null());
    EXPECT_FALSE(json.contains("recording"));
}

TEST(Summary, SurvivesWhatJsonCannotSay) {
    Recording r = smallRun();
    r.layers[1] = "bad \xff utf-8";
    r.durationMs = std::numeric_limits<double>::quiet_NaN();
    r.predicted.reset();
    r.failure = Failure{
        .code = ErrorCode::OutOfDeviceMemory, .message = "no", .bytesWanted = 7, .event = 3, .fits = {"conv direct"}};
    const Json json = Json::parse(summaryJson(r));
    EXPECT_EQ(json["layers"][1]["name"], "bad \xef\xbf\xbd utf-8");
    EXPECT_EQ(json["duration_ms"], 0.0);
    EXPECT_TRUE(json["predicted"].is_null());
    EXPECT_EQ(json["failure"].dump(), R"({"code":"out_of_device_memory","message":"no","layer":"","tensor":"",)"
                                      R"("bytes_wanted":7,"bytes_free":0,"event":3,"fits":["conv direct"]})");
}

TEST(Compare, AlignsLayersByNameAgainstTheFirst) {
    LabelledRecording a{"a.json", smallRun()}, b{"b.json", smallRun()};
    b.recording.layers[2] = "decoder.other";
    b.recording.controls[1].second = "32x32";
    b.recording.controls.emplace_back("tile", "256");
    for (Event& event : b.recording.events) {
        if (event.tensor == 6) event.bytes = 100;
        if (event.workspace != 0) {
            event.workspace -= 100;
            event.allocated -= 100;
        }
    }
    const std::vector<LabelledRecording> both{a, b};
    const Comparison c = compare(both);
    EXPECT_EQ(c.labels, (std::vector<std::string>{"a.json", "b.json"}));
    using Bytes = std::vector<std::optional<std::uint64_t>>;
    ASSERT_EQ(c.peaks.size(), 3u);
    EXPECT_EQ(c.peaks[0].bytes, (Bytes{390, 290}));
    EXPECT_EQ(c.peaks[1].bytes, (Bytes{512, 512}));
    EXPECT_EQ(c.peaks[2].bytes, (Bytes{240, 140}));
    ASSERT_EQ(c.categories.size(), categoryCount);
    EXPECT_EQ(c.categories[2].name, "workspace");
    EXPECT_EQ(c.categories[2].bytes, (Bytes{200, 100}));
    ASSERT_EQ(c.layers.size(), 4u);
    EXPECT_EQ(c.layers[0].bytes, (Bytes{170, 170}));
    EXPECT_EQ(c.layers[1].bytes, (Bytes{390, 290}));
    EXPECT_EQ(c.layers[2].bytes, (Bytes{210, std::nullopt}));
    EXPECT_EQ(c.layers[3].bytes, (Bytes{std::nullopt, 210}));
    ASSERT_EQ(c.controls.size(), 2u);
    EXPECT_EQ(c.controls[0].name, "size");
    EXPECT_EQ(c.controls[1].values, (std::vector<std::optional<std::string>>{std::nullopt, "256"}));

    const std::string text = compareText(both);
    for (const char* part : {"a.json", "difference", "-100 B (-25.6 %)", "=", "decoder.other", "32x32", "1 layers"})
        EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
    EXPECT_EQ(text.find("model"), std::string::npos) << text;

    const Json json = Json::parse(compareJson(both));
    EXPECT_EQ(json["schema"], "spikescope.compare/1");
    EXPECT_EQ(json["peaks"][0].dump(), R"({"name":"allocated","bytes":[390,290],"differences":[0,-100]})");
    EXPECT_EQ(json["layers"][2]["differences"].dump(), "[0,null]");
    EXPECT_EQ(json["controls"][1].dump(), R"({"name":"tile","values":[null,"256"]})");
}

TEST(Compare, TakesAnyNumberAndTellsOfFailures) {
    EXPECT_TRUE(compare({}).labels.empty());
    EXPECT_FALSE(compareText({}).empty());
    LabelledRecording failed{"x\x1b", Recording{}};
    failed.recording.failure = Failure{.message = "no memory"};
    const std::vector<LabelledRecording> runs{{"one", smallRun()}, {"two", smallRun()}, failed};
    EXPECT_NE(compareText(runs).find("x? failed: no memory"), std::string::npos) << compareText(runs);
    EXPECT_EQ(Json::parse(compareJson(runs))["failures"].dump(), R"([null,null,"no memory"])");
}

} // namespace
} // namespace spikescope
