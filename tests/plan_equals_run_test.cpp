// The promise everything stands on: a plan and the run of the same program hold the same memory, to the byte, and a run
// gives all of it back. Also: both kernel sets make the same picture, and the validation layer has nothing to say.

#include "core/timeline/peak.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

namespace spikescope {
namespace {

class PlanEqualsRun : public testing::TestWithParam<const char*> {};

TEST_P(PlanEqualsRun, forOpsDtypesAndLifetimes) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    for (const VaeTask op : {VaeTask::Decode, VaeTask::Encode})
        for (const DType dtype : {DType::BF16, DType::F16, DType::F32})
            for (const LifetimePolicy lifetime : {LifetimePolicy::Planned, LifetimePolicy::Stream}) {
                Controls controls = familyControls(GetParam(), op, dtype, lifetime, 32);
                controls.height =
                    48 / sizeMultiple(*findFamily(GetParam()), op) * sizeMultiple(*findFamily(GetParam()), op);
                controls.batch = dtype == DType::F16 ? 2 : 1;
                const Job job = runnableJobOf(controls);
                const Ran ran = runToMemory(*backend, job);
                const std::string what = fmt::format("{} op {} {} lifetime {}", GetParam(), static_cast<int>(op),
                                                     name(dtype), static_cast<int>(lifetime));
                ASSERT_FALSE(ran.outcome.error) << what << ": " << ran.outcome.error->message;
                expectSameMemory(planJob(job, backend->heap().traits()), ran.outcome.recording, what);
                EXPECT_EQ(backend->heap().liveBlocks(), 0u) << what;
                // A plan without a device knows the same numbers.
                EXPECT_EQ(findPeak(planJob(job)).allocated, findPeak(ran.outcome.recording).allocated) << what;
            }
}

INSTANTIATE_TEST_SUITE_P(Families, PlanEqualsRun,
                         testing::Values("sd15", "sdxl", "sd3", "flux1", "z-image", "flux2", "taesd", "taef1", "taef2"),
                         [](const auto& parameter) {
                             std::string name = parameter.param;
                             std::erase(name, '-');
                             return name;
                         });

TEST(KernelSets, agreeAndSatisfyTheValidationLayer) {
    const auto portable = openCpu(KernelChoice::Portable, true), best = openCpu();
    ASSERT_TRUE(portable && best);
    for (const char* family : {"taef2", "flux1"})
        for (const VaeTask op : {VaeTask::Decode, VaeTask::Encode}) {
            const Job job = runnableJobOf(familyControls(family, op, DType::F32, LifetimePolicy::Planned, 16));
            const Ran a = runToMemory(*portable, job), b = runToMemory(*best, job);
            ASSERT_FALSE(a.outcome.error || b.outcome.error) << family;
            EXPECT_LE(relativeL2(a.output, b.output), 2e-5) << family;
            expectSameMemory(b.outcome.recording, a.outcome.recording, family);
        }
    EXPECT_EQ(portable->validationMessages(), 0);
}

TEST(Lifetimes, makeTheSamePicture) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    for (const char* family : {"taef2", "sd15"}) {
        std::vector<std::vector<float>> outputs;
        for (const LifetimePolicy lifetime : {LifetimePolicy::Planned, LifetimePolicy::Stream, LifetimePolicy::Lazy}) {
            const Job job = runnableJobOf(familyControls(family, VaeTask::Decode, DType::F32, lifetime, 32));
            outputs.push_back(runToMemory(*backend, job).output);
        }
        // The same kernels in the same order: the same bits.
        EXPECT_EQ(outputs[0], outputs[1]) << family;
        EXPECT_EQ(outputs[0], outputs[2]) << family;
    }
}

TEST(Runs, areDeterministic) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const Job job = runnableJobOf(familyControls("flux1", VaeTask::Decode, DType::BF16, LifetimePolicy::Planned, 32));
    EXPECT_EQ(runToMemory(*backend, job).output, runToMemory(*backend, job).output);
}

} // namespace
} // namespace spikescope
