// However maps are cut into bands, the picture is the same. Protects: halos, statistics over all bands, maps that
// follow each other in one piece of memory, and the plan of all of it.

#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

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
};

TEST(Bands, makeTheSamePicture) {
    const auto session = openCpu();
    ASSERT_TRUE(session);
    const std::vector<NamedValues> cases{
        {{"model", "sd15"}, {"size", "72x88"}, {"activations", "fp32"}},
        {{"model", "taef2"}, {"size", "48x64"}, {"activations", "fp32"}},
        {{"model", "sd15"}, {"op", "encode"}, {"size", "72x88"}, {"activations", "fp32"}},
    };
    for (const NamedValues& common : cases) {
        const Ran whole = runJob(*session, runnableJobOf(controlsOf(common)));
        ASSERT_FALSE(whole.outcome.error) << whole.outcome.error->message;
        for (const NamedValues& banding : bandings) {
            NamedValues values = common;
            values.insert(values.end(), banding.begin(), banding.end());
            const Ran ran = runJob(*session, runnableJobOf(controlsOf(values)));
            ASSERT_FALSE(ran.outcome.error) << describe(values) << ran.outcome.error->message;
            EXPECT_LE(relativeL2(ran.output, whole.output), 1e-5) << describe(values);
            const Peak peak = findPeak(ran.outcome.recording);
            ASSERT_TRUE(ran.outcome.recording.predicted);
            EXPECT_EQ(peak.allocated, ran.outcome.recording.predicted->first) << describe(values);
            EXPECT_EQ(peak.reserved, ran.outcome.recording.predicted->second) << describe(values);
        }
    }
}

} // namespace
} // namespace spikescope
