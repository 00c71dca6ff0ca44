#include "core/memory/recorder.h"
#include "core/timeline/compare.h"
#include "core/timeline/export.h"
#include "core/timeline/import.h"
#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <unistd.h>

namespace spikescope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Weights 100, resident 50, latents 10; then
//   boundary  allocated  what
//   op 0, 1   staging 20 for the uploads of two weights (60 and 40)
//   op 2      conv_in reads latents, writes 30, workspace 200            -> 390
//   op 3, 4   conv_out: group_norm writes 30, conv3x3 writes 5           -> 220, 225
Recording smallRun() {
    Recording r;
    r.kind = "run";
    r.device = {.name = "Card \"A\"", .driver = "1.2", .kernels = "portable", .heapBytes = 1u << 30};
    r.controls = {{"model", "flux1"}, {"size", "64x64"}, {"barrier", "layer"}};
    r.layers = {"", "decoder.conv_in", "decoder.conv_out"};
    r.tensors = {
        {.name = "w1", .layer = 1, .category = Category::Weights, .dtype = "F16", .shape = {6, 5}, .bytes = 60},
        {.name = "w2", .layer = 2, .category = Category::Weights, .dtype = "F16", .shape = {20}, .bytes = 40},
        {.name = "staging", .category = Category::Staging, .dtype = "U8", .shape = {20}, .bytes = 20},
        {.name = "text encoder", .category = Category::Resident, .dtype = "U8", .shape = {50}, .bytes = 50},
        {.name = "latents", .category = Category::Image, .dtype = "F32", .shape = {}, .bytes = 10},
        {.name = "a", .layer = 1, .category = Category::Activation, .dtype = "F16", .shape = {15}, .bytes = 30},
        {.name = "col", .layer = 1, .category = Category::Workspace, .dtype = "F16", .shape = {}, .bytes = 200},
        {.name = "b", .layer = 2, .category = Category::Activation, .dtype = "F16", .shape = {15}, .bytes = 30},
        {.name = "out", .layer = 2, .category = Category::Image, .dtype = "F32", .shape = {}, .bytes = 5}};
    Recorder recorder(r);
    const auto alloc = [&](std::uint32_t t) { recorder.alloc(t, 0x1000 * (t + 1), r.tensors[t].bytes); };
    const auto release = [&](std::uint32_t t) { recorder.free(t, 0x1000 * (t + 1), r.tensors[t].bytes); };
    recorder.phase(Phase::Load);
    recorder.reserve(0x1000, 512);
    alloc(3);
    alloc(2);
    alloc(0);
    recorder.op({.name = "upload", .layer = 1, .outputBytes = 60, .dtype = "F16", .beginNs = 0, .endNs = 100});
    alloc(1);
    recorder.op({.name = "upload", .layer = 2, .outputBytes = 40, .dtype = "F16", .beginNs = 100, .endNs = 150});
    release(2);
    recorder.phase(Phase::Decode);
    alloc(4);
    alloc(5);
    alloc(6);
    recorder.op(
        {.name = "conv3x3", .layer = 1, .flops = 900, .outputBytes = 30, .dtype = "F16", .beginNs = 200, .endNs = 500});
    release(6);
    release(4);
    alloc(7);
    recorder.op({.name = "group_norm",
                 .layer = 2,
                 .flops = 90,
                 .outputBytes = 30,
                 .dtype = "F16",
                 .beginNs = 500,
                 .endNs = 600});
    release(5);
    alloc(8);
    recorder.op(
        {.name = "conv3x3", .layer = 2, .flops = 40, .outputBytes = 5, .dtype = "F32", .beginNs = 600, .endNs = 900});
    recorder.phase(Phase::Write);
    for (std::uint32_t t : {7u, 8u, 0u, 1u, 3u}) release(t);
    recorder.returned(0x1000, 512);
    r.predicted = {{390, 512}};
    r.hostPeakBytes = 12345;
    r.durationMs = 1.25;
    r.loadMs = 0.5;
    return r;
}

