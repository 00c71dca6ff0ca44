// What advice stands on: rates that come out of runs as they went in, tables that survive damage, the driver's word
// beside ours, and presets that are what they claim.

#include "core/advise/advice.h"
#include "core/timeline/driver_truth.h"
#include "tests/support/job_support.h"

#include <gtest/gtest.h>

namespace spikescope {
namespace {

RecordedOp op(const char* name, const char* dtype, std::uint64_t flops, std::uint64_t traffic, std::int64_t ns) {
    const bool conv = std::string_view(name).starts_with("conv");
    const OpKind kind = conv ? OpKind::Convolution : valueNamed<OpKind>(name).value_or(OpKind::Compute);
    return {.name = name,
            .kind = kind,
            .phase = Phase::Decode,
            .flops = flops,
            .traffic = traffic,
            .dtype = dtype,
            .endNs = ns};
}

// 2 ns a byte in copies, and 3 ns a flop beside that in convolutions; a norm has 5 ns a byte.
Recording measuredRun() {
    Recording run;
    run.ops = {op("copy", "bf16", 0, 1000, 2000), op("conv3x3", "bf16", 10'000, 500, 31'000),
               op("conv3x3", "bf16", 20'000, 1000, 62'000), op("group_norm_silu", "bf16", 600, 100, 500)};
    run.ops.push_back(
        {.name = "upload", .kind = OpKind::Upload, .phase = Phase::Load, .traffic = 1, .endNs = 1'000'000});
    return run;
}

TEST(Rates, comeOutOfRunsAsTheyWentIn) {
    const Recording run = measuredRun();
    const Rates rates = Rates::fit(std::span(&run, 1));
    const auto estimate = [&](const RecordedOp& planned) {
        Recording plan;
        plan.ops = {planned};
        return rates.estimateMs(plan).value_or(-1.0) * 1e6;
    };
    EXPECT_NEAR(estimate(op("conv3x3", "bf16", 1000, 100, 0)), 3200.0, 1e-6);
    EXPECT_NEAR(estimate(op("copy", "bf16", 0, 10, 0)), 20.0, 1e-9);
    EXPECT_NEAR(estimate(op("group_norm_silu", "bf16", 0, 10, 0)), 50.0, 1e-9);
    EXPECT_NEAR(estimate(op("conv3x3", "fp32", 1000, 100, 0)), 3200.0, 1e-6);   // another dtype
    EXPECT_NEAR(estimate(op("group_norm_relu", "bf16", 0, 10, 0)), 50.0, 1e-9); // another activation
    EXPECT_NEAR(estimate(op("tanh_clamp", "bf16", 0, 10, 0)), 20.0, 1e-9);      // never measured: a copy
    // A bus is not a copy: 25 GB/s until it was measured, in whatever dtype.
    EXPECT_NEAR(estimate(op("to_host", "bf16", 0, 100, 0)), 4.0, 1e-9);
    Recording moved = run;
    moved.ops.push_back(op("to_host", "bf16", 0, 100, 2));
    Recording plan;
    plan.ops = {op("to_host", "fp32", 0, 100, 0), op("to_device", "fp32", 0, 100, 0)};
    EXPECT_NEAR(*Rates::fit(std::span(&moved, 1)).estimateMs(plan) * 1e6, 2.0 + 4.0, 1e-9);
    EXPECT_FALSE(Rates().estimateMs(run));
    EXPECT_NEAR(*rates.estimateMs(run) * 1e6, 2000 + 31'000 + 62'000 + 500, 1e-3); // uploads are not the op

    const auto again = Rates::fromJson(rates.toJson());
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->toJson(), rates.toJson());
}

TEST(Rates, refuseDamagedTables) {
    const Recording run = measuredRun();
    const std::string text = Rates::fit(std::span(&run, 1)).toJson();
    for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(Rates::fromJson(text.substr(0, size)));
    EXPECT_FALSE(Rates::fromJson("[]"));
    EXPECT_FALSE(Rates::fromJson(R"({"schema":"spikescope.rates/1","rates":[]})"));
    EXPECT_FALSE(Rates::fromJson(R"({"schema":"spikescope.rates/1","rates":[1]})"));
    EXPECT_FALSE(Rates::fromJson(R"({"rates":[],"schema":5})"));
    const auto with = [](const std::string& schema, const std::string& rates) {
        return Rates::fromJson("{\"schema\":" + schema + ",\"rates\":" + rates + "}");
    };
    const auto rate = [](const std::string& flop, const std::string& byte) {
        return R"({"kernel":"a","dtype":"b","ns_per_flop":)" + flop + ",\"ns_per_byte\":" + byte + "}";
    };
    const std::string schema = "\"spikescope.rates/1\"", sound = rate("0", "1");
    EXPECT_TRUE(with(schema, "[" + sound + "]"));
    for (const char* wrong : {"null", "[]", "{}", "true", "\"spikescope.rates/2\""})
        EXPECT_FALSE(with(wrong, "[" + sound + "]")) << wrong;
    for (const std::string& wrong :
         {std::string("null"), std::string("7"), std::string("\"a\""), "{\"a\":" + sound + "}", sound,
          "[" + sound + ",[]]", "[" + rate("0", "0") + "]", "[" + rate("1e300", "1") + "]",
          "[" + rate("1", "1e999") + "]", "[" + rate("NaN", "1") + "]", "[" + rate("[1]", "1") + "]"})
        EXPECT_FALSE(with(schema, wrong)) << wrong;
    EXPECT_FALSE(Rates::fromJson(R"({"schema":"spikescope.rates/1","rates":[{"kernel":"a","dtype":"b"}]})"));
    EXPECT_FALSE(Rates::fromJson(
        R"({"schema":"spikescope.rates/1","rates":[{"kernel":"a","dtype":"b","ns_per_flop":-1,"ns_per_byte":1}]})"));
}

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
