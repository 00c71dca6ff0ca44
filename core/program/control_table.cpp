// The table of all controls: names, help, values, and how each value is read and written.

#include "core/program/controls.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace spikescope {

namespace {

template <class T> struct Choice {
    std::string_view name;
    T value;
    std::string_view note = {}; // for help: what the name stands for
};
template <class T, std::size_t N> using Choices = std::array<Choice<T>, N>;

constexpr Choices<VaeTask, 2> ops{{{"decode", VaeTask::Decode}, {"encode", VaeTask::Encode}}};
constexpr Choices<DType, 3> dtypes{{{"bf16", DType::BF16}, {"fp16", DType::F16}, {"fp32", DType::F32}}};
constexpr Choices<bool, 2> switches{{{"off", false}, {"on", true}}};
constexpr Choices<LifetimePolicy, 3> lifetimes{
    {{"planned", LifetimePolicy::Planned}, {"stream", LifetimePolicy::Stream}, {"lazy", LifetimePolicy::Lazy}}};
constexpr Choices<TileNorm, 3> tileNorms{
    {{"auto", TileNorm::Auto, "shared with stripes, else own"}, {"own", TileNorm::Own}, {"shared", TileNorm::Shared}}};
constexpr Choices<TileArrangement, 5> arrangements{{{"even", TileArrangement::Even},
                                                    {"fitted", TileArrangement::Fitted},
                                                    {"cut", TileArrangement::Cut},
                                                    {"diffusers", TileArrangement::Diffusers},
                                                    {"three-passes", TileArrangement::ThreePasses}}};
constexpr Choices<Blend, 5> blends{{{"linear", Blend::Linear},
                                    {"cosine", Blend::Cosine},
                                    {"smootherstep", Blend::Smootherstep},
                                    {"crop", Blend::Crop},
                                    {"feather", Blend::Feather}}};
constexpr Choices<TileAttention, 3> tileAttentions{
    {{"auto", TileAttention::Auto, "global with shared statistics, else own"},
     {"own", TileAttention::Own},
     {"global", TileAttention::Global}}};
constexpr Choices<Spill, 4> spills{{{"device", Spill::Device},
                                    {"host", Spill::Host},
                                    {"recompute-doubled", Spill::RecomputeUpsampled},
                                    {"recompute", Spill::Recompute}}};
using At = EvaluatePolicy::At;
constexpr Choices<At, 5> evaluatePlaces{{{"auto", At::Auto, "layer with lifetime lazy, else none"},
                                         {"layer", At::Layer},
                                         {"block", At::Block},
                                         {"stage", At::Stage},
                                         {"none", At::None}}};
constexpr Choices<ConvLowering, 3> convs{
    {{"direct", ConvLowering::Direct}, {"im2col", ConvLowering::Im2col}, {"winograd", ConvLowering::Winograd}}};
constexpr Choices<UpsampleLowering, 4> upsamples{{{"fused", UpsampleLowering::Fused},
                                                  {"nearest", UpsampleLowering::Nearest},
                                                  {"broadcast", UpsampleLowering::Broadcast},
                                                  {"folded", UpsampleLowering::Folded}}};
constexpr Choices<NormLowering, 3> norms{
    {{"fused", NormLowering::Fused}, {"separate", NormLowering::Separate}, {"on-load", NormLowering::OnLoad}}};
constexpr Choices<AttentionLowering, 2> attentions{
    {{"chunked", AttentionLowering::Chunked}, {"naive", AttentionLowering::Naive}}};
constexpr Choices<LayoutCopies, 3> copies{
    {{"off", LayoutCopies::Off}, {"on", LayoutCopies::On}, {"after-norm", LayoutCopies::AfterNorm}}};
constexpr Choices<LoadPolicy, 2> loads{{{"decoder", LoadPolicy::Decoder}, {"full", LoadPolicy::Full}}};
constexpr Choices<ApplyPolicy, 2> applies{{{"stream", ApplyPolicy::Stream}, {"dictionary", ApplyPolicy::Dictionary}}};
constexpr Choices<Offload, 3> offloads{
    {{"before-load", Offload::BeforeLoad}, {"after-decode", Offload::AfterDecode}, {"never", Offload::Never}}};
constexpr Choices<AllocatorPolicy, 5> allocators{
    {{"auto", AllocatorPolicy::Auto, "arena with planned, caching with stream, cache-limit:1 with lazy"},
     {"arena", AllocatorPolicy::Arena},
     {"direct", AllocatorPolicy::Direct},
     {"caching", AllocatorPolicy::Caching},
     {"expandable", AllocatorPolicy::Expandable}}};

// What some controls take besides their names.
constexpr std::string_view evaluateCounts = "ops:N, bytes:N, ops:N,bytes:N", convChunks = "im2col:MIB",
                           allocatorLimit = "cache-limit:GIB", weightsAsMaps = "auto";

template <class T, std::size_t N> std::vector<std::string_view> namesOf(const Choices<T, N>& choices) {
    std::vector<std::string_view> names;
    for (const Choice<T>& choice : choices) names.push_back(choice.name);
    return names;
}
// For help: names with their notes, then what the control takes besides.
template <class T, std::size_t N> std::string valuesOf(const Choices<T, N>& choices, std::string_view besides = {}) {
    std::vector<std::string> values;
    for (const Choice<T>& choice : choices)
        values.push_back(choice.note.empty() ? std::string(choice.name)
                                             : fmt::format("{} ({})", choice.name, choice.note));
    if (!besides.empty()) values.emplace_back(besides);
    return joined(values, ", ");
}
template <class T, std::size_t N>
Result<T> choose(std::string_view control, std::string_view text, const Choices<T, N>& choices,
                 std::string_view besides = {}) {
    for (const Choice<T>& choice : choices)
        if (choice.name == text) return choice.value;
    return fail(ErrorCode::BadUsage, "{}: {} is unknown; allowed: {}{}{}", control, quote(text),
                fmt::join(namesOf(choices), ", "), besides.empty() ? "" : ", ", besides);
}
template <class T, std::size_t N> std::string nameOf(T value, const Choices<T, N>& choices) {
    return std::string(std::ranges::find(choices, value, &Choice<T>::value)->name);
}

std::vector<std::string_view> familyNames() {
    std::vector<std::string_view> names;
    for (const Family& family : families()) names.push_back(family.name);
    return names;
}

// The shortest decimal number that parseGiB() reads as these bytes: 0.3 stays 0.3.
std::string formatGiB(std::uint64_t bytes) {
    const double value = static_cast<double>(bytes) / 1073741824.0;
    for (int decimals = 0; decimals <= 12; ++decimals) {
        // parseGiB() cuts off what is less than a byte.
        const double unit = std::pow(10.0, decimals);
        for (const double candidate : {value, std::ceil(value * unit) / unit}) {
            std::string text = fmt::format("{:.{}f}", candidate, decimals);
            if (const auto read = parseGiB("", text); read && *read == bytes) return text;
        }
    }
    return fmt::format("{}", value);
}

Result<void> setModel(Controls& c, std::string_view text) {
    if (!findFamily(text))
        return fail(ErrorCode::BadUsage, "model: {} is unknown; allowed: {}", quote(text),
                    fmt::join(familyNames(), ", "));
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
    if (text == weightsAsMaps) {
        c.weightsDtype.reset();
        return {};
    }
    TRY(c.weightsDtype, choose("weights-dtype", text, dtypes, weightsAsMaps));
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
        TRY(const At place, choose("evaluate", text, evaluatePlaces, evaluateCounts));
        c.evaluate = {.at = place};
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
    constexpr std::uint64_t maximum = 1024;
    const auto value = parseInteger(text);
    if (!value || *value > maximum)
        return fail(ErrorCode::BadUsage, "ahead: {} is not a number from 0 to {}", quote(text), maximum);
    c.ahead = static_cast<std::uint32_t>(*value);
    return {};
}

Result<void> setConv(Controls& c, std::string_view text) {
    constexpr std::string_view chunked = "im2col:";
    constexpr std::uint64_t maximum = std::uint64_t{1} << 24; // MiB: 16 TiB
    if (text.starts_with(chunked)) {
        const auto value = parseInteger(text.substr(chunked.size()));
        if (!value || *value == 0 || *value > maximum)
            return fail(ErrorCode::BadUsage, "conv: {} is not im2col:N with N from 1 to {} MiB", quote(text), maximum);
        c.conv = ConvLowering::Im2col;
        c.im2colBytes = *value << 20;
        return {};
    }
    TRY(c.conv, choose("conv", text, convs, convChunks));
    c.im2colBytes = 0;
    return {};
}

// One part of the pipeline that stays in memory has at maximum 1024 GiB.
Result<std::uint64_t> residentBytes(std::string_view part, std::string_view text) {
    constexpr std::uint64_t maximum = std::uint64_t{1024} << 30;
    TRY(const std::uint64_t bytes, parseGiB(fmt::format("resident {}", part), text));
    if (bytes > maximum)
        return fail(ErrorCode::BadUsage, "resident {}: {} is more than {} GiB", part, quote(text), maximum >> 30);
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
    constexpr std::uint64_t maximum = 65536, maxParts = 64;
    if (text == "off") {
        c.tile = {};
        return {};
    }
    if (text.starts_with(stripe)) {
        std::string_view height = text.substr(stripe.size());
        const bool isShare = height.starts_with(share);
        if (isShare) height.remove_prefix(share.size());
        const auto number = parseInteger(height);
        if (!number || *number < (isShare ? 2 : minTileRows) || *number > (isShare ? maxParts : maximum))
            return fail(ErrorCode::BadUsage,
                        "tile: {} is not stripe:N with N from {} to {} rows, or stripe:1/N with N from 2 to {}",
                        quote(text), minTileRows, maximum, maxParts);
        c.tile = {.kind = TileChoice::Kind::Stripe, .width = 0, .height = isShare ? 0 : *number};
        if (isShare) c.tile.parts = *number;
        return {};
    }
    const auto sides = parseTileSides(text);
    const auto isSide = [](std::uint64_t side) { return side >= minTileSide && side % tileUnit == 0; };
    if (!sides || !isSide(sides->width) || !isSide(sides->height))
        return fail(ErrorCode::BadUsage,
                    "tile: {} is not off, N, WxH or stripe:N; sides of tiles are multiples of {} from {} to {} pixels",
                    quote(text), tileUnit, minTileSide, maximum);
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
    if (!pixels || *pixels > 65536 || *pixels % tileUnit != 0)
        return fail(ErrorCode::BadUsage, "overlap: {} is not a multiple of {} from 0 to 65536 pixels", quote(text),
                    tileUnit);
    c.overlap = *pixels;
    return {};
}

Result<void> setTilesInFlight(Controls& c, std::string_view text) {
    const auto tiles = parseInteger(text);
    if (!tiles || *tiles == 0 || *tiles > maxTilesInFlight)
        return fail(ErrorCode::BadUsage, "tiles-in-flight: {} is not a number from 1 to {}", quote(text),
                    maxTilesInFlight);
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
    TRY(c.allocator, choose("allocator", text, allocators, allocatorLimit));
    return {};
}

constexpr std::string_view inputGroup = "Model", precisionGroup = "Precision", lifetimeGroup = "When memory returns",
                           loweringGroup = "How layers run", loadingGroup = "Loading", tileGroup = "Tiles",
                           spillGroup = "Spill", memoryGroup = "Memory";

// A control that is one of some names, kept in one member.
template <std::size_t N> struct Name {
    char text[N];
    consteval Name(const char (&source)[N]) { std::ranges::copy(source, text); }
};
enum class Flips : std::uint8_t { All, None }; // values that advice tries
template <Name name, const auto& choices, auto member>
ControlInfo choice(std::string_view group, std::string_view help, Flips flips = Flips::All) {
    return {.name = name.text,
            .group = group,
            .help = help,
            .values = valuesOf(choices),
            .suggestions = namesOf(choices),
            .flips = flips == Flips::All ? namesOf(choices) : std::vector<std::string_view>{},
            .set = [](Controls& c, std::string_view text) -> Result<void> {
                TRY(c.*member, choose(name.text, text, choices));
                return {};
            },
            .get = [](const Controls& c) { return nameOf(c.*member, choices); }};
}

ControlInfo subject(ControlInfo info) {
    info.isSubject = true;
    return info;
}

std::vector<ControlInfo> makeTable() {
    return {
        {.name = "model",
         .group = inputGroup,
         .help = "graph family; detected from the checkpoint when one is given",
         .values = fmt::format("{}", fmt::join(familyNames(), ", ")),
         .suggestions = familyNames(),
         .isSubject = true,
         .set = setModel,
         .get = [](const Controls& c) { return c.model; }},
        {.name = "weights",
         .group = inputGroup,
         .help = "where parameters come from",
         .values = "synthetic[:SEED] or FILE.safetensors",
         .suggestions = {"synthetic:7"},
         .isEditable = true,
         .isSubject = true,
         .set = setWeights,
         .get = [](const Controls& c) { return c.weights; }},
        subject(choice<"op", ops, &Controls::op>(inputGroup, "what is run", Flips::None)),
        {.name = "size",
         .group = inputGroup,
         .help = "output pixels, multiples of the family's factor",
         .values = "WxH",
         .suggestions = {"256x256", "512x512", "768x768", "1024x1024", "1536x1536", "1536x2304", "2048x2048",
                         "4096x4096", "8192x8192"},
         .isEditable = true,
         .isSubject = true,
         .set = setSize,
         .get = [](const Controls& c) { return fmt::format("{}x{}", c.width, c.height); }},
        {.name = "batch",
         .group = inputGroup,
         .help = "pictures at a time",
         .values = "1 to 1024",
         .suggestions = {"1", "2", "4", "8"},
         .isEditable = true,
         .set = setBatch,
         .get = [](const Controls& c) { return std::to_string(c.batch); }},
        {.name = "repeat",
         .group = inputGroup,
         .help = "passes one after another over loaded weights; the last one is the result",
         .values = "1 to 1024",
         .suggestions = {"1", "2", "10"},
         .isEditable = true,
         .set = setRepeat,
         .get = [](const Controls& c) { return std::to_string(c.repeat); }},
        choice<"activations", dtypes, &Controls::activations>(precisionGroup, "dtype of feature maps; sums are fp32"),
        {.name = "weights-dtype",
         .group = precisionGroup,
         .help = "dtype of convolution weights; biases and norms are fp32",
         .values = fmt::format("{} (as activations), {}", weightsAsMaps, valuesOf(dtypes)),
         .suggestions = {weightsAsMaps, "bf16", "fp16", "fp32"},
         .flips = {weightsAsMaps, "bf16", "fp16", "fp32"},
         .set = setWeightsDtype,
         .get = [](const Controls& c) { return std::string(c.weightsDtype ? name(*c.weightsDtype) : weightsAsMaps); }},
        choice<"promote", switches, &Controls::promote>(
            precisionGroup, "fp32 scaling scalars turn 16-bit latents, and all feature maps after them, into fp32"),
        choice<"lifetime", lifetimes, &Controls::lifetime>(lifetimeGroup, "when memory returns"),
        {.name = "evaluate",
         .group = lifetimeGroup,
         .help = "where a batch of ops ends and is waited for",
         .values = valuesOf(evaluatePlaces, evaluateCounts),
         .suggestions = {"auto", "layer", "block", "stage", "ops:50", "bytes:52428800", "none"},
         .flips = {"layer", "block", "stage", "ops:50", "bytes:52428800", "none"}, // auto is one of them
         .isEditable = true,
         .set = setEvaluate,
         .get = evaluateText},
        {.name = "ahead",
         .group = lifetimeGroup,
         .help = "batches that the host may run ahead of the device",
         .values = "0 to 1024",
         .suggestions = {"0", "1", "2"},
         .flips = {"0", "1", "2"},
         .isEditable = true,
         .set = setAhead,
         .get = [](const Controls& c) { return std::to_string(c.ahead); }},
        {.name = "conv",
         .group = loweringGroup,
         .help = "how 3x3 convolutions are lowered; im2col:MIB makes the columns in pieces",
         .values = valuesOf(convs, convChunks),
         .suggestions = {"direct", "im2col", "im2col:256", "winograd"},
         .flips = {"direct", "im2col", "im2col:256", "winograd"},
         .isEditable = true,
         .set = setConv,
         .get =
             [](const Controls& c) {
                 return c.im2colBytes ? fmt::format("im2col:{}", c.im2colBytes >> 20) : nameOf(c.conv, convs);
             }},
        choice<"upsample", upsamples, &Controls::upsample>(
            loweringGroup,
            "how feature maps are upsampled: on load, as a tensor, as two tensors, or folded into the weights"),
        choice<"norm", norms, &Controls::norm>(
            loweringGroup, "GroupNorm and its activation in one pass, in two, or as convolutions read"),
        choice<"attention", attentions, &Controls::attention>(loweringGroup, "scores in blocks of rows or all at once"),
        choice<"layout-copies", copies, &Controls::layoutCopies>(
            loweringGroup, "copies around convolutions of frameworks with another layout: of input and output, or of "
                           "inputs that a norm made"),
        choice<"hold", switches, &Controls::holdInputs>(
            lifetimeGroup, "callers keep the input of a block until it returns, as Python does"),
        choice<"load", loads, &Controls::load>(loadingGroup,
                                               "which half of the model is loaded: the one that the op needs, or both"),
        choice<"apply", applies, &Controls::apply>(
            loadingGroup, "parameters reach the device one by one, or by way of two dictionaries in host memory"),
        {.name = "resident",
         .group = loadingGroup,
         .help = "memory of other models, as real allocations",
         .values = "0, or text=GIB,transformer=GIB",
         .suggestions = {"0", "text=9", "text=9,transformer=23"},
         .flips = {"0"},
         .isEditable = true,
         .set = setResident,
         .get = residentText},
        choice<"offload", offloads, &Controls::offload>(loadingGroup, "when resident models are released"),
        {.name = "tile",
         .group = tileGroup,
         .help = "what is computed at a time: tiles of output pixels, or stripes of rows of each feature map",
         .values = "off, N, WxH, stripe:N, stripe:1/N (of the picture)",
         .suggestions = {"off", "256", "512", "1024", "stripe:64", "stripe:256", "stripe:1/2", "stripe:1/4"},
         .flips = {"off", "512", "stripe:64", "stripe:1/4"},
         .isEditable = true,
         .set = setTile,
         .get = tileText},
        {.name = "overlap",
         .group = tileGroup,
         .help = "output pixels that neighbouring tiles share",
         .values = "0 to less than a tile",
         .suggestions = {"0", "16", "32", "64", "128", "256"},
         .isEditable = true,
         .set = setOverlap,
         .get = [](const Controls& c) { return std::to_string(c.overlap); }},
        {.name = "tiles-in-flight",
         .group = tileGroup,
         .help = "approximate tiles that run beside each other, each in memory of its own",
         .values = "1 to 4",
         .suggestions = {"1", "2", "3", "4"},
         .set = setTilesInFlight,
         .get = [](const Controls& c) { return std::to_string(c.tilesInFlight); }},
        choice<"tile-grid", arrangements, &Controls::tileGrid>(
            tileGroup,
            "where tiles begin, and what becomes of the last ones: as ours, as in stable-diffusion.cpp, SeedVR2, "
            "diffusers or ComfyUI",
            Flips::None),
        choice<"blend", blends, &Controls::blend>(tileGroup, "weights where tiles overlap", Flips::None),
        choice<"tile-norm", tileNorms, &Controls::tileNorm>(
            tileGroup, "statistics of norms: of all tiles together, which is exact and takes stripes, or of each",
            Flips::None),
        choice<"tile-attention", tileAttentions, &Controls::tileAttention>(
            tileGroup, "attention over the whole feature map, which is exact and takes stripes, or over each tile",
            Flips::None),
        choice<"spill", spills, &Controls::spill>(
            spillGroup,
            "with shared statistics: feature maps between norms stay on the device, or, where that lowers the peak, go "
            "to host memory or are recomputed"),
        {.name = "allocator",
         .group = memoryGroup,
         .help = "how tensors become driver memory",
         .values = valuesOf(allocators, allocatorLimit),
         .suggestions = {"auto", "arena", "direct", "caching", "expandable", "cache-limit:0", "cache-limit:1"},
         .flips = {"arena", "direct", "caching", "expandable", "cache-limit:0", "cache-limit:1"}, // auto is one of them
         .isEditable = true,
         .set = setAllocator,
         .get =
             [](const Controls& c) {
                 return c.allocator == AllocatorPolicy::CacheLimit ? "cache-limit:" + formatGiB(c.cacheLimitBytes)
                                                                   : nameOf(c.allocator, allocators);
             }},
        {.name = "device",
         .group = memoryGroup,
         .help = "which Vulkan device",
         .values = "index, part of a name, or cpu",
         .suggestions = {"", "cpu"},
         .isEditable = true,
         .isSubject = true,
         .set = [](Controls& c, std::string_view text) -> Result<void> {
             c.device = text;
             return {};
         },
         .get = [](const Controls& c) { return c.device; }},
        {.name = "budget",
         .group = memoryGroup,
         .help = "what fits means",
         .values = "device, or GiB",
         .suggestions = {"device", "4", "6", "8", "12", "16", "24", "32", "48", "80", "141"},
         .isEditable = true,
         .set = setBudget,
         .get = [](const Controls& c) { return c.budgetBytes ? formatGiB(*c.budgetBytes) : "device"; }},
        choice<"enforce", switches, &Controls::enforce>(memoryGroup, "the heap refuses beyond the budget", Flips::None),
    };
}

} // namespace

std::span<const ControlInfo> controlTable() {
    static const std::vector<ControlInfo> table = makeTable();
    return table;
}

} // namespace spikescope
