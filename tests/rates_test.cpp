// Protects: that a measured time comes back as it went in, that sizes between the measured ones lie between their
// times, that kept tables survive damage, and that an estimate follows host and device op by op.

#include "core/advise/estimate.h"
#include "tests/support/job_support.h"

namespace spikescope {
namespace {

Job taesd(const NamedValues& more = {}) {
    NamedValues values{{"model", "taesd"}, {"preset", "pytorch-eager"}, {"size", "64x64"}};
    values.insert(values.end(), more.begin(), more.end());
    return jobOf(controlsOf(values));
}

// Every call takes 1000 ns.
Rates uniformRates(const Job& job) {
    Rates rates;
    for (const Call& call : job.program.calls)
        rates.set(workKind(call.kernel, job.program), {.work = workOf(call.kernel, job.program), .ns = 1000.0});
    return rates;
}

double estimatedNs(const Job& job, const Rates& rates) {
    VirtualHeap heap;
    const TracedPlan traced(job, heap);
    const auto time = estimatePass(job.program, traced.recording, traced.trace(), rates);
    EXPECT_TRUE(time);
    return time ? 1e6 * time->ms : 0.0;
}

double callsOf(const Job& job) {
    return static_cast<double>(std::ranges::count_if(
        job.program.steps, [](const Step& step) { return std::holds_alternative<DispatchStep>(step); }));
}

const Call& convolutionOf(const Job& job) {
    return *std::ranges::find_if(job.program.calls,
                                 [](const Call& call) { return opKind(call.kernel) == OpKind::Convolution; });
}

TEST(Rates, returnWhatWasMeasuredAndInterpolateBetween) {
    const Job small = taesd(), middle = taesd({{"size", "128x128"}}), large = taesd({{"size", "256x256"}});
    const auto work = [](const Job& job) { return workOf(convolutionOf(job).kernel, job.program); };
    const std::string kind = workKind(convolutionOf(small).kernel, small.program);
    ASSERT_EQ(kind, workKind(convolutionOf(large).kernel, large.program));
    Rates rates;
    rates.set(kind, {.work = work(small), .ns = 100.0});
    rates.set(kind, {.work = work(large), .ns = 900.0});
    const auto ns = [&](const Job& job) { return rates.callTime(convolutionOf(job).kernel, job.program)->ns; };
    EXPECT_DOUBLE_EQ(ns(small), 100.0);
    EXPECT_DOUBLE_EQ(ns(large), 900.0);
    EXPECT_GT(ns(middle), 150.0);
    EXPECT_LT(ns(middle), 600.0);
    // Beyond the largest, time grows as work does.
    const Job huge = taesd({{"size", "512x512"}});
    EXPECT_NEAR(ns(huge), 900.0 * work(huge) / work(large), 1e-6);
    // A second measurement of the same size takes the place of the first.
    rates.set(kind, {.work = work(small), .ns = 50.0});
    EXPECT_DOUBLE_EQ(ns(small), 50.0);
    EXPECT_EQ(rates.size(), 2u);
}

TEST(Rates, takeTheKindThatIsMostLikeAnUnknownOne) {
    const Job job = taesd(), other = jobOf(controlsOf({{"model", "sd15"}, {"size", "64x64"}}));
    Rates rates;
    EXPECT_FALSE(rates.callTime(convolutionOf(job).kernel, job.program));
    const Call& known = convolutionOf(job);
    rates.set(workKind(known.kernel, job.program), {.work = workOf(known.kernel, job.program), .ns = 100.0});
    EXPECT_TRUE(rates.callTime(known.kernel, job.program)->isKindKnown);
    bool any = false;
    for (const Call& call : other.program.calls)
        if (const auto time = rates.callTime(call.kernel, other.program)) {
            any = true;
            EXPECT_FALSE(time->isKindKnown);
            EXPECT_EQ(kernelName(call.kernel), kernelName(known.kernel)); // no other kernel stands in for it
            EXPECT_GT(time->ns, 0.0);
        }
    EXPECT_TRUE(any);
}

TEST(Rates, learnMediansFromARun) {
    const Job job = taesd();
    VirtualHeap heap;
    const TracedPlan traced(job, heap);
    Recording run = traced.recording;
    std::int64_t now = 0;
    for (RecordedOp& op : run.ops) {
        op.beginNs = now;
        op.endNs = now += 2000;
    }
    Rates rates;
    EXPECT_GT(rates.learnCalls({job.program, traced.trace(), run}), 0u);
    for (const Call& call : job.program.calls)
        EXPECT_DOUBLE_EQ(rates.callTime(call.kernel, job.program)->ns, 2000.0) << kernelName(call.kernel);
    EXPECT_EQ(rates.learnCalls({job.program, traced.trace(), run}), 0u) << "nothing is new the second time";
}

TEST(Rates, surviveATableAndRefuseADamagedOne) {
    Rates rates = uniformRates(taesd());
    rates.other = {.betweenOps = 1, .perOp = 2, .perWait = 3, .perReserve = 4, .perReservedByte = 0.5};
    const std::string text = rates.toJson();
    const auto again = Rates::fromJson(text);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->toJson(), text);
    EXPECT_EQ(again->other, rates.other);
    for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(Rates::fromJson(text.substr(0, size)));

