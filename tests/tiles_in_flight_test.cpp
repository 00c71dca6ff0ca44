// Tiles whose ops may run beside each other. Protects: that no op touches memory which one beside it writes; that the
// picture stays what it is, bit for bit; that memory grows by one tile's for each, in plan and run.

#include "core/program/planner.h"
#include "core/program/walk.h"
#include "core/timeline/peak.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

#include <algorithm>

namespace spikescope {
namespace {

NamedValues with(NamedValues values, const NamedValues& more) {
    values.insert(values.end(), more.begin(), more.end());
    return values;
}
NamedValues inFlight(const NamedValues& values, std::uint64_t tiles) {
    return with(values, {{"tiles-in-flight", std::to_string(tiles)}});
}

// Whatever moves memory, over grids with tiles of one size, of several, and fewer in a row than may be in flight.
const std::vector<NamedValues> tilings{
    {{"size", "104x56"}, {"tile", "32"}, {"overlap", "8"}},
    {{"size", "88x56"}, {"tile", "32"}, {"overlap", "8"}, {"tile-grid", "cut"}, {"blend", "cosine"}},
    {{"size", "88x72"}, {"tile", "32"}, {"overlap", "8"}, {"tile-grid", "three-passes"}, {"blend", "feather"}},
    {{"size", "56x88"}, {"tile", "32"}, {"overlap", "8"}, {"tile-grid", "diffusers"}},
    {{"size", "56x32"}, {"tile", "32"}, {"overlap", "8"}, {"batch", "2"}},
    {{"size", "80x56"}, {"op", "encode"}, {"tile", "32x40"}, {"overlap", "8"}},
};
const std::vector<NamedValues> memories{
    {{"lifetime", "planned"}},
    {{"lifetime", "planned"}, {"norm", "on-load"}, {"upsample", "folded"}},
    {{"lifetime", "planned"}, {"allocator", "caching"}, {"evaluate", "ops:5"}, {"conv", "im2col:1"}},
    {{"lifetime", "stream"}, {"hold", "on"}, {"norm", "separate"}, {"upsample", "broadcast"}, {"layout-copies", "on"}},
    {{"lifetime", "stream"}, {"allocator", "direct"}, {"attention", "naive"}, {"repeat", "2"}},
    {{"lifetime", "lazy"}, {"evaluate", "block"}, {"ahead", "1"}, {"conv", "winograd"}},
    {{"lifetime", "lazy"}, {"evaluate", "bytes:200000"}, {"allocator", "cache-limit:0"}},
};

struct Range {
    std::uint64_t begin = 0, end = 0;
};

// Where calls that may run beside each other reach.
class Watch final : public Machine {
public:
    explicit Watch(const Program& program)
        : m_program(program)
        , m_places(program.tensors.size()) {}

    Result<void> bind(TensorId tensor, const Placement& placement) override {
        m_places[tensor.index] = {placement.address(), placement.address() + m_program.tensor(tensor).bytes};
        return {};
    }
    void unbind(TensorId tensor) override {
        EXPECT_TRUE(m_group.empty()) << "released within a concurrent group";
        m_places[tensor.index] = {};
    }
    Result<void> dispatch(std::uint32_t index, bool concurrentWithNext, std::uint32_t) override {
        const Call& call = m_program.calls[index];
        std::vector<Range> touched;
        for (const auto& tensors : {reads(call.kernel), writes(call.kernel)})
            for (const TensorId id : tensors) {
                // Nothing writes weights; everything else counts as written, since ops may work in place.
                if (m_program.tensor(id).category == Category::Weights) continue;
                const Range place = m_places[m_program.storage(id).index];
                EXPECT_LT(place.begin, place.end) << m_program.tensor(id).name << " is not alive";
                touched.push_back(place);
            }
        m_group.push_back(std::move(touched));
        if (!concurrentWithNext) endGroup();
        return {};
    }
    std::size_t widest = 0; // dispatches beside each other

private:
    void endGroup() {
        widest = std::max(widest, m_group.size());
        for (std::size_t i = 0; i < m_group.size(); ++i)
            for (std::size_t j = 0; j < i; ++j)
                for (const Range& a : m_group[i])
                    for (const Range& b : m_group[j]) EXPECT_TRUE(a.end <= b.begin || b.end <= a.begin);
        m_group.clear();
    }

