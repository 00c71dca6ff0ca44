// What a report keeps of a Recording, and what is asked of its fields. For the text itself see report_text_test.

#include "core/memory/recorder.h"
#include "core/timeline/peak.h"
#include "tests/support/folder_test.h"
#include "tests/support/reports.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <unistd.h>

namespace spikescope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Result<Recording> roundTrip(const Recording& recording) { return parseReport(reportJson(recording), fileName); }

// smallRun()'s report after a change that must be refused with a sentence that has these words.
void expectRefused(const std::function<void(Json&)>& change, const std::vector<std::string>& words) {
    Json report = Json::parse(reportJson(smallRun()));
    change(report);
    expectRefusal(report.dump(), words);
}

class ReportFiles : public FolderTest {
protected:
    std::string put(const std::string& text) {
        std::string path = m_folder + fileName;
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }
};

TEST(Report, HostMemorySamplesAndFreeSpaceComeBack) {
    Recording r = smallRun();
    r.tensors.push_back(
        {.name = "dictionary", .category = Category::Weights, .dtype = "F16", .bytes = 77, .space = hostSpace});
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

TEST(Report, ReportsComeBackWhole) {
    const Recording small = smallRun();
    const auto read = roundTrip(small);
    ASSERT_TRUE(read) << read.error().message;
    expectEqual(small, *read);
    EXPECT_EQ(reportJson(*read), reportJson(small));

    Recording failed = small;
    failed.predicted.reset();
    failed.failure = Failure{.code = ErrorCode::OutOfDeviceMemory,
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
    replay.kind = RecordingKind::Replay;
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

TEST(Report, EveryFieldComesBack) {
    for (unsigned seed = 0; seed < 30; ++seed) {
        const Recording recording = anyRecording(seed);
        const std::string report = reportJson(recording);
        const auto read = parseReport(report, fileName);
        ASSERT_TRUE(read) << seed << ": " << read.error().message;
        expectEqual(recording, *read);
        EXPECT_EQ(reportJson(*read), report) << seed;
        EXPECT_EQ(Json::parse(report).dump(), report) << seed; // compact, and every key once
    }
}

TEST(Report, BeginsWithTheSummary) {
    Json report = Json::parse(reportJson(smallRun()));
    report.erase("recording");
    EXPECT_EQ(report.dump(2), summaryJson(smallRun()));
}

TEST(Report, BytesThatAreNotUtf8AreReplaced) {
    Recording r = smallRun();
    r.tensors[0].name = "a\xff\"b";
    r.layers[1] = "\xe2\x86";
    const auto read = roundTrip(r);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->tensors[0].name, "a\xef\xbf\xbd\"b");
    EXPECT_EQ(read->layers[1], "\xef\xbf\xbd");
}

TEST(Report, MayHaveMoreColumnsAndFields) {
    Json report = Json::parse(reportJson(smallRun()));
    report["later"] = {{"x", 1}, {"schema", 2}, {"recording", {{"events", 3}}}};
    report["device.name"] = 4; // a name with a point is no path
    for (const char* name : {"controls", "tensors", "spaces", "ops", "tiles", "events", "samples", "barriers"}) {
        Json& table = report["recording"][name];
        table["columns"].insert(table["columns"].begin(), "later");
        table["columns"].push_back(table["columns"][1]); // of equal names the first counts
        table["columns"].push_back(7);
        for (Json& row : table["rows"]) {
            row.insert(row.begin(), {{"deep", {1, {{"rows", nullptr}}, "x"}}});
            row.push_back(nullptr);
            row.push_back({-1.5, "]"});
        }
    }
    const auto read = parseReport(report.dump(), fileName);
    ASSERT_TRUE(read) << read.error().message;
    expectEqual(smallRun(), *read);
}

// Objects of other writers have other orders: by name, so that events come before the tensors they point to.
TEST(Report, OrderDoesNotMatter) {
    Json report = Json::parse(reportJson(smallRun()));
    const auto sorted = parseReport(nlohmann::json::parse(report.dump()).dump(3), fileName);
    ASSERT_TRUE(sorted) << sorted.error().message;
    expectEqual(smallRun(), *sorted);

    const std::function<Json(const Json&)> reversed = [&](const Json& value) {
        if (!value.is_object()) return value;
        Json::object_t members;
        for (auto member = value.rbegin(); member != value.rend(); ++member)
            members.emplace_back(member.key(), reversed(member.value()));
        return Json(std::move(members));
    };
    const auto backwards = parseReport(reversed(report).dump(), fileName);
    ASSERT_TRUE(backwards) << backwards.error().message;
    expectEqual(smallRun(), *backwards);

    Json& events = report["recording"]["events"];
    std::reverse(events["columns"].begin(), events["columns"].end());
    for (Json& row : events["rows"]) std::reverse(row.begin(), row.end());
    const auto columns = parseReport(report.dump(), fileName);
    ASSERT_TRUE(columns) << columns.error().message;
    expectEqual(smallRun(), *columns);
}

TEST(Report, OfEqualKeysTheLastCounts) {
    const auto kind =
        parseReport(withFields(R"("kind":5,"k\u0069nd":{"kind":"plan"},"recording":{"events":{}})"), fileName);
    ASSERT_TRUE(kind) << kind.error().message;
    expectEqual(smallRun(), *kind);
    const auto escaped = parseReport(replaced(R"("kind")", R"("k\u0069nd")"), fileName);
    EXPECT_TRUE(escaped) << escaped.error().message;

    // A later object replaces all of an earlier one.
    const std::string report = reportJson(smallRun()), body = report.substr(0, report.size() - 1);
    expectRefusal(body + R"(,"device":{"name":"x"}})", {"'device.driver'", "missing"});
    expectRefusal(body + R"(,"device":null})", {"'device'", "not an object"});
    expectRefusal(body + R"(,"recording":{}})", {"'recording.controls'", "missing"});
    expectRefusal(body + R"(,"recording":{"controls":{}}})", {"'recording.controls.columns'", "missing"});
}

TEST(Report, SummariesAreRefusedWithTheWayOut) {
    const auto read = parseReport(summaryJson(smallRun()), fileName);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::BadInput);
    EXPECT_NE(read.error().message.find("--report"), std::string::npos) << read.error().message;
}

TEST_F(ReportFiles, ThatAreNoReportsAreRefused) {
    EXPECT_FALSE(readReport(put("")));
    EXPECT_FALSE(readReport(m_folder));
    const auto missing = readReport(m_folder + "missing.json");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::Io);
    const auto read = readReport(put(reportJson(smallRun())));
    ASSERT_TRUE(read) << read.error().message;
    expectEqual(smallRun(), *read);
}

