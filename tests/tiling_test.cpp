// However maps are cut into bands, the picture is the same. Protects: halos, statistics over all bands, maps that
// follow each other in one piece of memory or go to the host, and the plan of all of it.

#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

#include "core/advise/estimate.h"
#include "core/timeline/peak.h"

namespace spikescope {
namespace {

const std::vector<NamedValues> bandings{
    {{"tile", "stripe:16"}},
    {{"tile", "stripe:24"}, {"spill", "recompute"}},
    {{"tile", "stripe:16"}, {"spill", "recompute"}, {"norm", "on-load"}, {"upsample", "folded"}},
    {{"tile", "stripe:40"}, {"spill", "recompute"}, {"norm", "separate"}, {"upsample", "nearest"}, {"conv", "im2col"}},
    {{"tile", "stripe:16"}, {"spill", "recompute"}, {"upsample", "broadcast"}, {"lifetime", "stream"}},
    {{"tile", "stripe:32"}, {"norm", "on-load"}, {"lifetime", "lazy"}, {"layout-copies", "on"}},
    {{"tile", "stripe:32"}, {"spill", "recompute"}, {"conv", "winograd"}, {"attention", "naive"}},
    {{"tile", "stripe:16"}, {"spill", "host"}},
    {{"tile", "stripe:24"}, {"spill", "host"}, {"norm", "on-load"}, {"upsample", "folded"}},
    {{"tile", "stripe:16"}, {"spill", "host"}, {"norm", "separate"}, {"upsample", "nearest"}, {"lifetime", "stream"}},
    {{"tile", "stripe:40"}, {"spill", "host"}, {"conv", "im2col"}, {"lifetime", "lazy"}, {"ahead", "1"}},
};

TEST(Bands, makeTheSamePicture) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const std::vector<NamedValues> cases{
        {{"model", "sd15"}, {"size", "72x88"}, {"activations", "fp32"}},
        {{"model", "taef2"}, {"size", "48x64"}, {"activations", "fp32"}},
        {{"model", "sd15"}, {"op", "encode"}, {"size", "72x88"}, {"activations", "fp32"}},
    };
    for (const NamedValues& common : cases) {
        const Ran whole = runToMemory(*backend, runnableJobOf(controlsOf(common)));
        ASSERT_FALSE(whole.outcome.error) << whole.outcome.error->message;
        for (const NamedValues& banding : bandings) {
            NamedValues values = common;
            values.insert(values.end(), banding.begin(), banding.end());
            const Job job = runnableJobOf(controlsOf(values));
            const Ran ran = runToMemory(*backend, job);
            ASSERT_FALSE(ran.outcome.error) << describe(values) << ran.outcome.error->message;
            EXPECT_LE(relativeL2(ran.output, whole.output), 1e-5) << describe(values);
            EXPECT_EQ(ran.outcome.recording.tiling, TilingKind::Exact);
            expectSameMemory(planJob(job, backend->heap().traits()), ran.outcome.recording, describe(values));
            const bool moves = job.controls.spill == Spill::Host;
            EXPECT_EQ(ran.outcome.recording.hostTraffic() > 0, moves) << describe(values);
            EXPECT_EQ(findPeak(ran.outcome.recording).host > 0, moves) << describe(values);
        }
    }
}

// Maps on the host leave the device bands of themselves, and the bus carries each of them there and back.
TEST(Bands, onTheHostHoldLessOfTheDevice) {
    for (const char* op : {"decode", "encode"})
        for (const char* lowering : {"fused", "on-load"}) {
            const auto jobOfSpill = [&](const char* spill) {
                return jobOf(controlsOf({{"model", "flux1"},
                                         {"op", op},
                                         {"size", "2048x2048"},
                                         {"norm", lowering},
                                         {"tile", "stripe:64"},
                                         {"spill", spill}}));
            };
            const auto planned = [&](const char* spill) { return planJob(jobOfSpill(spill)); };
            const auto ms = [&](const char* spill) {
                const Job job = jobOfSpill(spill);
                VirtualHeap heap;
                const TracedPlan traced(job, heap);
                return estimatePass(job.program, traced.recording, traced.trace(), Rates::ofCountedWork())->ms;
            };
            const Recording device = planned("device"), again = planned("recompute"), host = planned("host");
            const Peak peak = findPeak(host);
            EXPECT_LT(peak.working, findPeak(again).working / 2) << op << " " << lowering;
            EXPECT_GT(peak.working + peak.host, findPeak(device).working) << op << " " << lowering;
            EXPECT_GT(host.hostTraffic(), 2 * peak.host) << op << " " << lowering;
            EXPECT_EQ(device.hostTraffic() + again.hostTraffic(), 0u);
            EXPECT_GT(ms("host"), ms("device"));
        }
}

// Bands that attend to themselves alone make another picture as soon as there is more than one, in less work.
TEST(Bands, mayAttendToThemselves) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const auto run = [&](const char* tile, const char* attention) {
        const Job job = runnableJobOf(controlsOf({{"model", "sd15"},
                                                  {"size", "32x256"},
                                                  {"activations", "fp32"},
                                                  {"tile", tile},
                                                  {"tile-attention", attention},
                                                  {"spill", "recompute"}}));
        Ran ran = runToMemory(*backend, job);
        EXPECT_FALSE(ran.outcome.error) << ran.outcome.error->message;
        expectSameMemory(planJob(job, backend->heap().traits()), ran.outcome.recording, tile);
        return ran;
    };
    const auto attentions = [](const Ran& ran) {
        std::pair<std::size_t, std::uint64_t> sum;
        for (const RecordedOp& op : ran.outcome.recording.ops)
            if (op.name == "attention") {
                ++sum.first;
                sum.second += op.flops;
            }
        return sum;
    };
    const Ran global = run("stripe:16", "global"), own = run("stripe:16", "own"), one = run("stripe:32", "own");
    EXPECT_EQ(global.outcome.recording.tiling, TilingKind::Exact);
    EXPECT_EQ(own.outcome.recording.tiling, TilingKind::Approximate);
    // 32 rows of latents: two bands, or one that is the whole map.
    EXPECT_EQ(attentions(own).first, 2 * attentions(global).first);
    EXPECT_EQ(attentions(own).second, attentions(global).second / 2);
    EXPECT_LE(relativeL2(one.output, global.output), 1e-5);
    EXPECT_GT(relativeL2(own.output, global.output), 1e-4);
    EXPECT_LT(relativeL2(own.output, global.output), 0.3);
}

} // namespace
} // namespace spikescope
