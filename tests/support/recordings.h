#pragma once
// Recordings that tests share.

#include "core/memory/recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace spikescope {

// Weights 100, resident 50, latents 10; then
//   boundary  allocated  what
//   op 0, 1   staging 20 for the uploads of two weights (60 and 40)
//   op 2      conv_in reads latents, writes 30, workspace 200            -> 390
//   op 3, 4   conv_out: group_norm writes 30, conv3x3 writes 5           -> 220, 225
inline Recording smallRun() {
    Recording r;
    r.kind = RecordingKind::Run;
    r.device = {.name = "Card \"A\"", .driver = "1.2", .kernels = "portable"};
    r.spaces[deviceSpace].bytes = 1u << 30;
    r.controls = {{"model", "flux1"}, {"size", "64x64"}, {"barrier", "layer"}};
    r.notes = {"file 'a': 4 latent channels", "a tile \"fits\""};
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
    r.tiles = {{.area = {.width = 8, .height = 5}, .firstOp = 2, .lastOp = 3},
               {.area = {.y = 5, .width = 8, .height = 3}, .firstOp = 4, .lastOp = 4}};
    r.predicted = {{390, 512}};
    r.hostPeakBytes = 12345;
    r.durationMs = 1.25;
    r.loadMs = 0.5;
    return r;
}

// One number for each thing that readReport() must bring back.
inline void expectEqual(const Recording& a, const Recording& b) {
    EXPECT_EQ(a.kind, b.kind);
    EXPECT_EQ(std::tie(a.device.name, a.device.driver, a.device.kernels),
              std::tie(b.device.name, b.device.driver, b.device.kernels));
    EXPECT_EQ(a.spaces, b.spaces);
    EXPECT_EQ(a.controls, b.controls);
    EXPECT_EQ(a.tiling, b.tiling);
    EXPECT_EQ(a.notes, b.notes);
    EXPECT_EQ(a.layers, b.layers);
    EXPECT_EQ(a.predicted, b.predicted);
    EXPECT_EQ(a.hostPeakBytes, b.hostPeakBytes);
    EXPECT_EQ(a.durationMs, b.durationMs);
    EXPECT_EQ(a.loadMs, b.loadMs);
    EXPECT_EQ(a.refusals, b.refusals);
    EXPECT_EQ(a.barriers, b.barriers);
    const auto sample = [](const Sample& s) { return std::tie(s.event, s.driverBytes, s.processBytes); };
    EXPECT_TRUE(std::ranges::equal(a.samples, b.samples, {}, sample, sample));
    const auto tensor = [](const RecordedTensor& t) {
        return std::tie(t.name, t.layer, t.category, t.dtype, t.shape, t.bytes, t.space);
    };
    const auto op = [](const RecordedOp& o) {
        return std::tie(o.name, o.kind, o.times, o.layer, o.phase, o.flops, o.outputBytes, o.traffic, o.dtype,
                        o.beginNs, o.endNs);
    };
    const auto event = [](const Event& e) {
        return std::tuple(e.kind, e.phase, e.space, e.tensor, e.op, e.address, e.bytes, e.allocated, e.reserved,
                          e.workspace, e.freeBytes, e.largestFree);
    };
    EXPECT_TRUE(std::ranges::equal(a.tensors, b.tensors, {}, tensor, tensor));
    const auto tile = [](const RecordedTile& t) { return std::tuple(t.area, t.firstOp, t.lastOp); };
    EXPECT_TRUE(std::ranges::equal(a.ops, b.ops, {}, op, op));
    EXPECT_TRUE(std::ranges::equal(a.tiles, b.tiles, {}, tile, tile));
    EXPECT_TRUE(std::ranges::equal(a.events, b.events, {}, event, event));
    ASSERT_EQ(a.failure.has_value(), b.failure.has_value());
    if (!a.failure) return;
    const auto failure = [](const Failure& f) {
        return std::tie(f.code, f.message, f.layer, f.tensor, f.bytesWanted, f.bytesFree, f.event, f.fits);
    };
    EXPECT_EQ(failure(*a.failure), failure(*b.failure));
}

