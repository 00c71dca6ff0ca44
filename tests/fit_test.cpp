// What fit chooses runs: it never needs more than the budget, gives up what it may before what it may not, and where it
// says that nothing fits, nothing does.

#include "core/advise/fit.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

#include <algorithm>
#include <random>

namespace spikescope {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20, gib = mib << 10;

Fit fitted(const NamedValues& values, std::uint64_t availableBytes, const FitOptions& options = {},
           const HeapTraits& traits = {}) {
    auto result = fit(controlsOf(values), traits, availableBytes, nullptr, options);
    EXPECT_TRUE(result) << result.error().message;
    return result ? std::move(*result) : Fit{};
}

std::string describe(const Fit& fit, std::uint64_t availableBytes) {
    std::string text = fmt::format("{} B:", availableBytes);
    for (const FitStep& step : fit.steps)
        for (const FitStep::Change& change : step.changes) text += fmt::format(" {} {}", change.control, change.to);
    return text;
}

const NamedValues large{{"model", "flux1"}, {"size", "2048x2048"}};

TEST(Fit, takesTimeBeforeMemoryAndMemoryBeforeNothing) {
    // The smaller the budget, the slower; never over it.
    double last = 0;
    for (const std::uint64_t availableBytes : {40 * gib, 4 * gib, 3 * gib, 2 * gib, 3 * gib / 2, 5 * gib / 4}) {
        const Fit fit = fitted(large, availableBytes);
        ASSERT_TRUE(fit.chosen) << availableBytes;
        EXPECT_LE(fit.chosen->peak.reserved, availableBytes);
        EXPECT_GE(*fit.chosen->ms, last) << describe(fit, availableBytes);
        last = *fit.chosen->ms;
        EXPECT_EQ(fit.chosen->controls.activations, DType::BF16);
        EXPECT_NE(fit.chosen->controls.conv, ConvLowering::Winograd); // it costs 16-bit maps bits
        EXPECT_FALSE(fit.measured);
        // The steps lead from the one to the other.
        Controls walked = fit.asked.controls;
        for (const FitStep& step : fit.steps)
            for (const FitStep::Change& change : step.changes) {
                EXPECT_EQ(controlValue(walked, change.control), change.from);
                ASSERT_TRUE(setControl(walked, change.control, change.to));
            }
        EXPECT_EQ(controlValues(walked), controlValues(fit.chosen->controls));
        ASSERT_FALSE(fit.steps.empty());
        EXPECT_EQ(fit.steps.back().reserved, fit.chosen->peak.reserved);
    }
}

TEST(Fit, changesNothingThatIsForNothing) {
    const Fit fit = fitted({{"preset", "fastest"}, {"model", "flux1"}, {"size", "1024x1024"}}, 4 * gib);
    EXPECT_TRUE(fit.asked.fits);
    EXPECT_TRUE(fit.steps.empty()) << describe(fit, 4 * gib);
}

TEST(Fit, givesUpBitsOnlyWhereThatIsAllowed) {
    const NamedValues exact{{"model", "flux1"}, {"size", "2048x2048"}, {"activations", "fp32"}};
    const std::uint64_t availableBytes = 2 * gib;
    // In the machine's memory maps of any size would do.
    const Fit refused = fitted(exact, availableBytes, {.kept = {"activations"}, .availableHostBytes = 0});
    EXPECT_FALSE(refused.chosen);
    EXPECT_GT(refused.leanest.peak.reserved, availableBytes);
    EXPECT_FALSE(refused.refusal.empty());
    const Fit rounded =
        fitted(exact, availableBytes, {.kept = {"activations"}, .dtype = true, .availableHostBytes = 0});
    ASSERT_TRUE(rounded.chosen);
    EXPECT_EQ(rounded.chosen->controls.activations, DType::F16); // the smaller loss
    EXPECT_TRUE(rounded.released.empty());
    // Where it fits without, no bit is lost.
    const Fit roomy = fitted(exact, 20 * gib, {.dtype = true});
    ASSERT_TRUE(roomy.chosen);
    EXPECT_EQ(roomy.chosen->controls.activations, DType::F32);
    EXPECT_EQ(roomy.chosen->controls.weightType(), DType::F32);
    // Scalars need not promote; maps of SDXL do not go into fp16.
    const Fit plain = fitted({{"model", "flux1"}, {"size", "2048x2048"}, {"promote", "on"}}, availableBytes,
                             {.kept = {}, .dtype = true, .availableHostBytes = 0});
    ASSERT_TRUE(plain.chosen);
    EXPECT_FALSE(plain.chosen->controls.promote);
    EXPECT_EQ(plain.chosen->controls.activations, DType::BF16);
    const Fit sdxl = fitted({{"model", "sdxl"}, {"size", "2048x2048"}, {"activations", "fp32"}}, availableBytes,
                            {.dtype = true, .availableHostBytes = 0});
    ASSERT_TRUE(sdxl.chosen);
    EXPECT_EQ(sdxl.chosen->controls.activations, DType::BF16);
}

TEST(Fit, goesToTheHostWhereNothingElseThatIsExactFits) {
    const std::uint64_t availableBytes = 700 * mib;
    const Fit fit = fitted(large, availableBytes, {.approximate = true});
    ASSERT_TRUE(fit.chosen);
    EXPECT_EQ(fit.chosen->controls.spill, Spill::Host);
    EXPECT_TRUE(fit.chosen->controls.isExactlyTiled());
    EXPECT_GT(fit.chosen->peak.host, gib);
    // Not where the host lacks the availableBytes, and not where attention is to stay within the bands.
    const FitOptions small{.approximate = true, .availableHostBytes = gib};
    EXPECT_EQ(fitted(large, availableBytes, small).chosen->controls.tileNorm, TileNorm::Own);
    NamedValues own = large;
    own.emplace_back("tile-attention", "own");
    EXPECT_FALSE(fitted(own, availableBytes, {.kept = {"tile-attention"}, .availableHostBytes = 0}).chosen);
    EXPECT_FALSE(fitted(large, availableBytes, {.availableHostBytes = gib}).chosen);
}

TEST(Fit, keepsWhatWasGivenAsLongAsThatFits) {
    NamedValues values = large;
    values.insert(values.end(), {{"norm", "fused"}, {"tile", "off"}});
    const FitOptions options{.kept = {"norm", "tile"}};
    const Fit kept = fitted(values, 6 * gib, options);
    ASSERT_TRUE(kept.chosen);
    EXPECT_EQ(kept.chosen->controls.norm, NormLowering::Fused);
    EXPECT_TRUE(kept.released.empty());
    // Whole maps fit when convolutions norm what they read, so the tile stays as given.
    const Fit released = fitted(values, 4 * gib, options);
    ASSERT_TRUE(released.chosen);
    EXPECT_EQ(released.released, std::vector<std::string>{"norm"});
    EXPECT_EQ(released.chosen->controls.tile, TileChoice{});
}

TEST(Fit, knowsTheLargestBlockOfADevice) {
    const HeapTraits traits{.granularity = 256, .largestBlock = 256 * mib};
    const Fit fit = fitted(large, 40 * gib, {}, traits);
    if (fit.chosen) {
        VirtualHeap heap(traits, 40 * gib);
        const Job job = jobOf(fit.chosen->controls);
        EXPECT_FALSE(plan(job.program, job.controls, heap).failure);
    } else {
        EXPECT_NE(fit.refusal.find("largest"), std::string::npos) << fit.refusal;
    }
    const Fit none = fitted(large, 40 * gib, {}, {.granularity = 256, .largestBlock = 32 * mib});
    EXPECT_FALSE(none.chosen);
    EXPECT_NE(none.refusal.find("largest block"), std::string::npos) << none.refusal;
}

TEST(Fit, tellsTheWeightsFromTheRest) {
    const Fit fit = fitted(large, 50 * mib);
    EXPECT_FALSE(fit.chosen);
    EXPECT_GT(fit.leanest.weights, 50 * mib);
    EXPECT_LT(fit.leanest.weights, fit.leanest.peak.reserved);
}

TEST(Fit, leavesWhatContradictsItselfToItsRefusal) {
    const auto contradiction =
        fit(controlsOf({{"model", "flux1"}, {"upsample", "folded"}, {"conv", "im2col"}}), {}, gib, nullptr);
    ASSERT_FALSE(contradiction);
    EXPECT_EQ(contradiction.error().code, ErrorCode::BadUsage);
}

// The heap refuses beyond the budget: what was chosen runs all the same.
TEST(Fit, whatIsChosenRuns) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const HeapTraits traits = backend->heap().traits();
    const std::vector<NamedValues> cases{
        {{"model", "taef1"}, {"size", "64x64"}, {"activations", "fp32"}},
        {{"model", "taef1"}, {"size", "96x64"}, {"conv", "im2col"}, {"lifetime", "stream"}},
        {{"model", "sd15"}, {"size", "64x64"}, {"preset", "mlx-before"}},
        {{"model", "sd15"}, {"op", "encode"}, {"size", "64x64"}, {"activations", "fp32"}},
    };
    std::mt19937 random(11);
    std::uniform_real_distribution<double> part;
    std::size_t ran = 0, refused = 0, banded = 0;
    for (int i = 0; i < 50; ++i) {
        // The tiny model is run more often: it takes a hundredth of the time.
        const std::size_t which = i % 8 == 7 ? 2 + random() % 2 : random() % 2;
        const Controls asked = controlsOf(cases[which]);
        const Fit whole = *fit(asked, traits, 64 * gib, nullptr);
        // Around what is needed, so that both ends are met.
        const double low = 0.9 * static_cast<double>(whole.asked.weights),
                     high = 1.2 * static_cast<double>(whole.asked.peak.reserved);
        const auto availableBytes = static_cast<std::uint64_t>(low + (high - low) * std::pow(part(random), 2));
        const auto result = fit(asked, traits, availableBytes, nullptr, {.kept = {}, .dtype = i % 3 == 0});
        ASSERT_TRUE(result) << result.error().message;
        if (!result->chosen) {
            EXPECT_GT(result->leanest.peak.reserved, availableBytes);
            ++refused;
            continue;
        }
        Controls controls = result->chosen->controls;
        controls.budgetBytes = availableBytes;
        controls.enforce = true;
        const Ran run = runToMemory(*backend, runnableJobOf(controls));
        EXPECT_FALSE(run.outcome.error) << describe(*result, availableBytes) << ": " << run.outcome.error->message;
        const Peak peak = findPeak(run.outcome.recording);
        EXPECT_LE(peak.reserved, availableBytes) << describe(*result, availableBytes);
        EXPECT_EQ(peak.reserved, result->chosen->peak.reserved) << describe(*result, availableBytes);
        EXPECT_EQ(peak.allocated, result->chosen->peak.allocated) << describe(*result, availableBytes);
        ++ran;
        banded += controls.tile.kind != TileChoice::Kind::Off;
    }
    RecordProperty("outcomes", fmt::format("{} ran, {} of them in bands, {} did not fit", ran, banded, refused));
    EXPECT_GE(ran, 20u);
    EXPECT_GE(refused, 3u);
    EXPECT_GE(banded, 1u);
}

} // namespace
} // namespace spikescope
