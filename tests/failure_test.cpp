// Out of memory, a lost device and a cancel at every possible point: the run ends with a cause, everything is freed,
// all of it stands in the Recording, and the backend can run again.

#include "core/advise/advice.h"
#include "core/timeline/peak.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

#include <algorithm>
#include <set>

namespace spikescope {
namespace {

// Functions in the place of Vulkan's that fail when a countdown reaches zero.
struct Faults {
    static inline PFN_vkAllocateMemory realAllocate = nullptr;
    static inline PFN_vkQueueSubmit realSubmit = nullptr;
    static inline int allocationsLeft = -1, submitsLeft = -1; // negative: never

    static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo* info,
                                                   const VkAllocationCallbacks* callbacks, VkDeviceMemory* memory) {
        if (allocationsLeft == 0) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
        if (allocationsLeft > 0) --allocationsLeft;
        return realAllocate(device, info, callbacks, memory);
    }
    static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, std::uint32_t count, const VkSubmitInfo* infos,
                                                 VkFence fence) {
        if (submitsLeft == 0) return VK_ERROR_DEVICE_LOST;
        if (submitsLeft > 0) --submitsLeft;
        return realSubmit(queue, count, infos, fence);
    }
};

// Lifetime and allocator, by name.
class FailureTest : public testing::TestWithParam<std::pair<const char*, const char*>> {
protected:
    void SetUp() override {
        backend = openCpu();
        ASSERT_TRUE(backend);
        VulkanFunctions& vk = backend->device().vk;
        Faults::realAllocate = std::exchange(vk.AllocateMemory, Faults::allocate);
        Faults::realSubmit = std::exchange(vk.QueueSubmit, Faults::submit);
        Faults::allocationsLeft = Faults::submitsLeft = -1;
        job = runnableJobOf(controlsOf({{"model", "taesd"},
                                        {"size", "16x16"},
                                        {"lifetime", GetParam().first},
                                        {"allocator", GetParam().second},
                                        {"ahead", "1"},
                                        {"resident", "text=0.001"},
                                        {"offload", "never"}}));
        reference = runToMemory(*backend, job).output;
        ASSERT_FALSE(reference.empty());
    }

    void expectCleanEnd(const Ran& ran, ErrorCode code, const std::string& what) {
        ASSERT_TRUE(ran.outcome.error) << what;
        EXPECT_EQ(ran.outcome.error->code, code) << what << ": " << ran.outcome.error->message;
        const Recording& recording = ran.outcome.recording;
        ASSERT_TRUE(recording.failure) << what;
        EXPECT_EQ(backend->heap().liveBlocks(), 0u) << what;
        if (!recording.events.empty()) {
            EXPECT_EQ(recording.events.back().allocated, 0u) << what;
            EXPECT_EQ(recording.events.back().reserved, 0u) << what;
        }
    }

    std::unique_ptr<VulkanBackend> backend;
    Job job;
    std::vector<float> reference;
};

TEST_P(FailureTest, outOfDeviceMemoryAtEveryAllocation) {
    for (int k = 0;; ++k) {
        Faults::allocationsLeft = k;
        const Ran ran = runToMemory(*backend, job);
        const bool enough = Faults::allocationsLeft > 0 || !ran.outcome.error;
        Faults::allocationsLeft = -1;
        if (enough) {
            EXPECT_GT(k, GetParam().second == std::string("direct") ? 80 : 2); // the failing function was really used
            break;
        }
        expectCleanEnd(ran, ErrorCode::OutOfDeviceMemory, fmt::format("allocation {}", k));
        EXPECT_FALSE(ran.outcome.recording.failure->tensor.empty());
        EXPECT_FALSE(ran.outcome.recording.failure->layer.empty());
        EXPECT_GT(ran.outcome.recording.failure->bytesWanted, 0u);
    }
    EXPECT_EQ(runToMemory(*backend, job).output, reference);
}

TEST_P(FailureTest, cancelAtEveryOp) {
    const std::size_t ops = runToMemory(*backend, job).outcome.recording.ops.size();
    for (std::uint32_t at = 0; at < ops; ++at) {
        CancelFlag cancel;
        Ran ran;
        ran.outcome = runJob(*backend, job, {}, cancel, [&](const Progress& p) {
            if (p.done == at) cancel.raise();
        });
        expectCleanEnd(ran, ErrorCode::Cancelled, fmt::format("op {}", at));
        EXPECT_LE(ran.outcome.recording.ops.size(), at + 1u); // nothing was begun after the op in which it was asked
    }
    EXPECT_EQ(runToMemory(*backend, job).output, reference);
}