// One number for each thing that readReport() must bring back.
void expectEqual(const Recording& a, const Recording& b) {
    EXPECT_EQ(a.kind, b.kind);
    EXPECT_EQ(std::tie(a.device.name, a.device.driver, a.device.kernels, a.device.heapBytes),
              std::tie(b.device.name, b.device.driver, b.device.kernels, b.device.heapBytes));
    EXPECT_EQ(a.controls, b.controls);
    EXPECT_EQ(a.layers, b.layers);
    EXPECT_EQ(a.predicted, b.predicted);
    EXPECT_EQ(a.hostPeakBytes, b.hostPeakBytes);
    EXPECT_EQ(a.durationMs, b.durationMs);
    EXPECT_EQ(a.loadMs, b.loadMs);
    EXPECT_EQ(a.refusals, b.refusals);
    const auto sample = [](const Sample& s) { return std::tie(s.event, s.driverBytes, s.processBytes); };
    EXPECT_TRUE(std::ranges::equal(a.samples, b.samples, {}, sample, sample));
    const auto tensor = [](const RecordedTensor& t) {
        return std::tie(t.name, t.layer, t.category, t.dtype, t.shape, t.bytes, t.host);
    };
    const auto op = [](const RecordedOp& o) {
        return std::tie(o.name, o.layer, o.phase, o.flops, o.outputBytes, o.traffic, o.dtype, o.beginNs, o.endNs);
    };
    const auto event = [](const Event& e) {
        return std::tie(e.kind, e.phase, e.tensor, e.op, e.address, e.bytes, e.allocated, e.reserved, e.workspace,
                        e.host, e.freeBytes, e.largestFree);
    };
    EXPECT_TRUE(std::ranges::equal(a.tensors, b.tensors, {}, tensor, tensor));
    EXPECT_TRUE(std::ranges::equal(a.ops, b.ops, {}, op, op));
    EXPECT_TRUE(std::ranges::equal(a.events, b.events, {}, event, event));
    ASSERT_EQ(a.failure.has_value(), b.failure.has_value());
    if (!a.failure) return;
    const auto failure = [](const Failure& f) {
        return std::tie(f.code, f.message, f.layer, f.tensor, f.bytesWanted, f.bytesFree, f.event, f.fits);
    };
    EXPECT_EQ(failure(*a.failure), failure(*b.failure));
}

// Allocations and frees as an executor makes them: before each op some tensors come, after it some go.
Recording randomRun(unsigned seed) {
    std::mt19937 random(seed);
    const auto upTo = [&](unsigned n) { return static_cast<std::uint32_t>(random() % n); };
    Recording r;
    r.kind = "plan";
    for (int i = 0; i < 5; ++i) r.layers.push_back("layer" + std::to_string(i));
    Recorder recorder(r);
    std::vector<std::uint32_t> live;
    const std::uint32_t ops = 1 + upTo(60);
    for (std::uint32_t i = 0; i < ops; ++i) {
        recorder.phase(i < ops / 3 ? Phase::Load : Phase::Decode);
        for (std::uint32_t n = 1 + upTo(3); n > 0; --n) {
            const auto tensor = static_cast<std::uint32_t>(r.tensors.size());
            r.tensors.push_back(
                {.name = "t", .layer = upTo(5), .category = static_cast<Category>(upTo(6)), .bytes = upTo(1000)});
            recorder.reserve(0, r.tensors.back().bytes);
            recorder.alloc(tensor, 0, r.tensors.back().bytes);
            live.push_back(tensor);
        }
        recorder.op({.name = upTo(2) == 0 ? "upload" : "conv", .layer = upTo(5), .flops = upTo(10)});
        while (!live.empty() && upTo(2) == 0) {
            const std::uint32_t place = upTo(static_cast<unsigned>(live.size()));
            recorder.free(live[place], 0, r.tensors[live[place]].bytes);
            live.erase(live.begin() + place);
        }
    }
    return r;
}