TEST_F(ReportFiles, TooLargeFilesAreRefused) {
    const std::string path = put("{");
    fs::resize_file(path, (std::uintmax_t{2} << 30) + 1); // sparse
    const auto read = readReport(path);
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message.find("more than the limit"), std::string::npos) << read.error().message;
}

TEST(Report, RowsOfTheWrongLengthAreRefused) {
    for (const char* name : {"controls", "tensors", "ops", "events"}) {
        const std::string place = std::string("'recording.") + name + " row 1'";
        const auto rowOf = [=](Json& r) -> Json& { return r["recording"][name]["rows"][1]; };
        expectRefused([=](Json& r) { rowOf(r).push_back(1); }, {place, "cells for"});
        expectRefused([=](Json& r) { rowOf(r).erase(0); }, {place, "cells for"});
        expectRefused([=](Json& r) { rowOf(r) = Json::array(); }, {place, "has 0 cells for"});
        expectRefused([=](Json& r) { rowOf(r) = Json::object(); }, {place, "is not an array"});
        expectRefused([=](Json& r) { rowOf(r) = nullptr; }, {place, "is not an array"});
        expectRefused([=](Json& r) { r["recording"][name]["columns"].push_back("later"); },
                      {std::string("'recording.") + name + " row 0'", "cells for"});
    }
}

