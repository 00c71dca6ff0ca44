// Autoencoders of other widths, levels and attention than the families': the picture of every lowering is the same one,
// and a plan's peak is the run's. Runs on the device of the tests, so that the kernels of a GPU meet these widths, too.

#include "core/program/lower.h"
#include "core/timeline/peak.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

namespace spikescope {
namespace {

Family architecture(std::uint32_t latentChannels, std::vector<KlHalf::Level> levels) {
    Family family = *findFamily("kl");
    family.latentChannels = latentChannels;
    family.decoder = {.levels = levels, .codeChannels = latentChannels, .quantConv = true};
    for (KlHalf::Level& level : levels) --level.resnets;
    family.encoder = {.levels = std::move(levels), .codeChannels = 2 * latentChannels, .quantConv = true};
    return family;
}

Job jobOf(const Family& family, Controls controls) {
    Job job;
    job.family = family;
    controls.model = family.name;
    const auto graph = buildGraph(family, controls.op, controls.width, controls.height, 1);
    EXPECT_TRUE(graph) << graph.error().message;
    job.parameters = Parameters(7);
    job.program = lower(*graph, controls);
    if (controls.op == VaeTask::Decode) job.input = *syntheticLatents(family, controls.width, controls.height, 1, 3);
    job.controls = std::move(controls);
    if (job.controls.op == VaeTask::Encode) givePicture(job);
    return job;
}

struct Case {
    const char* name;
    Family family;
    const char* size;
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = [] {
        std::vector<Case> list{
            {"kl-f4", architecture(3, {{128, 3}, {256, 3}, {512, 3}}), "48x40"},
            {"kl-f16 with attention", architecture(16, {{128, 3}, {128, 3}, {256, 3}, {256, 3}, {512, 3, true}}),
             "64x48"},
            {"half width", architecture(16, {{64, 3}, {128, 3}, {256, 3}, {256, 3}}), "64x48"},
            {"small decoder", architecture(32, {{96, 3}, {192, 3}, {384, 3}, {384, 3}}), "64x48"},
            {"one and a half", architecture(4, {{192, 4}, {384, 4}, {768, 4}, {768, 4}}), "32x32"},
            {"no attention", architecture(8, {{32, 2}, {32, 2}}), "24x40"},
        };
        list.back().family.decoder.midAttention = list.back().family.encoder.midAttention = false;
        list.back().family.decoder.quantConv = list.back().family.encoder.quantConv = false;
        return list;
    }();
    return all;
}

class Architectures : public testing::TestWithParam<std::tuple<std::size_t, VaeTask>> {};

TEST_P(Architectures, makeTheSamePictureInEveryLowering) {
    const Case& which = cases()[std::get<0>(GetParam())];
    auto opened = VulkanBackend::open({.device = testDevice()});
    ASSERT_TRUE(opened) << opened.error().message;
    VulkanBackend& backend = **opened;
    const char* op = std::get<1>(GetParam()) == VaeTask::Decode ? "decode" : "encode";
    const auto run = [&](const NamedValues& more) {
        NamedValues values{{"op", op}, {"size", which.size}};
        values.insert(values.begin(), more.begin(), more.end());
        const Job job = jobOf(which.family, controlsOf(values));
        Ran ran = runToMemory(backend, job);
        EXPECT_FALSE(ran.outcome.error) << which.name << ran.outcome.error->message;
        EXPECT_EQ(findPeak(planJob(job, backend.heap().traits())).reserved, findPeak(ran.outcome.recording).reserved)
            << which.name << describe(values);
        return std::move(ran.output);
    };
    const NamedValues fp32{{"activations", "fp32"}};
    const std::vector<float> reference = run({{"activations", "fp32"}, {"upsample", "nearest"}, {"norm", "separate"}});
    EXPECT_EQ(backend.heap().liveBlocks(), 0u);
    for (const NamedValues& lowering : std::vector<NamedValues>{
             {{"conv", "winograd"}}, {{"norm", "on-load"}, {"upsample", "folded"}}, {{"tile", "stripe:16"}}}) {
        NamedValues values = fp32;
        values.insert(values.end(), lowering.begin(), lowering.end());
        EXPECT_LE(relativeL2(run(values), reference), 2e-5) << which.name << " " << op << " " << describe(lowering);
    }
    // What 16 bits cost is known of the families: bf16 stays below 4 %, fp16 below 1 %.
    EXPECT_LE(relativeL2(run({{"preset", "fastest"}}), reference), 0.04) << which.name << " " << op;
    EXPECT_LE(relativeL2(run({{"preset", "fastest"}, {"activations", "fp16"}}), reference), 0.01)
        << which.name << " " << op;
}

INSTANTIATE_TEST_SUITE_P(Decoders, Architectures,
                         testing::Combine(testing::Range(std::size_t{0}, std::size_t{6}),
                                          testing::Values(VaeTask::Decode)));
// One with few channels at its end, one with groups of three and six channels.
INSTANTIATE_TEST_SUITE_P(Encoders, Architectures,
                         testing::Combine(testing::Values(std::size_t{0}, std::size_t{3}),
                                          testing::Values(VaeTask::Encode)));

} // namespace
} // namespace spikescope
