// The tables of file formats: what each exporter writes, which importer takes a file, and what is said when none does.

#include "core/formats/formats.h"

#include "core/base/csv.h"
#include "core/base/output_file.h"
#include "core/formats/write_report.h"
#include "core/memory/recorder.h"
#include "tests/support/folder_test.h"
#include "tests/support/recordings.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <unistd.h>

namespace spikescope {
namespace {

namespace fs = std::filesystem;

class Formats : public FolderTest {
protected:
    std::string path(std::string_view name) const { return m_folder + std::string(name); }
    static std::string get(const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    std::string m_folder;
    const Recording m_small = smallRun();
};

TEST_F(Formats, tablesAreSound) {
    std::set<std::string_view> names;
    for (const Exporter* exporter : exporters) {
        EXPECT_TRUE(names.insert(exporter->name).second) << exporter->name << ": --format takes one by its name";
        EXPECT_TRUE(exporter->suffix.starts_with('.')) << exporter->name;
        EXPECT_FALSE(exporter->title.empty()) << exporter->name;
        const auto chosen = chooseExporter("any", exporter->name);
        ASSERT_TRUE(chosen) << chosen.error().message;
        EXPECT_EQ(*chosen, exporter);
    }
    names.clear();
    for (const Importer* importer : importers) {
        EXPECT_TRUE(names.insert(importer->name).second) << importer->name;
        EXPECT_TRUE(importer->patterns.starts_with("*.")) << importer->name;
    }
}

TEST_F(Formats, eachExporterWritesAFileThatItsImporterReadsBack) {
    for (const Exporter* exporter : exporters) {
        const std::string file = path(exporter->name);
        const auto written = exporter->write(m_small, file);
        ASSERT_TRUE(written) << exporter->name << ": " << written.error().message;
        EXPECT_FALSE(get(file).empty()) << exporter->name;
        const auto importer = std::ranges::find(importers, exporter->name, &Importer::name);
        if (importer == importers.end()) continue;
        const auto read = importFile(file);
        ASSERT_TRUE(read) << exporter->name << ": " << read.error().message;
        expectEqual(read->recording, m_small);
        EXPECT_TRUE(read->notes.empty());
    }
    EXPECT_EQ(get(path("report")), reportJson(m_small));
    EXPECT_EQ(get(path("summary")), summaryJson(m_small) + "\n");
}

TEST_F(Formats, filesThatCannotBeWrittenAreIo) {
    for (const Exporter* exporter : exporters)
        for (const std::string& file : {path("no/such/folder"), std::string("/dev/full")}) {
            const auto written = exporter->write(m_small, file);
            ASSERT_FALSE(written) << exporter->name;
            EXPECT_EQ(written.error().code, ErrorCode::Io) << exporter->name;
            EXPECT_NE(written.error().message.find(file), std::string::npos) << written.error().message;
        }
    ASSERT_TRUE(writeText(path("text"), "abc"));
    EXPECT_EQ(get(path("text")), "abc");
}

TEST_F(Formats, importersAreChosenByTheFirstBytesAndTheName) {
    struct Case {
        std::string_view begin, file;
        const Importer* importer;
    };
    for (const Case& c :
         {Case{"{\"schema\":", "a.json", &reportImporter}, Case{"{}", "no suffix", &reportImporter},
          Case{"\xef\xbb\xbf \n{", "a.txt", &reportImporter}, Case{"\x80\x04\x95", "a", &snapshotImporter},
          Case{"(dp0", "old.pickle", &snapshotImporter}, Case{"(dp0", "old.pkl", &snapshotImporter},
          Case{"", "a.json", nullptr}, Case{"[1]", "a.json", nullptr}, Case{"\x80", "a", nullptr},
          Case{"\x80\x12\0\0\0\0\0\0{", "weights", nullptr}, Case{"\xef\xbb", "a", nullptr}})
        EXPECT_EQ(importerOf(c.begin, c.file), c.importer) << c.begin << " " << c.file;

    ASSERT_TRUE(writeText(path("words.txt"), "just a few words"));
    const auto words = importFile(path("words.txt"));
    ASSERT_FALSE(words);
    EXPECT_EQ(words.error().code, ErrorCode::BadInput);
    for (const Importer* importer : importers)
        EXPECT_NE(words.error().message.find(importer->name), std::string::npos) << words.error().message;
    const auto missing = importFile(path("missing.json"));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::Io);
    const auto cancelled = importFile(SPIKESCOPE_TEST_DATA "/data/run_on_cpu.v1.json",
                                      {.progress = [](double) { return false; }, .makeAllocator = {}});
    ASSERT_FALSE(cancelled);
    EXPECT_EQ(cancelled.error().code, ErrorCode::Cancelled);
}

TEST_F(Formats, exportersAreChosenByNameOrBySuffix) {
    const auto refused = [](std::string_view file, std::string_view format, const std::vector<std::string>& words) {
        const auto chosen = chooseExporter(file, format);
        ASSERT_FALSE(chosen) << file;
        EXPECT_EQ(chosen.error().code, ErrorCode::BadUsage);
        for (const std::string& word : words)
            EXPECT_NE(chosen.error().message.find(word), std::string::npos) << chosen.error().message;
    };
    refused("a.csv", "", {"a.csv", "--format", "events", "layers"});
    refused("a.json", "", {"a.json", "--format", "report", "summary"});
    refused("a", "", {"'a'", "--format", "events", "layers", "report", "summary"});
    refused("a.xml", "", {"a.xml", "--format"});
    refused("a.csv", "xml", {"'xml'", "events", "layers", "report", "summary"});
    EXPECT_EQ(chooseExporter("a.json", "events").value(), &eventsExporter); // who names one means it
}

TEST_F(Formats, eventsAsCsv) {
    Recording r;
    r.layers = {"plain", "a,\"b\"\n"};
    r.tensors = {{.name = "x y", .layer = 1, .category = Category::Workspace},
                 {.name = "kept", .bytes = 7, .space = hostSpace}};
    Recorder recorder(r);
    recorder.phase(Phase::TextEncode);
    recorder.reserve(0xff00, 4096);
    recorder.alloc(0, 0xff00, 1000);
    recorder.op({.name = "conv", .beginNs = 5, .endNs = 17});
    recorder.alloc(1, 0x10, 7);
    recorder.freeSpace(4096, 1024);
    recorder.free(0, 0xff00, 1000);
    ASSERT_TRUE(eventsExporter.write(r, path("e.csv")));
    EXPECT_EQ(get(path("e.csv")),
              "t_ns,event,tensor,layer,phase,category,address,size_bytes,allocated_bytes,reserved_bytes,"
              "workspace_bytes,cached_bytes,free_bytes,largest_free_bytes,fragmentation,host_bytes\r\n"
              "5,reserve,,,text encode,,0xff00,4096,0,4096,0,4096,0,0,0.000000,0\r\n"
              "5,alloc,x y,\"a,\"\"b\"\"\n\",text encode,workspace,0xff00,1000,1000,4096,1000,3096,0,0,0.000000,0\r\n"
              "17,alloc,kept,plain,text encode,activation,0x10,7,1000,4096,1000,3096,0,0,0.000000,7\r\n"
              "17,free,x y,\"a,\"\"b\"\"\n\",text encode,workspace,0xff00,1000,0,4096,0,4096,4096,1024,0.750000,7\r\n");
    ASSERT_TRUE(eventsExporter.write({}, path("none.csv")));
    EXPECT_TRUE(get(path("none.csv")).ends_with(",host_bytes\r\n"));
}

TEST_F(Formats, layersAsCsv) {
    ASSERT_TRUE(layersExporter.write(m_small, path("l.csv")));
    const std::string text = get(path("l.csv"));
    EXPECT_TRUE(text.starts_with("layer,op,phase,dtype,begin_ns,end_ns,peak_bytes,workspace_bytes,output_bytes,flops,"
                                 "first_op,last_op\r\nweights,upload,load,F16,0,150,170,0,100,0,0,1\r\n"))
        << text;
    EXPECT_EQ(std::ranges::count(text, '\n'), 4);
}

TEST(Csv, numbersAreUnroundedAndFieldsQuotedWhereTheyMustBe) {
    CsvText csv;
    csv.number(8153726976.0).number(-0.5).number(1e300).number(std::nan("")).number(std::uint64_t{1} << 63).number(-7);
    csv.endLine();
    csv.text("").text("a b").text("a,b").text("\"").text("x\ry");
    csv.endLine();
    EXPECT_EQ(csv.all(), "8153726976,-0.5,1e+300,,9223372036854775808,-7\r\n,a b,\"a,b\",\"\"\"\",\"x\ry\"\r\n");
}

} // namespace
} // namespace spikescope