TEST_F(ReportFiles, TellTheirProgressAndCanBeCancelled) {
    Recording r;
    r.kind = RecordingKind::Plan;
    r.tensors = {{.name = "map", .bytes = 4096}};
    Recorder recorder(r);
    for (int i = 0; i < 15'000; ++i) {
        recorder.alloc(0, 4096, 4096);
        recorder.free(0, 4096, 4096);
    }
    const std::string path = put(reportJson(r));
    std::vector<double> told;
    const auto whole = readReport(path, [&](double fraction) {
        told.push_back(fraction);
        return true;
    });
    ASSERT_TRUE(whole) << whole.error().message;
    EXPECT_EQ(whole->events.size(), r.events.size());
    EXPECT_GE(told.size(), 20u);
    EXPECT_LE(told.size(), 60u);
    EXPECT_TRUE(std::ranges::is_sorted(told));
    EXPECT_GE(told.front(), 0.0);
    EXPECT_LT(told.front(), 0.1);
    EXPECT_EQ(told.back(), 1.0);

    for (std::size_t last = 0; last < told.size(); last += 4) {
        std::size_t calls = 0;
        const auto read = readReport(path, [&](double) { return calls++ < last; });
        ASSERT_FALSE(read) << last;
        EXPECT_EQ(read.error().code, ErrorCode::Cancelled);
        EXPECT_EQ(calls, last + 1);
    }
}

TEST(Report, WrongTypesAreRefusedByName) {
    expectRefused([](Json& r) { r = Json::array(); }, {"is not an object"});
    expectRefused([](Json& r) { r["schema"] = "spikescope.run/3"; },
                  {"'schema'", "spikescope.run/3", "spikescope.run/2"});
    expectRefused([](Json& r) { r.erase("kind"); }, {"'kind'", "missing"});
    expectRefused([](Json& r) { r["device"] = nullptr; }, {"'device'", "not an object"});
    expectRefused([](Json& r) { r["recording"]["spaces"]["rows"][1][2] = -1; }, {"row 1 column bytes", "unsigned"});
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

TEST(Report, IndicesOutOfRangeAreRefused) {
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
            r["failure"] = Json::parse(R"({"code":"cancelled","message":"","layer":"","tensor":"",
        "bytes_wanted":0,"bytes_free":0,"event":1000})");
        },
        {"'failure.event'", "is 1000"});
}

TEST(Report, TilesThatAreMixedUpAreRefused) {
    const auto cell = [](std::size_t row, std::size_t column, Json value) {
        return [=](Json& r) { r["recording"]["tiles"]["rows"][row][column] = value; };
    };
    expectRefused(cell(0, 3, 65537), {"recording.tiles row 0 column width", "more than 65536"});
    expectRefused(cell(0, 5, nullptr), {"column first_op"});
    expectRefused(cell(1, 6, 5), {"column last_op", "there are 5 ops"});
    expectRefused(cell(1, 6, nullptr), {"column last_op"});
    expectRefused(cell(0, 6, 1), {"column last_op", "is 1 from 2"});
    expectRefused(cell(1, 5, 3), {"column last_op", "is 4 from 3"});
}

TEST(Report, SpacesThatAreMixedUpAreRefused) {
    const auto cell = [](const char* table, std::size_t row, std::size_t column, Json value) {
        return [=](Json& r) { r["recording"][table]["rows"][row][column] = value; };
    };
    expectRefused([](Json& r) { r["recording"].erase("spaces"); }, {"'recording.spaces'", "missing"});
    expectRefused([](Json& r) { r["recording"]["spaces"]["rows"].erase(1); }, {"'recording.spaces'", "begin with"});
    expectRefused([](Json& r) { r["recording"]["spaces"]["rows"] = Json::array(); }, {"'recording.spaces'"});
    expectRefused([](Json& r) { std::swap(r["recording"]["spaces"]["rows"][0], r["recording"]["spaces"]["rows"][1]); },
                  {"'recording.spaces'", "begin with a space of the host"});
    expectRefused(
        [](Json& r) {
            Json& rows = r["recording"]["spaces"]["rows"];
            while (rows.size() < 65) rows.push_back(rows[1]);
        },
        {"'recording.spaces'", "has 65 rows", "64"});
    expectRefused(cell("spaces", 1, 1, "disk"), {"recording.spaces row 1 column kind", "'disk'"});
    expectRefused(cell("tensors", 0, 6, 2), {"recording.tensors row 0 column space", "there are 2 spaces"});
    expectRefused(cell("tensors", 0, 6, nullptr), {"recording.tensors row 0 column space", "is null"});
    expectRefused(cell("tensors", 0, 6, false), {"column space", "not an unsigned"});
    expectRefused(cell("events", 0, 11, 2), {"recording.events row 0 column space", "there are 2 spaces"});
    expectRefused(cell("events", 0, 11, std::uint64_t{1} << 32), {"column space", "there are 2 spaces"});
    expectRefused(cell("events", 1, 11, 0), {"row 1 column space", "is 0, but the tensor lies in 1"});
    // What one space reserves says nothing of another one.
    expectRefused(cell("events", 0, 11, 0), {"row 1 column reserved_bytes", "is 512, but the events so far make 0"});
}

