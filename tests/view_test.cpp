// What a chart shows of a Recording: pyramid, places on an axis, pixel columns. Protects against spikes that vanish at
// some zoom and against parts that do not sum to the total shown.

#include "tests/support/recordings.h"

#include "core/timeline/aligned.h"
#include "core/timeline/alive.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace spikescope {
namespace {

std::vector<std::uint64_t> randomValues(std::size_t count, std::mt19937& random) {
    std::vector<std::uint64_t> values(count);
    for (auto& value : values) value = random() % 50; // many equal ones
    return values;
}

TEST(Pyramid, agreesWithAFullScan) {
    std::mt19937 random(7);
    for (const std::size_t size : {1u, 2u, 15u, 16u, 17u, 255u, 256u, 257u, 4096u, 5000u}) {
        const std::vector<std::uint64_t> values = randomValues(size, random);
        const Pyramid pyramid(values);
        for (int i = 0; i < 300; ++i) {
            const std::size_t first = random() % size, last = first + 1 + random() % (size - first);
            const Extremes found = pyramid.extremes(first, last);
            const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first),
                       end = values.begin() + static_cast<std::ptrdiff_t>(last);
            ASSERT_EQ(found.most, std::max_element(begin, end) - values.begin()) << size << " " << first << " " << last;
            ASSERT_EQ(found.least, std::min_element(begin, end) - values.begin())
                << size << " " << first << " " << last;
        }
    }
}

// A run with times, small tensors and rare spikes that live between two events.
Recording spikyRun(std::uint32_t ops, std::mt19937& random) {
    Recording recording;
    recording.kind = RecordingKind::Run;
    recording.layers = {"decoder.conv_in", "decoder.mid_block.resnets.0.conv1", "decoder.up_blocks.0.resnets.0.conv1",
                        "decoder.conv_out"};
    Recorder recorder(recording);
    recorder.phase(Phase::Decode);
    std::vector<std::uint32_t> live;
    std::int64_t now = 0;
    for (std::uint32_t i = 0; i < ops; ++i) {
        const std::uint64_t bytes = random() % 97 == 0 ? 1'000'000 + random() % 1000 : 1 + random() % 1000;
        recording.tensors.push_back({.name = fmt::format("t{}", i),
                                     .layer = i * 4 / ops,
                                     .category = static_cast<Category>(random() % categoryCount),
                                     .dtype = "bf16",
                                     .shape = {bytes},
                                     .bytes = bytes,
                                     .space = random() % 13 == 0 ? hostSpace : deviceSpace});
        const auto tensor = static_cast<std::uint32_t>(recording.tensors.size() - 1);
        recorder.alloc(tensor, 0, bytes);
        if (bytes >= 1'000'000)
            recorder.free(tensor, 0, bytes);
        else
            live.push_back(tensor);
        const auto op = recorder.op({.name = "conv3x3", .layer = i * 4 / ops});
        recording.ops[op].beginNs = now;
        now += random() % 1000;
        recording.ops[op].endNs = now;
        if (live.size() > 20) {
            recorder.free(live.front(), 0, recording.tensors[live.front()].bytes);
            live.erase(live.begin());
        }
    }
    return recording;
}

TEST(Timeline, breakdownsSumToWhatIsAllocated) {
    std::mt19937 random(3);
    const Timeline timeline(spikyRun(5000, random));
    for (std::size_t i = 0; i < timeline.eventCount(); ++i) {
        std::uint64_t sum = 0;
        for (const std::uint64_t bytes : timeline.breakdown(i)) sum += bytes;
        ASSERT_EQ(sum, timeline.allocated().value(i));
        ASSERT_EQ(sum, timeline.recording().totalsAfter(i, deviceSpace).allocated);
    }
}