class TimelineFiles : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "spikescope_timeline_XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        m_folder = pattern + "/";
    }
    void TearDown() override { fs::remove_all(m_folder); }

    std::string put(const std::string& text) {
        const std::string path = m_folder + "report.json";
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }
    static std::string get(const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    Result<Recording> roundTrip(const Recording& recording) { return readReport(put(reportJson(recording))); }

    // Reads smallRun()'s report after a change that must be refused with a sentence that has these words.
    void expectRefused(const std::function<void(Json&)>& change, const std::vector<std::string>& words) {
        Json report = Json::parse(reportJson(m_small));
        change(report);
        const auto read = readReport(put(report.dump()));
        ASSERT_FALSE(read) << words.front();
        EXPECT_EQ(read.error().code, ErrorCode::BadInput);
        EXPECT_NE(read.error().message.find("report.json"), std::string::npos) << read.error().message;
        for (const std::string& word : words)
            EXPECT_NE(read.error().message.find(word), std::string::npos) << read.error().message;
    }

    std::string m_folder;
    const Recording m_small = smallRun();
};

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
    r.kind = "replay";
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
    EXPECT_EQ(json["schema"], "spikescope.run/1");
    EXPECT_EQ(json["kind"], "run");
    EXPECT_EQ(json["device"].dump(),
              R"({"name":"Card \"A\"","driver":"1.2","heap_bytes":1073741824,"kernels":"portable"})");
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
    r.failure =
        Failure{.code = "out_of_device_memory", .message = "no", .bytesWanted = 7, .event = 3, .fits = {"conv direct"}};
    const Json json = Json::parse(summaryJson(r));
    EXPECT_EQ(json["layers"][1]["name"], "bad \xef\xbf\xbd utf-8");
    EXPECT_EQ(json["duration_ms"], 0.0);
    EXPECT_TRUE(json["predicted"].is_null());
    EXPECT_EQ(json["failure"].dump(), R"({"code":"out_of_device_memory","message":"no","layer":"","tensor":"",)"
                                      R"("bytes_wanted":7,"bytes_free":0,"event":3,"fits":["conv direct"]})");
}

TEST_F(TimelineFiles, HostMemorySamplesAndFreeSpaceComeBack) {
    Recording r = smallRun();
    r.tensors.push_back(
        {.name = "dictionary", .category = Category::Weights, .dtype = "F16", .bytes = 77, .host = true});
    Recorder recorder(r);
    recorder.freeSpace(0, 0);
    recorder.alloc(9, 0x9000, 77);
    recorder.reserve(0x2000, 4096);
    recorder.freeSpace(4000, 3000);
    recorder.alloc(0, 0x2000, 60);
    recorder.op({.name = "read", .outputBytes = 77, .traffic = 154, .dtype = "F16", .beginNs = 900, .endNs = 900});
    recorder.free(9, 0x9000, 77);
    recorder.free(0, 0x2000, 60);
    recorder.freeSpace(0, 0);
    recorder.returned(0x2000, 4096);
    r.samples = {{.event = 0, .driverBytes = std::nullopt, .processBytes = 5},
                 {.event = 3, .driverBytes = 9, .processBytes = 6}};
    r.refusals = 2;
    const auto read = roundTrip(r);
    ASSERT_TRUE(read) << read.error().message;
    expectEqual(r, *read);
    const Peak peak = findPeak(r);
    EXPECT_EQ(peak.host, 77u);
    EXPECT_EQ(peak.allocated, 390u); // host memory is not the device's
}

