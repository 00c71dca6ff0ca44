#include "core/program/controls.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace spikescope {

namespace {

template <class T> struct Choice {
    std::string_view name;
    T value;
};

template <class T, std::size_t N>
Result<T> choose(std::string_view control, std::string_view text, const std::array<Choice<T>, N>& choices) {
    std::vector<std::string> allowed;
    for (const Choice<T>& choice : choices) {
        if (choice.name == text) return choice.value;
        allowed.emplace_back(choice.name);
    }
    return fail(ErrorCode::BadUsage, "{}: {} is unknown; allowed: {}", control, quote(text), joined(allowed, ", "));
}

template <class T, std::size_t N> std::string nameOf(T value, const std::array<Choice<T>, N>& choices) {
    return std::string(std::ranges::find(choices, value, &Choice<T>::value)->name);
}

constexpr std::array ops{Choice{"decode", VaeOp::Decode}, Choice{"encode", VaeOp::Encode}};
constexpr std::array dtypes{Choice{"bf16", DType::BF16}, Choice{"fp16", DType::F16}, Choice{"fp32", DType::F32}};
constexpr std::array switches{Choice{"off", false}, Choice{"on", true}};
constexpr std::array lifetimes{Choice{"planned", LifetimePolicy::Planned}, Choice{"stream", LifetimePolicy::Stream},
                               Choice{"lazy", LifetimePolicy::Lazy}};
constexpr std::array tileNorms{Choice{"auto", TileNorm::Auto}, Choice{"own", TileNorm::Own},
                               Choice{"shared", TileNorm::Shared}};
constexpr std::array arrangements{Choice{"even", TileArrangement::Even}, Choice{"fitted", TileArrangement::Fitted},
                                  Choice{"cut", TileArrangement::Cut}, Choice{"diffusers", TileArrangement::Diffusers},
                                  Choice{"three-passes", TileArrangement::ThreePasses}};
constexpr std::array blends{Choice{"linear", Blend::Linear}, Choice{"cosine", Blend::Cosine},
                            Choice{"smootherstep", Blend::Smootherstep}, Choice{"crop", Blend::Crop},
                            Choice{"feather", Blend::Feather}};
constexpr std::array tileAttentions{Choice{"auto", TileAttention::Auto}, Choice{"own", TileAttention::Own},
                                    Choice{"global", TileAttention::Global}};
constexpr std::array spills{Choice{"device", Spill::Device}, Choice{"host", Spill::Host},
                            Choice{"recompute-doubled", Spill::RecomputeDoubled},
                            Choice{"recompute", Spill::Recompute}};
using At = EvaluatePolicy::At;
constexpr std::array evaluatePlaces{Choice{"auto", At::Auto}, Choice{"layer", At::Layer}, Choice{"block", At::Block},
                                    Choice{"stage", At::Stage}, Choice{"none", At::None}};
constexpr std::array convs{Choice{"direct", ConvLowering::Direct}, Choice{"im2col", ConvLowering::Im2col},
                           Choice{"winograd", ConvLowering::Winograd}};
constexpr std::array upsamples{Choice{"fused", UpsampleLowering::Fused}, Choice{"nearest", UpsampleLowering::Nearest},
                               Choice{"broadcast", UpsampleLowering::Broadcast},
                               Choice{"folded", UpsampleLowering::Folded}};
constexpr std::array norms{Choice{"fused", NormLowering::Fused}, Choice{"separate", NormLowering::Separate},
                           Choice{"on-load", NormLowering::OnLoad}};
constexpr std::array attentions{Choice{"chunked", false}, Choice{"naive", true}};
constexpr std::array copies{Choice{"off", LayoutCopies::Off}, Choice{"on", LayoutCopies::On},
                            Choice{"after-norm", LayoutCopies::AfterNorm}};
constexpr std::array loads{Choice{"decoder", false}, Choice{"full", true}};
constexpr std::array applies{Choice{"stream", false}, Choice{"dictionary", true}};
constexpr std::array offloads{Choice{"before-load", Offload::BeforeLoad}, Choice{"after-decode", Offload::AfterDecode},
                              Choice{"never", Offload::Never}};
constexpr std::array allocators{Choice{"auto", AllocatorPolicy::Auto}, Choice{"arena", AllocatorPolicy::Arena},
                                Choice{"direct", AllocatorPolicy::Direct}, Choice{"caching", AllocatorPolicy::Caching},
                                Choice{"expandable", AllocatorPolicy::Expandable}};

std::string formatGiB(std::uint64_t bytes) { return fmt::format("{}", static_cast<double>(bytes) / 1073741824.0); }

std::string familyNames() {
    std::vector<std::string> names;
    for (const Family& family : families()) names.emplace_back(family.name);
    return joined(names, ", ");
}

Result<void> setModel(Controls& c, std::string_view text) {
    if (!findFamily(text))
        return fail(ErrorCode::BadUsage, "model: {} is unknown; allowed: {}", quote(text), familyNames());
    c.model = text;
    return {};
}

Result<void> setWeights(Controls& c, std::string_view text) {
    if (text.empty())
        return fail(ErrorCode::BadUsage, "weights: empty; allowed: synthetic, synthetic:SEED or a .safetensors file");
    if (text == "synthetic") text = "synthetic:7";
    if (text.starts_with("synthetic:") && !parseInteger(text.substr(10)))
        return fail(ErrorCode::BadUsage, "weights: the seed {} is not a number from 0 to 2^64-1",
                    quote(text.substr(10)));
    c.weights = text;
    return {};
}

Result<void> setSize(Controls& c, std::string_view text) {
    const auto sides = parseSides(text);
    if (!sides)
        return fail(ErrorCode::BadUsage, "size: {} is not WIDTHxHEIGHT with 1 to 65536 pixels to a side", quote(text));
    c.width = sides->width;
    c.height = sides->height;
    return {};
}

Result<void> setCount(std::uint64_t& count, std::string_view control, std::string_view text) {
    const auto value = parseInteger(text);
    if (!value || *value == 0 || *value > 1024)
        return fail(ErrorCode::BadUsage, "{}: {} is not a number from 1 to 1024", control, quote(text));
    count = *value;
    return {};
}
Result<void> setBatch(Controls& c, std::string_view text) { return setCount(c.batch, "batch", text); }
Result<void> setRepeat(Controls& c, std::string_view text) { return setCount(c.repeat, "repeat", text); }

Result<void> setWeightsDtype(Controls& c, std::string_view text) {
    if (text == "auto") {
        c.weightsDtype.reset();
        return {};
    }
    const auto dtype = dtypeFromName(text);
    if (!dtype)
        return fail(ErrorCode::BadUsage, "weights-dtype: {} is unknown; allowed: auto, bf16, fp16, fp32", quote(text));
    c.weightsDtype = *dtype;
    return {};
}

Result<void> setBudget(Controls& c, std::string_view text) {
    if (text == "device") {
        c.budgetBytes.reset();
        return {};
    }
    TRY(c.budgetBytes, parseGiB("budget", text));
    return {};
}

Result<void> setEvaluate(Controls& c, std::string_view text) {
    if (!text.starts_with("ops:") && !text.starts_with("bytes:")) {
        const auto place = std::ranges::find(evaluatePlaces, text, &Choice<At>::name);
        if (place == evaluatePlaces.end())
            return fail(ErrorCode::BadUsage,
                        "evaluate: {} is unknown; allowed: auto, layer, block, stage, none, ops:N, bytes:N, "
                        "ops:N,bytes:N",
                        quote(text));
        c.evaluate = {.at = place->value};
        return {};
    }
    EvaluatePolicy policy{.at = At::Count};
    for (std::string_view rest = text; !rest.empty();) {
        const std::string_view part = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(part.size() + 1, rest.size()));
        const auto colon = part.find(':');
        const std::string_view unit = part.substr(0, colon);
        const auto value = parseInteger(colon == std::string_view::npos ? "" : part.substr(colon + 1));
        if ((unit != "ops" && unit != "bytes") || !value || *value == 0)
            return fail(ErrorCode::BadUsage, "evaluate: {} is not ops:N or bytes:N with N from 1 to 2^64-1",
                        quote(part));
        (unit == "ops" ? policy.ops : policy.bytes) = *value;
    }
    c.evaluate = policy;
    return {};
}