TEST(Alive, sumsToTheEventAndIsSorted) {
    std::mt19937 random(4);
    const Recording recording = spikyRun(800, random);
    for (std::uint32_t i = 0; i < recording.events.size(); i += 7) {
        std::uint64_t device = 0, host = 0, last = ~std::uint64_t{0};
        for (const AliveTensor& alive : aliveAt(recording, i)) {
            (recording.tensors[alive.tensor].space == hostSpace ? host : device) += alive.bytes;
            ASSERT_LE(alive.bytes, last);
            ASSERT_LE(alive.since, i);
            last = alive.bytes;
        }
        ASSERT_EQ(device, recording.totalsAfter(i, deviceSpace).allocated);
        ASSERT_EQ(host, recording.totalsAfter(i, hostSpace).allocated);
    }
    EXPECT_TRUE(aliveAt(recording, noIndex).empty());
    EXPECT_FALSE(describeMoment(recording, 100).empty());
    EXPECT_EQ(describeMoment({}, 0), "Nothing is allocated here.");
}

// The property on which the chart stands: whatever the zoom, the highest event of the view is in some column, and every
// column's extremes are those of a full scan over the events that lie in it and the value it begins with.
TEST(Columns, noSpikeIsLostAtAnyZoom) {
    std::mt19937 random(5);
    const auto timeline = std::make_shared<const Timeline>(spikyRun(6000, random));
    for (const AxisKind kind : {AxisKind::Time, AxisKind::Ops, AxisKind::Layers}) {
        const Placed placed = place(timeline, kind);
        ASSERT_TRUE(std::ranges::is_sorted(placed.events));
        for (int i = 0; i < 60; ++i) {
            const double a = placed.begin + (placed.end - placed.begin) * static_cast<double>(random() % 1000) / 1000.0;
            const double b =
                i == 0 ? placed.end : a + (placed.end - a) * static_cast<double>(1 + random() % 1000) / 1000.0;
            const double begin = i == 0 ? placed.begin : a;
            const std::size_t count = 1 + random() % 300;
            const auto columns = columnsOf(placed.events, timeline->allocated(), begin, b, count);
            const std::size_t events = timeline->eventCount();
            const auto allocated = [&](std::size_t e) { return timeline->allocated().value(e); };
            std::size_t covered = 0;
            std::uint64_t highest = 0, highestSeen = 0;
            for (const Column& column : columns) highestSeen = std::max(highestSeen, allocated(column.most));
            for (std::size_t e = 0; e < events; ++e)
                if (placed.events[e] >= begin && placed.events[e] <= b) {
                    highest = std::max(highest, allocated(e));
                    ++covered;
                }
            ASSERT_GE(highestSeen, highest) << name(kind);
            std::size_t next = columns.empty() ? 0 : columns.front().last + 1, inside = 0;
            for (std::size_t c = 0; c < columns.size(); ++c) {
                const Column& column = columns[c];
                const std::size_t first =
                    c == 0 ? static_cast<std::size_t>(std::ranges::lower_bound(placed.events, column.x) -
                                                      placed.events.begin())
                           : next;
                std::uint64_t most = allocated(column.last), least = most;
                for (std::size_t e = first > 0 ? first - 1 : 0; e <= column.last; ++e) {
                    most = std::max(most, allocated(e));
                    least = std::min(least, allocated(e));
                }
                ASSERT_EQ(allocated(column.most), most);
                ASSERT_EQ(allocated(column.least), least);
                ASSERT_EQ(column.any, column.last + 1 > first);
                inside += column.last + 1 - std::min<std::size_t>(first, column.last + 1);
                next = column.last + 1;
            }
            ASSERT_EQ(inside, covered) << "every event of the view is in one column";
        }
    }
}