TEST_F(TimelineFiles, ReportsComeBackWhole) {
    const auto read = roundTrip(m_small);
    ASSERT_TRUE(read) << read.error().message;
    expectEqual(m_small, *read);
    EXPECT_EQ(reportJson(*read), reportJson(m_small));

    Recording failed = m_small;
    failed.predicted.reset();
    failed.failure = Failure{.code = "out_of_device_memory",
                             .message = "layer 'x'",
                             .layer = "x",
                             .tensor = "t",
                             .bytesWanted = ~std::uint64_t{0},
                             .bytesFree = 5,
                             .event = 4};
    failed.ops[0].beginNs = -5;
    failed.events[0].address = ~std::uint64_t{0};
    const auto readFailed = roundTrip(failed);
    ASSERT_TRUE(readFailed) << readFailed.error().message;
    expectEqual(failed, *readFailed);

    Recording replay;
    replay.kind = "replay";
    replay.tensors = {{.name = "block"}};
    Recorder(replay).alloc(0, 1, 2);
    const auto readReplay = roundTrip(replay);
    ASSERT_TRUE(readReplay) << readReplay.error().message;
    expectEqual(replay, *readReplay);

    for (unsigned seed = 0; seed < 20; ++seed) {
        const auto random = roundTrip(randomRun(seed));
        ASSERT_TRUE(random) << random.error().message;
        expectEqual(randomRun(seed), *random);
    }
}

TEST_F(TimelineFiles, ReportsMayHaveMoreColumnsAndFields) {
    Json report = Json::parse(reportJson(m_small));
    report["later"] = {{"x", 1}};
    Json& ops = report["recording"]["ops"];
    ops["columns"].insert(ops["columns"].begin(), "later");
    for (Json& row : ops["rows"]) row.insert(row.begin(), nullptr);
    const auto read = readReport(put(report.dump()));
    ASSERT_TRUE(read) << read.error().message;
    expectEqual(m_small, *read);
}

TEST_F(TimelineFiles, SummariesAreRefusedWithTheWayOut) {
    const auto read = readReport(put(summaryJson(m_small)));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::BadInput);
    EXPECT_NE(read.error().message.find("--report"), std::string::npos) << read.error().message;
}

TEST_F(TimelineFiles, TruncatedReportsAreRefused) {
    const std::string whole = reportJson(m_small);
    for (std::size_t size = 1; size < whole.size(); size += 11) {
        const auto read = readReport(put(whole.substr(0, size)));
        ASSERT_FALSE(read) << size;
        ASSERT_EQ(read.error().code, ErrorCode::BadInput) << read.error().message;
    }
    EXPECT_FALSE(readReport(put("")));
    EXPECT_FALSE(readReport(m_folder + "missing.json"));
    EXPECT_FALSE(readReport(m_folder));
}

TEST_F(TimelineFiles, ChangedBytesNeverDoHarm) {
    const std::string whole = reportJson(m_small);
    std::mt19937 random(1);
    for (int i = 0; i < 800; ++i) {
        std::string text = whole;
        for (auto n = 1 + random() % 3; n > 0; --n)
            text[random() % text.size()] = "0123456789-+.eE[]{},:\"\\ntfu \xff"[random() % 28];
        if (const auto read = readReport(put(text))) {
            findPeak(*read);
            const Json again = Json::parse(reportJson(*read));
            EXPECT_FALSE(formatLayerTable(layerTable(*read), findPeak(*read), 2).empty());
        }
    }
}

TEST_F(TimelineFiles, DeepNestingIsRefused) {
    for (const char* open : {"[", "{\"a\":"}) {
        std::string text;
        for (int i = 0; i < 200000; ++i) text += open;
        const auto read = readReport(put(text));
        ASSERT_FALSE(read);
        EXPECT_NE(read.error().message.find("nested deeper"), std::string::npos) << read.error().message;
    }
    expectRefused([](Json& r) { r["kind"] = "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["; }, {"'kind'", "unknown value"});
}

TEST_F(TimelineFiles, TooManyValuesAreRefusedBeforeTheyAreParsed) {
    const auto read = readReport(put("[" + std::string((std::size_t{64} << 20) + 1, ',') + "]"));
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message.find("more than the limit"), std::string::npos) << read.error().message;
}

