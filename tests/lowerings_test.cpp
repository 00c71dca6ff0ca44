// However the work is lowered, the picture is the same: fp32, relative L2 between any two lowerings at most 2e-5. And
// in 16 bits, what a lowering costs in accuracy stays near what the rounding of maps costs anyway.

#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

namespace spikescope {
namespace {

// 64×64 pixels: the last block is large enough for Winograd.
const std::vector<NamedValues> lowerings{
    {},
    {{"conv", "im2col"}},
    {{"conv", "im2col:1"}},
    {{"conv", "winograd"}},
    {{"conv", "winograd"}, {"upsample", "nearest"}},
    {{"conv", "im2col"}, {"upsample", "nearest"}},
    {{"upsample", "nearest"}},
    {{"upsample", "broadcast"}},
    {{"upsample", "folded"}},
    {{"norm", "separate"}},
    {{"norm", "on-load"}},
    {{"norm", "on-load"}, {"upsample", "folded"}},
    {{"norm", "on-load"}, {"lifetime", "stream"}, {"hold", "on"}},
    {{"norm", "on-load"}, {"conv", "im2col"}},
    {{"attention", "naive"}},
    {{"layout-copies", "on"}},
    {{"layout-copies", "after-norm"}, {"norm", "separate"}},
    {{"lifetime", "stream"}, {"allocator", "direct"}},
    {{"lifetime", "stream"}, {"hold", "on"}},
    {{"lifetime", "lazy"}, {"evaluate", "block"}, {"ahead", "2"}},
    {{"load", "full"}, {"apply", "dictionary"}},
    {{"upsample", "folded"}, {"apply", "dictionary"}},
};

std::vector<float> outputOf(VulkanBackend& backend, const NamedValues& common, const NamedValues& more) {
    NamedValues values = common;
    values.insert(values.end(), more.begin(), more.end());
    const Ran ran = runToMemory(backend, runnableJobOf(controlsOf(values)));
    EXPECT_FALSE(ran.outcome.error) << describe(values) << ran.outcome.error->message;
    return ran.output;
}

TEST(Lowerings, makeTheSamePicture) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const std::vector<NamedValues> cases{
        {{"model", "sd15"}, {"size", "64x64"}, {"activations", "fp32"}},
        {{"model", "taef2"}, {"size", "48x32"}, {"activations", "fp32"}},
        {{"model", "sd15"}, {"op", "encode"}, {"size", "64x64"}, {"activations", "fp32"}},
    };
    for (const NamedValues& common : cases) {
        std::vector<std::vector<float>> outputs;
        for (const NamedValues& lowering : lowerings) outputs.push_back(outputOf(*backend, common, lowering));
        double worst = 0;
        for (std::size_t i = 0; i < outputs.size(); ++i)
            for (std::size_t j = 0; j < i; ++j) {
                const double error = relativeL2(outputs[i], outputs[j]);
                worst = std::max(worst, error);
                EXPECT_LE(error, 2e-5) << describe(common) << ": " << describe(lowerings[i]) << "against "
                                       << describe(lowerings[j]);
            }
        RecordProperty(common[0].second + (common.size() > 3 ? "_encode" : ""), fmt::format("{:.2e}", worst));
    }
}

TEST(Lowerings, promotedMapsAreAsExactAsFp32) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const NamedValues common{{"model", "sd15"}, {"size", "64x64"}};
    const auto exact = outputOf(*backend, common, {{"activations", "fp32"}, {"weights-dtype", "bf16"}}),
               promoted = outputOf(*backend, common, {{"activations", "bf16"}, {"promote", "on"}});
    EXPECT_EQ(exact, promoted);
}

TEST(Lowerings, staysNearInSixteenBits) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const NamedValues common{{"model", "sd15"}, {"size", "64x64"}};
    const std::vector<float> exact = outputOf(*backend, common, {{"activations", "fp32"}});
    for (const char* dtype : {"bf16", "fp16"}) {
        const double plain = relativeL2(outputOf(*backend, common, {{"activations", dtype}}), exact);
        for (const NamedValues& lowering : {NamedValues{{"conv", "im2col"}}, NamedValues{{"upsample", "folded"}},
                                            NamedValues{{"norm", "separate"}, {"upsample", "nearest"}}}) {
            NamedValues values = lowering;
            values.emplace_back("activations", dtype);
            EXPECT_LE(relativeL2(outputOf(*backend, common, values), exact), 1.5 * plain) << describe(values);
        }
    }
}

} // namespace
} // namespace spikescope
