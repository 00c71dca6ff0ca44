// Allocators, the arena's layout and the planner, without a device. Protects: no two live tensors share bytes, every
// limit ends cleanly, the plan's own arithmetic.

#include "core/memory/allocator.h"
#include "core/program/walk.h"
#include "core/timeline/peak.h"
#include "tests/support/job_support.h"

#include <random>

namespace spikescope {
namespace {

TEST(ArenaLayout, keepsLiveTensorsApart) {
    std::mt19937 engine(1);
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    for (int round = 0; round < 200; ++round) {
        HeapTraits traits{.granularity = 256, .largestBlock = round % 2 ? 1u << 20 : 64u << 20};
        std::vector<Lifetime> lives(2 + random() % 120);
        for (Lifetime& life : lives) {
            life.begin = random() % 100;
            life.end = life.begin + 1 + random() % (random() % 4 ? 20 : 100);
            life.bytes = 1 + random() % (random() % 8 ? 5000 : 500000);
        }
        const auto layout = layOutArena(lives, traits);
        ASSERT_TRUE(layout) << layout.error().message;
        std::uint64_t total = 0;
        for (const std::uint64_t bytes : layout->chunkBytes) {
            EXPECT_LE(bytes, traits.largestBlock);
            total += bytes;
        }
        for (std::size_t i = 0; i < lives.size(); ++i) {
            const auto& a = layout->spots[i];
            EXPECT_EQ(a.offset % traits.granularity, 0u);
            EXPECT_LE(a.offset + lives[i].bytes, layout->chunkBytes[a.chunk]);
            for (std::size_t j = 0; j < i; ++j) {
                const auto& b = layout->spots[j];
                const bool together =
                    lives[i].begin < lives[j].end && lives[j].begin < lives[i].end && a.chunk == b.chunk;
                EXPECT_FALSE(together && a.offset < b.offset + lives[j].bytes && b.offset < a.offset + lives[i].bytes);
            }
        }
        for (std::uint32_t t = 0; t < 220; ++t) {
            std::uint64_t live = 0;
            for (const Lifetime& life : lives) live += life.begin <= t && t < life.end ? life.bytes : 0;
            EXPECT_GE(total, live);
        }
    }
}

// What lives more than once, as the tensors of tiles do, shares availableBytes with what it never meets, and with
// nothing else.
TEST(ArenaLayout, sharesRoomBetweenWhatNeverMeets) {
    std::mt19937 engine(11);
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    for (int round = 0; round < 100; ++round) {
        const std::uint32_t count = 2 + random() % 70;
        Program program;
        program.layers = {"layer"};
        for (std::uint32_t i = 0; i < count; ++i)
            program.tensors.push_back({.name = "t", .layer = LayerId{0}, .bytes = 1 + random() % 9000});
        std::vector<bool> alive(count, false);
        std::vector<std::vector<bool>> meet(count, std::vector<bool>(count, false));
        program.steps.push_back(PhaseStep{Phase::Load});
        const auto flip = [&](std::uint32_t i) {
            if (alive[i])
                program.steps.push_back(ReleaseStep{TensorId{i}});
            else
                program.steps.push_back(AcquireStep{TensorId{i}});
            alive[i] = !alive[i];
            for (std::uint32_t j = 0; j < count; ++j)
                if (alive[i] && alive[j]) meet[i][j] = meet[j][i] = true;
        };
        for (int i = 0; i < 150; ++i) flip(random() % count);
        for (std::uint32_t i = 0; i < count; ++i)
            if (alive[i]) flip(i);
        const auto [lives, earlier] = lifetimes(program);
        const auto layout = layOutArena(lives, {.granularity = 256}, earlier);
        ASSERT_TRUE(layout) << layout.error().message;
        for (std::uint32_t i = 0; i < count; ++i)
            for (std::uint32_t j = 0; j < i; ++j) {
                const bool last = lives[i].begin < lives[j].end && lives[j].begin < lives[i].end;
                EXPECT_EQ(last || earlier.overlapped(i, j), meet[i][j]);
                const std::uint64_t a = layout->spots[i].offset, b = layout->spots[j].offset;
                EXPECT_FALSE(meet[i][j] && a < b + lives[j].bytes && b < a + lives[i].bytes);
            }
    }
    // Two that take turns, and two that met once.
    const std::vector<Lifetime> lives{{.begin = 0, .end = 6, .bytes = 512}, {.begin = 6, .end = 8, .bytes = 512}};
    EXPECT_EQ(layOutArena(lives, {.granularity = 256})->chunkBytes, std::vector<std::uint64_t>{512});
    EarlierOverlaps earlier;
    earlier.add(0, 1);
    EXPECT_EQ(layOutArena(lives, {.granularity = 256}, earlier)->chunkBytes, std::vector<std::uint64_t>{1024});
}

TEST(ArenaLayout, refusesATensorLargerThanABlock) {
    const Lifetime life{.begin = 0, .end = 1, .bytes = 5000};
    const auto layout = layOutArena(std::span(&life, 1), {.granularity = 256, .largestBlock = 4096});
    ASSERT_FALSE(layout);
    EXPECT_EQ(layout.error().code, ErrorCode::OutOfDeviceMemory);
}

TEST(Plan, isBalancedForEveryFamily) {
    for (const Family& family : families())
        for (const VaeTask op : {VaeTask::Decode, VaeTask::Encode})
            for (const DType dtype : {DType::BF16, DType::F16, DType::F32})
                for (const LifetimePolicy lifetime :
                     {LifetimePolicy::Planned, LifetimePolicy::Stream, LifetimePolicy::Lazy}) {
                    const Job job = jobOf(familyControls(family.name, op, dtype, lifetime, 64));
                    VirtualHeap heap;
                    const Recording recording = plan(job.program, job.controls, heap);
                    EXPECT_EQ(heap.liveBlocks(), 0u);
                    ASSERT_FALSE(recording.failure);
                    std::vector<int> live(recording.tensors.size(), 0);
                    for (const Event& event : recording.events) {
                        EXPECT_LE(event.allocated, event.reserved);
                        if (event.kind == EventKind::Alloc) {
                            EXPECT_EQ(++live[event.tensor], 1);
                        }
                        if (event.kind == EventKind::Free) {
                            EXPECT_EQ(--live[event.tensor], 0);
                        }
                    }
                    EXPECT_EQ(recording.events.back().allocated, 0u);
                    EXPECT_EQ(recording.events.back().reserved, 0u);
                    const Peak peak = findPeak(recording);
                    std::uint64_t sum = 0;
                    for (const std::uint64_t bytes : peak.byCategory) sum += bytes;
                    EXPECT_EQ(sum, peak.allocated);
                }
}

TEST(Plan, endsCleanlyAtEveryLimit) {
    for (const LifetimePolicy lifetime : {LifetimePolicy::Planned, LifetimePolicy::Stream, LifetimePolicy::Lazy}) {
        const Job job = jobOf(familyControls("taesd", VaeTask::Decode, DType::BF16, lifetime, 32));
        VirtualHeap unlimited;
        const Peak peak = findPeak(plan(job.program, job.controls, unlimited));
        const std::uint64_t need = peak.reserved;
        for (std::uint64_t limit = 0; limit < need; limit += need / 97 + 1) {
            VirtualHeap heap({}, limit);
            const Recording recording = plan(job.program, job.controls, heap);
            EXPECT_EQ(heap.liveBlocks(), 0u);
            // An allocator that caches returns what it does not use before it gives up.
            if (!recording.failure && limit >= peak.allocated && lifetime != LifetimePolicy::Planned) continue;
            ASSERT_TRUE(recording.failure) << limit;
            EXPECT_EQ(recording.failure->code, ErrorCode::OutOfDeviceMemory);
            EXPECT_FALSE(recording.failure->layer.empty());
            EXPECT_FALSE(recording.failure->tensor.empty());
            if (!recording.events.empty()) {
                EXPECT_EQ(recording.events.back().reserved, 0u);
            }
        }
        VirtualHeap enough({}, need);
        EXPECT_FALSE(plan(job.program, job.controls, enough).failure);
    }
}

// Elements of working memory per output pixel at up_blocks.3.resnets.0.conv1: input 256, normed 256, output 128.
TEST(Plan, needs640ElementsPerPixel) {
    for (const std::uint64_t side : {512u, 1024u, 2048u, 8192u}) {
        const Peak peak = findPeak(
            planJob(jobOf(familyControls("flux1", VaeTask::Decode, DType::BF16, LifetimePolicy::Planned, side))));
        EXPECT_EQ(peak.layer, "decoder.up_blocks.3.resnets.0.conv1");
        EXPECT_EQ(peak.working, 640 * side * side * 2);
        EXPECT_EQ(peak.byCategory[static_cast<std::size_t>(Category::Activation)], peak.working);
    }
}

TEST(Plan, arenaTakesNoMoreThanThePeakAndStaging) {
    for (const Family& family : families()) {
        const Peak peak = findPeak(
            planJob(jobOf(familyControls(family.name, VaeTask::Decode, DType::BF16, LifetimePolicy::Planned, 512))));
        EXPECT_LE(peak.reserved, peak.allocated + (std::uint64_t{9} << 20)) << family.name;
    }
}

} // namespace
} // namespace spikescope