std::string evaluateText(const Controls& c) {
    if (c.evaluate.at != At::Count) return nameOf(c.evaluate.at, evaluatePlaces);
    std::vector<std::string> parts;
    if (c.evaluate.ops) parts.push_back(fmt::format("ops:{}", c.evaluate.ops));
    if (c.evaluate.bytes) parts.push_back(fmt::format("bytes:{}", c.evaluate.bytes));
    return joined(parts, ",");
}

Result<void> setAhead(Controls& c, std::string_view text) {
    constexpr std::uint64_t most = 1024;
    const auto value = parseInteger(text);
    if (!value || *value > most)
        return fail(ErrorCode::BadUsage, "ahead: {} is not a number from 0 to {}", quote(text), most);
    c.ahead = static_cast<std::uint32_t>(*value);
    return {};
}

Result<void> setConv(Controls& c, std::string_view text) {
    constexpr std::string_view chunked = "im2col:";
    constexpr std::uint64_t most = std::uint64_t{1} << 24; // MiB: 16 TiB
    if (text.starts_with(chunked)) {
        const auto value = parseInteger(text.substr(chunked.size()));
        if (!value || *value == 0 || *value > most)
            return fail(ErrorCode::BadUsage, "conv: {} is not im2col:N with N from 1 to {} MiB", quote(text), most);
        c.conv = ConvLowering::Im2col;
        c.im2colBytes = *value << 20;
        return {};
    }
    for (const auto& choice : convs)
        if (choice.name == text) {
            c.conv = choice.value;
            c.im2colBytes = 0;
            return {};
        }
    return fail(ErrorCode::BadUsage, "conv: {} is unknown; allowed: direct, im2col, im2col:MIB, winograd", quote(text));
}

