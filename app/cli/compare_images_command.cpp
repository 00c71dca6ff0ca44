// compare-images: how far one picture is from another, and whether tiles left seams in it.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/base/text.h"
#include "core/io/image_difference.h"
#include "core/timeline/layer_table.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace spikescope::cli {

namespace {

using Json = nlohmann::ordered_json;

struct CompareImagesCommand {
    std::string a, b, heatMap, tile, overlap, range = "signed";
    bool json = false;

    Result<int> run() const {
        TRY(const std::optional<SeamGrid> tiles, grid());
        TRY(const ValueRange tensorRange, valueRange());
        CHECK(checkFiles({{{.name = "a", .path = splitKey(a).path},
                           {.name = "b", .path = splitKey(b).path},
                           {.name = "--heatmap", .path = heatMap, .role = NamedFile::Role::Output}}},
                         json));
        TRY(const ComparedImage imageA, open(a, tensorRange));
        TRY(const ComparedImage imageB, open(b, tensorRange));
        SeamEdges seams;
        if (tiles) {
            TRY(seams, seamEdges(*tiles, imageA.pixels.width, imageA.pixels.height));
        }
        TRY(const ImageDifference difference, differenceOf(imageA, imageB, seams));
        if (!heatMap.empty()) {
            TRY(PngWriter writer, PngWriter::create(heatMap, static_cast<std::uint32_t>(difference.width),
                                                    static_cast<std::uint32_t>(difference.height), 8));
            CHECK(writeHeatMap(writer, imageA, imageB, difference, seams));
            CHECK(writer.commit());
        }
        json ? printJson(difference, tiles) : printText(difference);
        return 0;
    }

private:
    Result<std::optional<SeamGrid>> grid() const {
        if (tile.empty()) {
            if (!overlap.empty()) return fail(ErrorCode::BadUsage, "--overlap needs --tile");
            return std::optional<SeamGrid>{};
        }
        const auto sides = parseTileSides(tile);
        if (!sides)
            return fail(ErrorCode::BadUsage, "tile: {} is not N or WIDTHxHEIGHT with 1 to 65536 pixels to a side",
                        quote(tile));
        const auto pixels = parseInteger(overlap.empty() ? "0" : overlap);
        if (!pixels) return fail(ErrorCode::BadUsage, "overlap: {} is not a number of pixels", quote(overlap));
        return SeamGrid{.tile = *sides, .overlap = *pixels};
    }

    Result<ValueRange> valueRange() const {
        if (range == "signed") return ValueRange::Signed;
        if (range == "unit") return ValueRange::Unit;
        return fail(ErrorCode::BadUsage, "range: {} is unknown; allowed: signed, unit", quote(range));
    }

    static Result<ComparedImage> open(const std::string& text, ValueRange tensorRange) {
        const InputFile file = splitKey(text);
        return openComparedImage(file.path, file.key, tensorRange);
    }

    void printText(const ImageDifference& d) const {
        printOutput("pictures   {}x{}, A {}, B {}\n", d.width, d.height, a, b);
        if (d.identical())
            printOutput("psnr       identical\n");
        else
            printOutput("psnr       {:.2f} dB, of a peak of 1 from black to white\n", d.psnr);
        printOutput("maximum    {:.4g}{}\n", d.maximum,
                    d.worst ? fmt::format(" at x {}, y {}, {}", d.worst->x, d.worst->y, channelNames[d.worst->channel])
                            : std::string());
        printOutput("mean       {:.4g}\n", d.mean);
        printOutput("relative   {:.4g}, L2 of B - A over that of A\n", d.relativeL2);
        if (d.nonFinite)
            printOutput("not finite {} values, whose error is infinite; without them the maximum is {:.4g}\n",
                        d.nonFinite, d.largestFinite);
        if (!d.byDistance.empty()) printBins(d);
        if (!heatMap.empty()) printOutput("heat map   {}, white is {:.4g}\n", heatMap, d.largestFinite);
    }