    const Program& m_program;
    std::vector<Range> m_places;             // by tensor
    std::vector<std::vector<Range>> m_group; // by dispatch
};

std::size_t widestGroup(const Job& job) {
    VirtualHeap heap;
    Recording recording;
    describe(job.program, job.controls, recording);
    Recorder recorder(recording);
    auto allocator = makeAllocator(job.program, job.controls, heap, recorder);
    EXPECT_TRUE(allocator);
    Watch watch(job.program);
    EXPECT_TRUE(walk(job.program, **allocator, recording, recorder, watch, CancelFlag{}));
    return watch.widest;
}

TEST(TilesInFlight, touchNothingThatOneBesideThemWrites) {
    for (const char* model : {"taesd", "sd15"})
        for (const NamedValues& tiling : tilings)
            for (const NamedValues& memory : memories)
                for (const std::uint64_t tiles : {1, 2, 3, 4}) {
                    const NamedValues values =
                        inFlight(with(with({{"model", model}, {"activations", "fp16"}}, tiling), memory), tiles);
                    const std::size_t widest = widestGroup(jobOf(controlsOf(values)));
                    ASSERT_FALSE(HasFailure()) << describe(values);
                    EXPECT_LE(widest, tiles) << describe(values);
                    EXPECT_EQ(widest > 1, tiles > 1) << describe(values);
                }
}

// As many groups as are needed, of even size: five tiles as three and two.
TEST(TilesInFlight, shareARowEvenly) {
    const auto widest = [](const char* size, std::uint64_t tiles) {
        return widestGroup(jobOf(
            controlsOf(inFlight({{"model", "taesd"}, {"size", size}, {"tile", "64"}, {"overlap", "16"}}, tiles))));
    };
    EXPECT_EQ(widest("256x112", 4), 3u);
    EXPECT_EQ(widest("256x112", 2), 2u);
    EXPECT_EQ(widest("208x112", 4), 4u);
    EXPECT_EQ(widest("112x256", 4), 2u); // never two rows of tiles, which would need a larger band
    EXPECT_EQ(widest("64x256", 4), 1u);
}

TEST(TilesInFlight, makeTheSamePicture) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const auto check = [&](const NamedValues& values, std::initializer_list<std::uint64_t> counts) {
        const Ran alone = runToMemory(*backend, runnableJobOf(controlsOf(values)));
        ASSERT_FALSE(alone.outcome.error) << describe(values) << alone.outcome.error->message;
        for (const std::uint64_t tiles : counts) {
            const NamedValues more = inFlight(values, tiles);
            const Job job = runnableJobOf(controlsOf(more));
            const Ran ran = runToMemory(*backend, job);
            ASSERT_FALSE(ran.outcome.error) << describe(more) << ran.outcome.error->message;
            EXPECT_EQ(ran.output, alone.output) << describe(more);
            expectSameMemory(planJob(job, backend->heap().traits()), ran.outcome.recording, describe(more));
            const Peak peak = findPeak(ran.outcome.recording);
            EXPECT_EQ(ran.outcome.recording.predicted, std::pair(peak.allocated, peak.reserved)) << describe(more);
        }
    };
    const NamedValues tiny{{"model", "taesd"}, {"activations", "fp32"}};
    for (const NamedValues& tiling : tilings) check(with(tiny, tiling), {3});
    for (const NamedValues& memory : memories) check(with(with(tiny, tilings.front()), memory), {4});
    const NamedValues kl{{"model", "sd15"}, {"activations", "fp32"}, {"size", "56x32"}, {"tile", "32"}};
    check(with(kl, {{"overlap", "8"}, {"norm", "on-load"}}), {2});
}

// What lives at the peak, by who it belongs to: what stays as long as the op runs is there once, all else is each
// tile's.
struct Held {
    std::uint64_t lasting = 0, ofTiles = 0;
};
Held heldAtPeak(const Recording& plan) {
    Held held;
    std::vector<bool> alive(plan.tensors.size(), false);
    const Peak peak = findPeak(plan);
    for (std::size_t i = 0; i <= peak.eventIndex; ++i) {
        const Event& event = plan.events[i];
        if (event.kind == EventKind::Alloc || event.kind == EventKind::Free)
            alive[event.tensor] = event.kind == EventKind::Alloc;
    }
    for (std::size_t t = 0; t < alive.size(); ++t) {
        const RecordedTensor& tensor = plan.tensors[t];
        if (!alive[t] || tensor.space == hostSpace) continue;
        const bool lasts = tensor.category == Category::Weights || tensor.category == Category::Staging ||
                           tensor.name.starts_with("tiles.");
        (lasts ? held.lasting : held.ofTiles) += tensor.bytes;
    }
    EXPECT_EQ(held.lasting + held.ofTiles, peak.allocated);
    return held;
}

TEST(TilesInFlight, growMemoryByOneTileEach) {
    // Twelve columns: every group is full.
    const NamedValues common{{"model", "flux1"}, {"size", "2368x1024"}, {"tile", "256"}, {"overlap", "64"}};
    for (const NamedValues& memory : std::vector<NamedValues>{
             {{"preset", "fastest"}}, {{"preset", "pytorch-eager"}}, {{"preset", "mlx-after"}}, {{"op", "encode"}}}) {
        const NamedValues values = with(memory, common);
        const auto heldWith = [&](std::uint64_t tiles) {
            return heldAtPeak(planJob(jobOf(controlsOf(inFlight(values, tiles)))));
        };
        const Held alone = heldWith(1);
        EXPECT_GT(alone.ofTiles, 0u);
        for (const std::uint64_t tiles : {2, 3, 4}) {
            const Held held = heldWith(tiles);
            EXPECT_EQ(held.lasting, alone.lasting) << describe(values) << tiles;
            EXPECT_EQ(held.ofTiles, tiles * alone.ofTiles) << describe(values) << tiles;
        }
    }
}

// Of tiles alone: whole pictures and stripes with shared statistics are what they are without.
TEST(TilesInFlight, leaveAllElseAsItIs) {
    for (const char* tile : {"off", "stripe:16"}) {
        const NamedValues values{{"model", "taesd"}, {"size", "64x64"}, {"tile", tile}};
        expectSameMemory(planJob(jobOf(controlsOf(values))), planJob(jobOf(controlsOf(inFlight(values, 4)))), tile);
    }
    Controls controls;
    for (const char* refused : {"0", "5", "x", ""}) EXPECT_FALSE(setControl(controls, "tiles-in-flight", refused));
}

} // namespace
} // namespace spikescope
