#include "core/program/op_count.h"

#include "core/base/text.h"
#include "core/program/lower.h"
#include "core/program/stripes.h"
#include "core/program/tile_grid.h"

#include <algorithm>
#include <set>
#include <utility>

namespace spikescope {

namespace {

// Calls of the whole graph, of any size.
std::uint64_t callsOf(const Graph& graph, const Controls& controls) {
    LoweredCalls lowered = lowerWeights(graph, controls, {});
    (void)lowerInto(lowered, graph, controls);
    return lowered.program.calls.size();
}

OpCount countTiles(const Controls& controls, const LatentSize& latents, std::uint64_t opsOfTile) {
    OpCount count{.tiles = 0, .pictures = controls.batch};
    std::set<std::pair<std::uint64_t, std::uint64_t>> sizes;
    const std::uint64_t scale = controls.op == VaeTask::Decode ? latents.factor : 1;
    for (const TileGrid& grid : tilePlaces(controls, latents)) {
        std::set<std::uint64_t> heights, widths;
        for (const TileLine& row : grid.rows) {
            heights.insert(row.length);
            count.weights += row.length * scale;
        }
        for (const TileLine& column : grid.columns) {
            widths.insert(column.length);
            count.weights += 2 * column.length * scale;
        }
        for (const std::uint64_t height : heights)
            for (const std::uint64_t width : widths) sizes.emplace(height, width);
        count.tiles += grid.rows.size() * grid.columns.size();
    }
    count.sizes = sizes.size();
    count.ops = count.tiles * count.pictures * controls.repeat * opsOfTile;
    count.different = count.sizes * controls.tilesInFlight * opsOfTile;
    return count;
}

// Counts one picture's size in tiles or stripes of any size.
class Counter {
public:
    Counter(const Graph& graph, const Controls& controls)
        : m_graph(graph)
        , m_calls(controls.isStriped() ? 0 : callsOf(graph, controls)) {}

    OpCount count(const Controls& controls) const {
        if (controls.isStriped()) {
            const StripeCount stripes = countInStripes(m_graph, controls);
            const std::uint64_t ops = stripes.calls + 1;
            return {.tiles = stripes.stripes,
                    .pictures = controls.batch,
                    .ops = ops * controls.batch * controls.repeat,
                    .different = ops};
        }
        if (controls.isTiled()) return countTiles(controls, latentSize(m_graph), opsOfTile());
        return {.ops = (m_calls + 1) * controls.repeat, .different = m_calls + 1};
    }
    std::uint64_t opsOfTile() const { return m_calls + 2; } // its upload and its blend, too
    std::uint64_t unitOfTiles() const { return std::max(tileUnit, latentSize(m_graph).factor); } // pixels

private:
    const Graph& m_graph;
    std::uint64_t m_calls;
};

bool isAcceptedInFull(const OpCount& count, const OpLimits& limits) {
    return count.ops <= (limits.everyEvent ? limits.most : limits.detailed) && count.weights <= limits.weights;
}
bool isAccepted(const OpCount& count, const Controls& controls, const OpLimits& limits) {
    // Stripes are not merged with each other.
    const bool isAcceptedOnce = controls.isStriped() || count.different <= limits.differentTiles;
    return isAcceptedInFull(count, limits) || (!limits.everyEvent && isAcceptedOnce);
}

// The same controls with the smallest larger tiles or stripes that are accepted.
std::optional<Controls> withAcceptedTile(const Counter& counter, const Controls& controls, const OpLimits& limits) {
    if (controls.tile.parts) return std::nullopt;
    const bool halved = controls.tileGrid == TileArrangement::ThreePasses;
    const std::uint64_t unit = controls.isStriped() ? 2 : counter.unitOfTiles() * (halved ? 2 : 1);
    const auto larger = [&](std::uint64_t units) {
        Controls other = controls;
        other.tile.height += units * unit - other.tile.height % unit;
        if (other.tile.kind == TileChoice::Kind::Tiles) other.tile.width += units * unit - other.tile.width % unit;
        return other;
    };
    const auto covers = [&](const Controls& other) { return other.tile.covers(controls.width, controls.height); };
    const auto accepts = [&](std::uint64_t units) {
        const Controls other = larger(units);
        return covers(other) || isAccepted(counter.count(other), other, limits);
    };
    // Doubles the size until it is accepted, then bisects.
    std::uint64_t refused = 0, accepted = 1;
    while (!accepts(accepted)) refused = std::exchange(accepted, 2 * accepted);
    while (accepted - refused > 1) {
        const std::uint64_t middle = refused + (accepted - refused) / 2;
        (accepts(middle) ? accepted : refused) = middle;
    }
    return covers(larger(accepted)) ? std::nullopt : std::optional(larger(accepted));
}

std::string several(std::uint64_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

} // namespace

OpCount countOps(const Graph& graph, const Controls& controls) { return Counter(graph, controls).count(controls); }

Result<std::optional<std::string>> mergeRepeats(const Graph& graph, const Controls& controls, const OpLimits& limits) {
    const Counter counter(graph, controls);
    const OpCount count = counter.count(controls);
    if (isAcceptedInFull(count, limits)) return std::nullopt;

    const std::uint64_t runs = controls.repeat, ofPicture = count.ops / count.pictures / runs;
    std::string said = fmt::format("repeat {}: runs of {}", runs, several(ofPicture, "op"));
    if (controls.isStriped())
        said = fmt::format("tile {}: {} with {}", *controlValue(controls, "tile"), several(count.tiles, "stripe"),
                           several(ofPicture, "op"));
    else if (controls.isTiled())
        said = fmt::format("tile {}: {} of {}", *controlValue(controls, "tile"), several(count.tiles, "tile"),
                           several(counter.opsOfTile(), "op"));
    if (count.pictures > 1) said += fmt::format(" for each of {} pictures", count.pictures);
    if (runs > 1 && controls.isTiled()) said += fmt::format(" in each of {} runs", runs);
    said += fmt::format(" are {} ops", count.ops);
    if (isAccepted(count, controls, limits)) return said + ", so that equal parts are planned once and counted";

    if (!limits.everyEvent)
        said += fmt::format(", {} of them in parts of {} that differ, more than the {} that a plan takes",
                            count.different, several(count.sizes, "size"), limits.differentTiles);
    else if (count.ops > limits.most)
        said += fmt::format(", more than the {} of which every event can be kept", limits.most);
    else
        said += fmt::format(" and overlap with {} weights, more than the {} that can be kept", count.weights,
                            limits.weights);
    std::vector<std::string> ways;
    if (const auto other = controls.isTiled() ? withAcceptedTile(counter, controls, limits) : std::nullopt)
        ways.push_back(fmt::format("--tile {} is the smallest", *controlValue(*other, "tile")));
    if (const std::uint64_t most = limits.most / (count.ops / runs); limits.everyEvent && most > 0 && most < runs)
        ways.push_back(fmt::format("--repeat {} is the largest", most));
    if (!ways.empty()) said += fmt::format("; {} that is not too many", joined(ways, " or "));
    return fail(ErrorCode::BadUsage, "{}", said);
}

} // namespace spikescope
