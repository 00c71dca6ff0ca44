// Snapshots of PyTorch: the reference trace to the byte, and pickles that nobody should have to trust. Protects:
// nothing but data is read, in time and memory bounded by the file, and every refusal says where.

#include "core/memory/cache_limit_allocator.h"
#include "core/memory/caching_allocator.h"
#include "core/pytorch/replay.h"
#include "core/tensors/pickle.h"
#include "core/timeline/peak.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

namespace spikescope {
namespace {

using namespace std::string_literals;

Result<PyTorchSnapshot> parse(const std::string& text) {
    return PyTorchSnapshot::parse(std::as_bytes(std::span(text)), "s.pickle");
}
AllocatorMaker caching() {
    return [](Heap& heap, Recorder& recorder) { return std::make_unique<CachingAllocator>(heap, recorder); };
}

// Writes what Python's pickler would, in a protocol of choice.
struct Writer {
    int protocol = 4;
    std::string out = "\x80"s + static_cast<char>(protocol);

    explicit Writer(int wanted = 4)
        : protocol(wanted)
        , out("\x80"s + static_cast<char>(wanted)) {}
    Writer& text(std::string_view s) {
        if (protocol >= 4) {
            out += '\x8c';
            out += static_cast<char>(s.size());
        } else {
            out += 'X';
            for (int i = 0; i < 4; ++i) out += static_cast<char>(s.size() >> 8 * i);
        }
        out += s;
        return *this;
    }
    Writer& number(std::uint64_t value) {
        out += "\x8a\x08"s;
        for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> 8 * i);
        return *this;
    }
    Writer& raw(std::string_view s) {
        out += s;
        return *this;
    }
    std::string finish() { return out + '.'; }
};

struct TraceEvent {
    const char* action;
    std::uint64_t address, size;
};

std::string snapshotOf(const std::vector<TraceEvent>& events, int protocol = 4,
                       const std::vector<std::pair<std::uint64_t, std::uint64_t>>& liveBlocks = {}) {
    Writer w(protocol);
    w.raw("}(").text("segments").raw("](");
    w.raw("}(").text("address").number(0x1000).text("blocks").raw("](");
    for (const auto& [address, bytes] : liveBlocks)
        w.raw("}(")
            .text("address")
            .number(address)
            .text("size")
            .number(bytes)
            .text("state")
            .text("active_allocated")
            .raw("u");
    w.raw("eue").text("device_traces").raw("](](");
    for (const TraceEvent& e : events)
        w.raw("}(").text("action").text(e.action).text("addr").number(e.address).text("size").number(e.size).raw("u");
    return w.raw("eeu").finish();
}

void expectRefused(const std::string& pickle, const std::vector<std::string>& words) {
    const auto begin = std::chrono::steady_clock::now();
    const auto read = parse(pickle);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
    ASSERT_FALSE(read) << words.front();
    EXPECT_EQ(read.error().code, ErrorCode::BadInput);
    EXPECT_TRUE(read.error().message.starts_with("file 's.pickle'")) << read.error().message;
    for (const std::string& word : words)
        EXPECT_NE(read.error().message.find(word), std::string::npos) << read.error().message;
}

// Figure 4: PyTorch's own statistics of this decode.
TEST(Replay, referenceTraceToTheByte) {
    const std::string path = SPIKESCOPE_SHARED_DATA "/pytorch/flux_decode_512_bf16.pickle";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "needs the reference trace " << path;
    const auto snapshot = PyTorchSnapshot::open(path);
    ASSERT_TRUE(snapshot) << snapshot.error().message;
    const auto replayed = replay(*snapshot, caching());
    ASSERT_TRUE(replayed) << replayed.error().message;
    const Peak peak = findPeak(replayed->recording);
    EXPECT_EQ(peak.allocated, 778'967'040u);
    EXPECT_EQ(peak.reserved, 1'293'942'784u);
    EXPECT_EQ(peak.layer, "diffusers/models/upsampling.py:186 forward");
    EXPECT_EQ(replayed->baselineBlocks, 0u);
    EXPECT_EQ(replayed->brokenEvents, 0u);

    // The same requests under other rules.
    const auto direct = replay(*snapshot, [](Heap& heap, Recorder& recorder) -> std::unique_ptr<Allocator> {
        return std::make_unique<DirectAllocator>(heap, recorder);
    });
    const Peak exact = findPeak(direct->recording);
    EXPECT_EQ(exact.allocated, exact.reserved);
    EXPECT_LT(exact.allocated, peak.allocated);
}

TEST(Replay, everyProtocolReadsTheSame) {
    const std::vector<TraceEvent> events{
        {"segment_alloc", 1, 2097152}, {"alloc", 1, 1000}, {"alloc", 2, 3000}, {"free_requested", 1, 1000},
        {"free_completed", 1, 1000},   {"invented", 7, 7}, {"alloc", 3, 500}};
    for (int protocol = 2; protocol <= 5; ++protocol) {
        const auto snapshot = parse(snapshotOf(events, protocol));
        ASSERT_TRUE(snapshot) << snapshot.error().message;
        EXPECT_EQ(snapshot->events.size(), 4u);
        EXPECT_EQ(snapshot->otherEvents, 3u);
        const auto replayed = replay(*snapshot, caching());
        ASSERT_TRUE(replayed);
        const Peak peak = findPeak(replayed->recording);
        EXPECT_EQ(peak.allocated, 1024u + 3072u);
        EXPECT_EQ(peak.reserved, 2097152u);
        EXPECT_EQ(replayed->recording.events.back().allocated, 3072u + 512u);
    }
}

TEST(Replay, countsWhatWasLiveBefore) {
    // Address 5 is freed and was never allocated; 0x1000 is live in a segment and has no event; 9 is allocated.
    const auto snapshot = parse(snapshotOf(
        {{"free_completed", 5, 4096}, {"alloc", 9, 512}, {"free_completed", 5, 4096}}, 4, {{0x1000, 8192}, {9, 512}}));
    ASSERT_TRUE(snapshot) << snapshot.error().message;
    const auto replayed = replay(*snapshot, caching());
    ASSERT_TRUE(replayed);
    EXPECT_EQ(replayed->baselineBlocks, 2u);
    EXPECT_EQ(replayed->baselineBytes, 4096u + 8192u);
    const Peak peak = findPeak(replayed->recording);
    EXPECT_EQ(peak.allocated, 4096u + 8192u);
    EXPECT_EQ(peak.byCategory[static_cast<std::size_t>(Category::Resident)], peak.allocated);
}

TEST(Replay, brokenTracesAreCounted) {
    const auto snapshot = parse(snapshotOf({{"alloc", 1, 512}, {"alloc", 1, 1024}, {"free_completed", 1, 1024}}));
    ASSERT_TRUE(snapshot);
    const auto replayed = replay(*snapshot, caching());
    ASSERT_TRUE(replayed);
    EXPECT_EQ(replayed->brokenEvents, 1u);
    EXPECT_EQ(replayed->recording.events.back().allocated, 0u);
}

TEST(Replay, emptyingTheCacheReturnsFreeSegments) {
    const auto snapshot = parse(snapshotOf({{"alloc", 1, 512},
                                            {"alloc", 2, 1 << 24},
                                            {"free_completed", 2, 1 << 24},
                                            {"segment_free", 2, 1 << 24},
                                            {"segment_free", 3, 1 << 24},
                                            {"alloc", 4, 512}}));
    ASSERT_TRUE(snapshot);
    EXPECT_EQ(snapshot->events.size(), 5u); // the two segments went in one go
    const auto replayed = replay(*snapshot, caching());
    ASSERT_TRUE(replayed);
    EXPECT_EQ(findPeak(replayed->recording).reserved, (std::uint64_t{1} << 24) + (1 << 21));
    EXPECT_EQ(replayed->recording.events.back().reserved, std::uint64_t{1} << 21);
}

TEST(Replay, anAllocatorMayRefuse) {
    const auto snapshot = parse(snapshotOf({{"alloc", 1, std::uint64_t{1} << 62},
                                            {"alloc", 2, std::uint64_t{1} << 62},
                                            {"alloc", 3, std::uint64_t{1} << 62},
                                            {"alloc", 4, std::uint64_t{1} << 62}}));
    ASSERT_TRUE(snapshot);
    const auto replayed = replay(*snapshot, caching());
    ASSERT_FALSE(replayed);
    EXPECT_EQ(replayed.error().code, ErrorCode::OutOfDeviceMemory);
}

TEST(Snapshot, refusesWrongFieldsByName) {
    expectRefused(Writer().raw("]").finish(), {"not a dict"});
    expectRefused(Writer().raw("}").finish(), {"device_traces", "missing"});
    expectRefused(Writer().raw("}(").text("device_traces").raw("](]]eu").finish(), {"device_traces", "no allocations"});
    expectRefused(Writer().raw("}(").text("device_traces").number(4).raw("u").finish(),
                  {"device_traces", "not a list"});
    expectRefused(snapshotOf({{"alloc", std::uint64_t{1} << 63, 4}}), {"addr of an event", "negative"});
    Writer w;
    w.raw("}(").text("device_traces").raw("](](}(").text("action").text("alloc").text("addr").text("one").raw("ueeu");
    expectRefused(w.finish(), {"addr of an event", "not an integer"});
}

TEST(Pickle, refusesWhatIsNotData) {
    const std::vector<std::pair<char, const char*>> opcodes{{'c', "GLOBAL"},
                                                            {'R', "REDUCE"},
                                                            {'b', "BUILD"},
                                                            {'i', "INST"},
                                                            {'o', "OBJ"},
                                                            {'P', "PERSID"},
                                                            {'Q', "BINPERSID"},
                                                            {'\x81', "NEWOBJ"},
                                                            {'\x92', "NEWOBJ_EX"},
                                                            {'\x93', "STACK_GLOBAL"},
                                                            {'\x82', "EXT1"},
                                                            {'\x83', "EXT2"},
                                                            {'\x84', "EXT4"},
                                                            {'\x97', "NEXT_BUFFER"},
                                                            {'\x98', "READONLY_BUFFER"},
                                                            {'S', "STRING"},
                                                            {'\x8f', "EMPTY_SET"}};
    for (const auto& [opcode, name] : opcodes)
        expectRefused("\x80\x04]"s + opcode + "os\nsystem\n.", {std::string("opcode ") + name, "byte 3"});
    expectRefused("\x80\x04\xff."s, {"0xff", "unknown"});
    expectRefused("\x80\x06]."s, {"protocol 6"});
    expectRefused("\x80\x01]."s, {"protocol 1"});
    expectRefused("(dp0\n."s, {"protocol 2"});
    expectRefused("\x80\x04]]."s, {"STOP with 2 values"});
    expectRefused("\x80\x04(]."s, {"marks"});
    expectRefused("\x80\x04].x"s, {"1 bytes follow"});
    for (const char opcode : {'a', 'e', 's', 'u', 't', '\x85', '0', '1', '2', '\x94'})
        expectRefused("\x80\x04"s + opcode + ".", {"byte 2"});
    expectRefused("\x80\x04N(e."s, {"0x65"}); // append to None
    expectRefused("\x80\x04}(Nu."s, {"without a value"});
    expectRefused("\x80\x04]h\x05."s, {"recalls number 5"});
    expectRefused("\x80\x04]r\xff\xff\xff\x7f."s, {"remembers number"});
    expectRefused("\x80\x04X\xff\xff\xff\xff."s, {"4294967295 bytes"});
    expectRefused("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff."s, {"18446744073709551615 bytes"});
    expectRefused("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f."s, {"a frame"});
    expectRefused("\x80\x04\x8b\xff\xff\xff\x7f."s, {"an integer of"});
}

TEST(Pickle, refusesEveryTruncation) {
    const std::string whole = snapshotOf({{"alloc", 1, 1000}, {"free_completed", 1, 1000}});
    ASSERT_TRUE(parse(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) expectRefused(whole.substr(0, size), {"s.pickle"});
    // And any single byte may be wrong without harm.
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (const int change : {1, 0x80, 0xff}) {
            std::string changed = whole;
            changed[at] = static_cast<char>(changed[at] ^ change);
            if (const auto read = parse(changed)) (void)replay(*read, caching());
        }
}

// What the fuzzer found interesting, and whole snapshots in every protocol.
TEST(Snapshot, corpusIsReadOrRefused) {
    std::size_t files = 0, whole = 0;
    for (const auto& place : std::filesystem::directory_iterator(SPIKESCOPE_TEST_DATA "/fuzz/corpus/pickle")) {
        ++files;
        const auto snapshot = PyTorchSnapshot::open(place.path().string());
        if (!snapshot) {
            EXPECT_EQ(snapshot.error().code, ErrorCode::BadInput) << place.path();
            continue;
        }
        (void)replay(*snapshot, caching());
        if (place.path().filename().string().size() != 3) continue; // p20 to p51
        ++whole;
        EXPECT_EQ(snapshot->events.size(), 6u) << place.path();
        EXPECT_EQ(snapshot->blocks.size(), 2u) << place.path();
    }
    EXPECT_GE(files, 40u);
    EXPECT_EQ(whole, 8u);
}

TEST(Pickle, integersOfEveryLength) {
    const auto value = [](const std::string& opcodes) {
        const std::string text = "\x80\x04"s + opcodes + ".";
        const auto pickle = Pickle::parse(std::as_bytes(std::span(text)), "n");
        EXPECT_TRUE(pickle) << (pickle ? "" : pickle.error().message);
        return pickle ? static_cast<std::int64_t>(pickle->root().bits) : 0;
    };
    EXPECT_EQ(value("K\xff"s), 255);
    EXPECT_EQ(value("M\xff\xff"s), 65535);
    EXPECT_EQ(value("J\xff\xff\xff\xff"s), -1);
    EXPECT_EQ(value("\x8a\x00"s), 0);
    EXPECT_EQ(value("\x8a\x01\xff"s), -1);
    EXPECT_EQ(value("\x8a\x02\x00\x80"s), -32768);
    EXPECT_EQ(value("\x8a\x06\x00\x00\x00\x00\x00\x01"s), std::int64_t{1} << 40);
    EXPECT_EQ(value("\x8b\x01\x00\x00\x00\x7f"s), 127);
}

// A list that holds a list twice that holds a list twice …: 2^60 elements in 300 bytes.
TEST(Pickle, memoBombsStaySmall) {
    std::string bomb = "\x80\x04]\x94"s;
    for (int i = 0; i < 60; ++i) {
        bomb += "](h"s + static_cast<char>(i) + "h" + static_cast<char>(i) + "e\x94";
    }
    expectRefused(bomb + "h\x3c.", {"STOP with"});
    std::string nested = "\x80\x04}(\x8c\x0d"s + "device_traces]\x94";
    for (int i = 0; i < 60; ++i) nested += "](h"s + static_cast<char>(i) + "h" + static_cast<char>(i) + "e\x94";
    // Only the last list is the value of the key; the others lie below it.
    EXPECT_FALSE(parse(nested + "u."));

    // A thousand references to a list of a thousand references to one event with a thousand keys.
    std::string wide = "\x80\x04}(\x8c\x0d"s + "device_traces](](}(";
    for (int i = 0; i < 1000; ++i) wide += "\x8c\x01kN"s;
    wide += "u\x94"s;
    for (int i = 0; i < 1000; ++i) wide += "h\x00"s;
    wide += "e\x94"s;
    for (int i = 0; i < 1000; ++i) wide += "h\x01"s;
    expectRefused(wide + "eu.", {"s.pickle"});
}

TEST(Pickle, cyclesEnd) {
    // l = []; l.append(l); {"device_traces": l}
    expectRefused("\x80\x04}(\x8c\x0d"s + "device_traces]\x94h\x00"s + "au.", {"device_traces"});
    // d = {}; d["device_traces"] = [[d]]
    expectRefused("\x80\x04}\x94\x8c\x0d"s + "device_traces]]h\x00"s + "aas.", {"no allocations"});
}

TEST(Pickle, aHundredMegabytesOfNestingEndSoon) {
    for (const char opcode : {'(', ']', '}', 'N'}) {
        std::string deep = "\x80\x04"s + std::string(100'000'000, opcode) + ".";
        expectRefused(deep, {"stack"});
    }
    // Deep without a deep stack: each list is put into the next.
    expectRefused("\x80\x04]"s + std::string(5'000'000, '\x85') + ".", {"not a dict"});
    // Values beyond count: appended and forgotten.
    std::string many = "\x80\x04"s;
    for (int i = 0; i < 40'000'000; ++i) many += "]0";
    expectRefused(many + "].", {"lists, tuples and dicts"});
}

} // namespace
} // namespace spikescope