// One part of the pipeline that stays in memory has at most 1024 GiB.
Result<std::uint64_t> residentBytes(std::string_view part, std::string_view text) {
    constexpr std::uint64_t most = std::uint64_t{1024} << 30;
    TRY(const std::uint64_t bytes, parseGiB(fmt::format("resident {}", part), text));
    if (bytes > most)
        return fail(ErrorCode::BadUsage, "resident {}: {} is more than {} GiB", part, quote(text), most >> 30);
    return bytes;
}

Result<void> setResident(Controls& c, std::string_view text) {
    std::uint64_t bytes[2] = {0, 0}; // text encoder, transformer
    if (text.empty()) return fail(ErrorCode::BadUsage, "resident: empty; allowed: 0, text=GIB,transformer=GIB");
    if (text == "0") text = {};
    for (std::string_view rest = text; !rest.empty();) {
        const std::string_view part = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(part.size() + 1, rest.size()));
        const auto equals = part.find('=');
        const std::string_view who = part.substr(0, equals);
        if (equals == std::string_view::npos || (who != "text" && who != "transformer"))
            return fail(ErrorCode::BadUsage,
                        "resident: {} is not text=GIB or transformer=GIB; allowed: 0 or both by a comma", quote(part));
        TRY(bytes[who == "transformer"], residentBytes(who, part.substr(equals + 1)));
    }
    c.residentText = bytes[0];
    c.residentTransformer = bytes[1];
    return {};
}

std::string residentText(const Controls& c) {
    std::vector<std::string> parts;
    if (c.residentText) parts.push_back("text=" + formatGiB(c.residentText));
    if (c.residentTransformer) parts.push_back("transformer=" + formatGiB(c.residentTransformer));
    return parts.empty() ? "0" : joined(parts, ",");
}

