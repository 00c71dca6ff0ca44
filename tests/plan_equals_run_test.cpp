// The promise everything stands on: a plan and the run of the same program hold the same memory, to the byte, and a run
// gives all of it back. Also: both kernel sets make the same picture, and the validation layer has nothing to say.

#include "core/timeline/peak.h"
#include "tests/support/run_support.h"

namespace spikescope {
namespace {

Controls controlsOf(std::string_view family, VaeOp op, DType dtype, LifetimePolicy lifetime, std::uint64_t side) {
    Controls controls;
    controls.model = family;
    controls.op = op;
    controls.activations = dtype;
    controls.lifetime = lifetime;
    controls.width = controls.height = side;
    return controls;
}

// Any picture will do for an encode.
void givePicture(Job& job) {
    if (job.controls.op != VaeOp::Encode) return;
    job.input = Input{.width = job.controls.width,
                      .height = job.controls.height,
                      .batch = job.controls.batch,
                      .read = [](std::uint64_t begin, std::span<float> out) {
                          for (std::size_t i = 0; i < out.size(); ++i)
                              out[i] = static_cast<float>((begin + i) % 256) / 255.0f;
                      }};
}

void expectSameMemory(const Recording& plan, const Recording& run, const std::string& what) {
    ASSERT_EQ(plan.events.size(), run.events.size()) << what;
    for (std::size_t i = 0; i < plan.events.size(); ++i) {
        const Event &p = plan.events[i], &r = run.events[i];
        ASSERT_TRUE(p.kind == r.kind && p.tensor == r.tensor && p.bytes == r.bytes && p.allocated == r.allocated &&
                    p.reserved == r.reserved && p.workspace == r.workspace && p.op == r.op)
            << what << ", event " << i;
    }
    const Peak planned = findPeak(plan), measured = findPeak(run);
    EXPECT_EQ(planned.allocated, measured.allocated) << what;
    EXPECT_EQ(planned.reserved, measured.reserved) << what;
    EXPECT_EQ(planned.byCategory, measured.byCategory) << what;
    EXPECT_EQ(run.events.back().allocated, 0u) << what;
    EXPECT_EQ(run.events.back().reserved, 0u) << what;
}

class PlanEqualsRun : public testing::TestWithParam<const char*> {};

TEST_P(PlanEqualsRun, forOpsDtypesAndLifetimes) {
    const auto session = openCpu();
    ASSERT_TRUE(session);
    for (const VaeOp op : {VaeOp::Decode, VaeOp::Encode})
        for (const DType dtype : {DType::BF16, DType::F16, DType::F32})
            for (const LifetimePolicy lifetime : {LifetimePolicy::Planned, LifetimePolicy::Stream}) {
                Controls controls = controlsOf(GetParam(), op, dtype, lifetime, 32);
                controls.height = 48 / sizeMultiple(*findFamily(GetParam())) * sizeMultiple(*findFamily(GetParam()));
                controls.batch = dtype == DType::F16 ? 2 : 1;
                auto job = prepare(controls, op == VaeOp::Decode ? InputChoice(std::uint64_t{3}) : InputChoice{});
                ASSERT_TRUE(job) << job.error().message;
                givePicture(*job);
                const Ran ran = runJob(*session, *job);
                const std::string what = fmt::format("{} op {} {} lifetime {}", GetParam(), static_cast<int>(op),
                                                     name(dtype), static_cast<int>(lifetime));
                ASSERT_FALSE(ran.outcome.error) << what << ": " << ran.outcome.error->message;
                expectSameMemory(planJob(*job, session->heap().traits()), ran.outcome.recording, what);
                EXPECT_EQ(session->heap().liveBlocks(), 0u) << what;
                // A plan without a device knows the same numbers.
                EXPECT_EQ(findPeak(planJob(*job)).allocated, findPeak(ran.outcome.recording).allocated) << what;
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
        for (const VaeOp op : {VaeOp::Decode, VaeOp::Encode}) {
            auto job = prepare(controlsOf(family, op, DType::F32, LifetimePolicy::Planned, 16),
                               op == VaeOp::Decode ? InputChoice(std::uint64_t{5}) : InputChoice{});
            ASSERT_TRUE(job) << job.error().message;
            givePicture(*job);
            const Ran a = runJob(*portable, *job), b = runJob(*best, *job);
            ASSERT_FALSE(a.outcome.error || b.outcome.error) << family;
            EXPECT_LE(relativeL2(a.output, b.output), 2e-5) << family;
            expectSameMemory(b.outcome.recording, a.outcome.recording, family);
        }
    EXPECT_EQ(portable->validationMessages(), 0);
}

TEST(Lifetimes, makeTheSamePicture) {
    const auto session = openCpu();
    ASSERT_TRUE(session);
    for (const char* family : {"taef2", "sd15"}) {
        std::vector<std::vector<float>> outputs;
        for (const LifetimePolicy lifetime : {LifetimePolicy::Planned, LifetimePolicy::Stream}) {
            auto job = prepare(controlsOf(family, VaeOp::Decode, DType::F32, lifetime, 32), std::uint64_t{9});
            ASSERT_TRUE(job);
            outputs.push_back(runJob(*session, *job).output);
        }
        EXPECT_EQ(outputs[0], outputs[1]) << family; // the same kernels in the same order: the same bits
    }
}

TEST(Runs, areDeterministic) {
    const auto session = openCpu();
    ASSERT_TRUE(session);
    auto job = prepare(controlsOf("flux1", VaeOp::Decode, DType::BF16, LifetimePolicy::Planned, 32), std::uint64_t{9});
    ASSERT_TRUE(job);
    EXPECT_EQ(runJob(*session, *job).output, runJob(*session, *job).output);
}

} // namespace
} // namespace spikescope