TEST(Report, EachSpaceHasItsOwnTotals) {
    Recording r;
    r.spaces.push_back({"second", SpaceKind::Device, 5000});
    r.tensors = {{.name = "a", .bytes = 10},
                 {.name = "b", .category = Category::Workspace, .bytes = 20, .space = 2},
                 {.name = "c", .bytes = 40, .space = hostSpace}};
    Recorder recorder(r);
    recorder.reserve(0, 100);
    recorder.alloc(0, 0, 10);
    recorder.reserve(0, 200, 2);
    recorder.freeSpace(180, 170, 2);
    recorder.alloc(1, 0, 20);
    recorder.alloc(2, 0, 40);
    recorder.free(0, 0, 10);
    const auto read = roundTrip(r);
    ASSERT_TRUE(read) << read.error().message;
    expectEqual(r, *read);
    EXPECT_EQ(findPeak(*read).allocated, 10u);
    EXPECT_EQ(findPeak(*read).host, 40u);
    EXPECT_EQ(findPeak(*read, 2).allocated, 20u);
    EXPECT_EQ(findPeak(*read, 2).reserved, 200u);
    EXPECT_EQ(findPeak(*read, 2).byCategory[2], 20u);
    EXPECT_EQ(phasePeaks(*read).front().held, 50u);
    EXPECT_EQ(read->totalsAfter(5, 2), (SpaceTotals{20, 200, 20, 180, 170}));
    EXPECT_EQ(read->totalsAfter(1, 2), SpaceTotals());
    EXPECT_EQ(Json::parse(summaryJson(*read))["spaces"][2].dump(),
              R"({"name":"second","kind":"device","bytes":5000,"allocated_bytes":20,"reserved_bytes":200})");
    Json report = Json::parse(reportJson(r));
    report["recording"]["events"]["rows"][3][6] = 30; // as if the first device's bytes were the second's, too
    expectRefusal(report.dump(), {"row 3 column allocated_bytes", "is 30, but the events so far make 20"});
}

// Reports of the first schema, as they were written, with the peaks that they said themselves.
TEST(Report, FilesOfTheFirstSchemaOpen) {
    for (const auto& [file, kind, tiling, tiles] :
         {std::tuple("plan_in_stripes.v1.json", RecordingKind::Plan, TilingKind::Exact, 4u),
          std::tuple("run_on_cpu.v1.json", RecordingKind::Run, TilingKind::Off, 0u),
          std::tuple("replay.v1.json", RecordingKind::Replay, TilingKind::Off, 0u)}) {
        const std::string path = std::string(SPIKESCOPE_TEST_DATA "/data/") + file;
        const auto read = readReport(path);
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(read->kind, kind) << file;
        EXPECT_EQ(read->tiling, tiling) << file;
        EXPECT_EQ(read->tiles.size(), tiles) << file;
        std::ifstream in(path);
        const auto said = nlohmann::json::parse(in), now = nlohmann::json::parse(summaryJson(*read));
        ASSERT_EQ(said["schema"], "spikescope.run/1");
        for (const char* field :
             {"kind", "device", "controls", "tiling", "peak", "host_traffic_bytes", "phases", "predicted", "refusals",
              "driver", "host_peak_bytes", "duration_ms", "load_ms", "layers", "failure"})
            EXPECT_EQ(said[field], now[field]) << file << " " << field;
        expectEqual(*roundTrip(*read), *read);
    }
}

