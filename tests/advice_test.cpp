// What advice stands on: the driver's word beside ours, and presets that are what they claim.

#include "core/advise/advice.h"
#include "core/timeline/driver_truth.h"
#include "tests/support/job_support.h"

#include <gtest/gtest.h>

namespace spikescope {
namespace {

TEST(DriverTruth, setsStagingApartAndFindsTheFarthestSample) {
    Recording run;
    run.tensors = {{.name = "map", .bytes = 1000}, {.name = "staging", .category = Category::Staging, .bytes = 300}};
    Recorder recorder(run);
    run.samples = {{.event = 0, .driverBytes = 50, .processBytes = 1}};
    recorder.reserve(1, 300);
    recorder.alloc(1, 1, 300);
    recorder.reserve(1000, 1000);
    recorder.alloc(0, 1000, 1000);
    run.samples.push_back({.event = 4, .driverBytes = 1060, .processBytes = 1});
    recorder.free(1, 1, 300);
    recorder.returned(1, 300);
    recorder.free(0, 1000, 1000);
    recorder.returned(1000, 1000);
    run.samples.push_back({.event = 8, .driverBytes = 45, .processBytes = 1});
    const auto truth = driverTruth(run);
    ASSERT_TRUE(truth);
    EXPECT_EQ(truth->baseline, 50u);
    EXPECT_EQ(truth->peak, 1010u);
    EXPECT_EQ(truth->reserved, 1000u);
    EXPECT_EQ(truth->largestDifference, 10);
    for (Sample& sample : run.samples) sample.driverBytes.reset();
    EXPECT_FALSE(driverTruth(run));
}

// No single flip takes memory off the leanest preset, but those that cost more time than it may: finer stripes, maps
// in host memory, and doublings that are not folded into their weights, which saves the 7 MiB that those are larger.
TEST(Advice, leanestCannotBeMadeLeaner) {
    for (const char* model : {"flux1", "sdxl", "taesd", "taef2"}) {
        const auto advice =
            advise(controlsOf({{"model", model}, {"preset", "leanest"}, {"size", "1024x1024"}}), {}, nullptr);
        ASSERT_TRUE(advice) << advice.error().message;
        ASSERT_GT(advice->flips.size(), 30u);
        for (const Flip& flip : advice->flips)
            EXPECT_TRUE(flip.control == "tile" || flip.control == "upsample" || flip.to == "host" ||
                        flip.allocated >= advice->allocated)
                << model << " " << flip.control << " " << flip.to;
    }
}

TEST(Advice, flipsAreWhatAPlanSays) {
    const Controls controls = controlsOf({{"model", "flux1"}, {"preset", "mlx-before"}, {"size", "512x512"}});
    const auto advice = advise(controls, {}, nullptr, std::uint64_t{12} << 30);
    ASSERT_TRUE(advice);
    std::uint64_t last = 0;
    std::size_t fitting = 0;
    for (const Flip& flip : advice->flips) {
        EXPECT_GE(flip.allocated, last);
        last = flip.allocated;
        Controls flipped = controls;
        ASSERT_TRUE(setControl(flipped, flip.control, flip.to));
        const Peak peak = findPeak(planJob(jobOf(flipped)));
        EXPECT_EQ(flip.allocated, peak.allocated) << flip.control << " " << flip.to;
        EXPECT_EQ(flip.reserved, peak.reserved);
        EXPECT_EQ(flip.layer, peak.layer);
        flipped.budgetBytes = std::uint64_t{12} << 30;
        flipped.enforce = true;
        EXPECT_EQ(flip.fits, !planJob(jobOf(flipped)).failure) << flip.control << " " << flip.to;
        fitting += flip.fits;
    }
    EXPECT_GT(fitting, 0u);
    EXPECT_LT(fitting, advice->flips.size());
}

} // namespace
} // namespace spikescope