TEST(Columns, emptyAndDegenerate) {
    const auto empty = std::make_shared<const Timeline>(Recording{});
    const Placed placed = place(empty, AxisKind::Time);
    EXPECT_GT(placed.end, placed.begin);
    EXPECT_TRUE(columnsOf(placed.events, empty->allocated(), 0, 1, 10).empty());
    EXPECT_EQ(eventAt(placed, 0.5), noIndex);
    std::mt19937 random(1);
    const auto some = std::make_shared<const Timeline>(spikyRun(10, random));
    const Placed run = place(some, AxisKind::Time);
    EXPECT_TRUE(columnsOf(run.events, some->allocated(), 5, 5, 10).empty());
    EXPECT_TRUE(columnsOf(run.events, some->allocated(), 0, 1, 0).empty());
    EXPECT_EQ(eventAt(run, run.end + 1), some->eventCount() - 1);
}

// Protects: what is laid over a Recording neither widens its axis nor loses its own peak, whatever runs how often.
TEST(Aligned, noPeakIsLostAndNothingLeavesTheAxis) {
    std::mt19937 random(11);
    const auto any = [&] {
        // Layers in any order and as often as it comes, some of them the other one's.
        Recording recording = spikyRun(5 + static_cast<std::uint32_t>(random() % 60), random);
        recording.layers = {"load", "in", "up.0", "up.1", "up.2", "out", "other.a", "other.b"};
        const auto from = static_cast<std::uint32_t>(random() % 4);
        for (RecordedOp& op : recording.ops) op.layer = from + static_cast<std::uint32_t>(random() % 5);
        return std::make_shared<const Timeline>(std::move(recording));
    };
    for (int i = 0; i < 300; ++i) {
        const TimelinePtr shown = any(), other = any();
        for (const AxisKind kind : {AxisKind::Time, AxisKind::Ops, AxisKind::Layers}) {
            const Placed reference = place(shown, kind);
            const Curve curve = alignedCurve(other, reference);
            ASSERT_TRUE(std::ranges::is_sorted(curve.places));
            ASSERT_EQ(curve.places.size(), curve.values.size());
            ASSERT_GE(curve.places.front(), reference.begin);
            ASSERT_LE(curve.places.back(), reference.end);
            std::uint64_t most = 0;
            for (std::size_t e = 0; e < curve.values.size(); ++e) most = std::max(most, curve.values.value(e));
            ASSERT_EQ(most, other->peak().allocated);
        }
    }
}

// Protects: a Recording over its own axis is itself, at every place.
TEST(Aligned, ontoItselfIsItself) {
    std::mt19937 random(12);
    for (int i = 0; i < 50; ++i) {
        const auto timeline =
            std::make_shared<const Timeline>(spikyRun(1 + static_cast<std::uint32_t>(random() % 80), random));
        for (const AxisKind kind : {AxisKind::Time, AxisKind::Ops, AxisKind::Layers}) {
            const Placed placed = place(timeline, kind);
            const auto copy = std::make_shared<const Timeline>(Recording(timeline->recording()));
            const Curve own = curveOf(placed), aligned = alignedCurve(copy, placed);
            for (const double x : placed.events)
                for (const double off : {0.0, 1e-3})
                    ASSERT_EQ(valueAt(aligned, x + off), valueAt(own, x + off)) << name(kind) << " " << x + off;
        }
    }
}

// A Recording whose op i is of layer visits[i] and holds bytes[i] while it runs.
TimelinePtr visiting(std::vector<std::string> visits, std::vector<std::uint64_t> bytes) {
    Recording recording;
    recording.kind = RecordingKind::Plan;
    Recorder recorder(recording);
    recorder.phase(Phase::Decode);
    for (std::size_t i = 0; i < visits.size(); ++i) {
        const auto known = std::ranges::find(recording.layers, visits[i]) - recording.layers.begin();
        const auto layer = static_cast<std::uint32_t>(known);
        if (layer == recording.layers.size()) recording.layers.push_back(visits[i]);
        recording.tensors.push_back({.name = "t", .layer = layer, .dtype = "bf16", .shape = {}, .bytes = bytes[i]});
        const auto tensor = static_cast<std::uint32_t>(i);
        recorder.alloc(tensor, 0, bytes[i]);
        (void)recorder.op({.name = "conv3x3", .layer = layer});
        recorder.free(tensor, 0, bytes[i]);
    }
    return std::make_shared<const Timeline>(std::move(recording));
}