TEST_F(TimelineFiles, TooLargeFilesAreRefused) {
    const std::string path = put("{");
    fs::resize_file(path, (std::uintmax_t{2} << 30) + 1); // sparse
    const auto read = readReport(path);
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message.find("more than the limit"), std::string::npos) << read.error().message;
}

TEST_F(TimelineFiles, WrongTypesAreRefusedByName) {
    expectRefused([](Json& r) { r = Json::array(); }, {"is not an object"});
    expectRefused([](Json& r) { r["schema"] = "spikescope.run/2"; }, {"'schema'", "spikescope.run/2"});
    expectRefused([](Json& r) { r.erase("kind"); }, {"'kind'", "missing"});
    expectRefused([](Json& r) { r["device"] = nullptr; }, {"'device'", "not an object"});
    expectRefused([](Json& r) { r["device"]["heap_bytes"] = -1; }, {"'device.heap_bytes'", "unsigned"});
    expectRefused([](Json& r) { r["predicted"] = 5; }, {"'predicted'", "not an object"});
    expectRefused([](Json& r) { r["host_peak_bytes"] = 1.5; }, {"'host_peak_bytes'"});
    expectRefused([](Json& r) { r["duration_ms"] = nullptr; }, {"'duration_ms'", "not a number"});
    expectRefused([](Json& r) { r["failure"] = Json::object(); }, {"'failure.code'", "missing"});
    expectRefused([](Json& r) { r["recording"] = 1; }, {"'recording'", "not an object"});
    expectRefused([](Json& r) { r["recording"]["layers"][1] = 1; }, {"'recording.layers row 1'", "not a string"});
    expectRefused([](Json& r) { r["recording"]["events"]["rows"] = 1; }, {"'recording.events.rows'", "not an array"});
    expectRefused([](Json& r) { r["recording"]["events"]["columns"].erase(2); },
                  {"'recording.events.columns'", "tensor"});
    expectRefused([](Json& r) { r["recording"]["events"]["rows"][3] = 1; }, {"'recording.events row 3'"});
    expectRefused([](Json& r) { r["recording"]["events"]["rows"][3].erase(0); }, {"row 3", "11 cells for 12 columns"});
    expectRefused([](Json& r) { r["recording"]["events"]["rows"][3][0] = "steal"; }, {"row 3 column event", "'steal'"});
    expectRefused([](Json& r) { r["recording"]["tensors"]["rows"][0][2] = 0; },
                  {"recording.tensors row 0 column category"});
    expectRefused([](Json& r) { r["recording"]["tensors"]["rows"][0][4] = {1, "2"}; }, {"row 0 column shape"});
    expectRefused([](Json& r) { r["recording"]["ops"]["rows"][0][6] = 1e300; }, {"column begin_ns", "not an integer"});
    expectRefused([](Json& r) { r["recording"]["ops"]["rows"][0][7] = ~std::uint64_t{0}; }, {"column end_ns", "range"});
    expectRefused([](Json& r) { r["recording"]["ops"]["rows"][0][7] = std::numeric_limits<std::int64_t>::min(); },
                  {"column end_ns", "range"});
}

TEST_F(TimelineFiles, IndicesOutOfRangeAreRefused) {
    const auto cell = [](const char* table, std::size_t row, std::size_t column, Json value) {
        return [=](Json& r) { r["recording"][table]["rows"][row][column] = value; };
    };
    expectRefused(cell("tensors", 0, 1, 3), {"column layer", "is 3, but there are 3 layers"});
    expectRefused(cell("tensors", 0, 1, std::uint64_t{1} << 32), {"column layer", "there are 3 layers"});
    expectRefused(cell("ops", 0, 1, 3), {"recording.ops row 0 column layer"});
    expectRefused(cell("events", 1, 2, 9), {"column tensor", "there are 9 tensors"});
    expectRefused(cell("events", 1, 2, nullptr), {"column tensor", "is null for alloc"});
    expectRefused(cell("events", 0, 2, 1), {"column tensor", "is not null for reserve"});
    expectRefused(cell("events", 5, 3, 6), {"column op", "there are 5 ops"});
    expectRefused(cell("events", 5, 3, 0), {"column op", "is 0 after 1"});
    expectRefused(
        [](Json& r) {
            r["failure"] = Json::parse(R"({"code":"","message":"","layer":"","tensor":"",
        "bytes_wanted":0,"bytes_free":0,"event":1000})");
        },
        {"'failure.event'", "is 1000"});
}