Result<void> setTile(Controls& c, std::string_view text) {
    constexpr std::string_view stripe = "stripe:", share = "1/";
    constexpr std::uint64_t most = 65536, mostParts = 64;
    if (text == "off") {
        c.tile = {};
        return {};
    }
    if (text.starts_with(stripe)) {
        std::string_view height = text.substr(stripe.size());
        const bool isShare = height.starts_with(share);
        if (isShare) height.remove_prefix(share.size());
        const auto number = parseInteger(height);
        if (!number || *number < (isShare ? 2 : fewestTileRows) || *number > (isShare ? mostParts : most))
            return fail(ErrorCode::BadUsage,
                        "tile: {} is not stripe:N with N from {} to {} rows, or stripe:1/N with N from 2 to {}",
                        quote(text), fewestTileRows, most, mostParts);
        c.tile = {.kind = TileChoice::Kind::Stripe, .width = 0, .height = isShare ? 0 : *number};
        if (isShare) c.tile.parts = *number;
        return {};
    }
    const auto sides = parseTileSides(text);
    const auto isSide = [](std::uint64_t side) { return side >= smallestTile && side % spatialFactor == 0; };
    if (!sides || !isSide(sides->width) || !isSide(sides->height))
        return fail(ErrorCode::BadUsage,
                    "tile: {} is not off, N, WxH or stripe:N; sides of tiles are multiples of {} from {} to {} pixels",
                    quote(text), spatialFactor, smallestTile, most);
    c.tile = {.kind = TileChoice::Kind::Tiles, .width = sides->width, .height = sides->height};
    return {};
}

std::string tileText(const Controls& c) {
    switch (c.tile.kind) {
    case TileChoice::Kind::Off: return "off";
    case TileChoice::Kind::Stripe:
        return c.tile.parts ? fmt::format("stripe:1/{}", c.tile.parts) : fmt::format("stripe:{}", c.tile.height);
    case TileChoice::Kind::Tiles: break;
    }
    return c.tile.width == c.tile.height ? std::to_string(c.tile.width)
                                         : fmt::format("{}x{}", c.tile.width, c.tile.height);
}

Result<void> setOverlap(Controls& c, std::string_view text) {
    const auto pixels = parseInteger(text);
    if (!pixels || *pixels > 65536 || *pixels % spatialFactor != 0)
        return fail(ErrorCode::BadUsage, "overlap: {} is not a multiple of {} from 0 to 65536 pixels", quote(text),
                    spatialFactor);
    c.overlap = *pixels;
    return {};
}

Result<void> setTilesInFlight(Controls& c, std::string_view text) {
    const auto tiles = parseInteger(text);
    if (!tiles || *tiles == 0 || *tiles > mostTilesInFlight)
        return fail(ErrorCode::BadUsage, "tiles-in-flight: {} is not a number from 1 to {}", quote(text),
                    mostTilesInFlight);
    c.tilesInFlight = *tiles;
    return {};
}

Result<void> setAllocator(Controls& c, std::string_view text) {
    constexpr std::string_view limited = "cache-limit:";
    if (text.starts_with(limited)) {
        const std::string_view size = text.substr(limited.size());
        std::uint64_t bytes = 0;
        if (size != "0") {
            TRY(bytes, parseGiB("allocator cache-limit", size));
        }
        c.cacheLimitBytes = bytes;
        c.allocator = AllocatorPolicy::CacheLimit;
        return {};
    }
    for (const auto& choice : allocators)
        if (choice.name == text) {
            c.allocator = choice.value;
            return {};
        }
    return fail(ErrorCode::BadUsage,
                "allocator: {} is unknown; allowed: auto, arena, direct, caching, expandable, cache-limit:GIB",
                quote(text));
}

// A control that is one of some names, kept in one member.
template <std::size_t N> struct Name {
    char text[N];
    consteval Name(const char (&source)[N]) { std::ranges::copy(source, text); }
};
template <Name name, const auto& choices, auto member>
constexpr ControlInfo choice(std::string_view help, std::string_view values, std::string_view flips) {
    return {name.text,
            help,
            values,
            flips,
            [](Controls& c, std::string_view text) -> Result<void> {
                TRY(c.*member, choose(name.text, text, choices));
                return {};
            },
            [](const Controls& c) { return nameOf(c.*member, choices); }};
}

