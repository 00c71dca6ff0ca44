#include "core/program/controls.h"

#include "core/base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace spikescope {

namespace {

std::string_view withoutBlanks(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t");
    return begin == std::string_view::npos ? std::string_view{}
                                           : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string valueOf(const Controls& controls, std::string_view control) { return *controlValue(controls, control); }

} // namespace

bool Controls::isStriped() const { return tile.kind == TileChoice::Kind::Stripe && tileNorm != TileNorm::Own; }
bool Controls::isExactlyTiled() const { return isStriped() && tileAttention != TileAttention::Own; }

AllocatorPolicy Controls::allocatorPolicy() const {
    if (allocator != AllocatorPolicy::Auto) return allocator;
    switch (lifetime) {
    case LifetimePolicy::Planned: return AllocatorPolicy::Arena;
    case LifetimePolicy::Stream: return AllocatorPolicy::Caching;
    case LifetimePolicy::Lazy: return AllocatorPolicy::CacheLimit;
    }
    return AllocatorPolicy::Direct;
}

std::uint64_t Controls::cacheLimit() const {
    return allocator == AllocatorPolicy::CacheLimit ? cacheLimitBytes : defaultCacheLimit;
}

EvaluatePolicy::At Controls::evaluateAt() const {
    if (evaluate.at != EvaluatePolicy::At::Auto) return evaluate.at;
    return lifetime == LifetimePolicy::Lazy ? EvaluatePolicy::At::Layer : EvaluatePolicy::At::None;
}

std::optional<std::uint64_t> Controls::syntheticSeed() const {
    constexpr std::string_view prefix = "synthetic:";
    if (!weights.starts_with(prefix)) return std::nullopt;
    return parseInteger(std::string_view(weights).substr(prefix.size()));
}

Controls defaultControls() {
    Controls controls;
    controls.model = "flux1";
    controls.width = controls.height = 1024;
    return controls;
}

Result<void> setControl(Controls& controls, std::string_view controlName, std::string_view value) {
    const std::span<const ControlInfo> table = controlTable();
    const auto found = std::ranges::find(table, controlName, &ControlInfo::name);
    if (found == table.end()) {
        std::vector<std::string> names;
        for (const ControlInfo& info : table) names.emplace_back(info.name);
        return fail(ErrorCode::BadUsage, "control {} is unknown; there are {}", quote(controlName),
                    joined(names, ", "));
    }
    return found->set(controls, value);
}

Result<void> checkControls(const Controls& c) {
    if (c.allocator == AllocatorPolicy::Arena && c.lifetime != LifetimePolicy::Planned)
        return fail(
            ErrorCode::BadUsage,
            "allocator arena contradicts lifetime {0}: its offsets come from lifetime planned; with lifetime {0} "
            "go auto, direct, caching, expandable, cache-limit:GIB",
            valueOf(c, "lifetime"));
    if (c.upsample == UpsampleLowering::Folded && c.conv != ConvLowering::Direct)
        return fail(
            ErrorCode::BadUsage,
            "upsample folded contradicts conv {0}: its 2x2 convolutions are direct; with conv {0} go fused, nearest, "
            "broadcast",
            valueOf(c, "conv"));
    if (c.promote && c.activations == DType::F32)
        return fail(
            ErrorCode::BadUsage,
            "promote on contradicts activations fp32: nothing is left to promote; with promote on go bf16, fp16");
    if (c.tile.kind == TileChoice::Kind::Tiles && c.tileNorm == TileNorm::Shared)
        return fail(ErrorCode::BadUsage,
                    "tile {} contradicts tile-norm shared: exact tiles are stripes of whole rows; "
                    "with tile-norm shared go stripe:N, stripe:1/N",
                    valueOf(c, "tile"));
    if (c.isTiled() && !c.isStriped()) {
        if (c.tileAttention == TileAttention::Global)
            return fail(ErrorCode::BadUsage,
                        "tile {} contradicts tile-attention global: {} are independent, norms and attention see one "
                        "of them only; with tile-attention global go stripe:N, stripe:1/N with tile-norm shared",
                        valueOf(c, "tile"),
                        c.tile.kind == TileChoice::Kind::Stripe ? "stripes with tile-norm own" : "tiles");
        if (c.tile.parts || c.tile.height % tileUnit != 0 || c.tile.height < minTileSide)
            return fail(ErrorCode::BadUsage,
                        "tile {} contradicts tile-norm own: tiles of their own are multiples of {} from {} pixels on",
                        valueOf(c, "tile"), tileUnit, minTileSide);
        // The second pass has tiles half as high, the first half as wide.
        const bool halved = c.tileGrid == TileArrangement::ThreePasses;
        const bool stripes = c.tile.kind == TileChoice::Kind::Stripe;
        const std::uint64_t width = stripes ? c.tile.height : c.tile.width,
                            side = std::min(c.tile.height, width) / (halved ? 2 : 1);
        if (halved && (c.tile.height % (2 * tileUnit) != 0 || width % (2 * tileUnit) != 0))
            return fail(ErrorCode::BadUsage,
                        "tile {} contradicts tile-grid three-passes: its passes halve the sides of tiles, which are "
                        "multiples of {} from {} pixels on",
                        valueOf(c, "tile"), 2 * tileUnit, minTileSide);
        if (c.overlap >= side)
            return fail(ErrorCode::BadUsage, "overlap {}: tiles of {} pixels share at most {}", c.overlap, side,
                        (side - 1) / tileUnit * tileUnit);
        if (c.tileGrid == TileArrangement::Diffusers && c.blend != Blend::Linear)
            return fail(ErrorCode::BadUsage, "tile-grid diffusers contradicts blend {}: it blends linearly",
                        valueOf(c, "blend"));
    }
    if (c.enforce && !c.budgetBytes)
        return fail(ErrorCode::BadUsage, "enforce on contradicts budget device: the device refuses by itself; with "
                                         "enforce on goes a budget in GiB");
    return {};
}

std::optional<std::string> controlValue(const Controls& controls, std::string_view controlName) {
    const std::span<const ControlInfo> table = controlTable();
    const auto found = std::ranges::find(table, controlName, &ControlInfo::name);
    return found == table.end() ? std::nullopt : std::optional(found->get(controls));
}

std::vector<std::pair<std::string, std::string>> controlValues(const Controls& controls) {
    std::vector<std::pair<std::string, std::string>> values;
    for (const ControlInfo& info : controlTable()) values.emplace_back(info.name, info.get(controls));
    return values;
}

std::optional<std::uint64_t> parseInteger(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<Sides> parseSides(std::string_view text) {
    const auto cross = text.find('x');
    const auto width = parseInteger(withoutBlanks(text.substr(0, cross)));
    const auto height =
        cross == std::string_view::npos ? std::nullopt : parseInteger(withoutBlanks(text.substr(cross + 1)));
    if (!width || !height || *width == 0 || *height == 0 || *width > 65536 || *height > 65536) return std::nullopt;
    return Sides{.width = *width, .height = *height};
}

std::optional<Sides> parseTileSides(std::string_view text) {
    return parseSides(text.find('x') == std::string_view::npos ? fmt::format("{0}x{0}", text) : text);
}

Result<std::uint64_t> parseGiB(std::string_view what, std::string_view text) {
    constexpr std::string_view gib = "GiB", mib = "MiB";
    std::string_view number = text;
    double unit = 1073741824.0;
    if (text.ends_with(mib)) unit = 1048576.0;
    if (text.ends_with(gib) || text.ends_with(mib)) number.remove_suffix(gib.size());
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    constexpr double maximum = 1048576.0; // GiB: 1 PiB
    const bool whole = error == std::errc{} && end == number.data() + number.size();
    if (!whole || !std::isfinite(value) || value * unit < 1 || value * unit > maximum * 1073741824.0)
        return fail(ErrorCode::BadUsage,
                    "{}: {} is not a number of GiB (or with MiB behind it) above 0 and up to {} GiB", what, quote(text),
                    maximum);
    return static_cast<std::uint64_t>(value * unit);
}

} // namespace spikescope