TEST(Layers, thatRunOftenShareTheirWidth) {
    const TimelinePtr tiled = visiting({"in", "a", "b", "a", "b", "a", "b", "out"}, {1, 2, 3, 2, 3, 2, 3, 1});
    const Placed placed = place(tiled, AxisKind::Layers);
    EXPECT_DOUBLE_EQ(placed.end, 4.0) << "as wide as four layers that run once";
    std::map<std::string_view, double> widths;
    for (const LayerVisit& visit : layerVisits(tiled->recording()))
        widths[visit.layer] += placed.opEnds[visit.endOp - 1] - placed.opBegins[visit.firstOp];
    for (const auto& [layer, width] : widths) EXPECT_NEAR(width, 1.0, 1e-12) << layer;
}

// Layers lie above each other, tiles are folded to their largest, and what the shown one lacks lies between.
TEST(Aligned, layersLieAboveEachOther) {
    const TimelinePtr whole = visiting({"in", "a", "b", "out"}, {10, 20, 30, 10});
    const Placed reference = place(whole, AxisKind::Layers);
    const Curve tiled = alignedCurve(
        visiting({"in", "a", "b", "blend", "a", "b", "blend", "out"}, {5, 6, 7, 50, 8, 4, 9, 5}), reference);
    EXPECT_EQ(valueAt(tiled, 0.5), 5u);
    EXPECT_EQ(valueAt(tiled, 1.5), 8u) << "the larger one of two tiles";
    EXPECT_EQ(valueAt(tiled, 2.5), 50u) << "what has no place of its own lies over its neighbour";
    EXPECT_EQ(valueAt(tiled, 3.5), 5u);
    // The other way round: the whole layer lies over each of the tiles' visits.
    const TimelinePtr tiles = visiting({"in", "a", "b", "a", "b", "out"}, {1, 2, 3, 2, 3, 1});
    const Placed tileAxis = place(tiles, AxisKind::Layers);
    const Curve onTiles = alignedCurve(whole, tileAxis);
    for (const double at : {1.25, 2.25}) EXPECT_EQ(valueAt(onTiles, at), 20u) << at;
    for (const double at : {1.75, 2.75}) EXPECT_EQ(valueAt(onTiles, at), 30u) << at;
    // Another model has nothing in common but its ends: it spreads between them.
    const Curve foreign = alignedCurve(
        visiting({"in", "layers.0", "layers.1", "layers.2", "layers.3", "out"}, {1, 2, 3, 4, 5, 1}), reference);
    EXPECT_EQ(valueAt(foreign, 1.25), 2u);
    EXPECT_EQ(valueAt(foreign, 1.75), 3u);
    EXPECT_EQ(valueAt(foreign, 2.25), 4u);
    EXPECT_EQ(valueAt(foreign, 2.75), 5u);
}

// A run under way lies where its plan does; what is not its beginning has a place of its own.
TEST(Part, liesWhereTheWholeDoes) {
    const TimelinePtr whole = visiting({"in", "a", "b", "a", "b", "out"}, {1, 2, 3, 2, 3, 1});
    for (const AxisKind kind : {AxisKind::Ops, AxisKind::Layers}) {
        const Placed axis = place(whole, kind);
        const auto part = placeAsPartOf(visiting({"in", "a", "b"}, {1, 2, 3}), axis);
        ASSERT_TRUE(part);
        for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(part->opBegins[i], axis.opBegins[i]);
        EXPECT_LT(part->end, axis.end);
        EXPECT_FALSE(placeAsPartOf(visiting({"in", "b"}, {1, 2}), axis));
    }
    EXPECT_FALSE(placeAsPartOf(visiting({"in", "a", "b", "a", "b", "out", "out"}, {1, 2, 3, 2, 3, 1, 1}),
                               place(whole, AxisKind::Ops)));
}

} // namespace
} // namespace spikescope
