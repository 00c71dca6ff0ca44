// Choices of tiles: that any of them gives what the rule's gives (those of product.comp are product_test's); the table
// that is kept; and measuring itself, which must leave a backend that runs as before.

#include "core/backend/run_job.h"
#include "core/base/checked.h"
#include "core/program/lower.h"
#include "core/timeline/peak.h"
#include "core/vulkan/tuning.h"
#include "tests/support/one_call.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace spikescope {
namespace {

namespace fs = std::filesystem;

std::vector<TileQuestion> questions(OneCall& one, const KernelCall& call) {
    std::vector<TileQuestion> asked;
    std::vector<Dispatch> dispatches;
    one.kernels->tiles().listen(&asked);
    EXPECT_TRUE(one.kernels->encode(call, one.program, one.bindings, dispatches));
    one.kernels->tiles().listen(nullptr);
    return asked;
}

// Runs a call with the rule's tiles and with every other one of each shader that it takes; `make` fills a fresh call.
void expectSame(KernelChoice choice, DType dtype, const std::function<KernelCall(OneCall&)>& make) {
    std::vector<double> expected;
    std::vector<TileQuestion> asked;
    const auto result = [&](std::vector<TileQuestion>* heard) {
        OneCall one(choice);
        const KernelCall call = make(one);
        if (heard) *heard = questions(one, call);
        one.run(call);
        return one.read(output(call));
    };
    expected = result(&asked);
    for (const TileQuestion& question : asked)
        for (const std::string& tile : question.tiles) {
            SCOPED_TRACE(question.key + ": " + tile);
            TileChoices& tiles = sets[choice].kernels->tiles();
            tiles.set(question.key, tile);
            EXPECT_LE(reference::relativeError(result(nullptr), expected), tolerance(dtype));
            tiles.forget(question.key);
        }
}

struct TileCase {
    std::uint64_t in, out;
    std::uint32_t kernel;
    ConvMethod method;
    bool norm, statistics, residual;
};
class TileTest : public testing::TestWithParam<std::tuple<DType, TileCase>> {};

TEST_P(TileTest, convolutionsDoNotDependOnIt) {
    const auto& [dtype, c] = GetParam();
    expectSame(KernelChoice::Best, dtype, [&, type = dtype, c = c](OneCall& one) -> KernelCall {
        constexpr std::uint64_t pictures = 2, h = 21, w = 13;
        const bool folded = c.method == ConvMethod::Folded;
        const std::uint64_t scaling = folded ? 2 : 1;
        const Shape out{pictures, scaling * h, scaling * w, c.out};
        ConvCall call{.kernel = c.kernel,
                      .padTop = static_cast<std::int32_t>(c.kernel / 2),
                      .padLeft = static_cast<std::int32_t>(c.kernel / 2),
                      .upsample = folded,
                      .method = c.method};
        call.in = one.add(type, {pictures, h, w, c.in});
        call.weight = one.add(type, {1, 1, 1, c.in * c.out * (folded ? 16 : c.kernel * c.kernel)}, Category::Weights);
        call.out = one.add(type, out);
        call.bias = one.add(DType::F32, {1, 1, 1, c.out});
        one.fill(call.in, 1.0);
        one.fillWeights(call);
        one.fill(*call.bias, 0.1);
        if (c.residual) {
            call.residual = call.out;
            one.fill(call.out, 1.0);
        }
        if (c.norm) {
            call.norm = {.coefficients = one.add(DType::F32, {pictures, 1, c.in, 2}), .activation = Activation::Silu};
            one.fill(call.norm->coefficients, 0.5, 1.0);
        }
        if (c.statistics) {
            constexpr std::uint32_t groups = 32;
            const std::uint64_t slices = convSlices(out);
            call.stats = {.in = call.out,
                          .gamma = one.add(DType::F32, {1, 1, 1, c.out}),
                          .beta = one.add(DType::F32, {1, 1, 1, c.out}),
                          .partials = one.add(DType::F32, {pictures, slices, groups, 4}),
                          .coefficients = one.add(DType::F32, {pictures, 1, c.out, 2}),
                          .groups = groups,
                          .slices = slices};
            one.fill(call.stats->gamma, 0.5, 1.0);
            one.fill(call.stats->beta, 0.5);
        }
        return call;
    });
}

constexpr ConvMethod direct = ConvMethod::Direct, folded = ConvMethod::Folded;
const TileCase tileCases[] = {
    {64, 256, 3, direct, false, true, true},   {64, 256, 3, direct, true, true, false},
    {128, 128, 3, direct, true, true, true},   {96, 128, 3, direct, false, false, false},
    {64, 256, 3, folded, false, false, false}, {64, 128, 3, folded, false, true, false},
    {64, 128, 1, direct, false, false, true},  {128, 256, 1, direct, false, false, false},
};
INSTANTIATE_TEST_SUITE_P(Kernels, TileTest,
                         testing::Combine(testing::Values(DType::BF16, DType::F16), testing::ValuesIn(tileCases)));

TEST(Tiles, attentionDoesNotDependOnThem) {
    const auto attention = [](Shape map, DType dtype) {
        return [=](OneCall& one) -> KernelCall {
            AttentionCall call{.isLastUse = true, .chunkRows = 256, .scale = 1.0f / 16.0f};
            for (TensorId* id : {&call.q, &call.k, &call.v}) one.fill(*id = one.add(dtype, map), 1.0);
            call.scores = one.add(DType::F32, {1, 1, call.chunkRows, roundUp<std::uint64_t>(map.pixels(), 4)},
                                  Category::Workspace);
            call.out = one.add(dtype, map);
            return call;
        };
    };
    expectSame(KernelChoice::Portable, DType::F32, attention({1, 16, 16, 64}, DType::F32));
    for (const DType dtype : {DType::BF16, DType::F16})
        expectSame(KernelChoice::Best, dtype, attention({1, 17, 19, 256}, dtype));
}

TEST(Tiles, tableComesBackAndDamagedOnesDoNot) {
    TileChoices choices;
    choices.set("product IN=F32 64→64 rows 2^10", "64x64");
    choices.set("product \"IN\"=BF16 64→64 rows 2^10", "128x64");
    const std::string text = choices.toJson();
    const auto back = TileChoices::fromJson(text);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, choices);
    EXPECT_TRUE(TileChoices::fromJson(TileChoices().toJson()));
    for (const std::string& damaged :
         {std::string(), std::string("[]"), text.substr(0, text.size() / 2), std::string("{\"schema\": 7}"),
          std::string(R"({"schema": "spikescope.tiles/2", "tiles": []})"),
          std::string(R"({"schema": "spikescope.tiles/1", "tiles": [{"call": "x", "tile": 3}]})"),
          std::string(R"({"schema": "spikescope.tiles/1", "tiles": [7]})")})
        EXPECT_FALSE(TileChoices::fromJson(damaged)) << damaged;
}

