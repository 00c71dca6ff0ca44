// Protects: that measuring a device frees everything, also when it is cancelled; that what is kept are times of calls;
// and that a run refines them unless the machine was busy.

#include "core/backend/measured_rates.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

#include <unistd.h>

#include <filesystem>

namespace spikescope {
namespace {

namespace fs = std::filesystem;

class MeasuredRatesTest : public testing::Test {
protected:
    void SetUp() override {
        auto opened = VulkanBackend::open({.device = testDevice()});
        ASSERT_TRUE(opened) << opened.error().message;
        backend = std::move(*opened);
        folder = fs::temp_directory_path() / ("spikescope-rates-" + std::to_string(getpid()));
        fs::remove_all(folder);
    }
    void TearDown() override {
        if (backend) {
            EXPECT_EQ(backend->heap().liveBlocks(), 0u);
        }
        fs::remove_all(folder);
    }
    // Every call of the job takes as long as given.
    void keep(const Job& job, double ns) const {
        Rates rates;
        for (const Call& call : job.program.calls)
            rates.set(workKind(call.kernel, job.program), {.work = workOf(call.kernel, job.program), .ns = ns});
        ASSERT_TRUE(backend->writeCache("rates", folder, rates.toJson()));
    }
    std::string kept() const { return backend->readCache("rates", folder).value_or(""); }

    std::unique_ptr<VulkanBackend> backend;
    std::string folder;
};

TEST_F(MeasuredRatesTest, everyCallHasTimesAndOthersStopWhenAskedTo) {
    const Job job = jobOf(controlsOf({{"model", "taesd"}, {"size", "64x64"}}));
    std::vector<CallOfProgram> calls;
    for (std::uint32_t i = 0; i < std::min<std::size_t>(job.program.calls.size(), 8); ++i)
        calls.push_back({.program = &job.program, .call = i});
    std::vector<bool> seen(calls.size(), false);
    ASSERT_TRUE(backend->timeCalls(calls, [&](std::size_t i, const std::optional<CallTimes>& times) {
        EXPECT_FALSE(seen[i]) << i;
        seen[i] = true;
        EXPECT_TRUE(times);
        if (times) {
            EXPECT_GT(times->ns, 0.0);
            EXPECT_GE(times->again.value_or(times->ns), times->ns);
        }
        return true;
    }));
    EXPECT_EQ(std::ranges::count(seen, true), static_cast<std::ptrdiff_t>(calls.size()));
    EXPECT_EQ(backend->heap().liveBlocks(), 0u);
    std::size_t count = 0;
    ASSERT_TRUE(backend->timeCalls(calls, [&](std::size_t, const std::optional<CallTimes>&) { return ++count < 2; }));
    EXPECT_EQ(count, 2u);
}

TEST_F(MeasuredRatesTest, aCancelLeavesNothing) {
    const Controls controls = controlsOf({{"model", "taesd"}, {"size", "64x64"}});
    CancelFlag cancel;
    const auto stopped = measureRates(
        *backend, controls,
        {.cacheFolder = folder, .mostLoad = 1.0, .cancel = &cancel, .progress = [&](const RateProgress& p) {
             EXPECT_LE(p.done, p.total);
             if (p.done == 2) cancel.raise();
         }});
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ErrorCode::Cancelled);
    EXPECT_EQ(kept(), "");
    cancel.raise();
    EXPECT_FALSE(
        measureRates(*backend, controls, {.cacheFolder = folder, .mostLoad = 1.0, .cancel = &cancel, .progress = {}}));
}

TEST_F(MeasuredRatesTest, aBusyMachineIsNotMeasured) {
    if (!backend->facts().cpu) GTEST_SKIP() << "the machine's processor computes nothing here";
    const Controls controls = controlsOf({{"model", "taesd"}, {"size", "64x64"}});
    const auto measured = measureRates(*backend, controls, {.cacheFolder = folder, .mostLoad = -1.0, .progress = {}});
    ASSERT_TRUE(measured) << measured.error().message;
    EXPECT_NE(measured->disagreement, "");
    EXPECT_TRUE(measured->rates.empty());
    EXPECT_EQ(measured->added, 0u);
    EXPECT_EQ(kept(), "");
}

TEST_F(MeasuredRatesTest, aRunRefinesWhatIsKept) {
    const Job job = runnableJobOf(controlsOf({{"model", "taesd"}, {"size", "64x64"}}));
    const Ran ran = runToMemory(*backend, job);
    ASSERT_FALSE(ran.outcome.error);
    EXPECT_EQ(learnFromRun(*backend, job, ran.outcome.recording, folder), "");
    EXPECT_EQ(kept(), "") << "a run alone makes no table: other kinds would be missing";

    keep(job, 1e9);
    const std::string before = kept();
    EXPECT_EQ(learnFromRun(*backend, job, ran.outcome.recording, folder), "");
    EXPECT_NE(kept(), before);
    const auto rates = keptRates(*backend, folder);
    ASSERT_TRUE(rates);
    EXPECT_TRUE(knowsKindsOf(*rates, job.program));
    for (const Call& call : job.program.calls)
        EXPECT_LT(rates->callTime(call.kernel, job.program)->ns, 1e9) << kernelName(call.kernel);

    keep(job, 1.0); // so that this run took far longer than estimated
    const std::string fast = kept();
    EXPECT_NE(learnFromRun(*backend, job, ran.outcome.recording, folder).find("busy"), std::string::npos);
    EXPECT_EQ(kept(), fast);
}

} // namespace
} // namespace spikescope