TEST_F(TimelineFiles, TotalsThatDoNotFollowAreRefused) {
    const auto cell = [](std::size_t row, std::size_t column, Json value) {
        return [=](Json& r) { r["recording"]["events"]["rows"][row][column] = value; };
    };
    expectRefused(cell(1, 6, 51), {"column allocated_bytes", "is 51, but the events so far make 50"});
    expectRefused(cell(1, 7, 0), {"column reserved_bytes"});
    expectRefused(cell(1, 8, 50), {"column workspace_bytes"});
    expectRefused(cell(1, 0, "free"), {"column allocated_bytes", "would be 0 - 50"});
    expectRefused(cell(2, 5, ~std::uint64_t{0}), {"column allocated_bytes", "would be 50 + 18446744073709551615"});
}

TEST_F(TimelineFiles, EventsAsCsv) {
    Recording r;
    r.layers = {"plain", "a,\"b\"\n"};
    r.tensors = {{.name = "x y", .layer = 1, .category = Category::Workspace}};
    Recorder recorder(r);
    recorder.phase(Phase::TextEncode);
    recorder.reserve(0xff00, 4096);
    recorder.alloc(0, 0xff00, 1000);
    recorder.op({.name = "conv", .beginNs = 5, .endNs = 17});
    recorder.freeSpace(4096, 1024);
    recorder.free(0, 0xff00, 1000);
    const std::string path = m_folder + "events.csv";
    ASSERT_TRUE(writeEventsCsv(r, path));
    EXPECT_EQ(get(path),
              "t_ns,event,tensor,layer,phase,category,address,size_bytes,allocated_bytes,reserved_bytes,"
              "workspace_bytes,cached_bytes,free_bytes,largest_free_bytes,fragmentation,host_bytes\r\n"
              "5,reserve,,,text encode,,0xff00,4096,0,4096,0,4096,0,0,0.000000,0\r\n"
              "5,alloc,x y,\"a,\"\"b\"\"\n\",text encode,workspace,0xff00,1000,1000,4096,1000,3096,0,0,0.000000,0\r\n"
              "17,free,x y,\"a,\"\"b\"\"\n\",text encode,workspace,0xff00,1000,0,4096,0,4096,4096,1024,0.750000,0\r\n");
}

TEST_F(TimelineFiles, LayersAsCsv) {
    const std::string path = m_folder + "layers.csv";
    ASSERT_TRUE(writeLayersCsv(m_small, path));
    const std::string text = get(path);
    EXPECT_TRUE(text.starts_with("layer,op,phase,dtype,begin_ns,end_ns,peak_bytes,workspace_bytes,output_bytes,flops,"
                                 "first_op,last_op\r\nweights,upload,load,F16,0,150,170,0,100,0,0,1\r\n"))
        << text;
    EXPECT_EQ(std::ranges::count(text, '\n'), 4);
}

TEST_F(TimelineFiles, FilesThatCannotBeWrittenAreIo) {
    const std::string path = m_folder + "no/such/folder";
    for (const Result<void>& written : {writeEventsCsv(m_small, path), writeLayersCsv(m_small, path),
                                        writeText(path, "x"), writeText("/dev/full", "x")}) {
        ASSERT_FALSE(written);
        EXPECT_EQ(written.error().code, ErrorCode::Io);
    }
    ASSERT_TRUE(writeText(m_folder + "text", "abc"));
    EXPECT_EQ(get(m_folder + "text"), "abc");
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