TEST(Tiles, keyNamesShaderDefinesAndExtents) {
    const std::vector<Define> defines{{"IN", "BF16"}, {"BIAS", "1"}};
    EXPECT_EQ(TileChoices::keyOf("product.comp", defines, 512, 256, 16384), "product IN=BF16 BIAS 512→256 rows 2^14");
    EXPECT_EQ(TileChoices::keyOf("product.comp", defines, 512, 256, 32767), "product IN=BF16 BIAS 512→256 rows 2^14");
}

TEST(Tiles, tuningIsKeptForTheSessionsBehindIt) {
    const fs::path folder = fs::path(testing::TempDir()) / fmt::format("spikescope_tiles_{}", getpid());
    const auto open = [&] {
        return std::move(*VulkanBackend::open(
            {.device = testDevice(), .kernels = KernelChoice::Portable, .cacheFolder = folder.string()}));
    };
    constexpr std::uint64_t side = 8, channels = 16;
    GraphBuilder builder;
    ValueId x = builder.input({.n = 1, .h = side, .w = side, .c = channels});
    x = builder.conv("first", x, 32, 1);
    x = builder.conv("second", x, 32, 3);
    x = builder.conv("third", x, 32, 3); // as the second
    const auto graph = builder.finish(builder.conv("last", x, 3, 3));
    ASSERT_TRUE(graph);
    Job job;
    constexpr std::uint64_t pixels = 8 * side;
    job.controls.width = job.controls.height = pixels;
    job.family = families().front();
    job.parameters = Parameters(7);
    job.program = lower(*graph, job.controls);
    Family family = *findFamily("flux1");
    family.latentChannels = channels;
    job.input = *syntheticLatents(family, pixels, pixels, 1, 7);
    TileChoices tuned;
    {
        const auto backend = open();
        std::set<std::string> heard;
        const auto done = tune(*backend, job.program, [&](const TunedTile& tile) {
            EXPECT_TRUE(heard.insert(tile.call).second) << tile.call;
            EXPECT_GT(tile.ruleMs, 0.0);
            EXPECT_EQ(tile.rule != tile.chosen, tile.chosenMs < tile.ruleMs);
        });
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_EQ(heard.size(), 2u);
        EXPECT_EQ(backend->heap().liveBlocks(), 0u);
        // Whatever won by measuring: what is kept has something in it.
        backend->kernels().tiles().set("a call", "a tile");
        tuned = backend->kernels().tiles();
        ASSERT_TRUE(keepTiles(*backend, folder.string()));
        const RunOutcome outcome = runJob(*backend, job, {}, CancelFlag{});
        EXPECT_FALSE(outcome.error);
        const Peak peak = findPeak(outcome.recording);
        EXPECT_EQ(outcome.recording.predicted, std::pair(peak.allocated, peak.reserved));
    }
    std::string path;
    {
        const auto backend = open();
        EXPECT_EQ(backend->kernels().tiles(), tuned);
        path = backend->cacheFile("tiles", folder.string());
    }
    std::ofstream(path, std::ios::trunc) << "{\"schema\":";
    EXPECT_EQ(open()->kernels().tiles().size(), 0u);
    fs::remove_all(folder);
}

} // namespace
} // namespace spikescope