    const auto table = [&](const std::string& schema, const std::string& calls) {
        std::string whole = text.substr(0, text.find("\"calls\"")) + "\"calls\":" + calls + "}";
        whole.replace(whole.find("\"spikescope.rates/2\""), std::string("\"spikescope.rates/2\"").size(), schema);
        return Rates::fromJson(whole);
    };
    const std::string schema = "\"spikescope.rates/2\"";
    const auto call = [](const std::string& kind, const std::string& samples) {
        return "[{\"kind\":" + kind + ",\"work_ns\":" + samples + "}]";
    };
    EXPECT_TRUE(table(schema, call("\"copy\"", "[[10,20]]")));
    for (const char* wrong : {"null", "[]", "{}", "true", "\"spikescope.rates/1\""})
        EXPECT_FALSE(table(wrong, call("\"copy\"", "[[10,20]]"))) << wrong;
    for (const char* wrong :
         {"null", "7", "[]", "[[]]", "[[10]]", "[[10,20,30]]", "[[0,20]]", "[[10,0]]", "[[10,-1]]", "[[10,1e300]]",
          "[[1e300,10]]", "[[10,1e999]]", "[[NaN,1]]", "[[\"a\",1]]", "[[10,null]]"})
        EXPECT_FALSE(table(schema, call("\"copy\"", wrong))) << wrong;
    for (const char* wrong : {"\"\"", "7", "null", "[]"})
        EXPECT_FALSE(table(schema, call(wrong, "[[10,20]]"))) << wrong;
    for (const char* wrong : {"null", "7", "{}", "[7]", "[null]", "[{}]", "[]"})
        EXPECT_FALSE(table(schema, wrong)) << wrong;
    for (const char* key : {"between_ops", "wait", "reserved_byte", "download"}) {
        std::string broken = text;
        broken.replace(broken.find('"' + std::string(key) + '"') + 1, 1, "x");
        EXPECT_FALSE(Rates::fromJson(broken)) << key;
    }
    EXPECT_FALSE(Rates::fromJson("[]"));
    EXPECT_FALSE(Rates::fromJson(R"({"rates":[],"schema":5})"));
}

TEST(Estimate, isTheSumOfItsCallsWithoutAnythingElse) {
    const Job job = taesd();
    EXPECT_NEAR(estimatedNs(job, uniformRates(job)), 1000.0 * callsOf(job), 1e-3);
}

TEST(Estimate, isOfTheLastPass) {
    const Job once = taesd(), thrice = taesd({{"repeat", "3"}});
    EXPECT_NEAR(estimatedNs(thrice, uniformRates(once)), 1000.0 * callsOf(once), 1e-3);
}

TEST(Estimate, addsWhatTheDeviceWaitsFor) {
    const Job job = taesd();
    Rates rates = uniformRates(job);
    rates.other.betweenOps = 10.0;
    EXPECT_NEAR(estimatedNs(job, rates), 1010.0 * callsOf(job), 1e-3);
    // A device that waits for each op has a gap before each but the first.
    rates.submit.waitForEachOp = true;
    rates.other.perWait = 100.0;
    EXPECT_NEAR(estimatedNs(job, rates), 1110.0 * callsOf(job) - 100.0, 1e-3);
}

// Memory from the driver costs the host time. A device that has work meanwhile does not notice; one whose work was
// waited for does.
TEST(Estimate, overlapsTheHostWithTheDevice) {
    const auto ns = [](const char* evaluate, double perReserve) {
        const Job job = taesd({{"lifetime", "lazy"}, {"allocator", "direct"}, {"evaluate", evaluate}});
        Rates rates = uniformRates(job);
        rates.other.perReserve = perReserve;
        return estimatedNs(job, rates);
    };
    EXPECT_NEAR(ns("none", 0.0), ns("none", 50.0), 1e-3) << "all is prepared before the first submission";
    EXPECT_GT(ns("layer", 50.0), ns("layer", 0.0) + 50.0);
}

TEST(Estimate, saysHowMuchOfItWasNeverMeasured) {
    const Job job = taesd();
    Rates rates;
    const Call& known = convolutionOf(job);
    rates.set(workKind(known.kernel, job.program), {.work = workOf(known.kernel, job.program), .ns = 1000.0});
    for (const Call& call : job.program.calls)
        if (opKind(call.kernel) != OpKind::Convolution)
            rates.set(workKind(call.kernel, job.program), {.work = workOf(call.kernel, job.program), .ns = 1000.0});
    VirtualHeap heap;
    const TracedPlan traced(job, heap);
    const auto time = estimatePass(job.program, traced.recording, traced.trace(), rates);
    ASSERT_TRUE(time);
    EXPECT_GT(time->unknown, 0.0);
    EXPECT_LT(time->unknown, 1.0);
    EXPECT_FALSE(estimatePass(job.program, traced.recording, traced.trace(), Rates()));
    EXPECT_DOUBLE_EQ(estimatePass(job.program, traced.recording, traced.trace(), uniformRates(job))->unknown, 0.0);
}

} // namespace
} // namespace spikescope