TEST(Report, FilesOfTheFirstSchemaAreNotTrusted) {
    std::ifstream in(SPIKESCOPE_TEST_DATA "/data/plan_in_stripes.v1.json");
    const Json whole = Json::parse(in);
    const auto changed = [&](const std::function<void(Json&)>& change) {
        Json report = whole;
        change(report);
        return report.dump();
    };
    const auto cell = [&](const char* table, std::size_t row, std::size_t column, const Json& value) {
        return changed([&](Json& r) { r["recording"][table]["rows"][row][column] = value; });
    };
    const Json& rows = whole["recording"]["events"]["rows"];
    std::size_t host = 0; // the first event of the host's memory
    while (rows[host][9] == 0) ++host;
    expectRefusal(cell("events", host, 9, 1), {"column host_bytes", "is 1, but the events so far make"});
    expectRefusal(cell("events", host, 6, 0), {"column allocated_bytes", "is 0, but the events so far make"});
    expectRefusal(cell("events", host, 11, ~std::uint64_t{0}), {"column largest_free_bytes", "more than"});
    expectRefusal(cell("events", host, 2, 100'000), {"column tensor", "there are"});
    const auto tensor = rows[host][2].get<std::size_t>();
    expectRefusal(cell("tensors", tensor, 6, false), {"column allocated_bytes", "but the events so far make"});
    expectRefusal(cell("tensors", tensor, 6, 1), {"column host", "neither true nor false"});
    expectRefusal(cell("tensors", tensor, 2, "workspace"), {"column workspace_bytes"});
    expectRefusal(cell("parts", 1, 5, 0), {"column last_op", "from 0"});
    expectRefusal(changed([](Json& r) {
                      r["recording"]["repeated"]["rows"] = {{100'000, 2}};
                  }),
                  {"recording.repeated row 0 column op", "there are"});
    expectRefusal(changed([](Json& r) { r["failure"] = {{"code", "unheard of"}}; }), {"'failure.code'", "unheard of"});
    // It says which schema it has.
    expectRefusal(changed([](Json& r) { r["schema"] = "spikescope.run/2"; }), {"'recording.spaces'", "missing"});

    // What early files do not have.
    const auto early = parseReport(changed([](Json& r) {
                                       r.erase("tiling");
                                       r["recording"].erase("parts");
                                       r["recording"].erase("repeated");
                                   }),
                                   fileName);
    ASSERT_TRUE(early) << early.error().message;
    EXPECT_EQ(early->tiling, TilingKind::Off);
    EXPECT_TRUE(early->tiles.empty());
    const auto failed = parseReport(changed([](Json& r) {
                                        r["failure"] = Json::parse(R"({"code":"error","message":"m","layer":"l",)"
                                                                   R"("tensor":"t","bytes_wanted":1,"bytes_free":2,)"
                                                                   R"("event":3,"fits":["conv direct"]})");
                                    }),
                                    fileName);
    ASSERT_TRUE(failed) << failed.error().message;
    EXPECT_EQ(failed->failure->code, ErrorCode::BadInput);
    EXPECT_EQ(failed->failure->fits.size(), 1u);
}

TEST(Report, TotalsThatDoNotFollowAreRefused) {
    const auto cell = [](std::size_t row, std::size_t column, Json value) {
        return [=](Json& r) { r["recording"]["events"]["rows"][row][column] = value; };
    };
    expectRefused(cell(1, 6, 51), {"column allocated_bytes", "is 51, but the events so far make 50"});
    expectRefused(cell(1, 7, 0), {"column reserved_bytes"});
    expectRefused(cell(1, 8, 50), {"column workspace_bytes"});
    expectRefused(cell(1, 0, "free"), {"column allocated_bytes", "would be 0 - 50"});
    expectRefused(cell(2, 5, ~std::uint64_t{0}), {"column allocated_bytes", "would be 50 + 18446744073709551615"});
}

} // namespace
} // namespace spikescope
