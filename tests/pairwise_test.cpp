// Plan equals run to the byte whatever the controls: every two values of two controls occur together in some run, on a
// tiny and on a KL model. What contradicts itself is refused instead.

#include "core/timeline/peak.h"
#include "tests/support/job_support.h"
#include "tests/support/run_support.h"

#include <set>

namespace spikescope {
namespace {

struct Axis {
    std::string control;
    std::vector<std::string> values;
};

// The first value of an axis contradicts nothing.
const std::vector<Axis> axes{
    {"evaluate", {"auto", "layer", "block", "stage", "none", "ops:3", "bytes:65536", "ops:7,bytes:300000"}},
    {"allocator", {"auto", "direct", "caching", "cache-limit:0", "cache-limit:0.001", "cache-limit:1024", "arena"}},
    {"model", {"taef2", "taesd", "sd15"}},
    {"conv", {"direct", "im2col", "im2col:1", "winograd"}},
    {"upsample", {"fused", "nearest", "broadcast", "folded"}},
    {"weights-dtype", {"auto", "bf16", "fp16", "fp32"}},
    {"activations", {"bf16", "fp16", "fp32"}},
    {"lifetime", {"planned", "stream", "lazy"}},
    {"layout-copies", {"off", "on", "after-norm"}},
    {"ahead", {"0", "1", "3"}},
    {"offload", {"before-load", "after-decode", "never"}},
    {"resident", {"0", "text=0.01,transformer=0.02"}},
    {"op", {"decode", "encode"}},
    {"promote", {"off", "on"}},
    {"norm", {"fused", "separate", "on-load"}},
    {"attention", {"chunked", "naive"}},
    {"hold", {"off", "on"}},
    {"load", {"decoder", "full"}},
    {"apply", {"stream", "dictionary"}},
    {"batch", {"1", "2"}},
    {"repeat", {"1", "2"}},
    {"tile", {"off", "stripe:16", "stripe:24"}},
    {"spill", {"device", "host", "recompute-doubled", "recompute"}},
    {"tile-attention", {"auto", "own", "global"}},
};

using Row = std::vector<std::optional<std::size_t>>; // by axis; empty: not chosen yet

Controls controlsOfRow(const Row& row) {
    NamedValues values;
    for (std::size_t a = 0; a < axes.size(); ++a)
        values.emplace_back(axes[a].control, axes[a].values[row[a].value_or(0)]);
    Controls controls = controlsOf(values);
    // 64×64 is where Winograd begins to be used, in the last block of a KL model.
    controls.width = controls.height = controls.model == "sd15" ? 64 : 48;
    return controls;
}

using Pair = std::array<std::size_t, 4>; // axis, value, axis, value

// Greedy: begin a row with a pair that is missing and give every other axis the value that covers most.
std::vector<Row> coveringRows() {
    std::set<Pair> missing;
    for (std::size_t a = 0; a < axes.size(); ++a)
        for (std::size_t b = a + 1; b < axes.size(); ++b)
            for (std::size_t i = 0; i < axes[a].values.size(); ++i)
                for (std::size_t j = 0; j < axes[b].values.size(); ++j) {
                    Row row(axes.size());
                    row[a] = i;
                    row[b] = j;
                    if (checkControls(controlsOfRow(row))) missing.insert({a, i, b, j});
                }
    std::vector<Row> rows;
    while (!missing.empty()) {
        const Pair seed = *missing.begin();
        Row row(axes.size());
        row[seed[0]] = seed[1];
        row[seed[2]] = seed[3];
        for (std::size_t a = 0; a < axes.size(); ++a) {
            if (row[a]) continue;
            std::size_t best = 0, bestCovered = 0;
            for (std::size_t i = 0; i < axes[a].values.size(); ++i) {
                Row tried = row;
                tried[a] = i;
                if (!checkControls(controlsOfRow(tried))) continue;
                std::size_t covered = 1;
                for (std::size_t b = 0; b < axes.size(); ++b)
                    if (b != a && row[b])
                        covered += a < b ? missing.count({a, i, b, *row[b]}) : missing.count({b, *row[b], a, i});
                if (covered > bestCovered) {
                    best = i;
                    bestCovered = covered;
                }
            }
            row[a] = best;
        }
        const std::size_t before = missing.size();
        for (std::size_t a = 0; a < axes.size(); ++a)
            for (std::size_t b = a + 1; b < axes.size(); ++b) missing.erase({a, *row[a], b, *row[b]});
        EXPECT_LT(missing.size(), before);
        if (missing.size() == before) break;
        rows.push_back(std::move(row));
    }
    return rows;
}

TEST(Pairwise, planEqualsRunToTheByte) {
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const std::vector<Row> rows = coveringRows();
    EXPECT_GE(rows.size(), 56u); // as many as the two longest axes have pairs
    RecordProperty("runs", std::to_string(rows.size()));
    for (const Row& row : rows) {
        const Controls controls = controlsOfRow(row);
        ASSERT_TRUE(checkControls(controls));
        std::string what;
        for (const auto& [control, value] : controlValues(controls)) what += control + " " + value + ", ";
        const Job job = runnableJobOf(controls);
        const Ran ran = runToMemory(*backend, job);
        ASSERT_FALSE(ran.outcome.error) << what << ran.outcome.error->message;
        const Recording plan = planJob(job, backend->heap().traits());
        expectSameMemory(plan, ran.outcome.recording, what);
        EXPECT_EQ(backend->heap().liveBlocks(), 0u) << what;
        const Peak peak = findPeak(plan);
        EXPECT_EQ(ran.outcome.recording.predicted, std::pair(peak.allocated, peak.reserved)) << what;
    }
}

} // namespace
} // namespace spikescope
