// Protects: that planning, advising and fitting need no device. This program links none of the Vulkan backend.

#include "core/advise/fit.h"

#include <gtest/gtest.h>

namespace spikescope {
namespace {

Controls flux1() {
    Controls controls;
    controls.model = "flux1";
    controls.width = controls.height = 1024;
    return controls;
}

TEST(WithoutDevice, aJobIsPlanned) {
    const auto job = makeJob(flux1(), std::monostate{});
    ASSERT_TRUE(job) << job.error().message;
    const Recording recording = planJob(*job);
    EXPECT_FALSE(recording.failure);
    EXPECT_GT(findPeak(recording).reserved, std::uint64_t{100} << 20);
}

TEST(WithoutDevice, flipsAreAdvised) {
    const Rates rates = Rates::ofCountedWork();
    const auto advice = advise(flux1(), {}, &rates);
    ASSERT_TRUE(advice) << advice.error().message;
    EXPECT_FALSE(advice->flips.empty());
    EXPECT_TRUE(advice->ms);
}

TEST(WithoutDevice, aConfigurationIsFitted) {
    const auto fitted = fit(flux1(), {}, std::uint64_t{1} << 29, nullptr);
    ASSERT_TRUE(fitted) << fitted.error().message;
    ASSERT_TRUE(fitted->chosen) << fitted->refusal;
    EXPECT_LE(fitted->chosen->peak.reserved, std::uint64_t{1} << 29);
}

} // namespace
} // namespace spikescope
