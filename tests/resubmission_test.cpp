// Commands that are recorded once and submitted again. Protects: that pictures and memory stay what they are, with work
// in flight and without; that every op of every run has its times, in order; that nothing is recorded which was
// recorded before; that a run can end anywhere amid it.

#include "tests/support/job_support.h"
#include "tests/support/one_call.h"
#include "tests/support/run_support.h"

#include <algorithm>
#include <set>

namespace spikescope {
namespace {

// Functions in the place of Vulkan's that count, and fail when a countdown reaches zero.
struct Watched {
    static inline PFN_vkBeginCommandBuffer realBegin = nullptr;
    static inline PFN_vkQueueSubmit realSubmit = nullptr;
    static inline PFN_vkCmdCopyBuffer realCopy = nullptr;
    static inline PFN_vkCmdFillBuffer realFill = nullptr;
    static inline std::uint64_t begun = 0, submitted = 0; // command buffers
    static inline std::uint64_t copies = 0;               // and fills
    static inline int beginsLeft = -1, submitsLeft = -1;  // negative: all

    static VKAPI_ATTR VkResult VKAPI_CALL begin(VkCommandBuffer commands, const VkCommandBufferBeginInfo* info) {
        if (beginsLeft == 0) return VK_ERROR_OUT_OF_HOST_MEMORY;
        if (beginsLeft > 0) --beginsLeft;
        ++begun;
        return realBegin(commands, info);
    }
    static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, std::uint32_t count, const VkSubmitInfo* infos,
                                                 VkFence fence) {
        if (submitsLeft == 0) return VK_ERROR_DEVICE_LOST;
        if (submitsLeft > 0) --submitsLeft;
        submitted += infos->commandBufferCount;
        return realSubmit(queue, count, infos, fence);
    }
    static VKAPI_ATTR void VKAPI_CALL copy(VkCommandBuffer commands, VkBuffer from, VkBuffer to, std::uint32_t count,
                                           const VkBufferCopy* regions) {
        ++copies;
        realCopy(commands, from, to, count, regions);
    }
    static VKAPI_ATTR void VKAPI_CALL fill(VkCommandBuffer commands, VkBuffer buffer, VkDeviceSize offset,
                                           VkDeviceSize bytes, std::uint32_t value) {
        ++copies;
        realFill(commands, buffer, offset, bytes, value);
    }
    static void watch(VulkanBackend& backend) {
        VulkanFunctions& vk = backend.device().vk;
        realCopy = std::exchange(vk.CmdCopyBuffer, copy);
        realFill = std::exchange(vk.CmdFillBuffer, fill);
        realBegin = std::exchange(vk.BeginCommandBuffer, begin);
        realSubmit = std::exchange(vk.QueueSubmit, submit);
        beginsLeft = submitsLeft = -1;
    }
};

void expectTimes(const Recording& recording, const std::string& what) {
    std::int64_t begin = 0, end = 0;
    for (const RecordedOp& op : recording.ops) {
        ASSERT_GE(op.beginNs, begin) << what << op.name;
        ASSERT_GE(op.endNs, end) << what << op.name;
        ASSERT_GT(op.endNs, op.beginNs) << what << op.name;
        begin = op.beginNs;
        end = op.endNs;
    }
    ASSERT_FALSE(recording.ops.empty()) << what;
    EXPECT_LT(end, 600'000'000'000) << what; // since the first one, not since the machine was started
}

// Whether work stays in flight, as on a GPU; a CPU device is waited for after every op unless a test asks otherwise.
class Resubmission : public testing::TestWithParam<bool> {
protected:
    void SetUp() override { open(KernelChoice::Best); }
    void open(KernelChoice kernels) {
        backend = openCpu(kernels, true, SubmitPolicy{.waitForEachOp = !GetParam()});
        ASSERT_TRUE(backend);
        Watched::watch(*backend);
    }
    void TearDown() override { EXPECT_EQ(backend->validationMessages(), 0); }

    Ran run(const NamedValues& values) {
        Watched::begun = Watched::submitted = Watched::copies = 0;
        const Job job = runnableJobOf(controlsOf(values));
        Ran ran = runToMemory(*backend, job);
        EXPECT_FALSE(ran.outcome.error) << describe(values) << ran.outcome.error->message;
        expectTimes(ran.outcome.recording, describe(values));
        expectSameMemory(planJob(job, backend->heap().traits()), ran.outcome.recording, describe(values));
        return ran;
    }

    std::unique_ptr<VulkanBackend> backend;
};

// Names of what is recorded, as a debugger gets them.
struct Labels {
    static inline std::set<std::string> names;
    static inline std::int64_t open = 0;

    static VKAPI_ATTR void VKAPI_CALL begin(VkCommandBuffer, const VkDebugUtilsLabelEXT* label) {
        names.insert(label->pLabelName);
        ++open;
    }
    static VKAPI_ATTR void VKAPI_CALL end(VkCommandBuffer) {
        EXPECT_GT(open, 0);
        --open;
    }
};

// Protects: that RenderDoc and Nsight show layers and ops.
TEST(Names, ofEveryOpAreItsLayerAndItsKernel) {
    const std::unique_ptr<VulkanBackend> backend = openCpu();
    ASSERT_TRUE(backend);
    VulkanFunctions& vk = backend->device().vk;
    if (!vk.CmdBeginDebugUtilsLabel) GTEST_SKIP() << "the loader has no VK_EXT_debug_utils";
    vk.CmdBeginDebugUtilsLabel = Labels::begin;
    vk.CmdEndDebugUtilsLabel = Labels::end;
    const Ran ran = runToMemory(*backend, runnableJobOf(controlsOf({{"model", "taesd"}, {"size", "16x16"}})));
    ASSERT_FALSE(ran.outcome.error) << ran.outcome.error->message;
    EXPECT_EQ(Labels::open, 0);
    for (const RecordedOp& op : ran.outcome.recording.ops) {
        if (op.name == "upload" || op.name == "download") continue;
        EXPECT_TRUE(Labels::names.contains(ran.outcome.recording.layers[op.layer] + " " + op.name)) << op.name;
    }
}

NamedValues repeated(NamedValues values, std::uint64_t times) {
    values.emplace_back("repeat", std::to_string(times));
    return values;
}

const NamedValues whole{{"model", "taesd"}, {"size", "16x16"}};
const NamedValues tiled{{"model", "taesd"}, {"size", "56x56"}, {"tile", "32"}, {"overlap", "8"}};

TEST_P(Resubmission, leavesPicturesAsTheyAre) {
    for (const NamedValues& more : std::vector<NamedValues>{{},
                                                            {{"tiles-in-flight", "3"}},
                                                            {{"allocator", "caching"}, {"lifetime", "stream"}},
                                                            {{"allocator", "direct"}, {"lifetime", "stream"}},
                                                            {{"evaluate", "ops:5"}, {"ahead", "2"}}})
        for (NamedValues values : {whole, tiled}) {
            values.insert(values.end(), more.begin(), more.end());
            const Ran once = run(values);
            EXPECT_EQ(run(repeated(values, 4)).output, once.output) << describe(values);
        }
}

// Of further runs only the copies are recorded, and what cannot be submitted again because it is in flight.
TEST_P(Resubmission, recordsOnce) {
    for (const NamedValues& values : {whole, tiled}) {
        run(repeated(values, 2));
        const std::uint64_t begun = Watched::begun, submitted = Watched::submitted, copies = Watched::copies;
        run(repeated(values, 12));
        const std::uint64_t moreBegun = Watched::begun - begun, moreCopies = Watched::copies - copies;
        EXPECT_GT(Watched::submitted - submitted, moreCopies);
        if (GetParam()) {
            EXPECT_LE(moreBegun, moreCopies + 3 * begun);
        } else {
            EXPECT_EQ(moreBegun, moreCopies);
        }
    }
}

TEST_P(Resubmission, worksForPortableKernels) {
    open(KernelChoice::Portable);
    for (const NamedValues& values :
         {whole, NamedValues{{"model", "taesd"}, {"size", "56x32"}, {"tile", "32"}, {"overlap", "8"}}}) {
        const Ran once = run(values);
        const std::uint64_t begun = Watched::begun, copies = Watched::copies;
        EXPECT_EQ(run(repeated(values, 3)).output, once.output) << describe(values);
        if (!GetParam()) {
            EXPECT_EQ(Watched::begun - begun, Watched::copies - copies);
        }
    }
}

// Tiles of one run are the same calls, too. Of each one more there is to record its input, and its way into the
// picture, which is another one each time.
TEST_P(Resubmission, ofTilesOfOneRun) {
    const auto recorded = [&](const char* size) {
        const Ran ran = run({{"model", "taesd"}, {"size", size}, {"tile", "32"}, {"overlap", "8"}});
        return std::pair(Watched::begun, ran.outcome.recording.tiles.size());
    };
    const auto [few, fewTiles] = recorded("128x56");
    const auto [many, manyTiles] = recorded("128x104");
    EXPECT_GT(manyTiles, fewTiles + 5);
    if (!GetParam()) { // else some are in flight
        EXPECT_LE(many - few, 3 * (manyTiles - fewTiles));
    }
}

TEST_P(Resubmission, tellsTimesInTheMidst) {
    const Job job = runnableJobOf(controlsOf(repeated(whole, 3)));
    std::size_t told = 0;
    const RunOutcome outcome = runJob(*backend, job, {}, CancelFlag{}, [&](const Progress& progress) {
        if (progress.done % 7 != 0) return;
        const Recording soFar = progress.recordingSoFar();
        std::int64_t last = 0;
        for (const RecordedOp& op : soFar.ops) {
            EXPECT_GE(op.endNs, op.beginNs);
            EXPECT_GE(op.beginNs, last);
            last = op.beginNs;
        }
        told += static_cast<std::size_t>(
            std::ranges::count_if(soFar.ops, [](const RecordedOp& op) { return op.endNs > op.beginNs; }));
    });
    ASSERT_FALSE(outcome.error);
    EXPECT_GT(told, 0u);
    expectTimes(outcome.recording, "");
}

// A cancel, a lost device and memory that the host lacks, at moments of the second and third run.
TEST_P(Resubmission, canEndAnywhere) {
    const Job job = runnableJobOf(controlsOf(repeated(whole, 3)));
    const Ran reference = run(repeated(whole, 3));
    const auto ops = static_cast<std::uint32_t>(reference.outcome.recording.ops.size());
    const auto expectEnd = [&](const RunOutcome& outcome, ErrorCode code, std::uint64_t at) {
        ASSERT_TRUE(outcome.error) << at;
        EXPECT_EQ(outcome.error->code, code) << at << outcome.error->message;
        EXPECT_EQ(backend->heap().liveBlocks(), 0u) << at;
        EXPECT_EQ(outcome.recording.events.back().allocated, 0u) << at;
    };
    for (std::uint32_t at = ops / 2; at < ops; at += 5) {
        CancelFlag cancel;
        expectEnd(runJob(*backend, job, {}, cancel,
                         [&](const Progress& p) {
                             if (p.done == at) cancel.raise();
                         }),
                  ErrorCode::Cancelled, at);
    }
    const auto failing = [&](int& left, ErrorCode code) {
        for (int k = 0;; k += 3) {
            left = k;
            const RunOutcome outcome = runJob(*backend, job, {}, CancelFlag{});
            left = -1;
            if (!outcome.error) break;
            expectEnd(outcome, code, static_cast<std::uint64_t>(k));
        }
    };
    failing(Watched::submitsLeft, ErrorCode::DeviceLost);
    failing(Watched::beginsLeft, ErrorCode::OutOfHostMemory);
    EXPECT_EQ(runToMemory(*backend, job).output, reference.output);
}

INSTANTIATE_TEST_SUITE_P(Devices, Resubmission, testing::Bool(),
                         [](const auto& inFlight) { return inFlight.param ? "inFlight" : "waitedFor"; });

// An op with more work than one submission may have begins in one and ends in another.
TEST(CommandStream, timesOpsThatAreCut) {
    OneCall one(KernelChoice::Portable);
    const TensorId in = one.add(DType::F32, {.n = 1, .h = 64, .w = 64, .c = 64}),
                   out = one.add(DType::F32, {.n = 1, .h = 64, .w = 64, .c = 64});
    one.fill(in, 1.0);
    std::vector<Dispatch> dispatches;
    ASSERT_TRUE(one.kernels->encode(ActivationCall{.in = in, .out = out}, one.program, one.bindings, dispatches));
    ASSERT_EQ(dispatches.size(), 1u);
    // Said to be of a map that is far larger than the one it works on: two of its five dispatches fill a submission.
    Tensor large = one.program.tensor(in);
    large.shape = {.n = 1, .h = std::uint64_t{1} << 20, .w = std::uint64_t{1} << 20, .c = 1};
    Program program;
    program.layers = {"layer"};
    program.tensors = {large, one.program.tensor(in)};
    program.calls = {{.kernel = ActivationCall{.in = TensorId{0}, .out = TensorId{0}}, .layer = LayerId{0}},
                     {.kernel = ActivationCall{.in = TensorId{1}, .out = TensorId{1}}, .layer = LayerId{0}}};
    constexpr std::uint32_t runs = 20;
    for (std::uint32_t i = 0; i < runs; ++i)
        for (const std::uint32_t call : {0u, 1u}) program.steps.emplace_back(DispatchStep{call});
    const CancelFlag cancel;
    Watched::watch(*one.backend);
    for (const std::uint64_t width : {1, 3}) { // ops beside each other have as many dispatches
        Watched::begun = Watched::submitted = 0;
        CommandStream stream(one.backend->device(), program, {.waitForEachOp = false}, cancel);
        std::vector<Dispatch> few(width, dispatches.front()), many(5, dispatches.front());
        ASSERT_TRUE(stream.define(0, many));
        ASSERT_TRUE(stream.define(1, few));
        std::uint32_t op = 0;
        for (std::uint32_t i = 0; i < runs; ++i) {
            ASSERT_TRUE(stream.dispatch(0, true, op++));
            ASSERT_TRUE(stream.dispatch(1, false, op++));
        }
        ASSERT_TRUE(stream.submit());
        ASSERT_TRUE(one.backend->device().waitAll());
        Recording recording;
        recording.ops.resize(op);
        ASSERT_TRUE(stream.readTimes(recording.ops));
        EXPECT_EQ(Watched::submitted, 5 * runs / 2);
        EXPECT_LE(Watched::begun, 4 * 5u); // five pieces in turn, each once for each that can be in flight
        std::int64_t end = 0;
        for (const RecordedOp& each : recording.ops) {
            EXPECT_GT(each.endNs, each.beginNs);
            EXPECT_GE(each.endNs, end);
            end = each.endNs;
        }
        for (std::uint32_t i = 2; i < op; i += 2) EXPECT_GE(recording.ops[i].beginNs, recording.ops[i - 2].endNs);
    }
}

} // namespace
} // namespace spikescope