constexpr std::array table{
    ControlInfo{"model", "graph family; detected from the checkpoint when one is given",
                "flux1, sd15, sdxl, sd3, z-image, flux2, taesd, taef1, taef2", "", setModel,
                [](const Controls& c) { return c.model; }},
    ControlInfo{"weights", "where parameters come from", "synthetic[:SEED] or FILE.safetensors", "", setWeights,
                [](const Controls& c) { return c.weights; }},
    choice<"op", ops, &Controls::op>("what is run", "decode, encode", ""),
    ControlInfo{"size", "output pixels, multiples of the family's factor", "WxH", "", setSize,
                [](const Controls& c) { return fmt::format("{}x{}", c.width, c.height); }},
    ControlInfo{"batch", "pictures at a time", "1 to 1024", "", setBatch,
                [](const Controls& c) { return std::to_string(c.batch); }},
    ControlInfo{"repeat", "runs of the op, one after another over loaded weights; the last one is the result",
                "1 to 1024", "", setRepeat, [](const Controls& c) { return std::to_string(c.repeat); }},
    choice<"activations", dtypes, &Controls::activations>("dtype of feature maps; sums are fp32", "bf16, fp16, fp32",
                                                          "bf16 fp16 fp32"),
    ControlInfo{"weights-dtype", "dtype of convolution weights; biases and norms are fp32",
                "auto (as activations), bf16, fp16, fp32", "auto bf16 fp16 fp32", setWeightsDtype,
                [](const Controls& c) { return c.weightsDtype ? std::string(name(*c.weightsDtype)) : "auto"; }},
    choice<"promote", switches, &Controls::promote>(
        "fp32 scaling scalars turn 16-bit latents, and all maps after them, into fp32", "off, on", "off on"),
    choice<"lifetime", lifetimes, &Controls::lifetime>("when memory returns", "planned, stream, lazy",
                                                       "planned stream lazy"),
    ControlInfo{"evaluate", "where a batch of ops ends and is waited for",
                "auto (layer with lifetime lazy, else none), layer, block, stage, none, ops:N, bytes:N, ops:N,bytes:N",
                "layer block stage ops:50 bytes:52428800 none", setEvaluate, evaluateText},
    ControlInfo{"ahead", "batches that the host may run ahead of the device", "0 to 1024", "0 1 2", setAhead,
                [](const Controls& c) { return std::to_string(c.ahead); }},
    ControlInfo{"conv", "how 3x3 convolutions are lowered; im2col:MIB makes the columns in pieces",
                "direct, im2col, im2col:MIB, winograd", "direct im2col im2col:256 winograd", setConv,
                [](const Controls& c) {
                    return c.im2colBytes ? fmt::format("im2col:{}", c.im2colBytes >> 20) : nameOf(c.conv, convs);
                }},
    choice<"upsample", upsamples, &Controls::upsample>(
        "how maps are doubled: on load, as a map, as two maps, or folded into the weights",
        "fused, nearest, broadcast, folded", "fused nearest broadcast folded"),
    choice<"norm", norms, &Controls::norm>("GroupNorm and its activation in one pass, in two, or as convolutions read",
                                           "fused, separate, on-load", "fused separate on-load"),
    choice<"attention", attentions, &Controls::naiveAttention>("scores in blocks of rows or all at once",
                                                               "chunked, naive", "chunked naive"),
    choice<"layout-copies", copies, &Controls::layoutCopies>(
        "copies around convolutions of frameworks with another layout: of input and output, or of inputs that a norm "
        "made",
        "off, on, after-norm", "off on after-norm"),
    choice<"hold", switches, &Controls::holdInputs>(
        "callers keep the input of a block until it returns, as Python does", "off, on", "off on"),
    choice<"load", loads, &Controls::fullLoad>("which half of the model is loaded: the one that the op needs, or both",
                                               "decoder, full", "decoder full"),
    choice<"apply", applies, &Controls::dictionary>(
        "parameters reach the device one by one, or by way of two dictionaries in host memory", "stream, dictionary",
        "stream dictionary"),
    ControlInfo{"resident", "memory of other models, as real allocations", "0, or text=GIB,transformer=GIB", "0",
                setResident, residentText},
    choice<"offload", offloads, &Controls::offload>(
        "when resident models are released", "before-load, after-decode, never", "before-load after-decode never"),
    ControlInfo{"tile", "parts in which the op is run: tiles of output pixels, or stripes of rows of each map",
                "off, N, WxH, stripe:N, stripe:1/N (of the picture)", "off 512 stripe:64 stripe:1/4", setTile,
                tileText},
    ControlInfo{"overlap", "output pixels that neighbouring tiles share", "0 to less than a tile", "", setOverlap,
                [](const Controls& c) { return std::to_string(c.overlap); }},
    ControlInfo{"tiles-in-flight", "approximate tiles that run beside each other, each in memory of its own", "1 to 4",
                "", setTilesInFlight, [](const Controls& c) { return std::to_string(c.tilesInFlight); }},
    choice<"tile-grid", arrangements, &Controls::tileGrid>(
        "where tiles begin, and what becomes of the last ones: as ours, as in stable-diffusion.cpp, SeedVR2, diffusers "
        "or ComfyUI",
        "even, fitted, cut, diffusers, three-passes", ""),
    choice<"blend", blends, &Controls::blend>("weights where tiles overlap",
                                              "linear, cosine, smootherstep, crop, feather", ""),
    choice<"tile-norm", tileNorms, &Controls::tileNorm>(
        "statistics of norms: of all tiles together, which is exact and takes stripes, or of each",
        "auto (shared with stripes, else own), shared, own", ""),
    choice<"tile-attention", tileAttentions, &Controls::tileAttention>(
        "attention over the whole map, which is exact and takes stripes, or over each tile",
        "auto (global with shared statistics, else own), own, global", ""),
    choice<"spill", spills, &Controls::spill>(
        "with shared statistics: maps between norms stay on the device, or, where that lowers the peak, go to host "
        "memory or are made again",
        "device, host, recompute-doubled, recompute", "device host recompute-doubled recompute"),
    ControlInfo{"allocator", "how tensors become driver memory",
                "auto (arena with planned, caching with stream, cache-limit:1 with lazy), arena, direct, caching, "
                "expandable, cache-limit:GIB",
                "arena direct caching expandable cache-limit:0 cache-limit:1", setAllocator,
                [](const Controls& c) {
                    return c.allocator == AllocatorPolicy::CacheLimit ? "cache-limit:" + formatGiB(c.cacheLimitBytes)
                                                                      : nameOf(c.allocator, allocators);
                }},
    ControlInfo{"device", "which Vulkan device", "index, part of a name, or cpu", "",
                [](Controls& c, std::string_view t) -> Result<void> {
                    c.device = t;
                    return {};
                },
                [](const Controls& c) { return c.device; }},
    ControlInfo{"budget", "what fits means", "device, or GiB", "", setBudget,
                [](const Controls& c) { return c.budgetBytes ? formatGiB(*c.budgetBytes) : "device"; }},
    choice<"enforce", switches, &Controls::enforce>("the heap refuses beyond the budget", "off, on", ""),
};

} // namespace