// Allocations and frees as an executor makes them: before each op some tensors come, after it some go.
inline Recording randomRun(unsigned seed) {
    std::mt19937 random(seed);
    const auto upTo = [&](unsigned n) { return static_cast<std::uint32_t>(random() % n); };
    Recording r;
    r.kind = RecordingKind::Plan;
    r.tiling = TilingKind::Exact;
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

class Random {
public:
    explicit Random(unsigned seed)
        : m_engine(seed) {}

    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(m_engine() % n); }
    std::uint64_t number() { return m_engine() >> below(64); }
    std::int64_t time() { return static_cast<std::int64_t>(number() >> 2) * (below(2) == 0 ? 1 : -1); }
    std::string text() {
        static const std::vector<std::string> pieces{"conv",
                                                     " ",
                                                     "\"",
                                                     "\\",
                                                     "/",
                                                     "\n",
                                                     "\x01",
                                                     "\x7f",
                                                     "\xc3\xa9",
                                                     "\xe2\x86\x92",
                                                     "'",
                                                     "\t",
                                                     "\xef\xbf\xbd",
                                                     "\xf0\x9f\x8e\x88",
                                                     std::string(1, '\0')};
        std::string text;
        for (std::uint32_t n = below(6); n > 0; --n) text += pieces[below(static_cast<std::uint32_t>(pieces.size()))];
        return text;
    }
    std::vector<std::string> texts() {
        std::vector<std::string> texts(below(4));
        for (std::string& one : texts) one = text();
        return texts;
    }

private:
    std::mt19937_64 m_engine;
};

// A Recording that has something in every field, and as it could not come from a run.
inline Recording anyRecording(unsigned seed) {
    Random random(seed);
    Recording r;
    r.kind = static_cast<RecordingKind>(random.below(3));
    r.device = {random.text(), random.text(), random.text()};
    r.tiling = static_cast<TilingKind>(random.below(3));
    for (std::uint32_t n = random.below(3); n > 0; --n)
        r.spaces.push_back({random.text(), static_cast<SpaceKind>(random.below(2))});
    for (MemorySpace& space : r.spaces) space.bytes = random.number();
    for (std::uint32_t n = random.below(4); n > 0; --n) r.controls.emplace_back(random.text(), random.text());
    r.layers = random.texts();
    const auto layer = [&] { // a replay without layers means the first that it does not have
        const auto layers = static_cast<std::uint32_t>(r.layers.size());
        if (layers == 0) return 0u;
        return random.below(5) == 0 ? noIndex : random.below(layers);
    };
    Recorder recorder(r);
    for (std::uint32_t n = 20 + random.below(50); n > 0; --n) {
        recorder.phase(static_cast<Phase>(random.below(6)));
        const auto tensor = static_cast<std::uint32_t>(r.tensors.size());
        RecordedTensor& made = r.tensors.emplace_back();
        made = {random.text(),
                layer(),
                static_cast<Category>(random.below(6)),
                random.text(),
                {},
                random.number() >> 8,
                random.below(static_cast<std::uint32_t>(r.spaces.size()))};
        for (std::uint32_t d = random.below(5); d > 0; --d) made.shape.push_back(random.number());
        const std::uint64_t bytes = made.bytes, block = random.number() >> 8;
        recorder.reserve(random.number(), block);
        recorder.alloc(tensor, random.number(), bytes);
        recorder.op({.name = random.text(),
                     .kind = static_cast<OpKind>(random.below(11)),
                     .layer = layer(),
                     .phase = static_cast<Phase>(random.below(6)),
                     .flops = random.number(),
                     .outputBytes = random.number(),
                     .traffic = random.number(),
                     .dtype = random.text(),
                     .beginNs = random.time(),
                     .endNs = random.time(),
                     .times = random.below(3) == 0 ? random.number() : 1});
        const std::uint64_t free = recorder.reserved() - block;
        recorder.freeSpace(free, free / (1 + random.below(3)));
        if (random.below(2) == 0) recorder.free(tensor, random.number(), bytes);
        if (random.below(2) == 0) recorder.returned(random.number(), block);
        if (random.below(4) == 0) r.barriers.push_back(static_cast<std::uint32_t>(r.events.size()));
        if (random.below(3) == 0)
            r.samples.push_back({.event = static_cast<std::uint32_t>(r.events.size()),
                                 .driverBytes = random.below(2) == 0 ? std::nullopt : std::optional(random.number()),
                                 .processBytes = random.number()});
        recorder.freeSpace(0, 0);
    }
    for (std::uint32_t op = random.below(4); op + 3 < r.ops.size(); op += 3 + random.below(9))
        r.tiles.push_back({.area = {.frame = random.below(3),
                                    .x = random.below(99),
                                    .y = random.below(99),
                                    .width = random.below(99),
                                    .height = random.below(99)},
                           .firstOp = op,
                           .lastOp = op + random.below(3)});
    r.refusals = random.number();
    if (random.below(2) == 0)
        r.failure = Failure{static_cast<ErrorCode>(random.below(9)),
                            random.text(),
                            random.text(),
                            random.text(),
                            random.number(),
                            random.number(),
                            random.below(9),
                            random.texts()};
    if (random.below(2) == 0) r.predicted = {{random.number(), random.number()}};
    r.hostPeakBytes = random.number();
    r.durationMs = static_cast<double>(random.time()) / 1e6;
    r.loadMs = random.below(2) == 0 ? 1e-308 : 0.1;
    return r;
}

} // namespace spikescope
