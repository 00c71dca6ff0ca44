// What a chart shows of a Recording: pyramid, places on an axis, pixel columns. Protects against spikes that vanish at
// some zoom and against parts that do not sum to the total shown.

#include "tests/support/recordings.h"

#include "core/timeline/alive.h"
#include "core/timeline/axis.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

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
        const LayerSlots slots(std::array{timeline});
        const Placed placed = place(timeline, kind, slots.opPositions(0));
        ASSERT_TRUE(std::ranges::is_sorted(placed.events));
        for (int i = 0; i < 60; ++i) {
            const double a = placed.begin + (placed.end - placed.begin) * static_cast<double>(random() % 1000) / 1000.0;
            const double b =
                i == 0 ? placed.end : a + (placed.end - a) * static_cast<double>(1 + random() % 1000) / 1000.0;
            const double begin = i == 0 ? placed.begin : a;
            const std::size_t count = 1 + random() % 300;
            const auto columns = columnsOf(placed, timeline->allocated(), begin, b, count);
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
    const Placed placed = place(empty, AxisKind::Time, {});
    EXPECT_GT(placed.end, placed.begin);
    EXPECT_TRUE(columnsOf(placed, empty->allocated(), 0, 1, 10).empty());
    EXPECT_EQ(eventAt(placed, 0.5), noIndex);
    std::mt19937 random(1);
    const auto some = std::make_shared<const Timeline>(spikyRun(10, random));
    const Placed run = place(some, AxisKind::Time, {});
    EXPECT_TRUE(columnsOf(run, some->allocated(), 5, 5, 10).empty());
    EXPECT_TRUE(columnsOf(run, some->allocated(), 0, 1, 0).empty());
    EXPECT_EQ(eventAt(run, run.end + 1), some->eventCount() - 1);
}

// Two lowerings of one model: the layers that both have lie above each other, what only one has lies between.
TEST(Slots, layersLieAboveEachOther) {
    const auto made = [](std::vector<std::string> layers, std::vector<std::uint32_t> visits) {
        Recording recording;
        recording.kind = RecordingKind::Plan;
        recording.layers = std::move(layers);
        Recorder recorder(recording);
        recorder.phase(Phase::Decode);
        for (const std::uint32_t layer : visits) (void)recorder.op({.name = "conv3x3", .layer = layer});
        return std::make_shared<const Timeline>(std::move(recording));
    };
    const auto a = made({"in", "mid", "out"}, {0, 1, 1, 2}), b = made({"in", "extra", "mid", "out"}, {0, 1, 2, 3, 2});
    const LayerSlots slots(std::array{a, b});
    EXPECT_EQ(slots.names(), (std::vector<std::string>{"in", "extra", "mid", "out", "mid (2)"}));
    EXPECT_EQ(slots.opPositions(0), (std::vector<double>{0, 2, 2.5, 3, 4}));
    EXPECT_EQ(slots.opPositions(1), (std::vector<double>{0, 1, 2, 3, 4, 5}));
    // On the other one's axis: `out` of both begins at the same place.
    const Placed reference = place(a, AxisKind::Ops, slots.opPositions(0));
    const Placed onto = placeOnto(b, slots.opPositions(1), reference, slots.opPositions(0));
    EXPECT_EQ(onto.opBegins[3], reference.opBegins[3]);
    EXPECT_EQ(onto.opBegins[0], reference.opBegins[0]);
}

} // namespace
} // namespace spikescope