TEST_P(FailureTest, lostDeviceAtEverySubmission) {
    for (int k = 0;; ++k) {
        Faults::submitsLeft = k;
        const Ran ran = runToMemory(*backend, job);
        Faults::submitsLeft = -1;
        if (!ran.outcome.error) {
            EXPECT_GT(k, 80);
            break;
        }
        expectCleanEnd(ran, ErrorCode::DeviceLost, fmt::format("submission {}", k));
    }
}

// The heap refuses beyond a budget: plan and run stop at the same event, for the same reason, and say what would fit.
TEST_P(FailureTest, enforcedBudgetStopsPlanAndRunAlike) {
    const std::uint64_t need = findPeak(planJob(job, backend->heap().traits())).reserved;
    for (int part = 0; part < 12; ++part) {
        Controls controls = job.controls;
        controls.budgetBytes = need * static_cast<std::uint64_t>(part) / 12 + 1;
        controls.enforce = true;
        const Job limited = runnableJobOf(controls);
        const Recording plan = planJob(limited, backend->heap().traits());
        const Ran ran = runToMemory(*backend, limited);
        expectCleanEnd(ran, ErrorCode::OutOfDeviceMemory, fmt::format("{} of 12", part));
        ASSERT_TRUE(plan.failure);
        const Failure &planned = *plan.failure, &measured = *ran.outcome.recording.failure;
        EXPECT_EQ(planned.layer, measured.layer);
        EXPECT_EQ(planned.tensor, measured.tensor);
        EXPECT_EQ(planned.event, measured.event);
        EXPECT_EQ(planned.bytesWanted, measured.bytesWanted);
        expectSameMemory(plan, ran.outcome.recording, fmt::format("{} of 12", part));
        for (const Event& event : ran.outcome.recording.events) EXPECT_LE(event.reserved, *controls.budgetBytes);
    }
    EXPECT_EQ(runToMemory(*backend, job).output, reference);
}

// Maps that go to the host need memory of the driver's there, too; its refusal is not the device's.
TEST_P(FailureTest, outOfHostMemoryIsSaidToBeThat) {
    job = runnableJobOf(controlsOf({{"model", "taesd"},
                                    {"size", "64x64"},
                                    {"lifetime", GetParam().first},
                                    {"allocator", GetParam().second},
                                    {"tile", "stripe:16"},
                                    {"spill", "host"}}));
    std::set<ErrorCode> refusals;
    for (int k = 0;; ++k) {
        Faults::allocationsLeft = k;
        const Ran ran = runToMemory(*backend, job);
        Faults::allocationsLeft = -1;
        if (!ran.outcome.error) break;
        const ErrorCode code = ran.outcome.error->code;
        refusals.insert(code);
        EXPECT_EQ(ran.outcome.error->message.find("of host memory wanted") != std::string::npos,
                  code == ErrorCode::OutOfHostMemory)
            << ran.outcome.error->message;
        expectCleanEnd(ran, code, fmt::format("allocation {}", k));
    }
    EXPECT_EQ(refusals, (std::set{ErrorCode::OutOfDeviceMemory, ErrorCode::OutOfHostMemory}));
}

INSTANTIATE_TEST_SUITE_P(Policies, FailureTest,
                         testing::Values(std::pair("planned", "arena"), std::pair("stream", "direct"),
                                         std::pair("stream", "caching"), std::pair("lazy", "cache-limit:0.001")));

TEST(Advice, afterRunningOutNamesFlipsThatFit) {
    // Columns of 9 times the map do not fit; without them, or in pieces, they do.
    const Controls roomy = controlsOf({{"model", "flux1"}, {"size", "512x512"}, {"conv", "im2col"}});
    Controls controls = roomy;
    controls.budgetBytes = std::uint64_t{1} << 30;
    controls.enforce = true;
    Recording plan = planJob(jobOf(controls));
    ASSERT_TRUE(plan.failure);
    adviseFailure(plan, controls, {});
    const auto& fits = plan.failure->fits;
    EXPECT_NE(std::ranges::find(fits, "conv direct"), fits.end());
    EXPECT_NE(std::ranges::find(fits, "conv im2col:256"), fits.end());
    EXPECT_EQ(std::ranges::find(fits, "activations fp32"), fits.end());
    for (const std::string& flip : fits) {
        Controls flipped = controls;
        const auto blank = flip.find(' ');
        ASSERT_TRUE(setControl(flipped, flip.substr(0, blank), flip.substr(blank + 1)));
        EXPECT_FALSE(planJob(jobOf(flipped)).failure) << flip; // it fits indeed
    }
}

} // namespace
} // namespace spikescope