bool Controls::isBanded() const { return tile.kind == TileChoice::Kind::Stripe && tileNorm != TileNorm::Own; }
bool Controls::isExactlyTiled() const { return isBanded() && tileAttention != TileAttention::Own; }

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
    if (evaluate.at != At::Auto) return evaluate.at;
    return lifetime == LifetimePolicy::Lazy ? At::Layer : At::None;
}

std::optional<std::uint64_t> Controls::syntheticSeed() const {
    constexpr std::string_view prefix = "synthetic:";
    if (!weights.starts_with(prefix)) return std::nullopt;
    return parseInteger(std::string_view(weights).substr(prefix.size()));
}

std::span<const ControlInfo> controlTable() { return table; }

Result<void> setControl(Controls& controls, std::string_view controlName, std::string_view value) {
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
            nameOf(c.lifetime, lifetimes));
    if (c.upsample == UpsampleLowering::Folded && c.conv != ConvLowering::Direct)
        return fail(
            ErrorCode::BadUsage,
            "upsample folded contradicts conv {0}: its 2x2 convolutions are direct; with conv {0} go fused, nearest, "
            "broadcast",
            nameOf(c.conv, convs));
    if (c.promote && c.activations == DType::F32)
        return fail(
            ErrorCode::BadUsage,
            "promote on contradicts activations fp32: nothing is left to promote; with promote on go bf16, fp16");
    if (c.tile.kind == TileChoice::Kind::Tiles && c.tileNorm == TileNorm::Shared)
        return fail(ErrorCode::BadUsage,
                    "tile {} contradicts tile-norm shared: exact tiles are stripes of whole rows; "
                    "with tile-norm shared go stripe:N, stripe:1/N",
                    tileText(c));
    if (c.isTiled() && !c.isBanded()) {
        if (c.tileAttention == TileAttention::Global)
            return fail(ErrorCode::BadUsage,
                        "tile {} contradicts tile-attention global: {} know nothing of each other; with "
                        "tile-attention global go stripe:N, stripe:1/N with tile-norm shared",
                        tileText(c), c.tile.kind == TileChoice::Kind::Stripe ? "stripes with tile-norm own" : "tiles");
        if (c.tile.parts || c.tile.height % spatialFactor != 0 || c.tile.height < smallestTile)
            return fail(ErrorCode::BadUsage,
                        "tile {} contradicts tile-norm own: tiles of their own are multiples of {} from {} pixels on",
                        tileText(c), spatialFactor, smallestTile);
        // The second pass has tiles half as high, the first half as wide.
        const bool halved = c.tileGrid == TileArrangement::ThreePasses;
        const bool stripes = c.tile.kind == TileChoice::Kind::Stripe;
        const std::uint64_t width = stripes ? c.tile.height : c.tile.width,
                            side = std::min(c.tile.height, width) / (halved ? 2 : 1);
        if (halved && (c.tile.height % (2 * spatialFactor) != 0 || width % (2 * spatialFactor) != 0))
            return fail(ErrorCode::BadUsage,
                        "tile {} contradicts tile-grid three-passes: its passes halve the sides of tiles, which are "
                        "multiples of {} from {} pixels on",
                        tileText(c), 2 * spatialFactor, smallestTile);
        if (c.overlap >= side)
            return fail(ErrorCode::BadUsage, "overlap {}: tiles of {} pixels share at most {}", c.overlap, side,
                        (side - 1) / spatialFactor * spatialFactor);
        if (c.tileGrid == TileArrangement::Diffusers && c.blend != Blend::Linear)
            return fail(ErrorCode::BadUsage, "tile-grid diffusers contradicts blend {}: it blends linearly",
                        nameOf(c.blend, blends));
    }
    if (c.enforce && !c.budgetBytes)
        return fail(ErrorCode::BadUsage, "enforce on contradicts budget device: the device refuses by itself; with "
                                         "enforce on goes a budget in GiB");
    return {};
}

std::optional<std::string> controlValue(const Controls& controls, std::string_view controlName) {
    const auto found = std::ranges::find(table, controlName, &ControlInfo::name);
    return found == table.end() ? std::nullopt : std::optional(found->get(controls));
}

std::vector<std::pair<std::string, std::string>> controlValues(const Controls& controls) {
    std::vector<std::pair<std::string, std::string>> values;
    for (const ControlInfo& info : table) values.emplace_back(info.name, info.get(controls));
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
    const auto width = parseInteger(text.substr(0, cross));
    const auto height = cross == std::string_view::npos ? std::nullopt : parseInteger(text.substr(cross + 1));
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
    constexpr double most = 1048576.0; // GiB: 1 PiB
    const bool whole = error == std::errc{} && end == number.data() + number.size();
    if (!whole || !std::isfinite(value) || value * unit < 1 || value * unit > most * 1073741824.0)
        return fail(ErrorCode::BadUsage,
                    "{}: {} is not a number of GiB (or with MiB behind it) above 0 and up to {} GiB", what, quote(text),
                    most);
    return static_cast<std::uint64_t>(value * unit);
}

} // namespace spikescope