    static void printBins(const ImageDifference& d) {
        std::vector<std::vector<std::string>> lines{{"pixels from a tile's edge", "pixels", "rms", "maximum"}};
        for (const DistanceBin& bin : d.byDistance) {
            const auto number = [&](double value) { return bin.pixels ? fmt::format("{:.4g}", value) : "-"; };
            lines.push_back(
                {bin.to == anyDistance ? fmt::format("{}+", bin.from) : fmt::format("{}-{}", bin.from, bin.to),
                 std::to_string(bin.pixels), number(bin.rms), number(bin.maximum)});
        }
        printOutput("\n{}\n\n", alignedText(lines, 1));
        printOutput("seams      {}\n",
                    d.seamVisibility
                        ? fmt::format("{:.4g}, RMS beside edges over that farthest from them", *d.seamVisibility)
                        : "no ratio of the RMS beside edges to that farthest from them");
    }

    void printJson(const ImageDifference& d, const std::optional<SeamGrid>& tiles) const {
        // JSON has no infinity: it becomes null, which "identical", "non_finite_values" or an RMS of 0 explains.
        const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
        Json worst = nullptr;
        if (d.worst) worst = {{"x", d.worst->x}, {"y", d.worst->y}, {"channel", channelNames[d.worst->channel]}};
        Json out{{"schema", "spikescope.images/1"},
                 {"a", a},
                 {"b", b},
                 {"width", d.width},
                 {"height", d.height},
                 {"identical", d.identical()},
                 {"non_finite_values", d.nonFinite},
                 {"psnr_db", number(d.psnr)},
                 {"maximum", number(d.maximum)},
                 {"maximum_at", std::move(worst)},
                 {"mean", number(d.mean)},
                 {"relative_l2", number(d.relativeL2)},
                 {"tiles", nullptr},
                 {"heatmap", nullptr}};
        if (tiles) {
            Json bins = Json::array();
            for (const DistanceBin& bin : d.byDistance)
                bins.push_back({{"from", bin.from},
                                {"to", bin.to == anyDistance ? Json(nullptr) : Json(bin.to)},
                                {"pixels", bin.pixels},
                                {"rms", bin.pixels ? number(bin.rms) : Json(nullptr)},
                                {"maximum", bin.pixels ? number(bin.maximum) : Json(nullptr)}});
            out["tiles"] = {{"width", tiles->tile.width},
                            {"height", tiles->tile.height},
                            {"overlap", tiles->overlap},
                            {"by_distance", std::move(bins)},
                            {"seam_visibility", d.seamVisibility ? number(*d.seamVisibility) : Json(nullptr)}};
        }
        if (!heatMap.empty()) out["heatmap"] = {{"file", heatMap}, {"white", d.largestFinite}};
        // Names of files need not be UTF-8.
        printOutput("{}\n", out.dump(2, ' ', false, Json::error_handler_t::replace));
    }
};

} // namespace

void addCompareImages(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("compare-images", "Say how far one picture is from another, and where");
    auto command = std::make_shared<CompareImagesCommand>();
    constexpr const char* files = "FILE.png, FILE.safetensors[:KEY] or FILE.npy";
    sub->add_option("a", command->a, files)->required();
    sub->add_option("b", command->b, files)->required();
    sub->add_option("--heatmap", command->heatMap, "write where the errors are to FILE.png");
    sub->add_option("--tile", command->tile, "pixels of a tile, N or WxH: errors by distance to the tiles' edges");
    sub->add_option("--overlap", command->overlap, "pixels by which tiles overlap, 0 if not given");
    sub->add_option("--range", command->range, "tensors are signed (-1 to 1, if not given) or unit (0 to 1)");
    sub->add_flag("--json", command->json, "as JSON");
    sub->callback([command, &result] {
        const Result<int> code = command->run();
        result = code ? *code : exitWith(code.error());
    });
}

} // namespace spikescope::cli
