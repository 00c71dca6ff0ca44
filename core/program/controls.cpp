#include "core/program/controls.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace spikescope {

namespace {

std::optional<std::uint64_t> parseInteger(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

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
constexpr std::array lifetimeNames{Choice{"planned", LifetimePolicy::Planned},
                                   Choice{"stream", LifetimePolicy::Stream}};
constexpr std::array allocatorNames{Choice{"auto", AllocatorPolicy::Auto}, Choice{"arena", AllocatorPolicy::Arena},
                                    Choice{"direct", AllocatorPolicy::Direct}};

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
    const auto cross = text.find('x');
    const auto width = parseInteger(text.substr(0, cross));
    const auto height = cross == std::string_view::npos ? std::nullopt : parseInteger(text.substr(cross + 1));
    if (!width || !height || *width == 0 || *height == 0 || *width > 65536 || *height > 65536)
        return fail(ErrorCode::BadUsage, "size: {} is not WIDTHxHEIGHT with 1 to 65536 pixels to a side", quote(text));
    c.width = *width;
    c.height = *height;
    return {};
}

Result<void> setBatch(Controls& c, std::string_view text) {
    const auto value = parseInteger(text);
    if (!value || *value == 0 || *value > 1024)
        return fail(ErrorCode::BadUsage, "batch: {} is not a number from 1 to 1024", quote(text));
    c.batch = *value;
    return {};
}

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

// A control of which this version has one value: named, shown and refused like the others.
template <std::size_t N> struct Literal {
    char text[N];
    consteval Literal(const char (&source)[N]) { std::ranges::copy(source, text); }
};
template <Literal control, Literal only> constexpr ControlInfo fixed(std::string_view help) {
    return {control.text, help, only.text,
            [](Controls&, std::string_view text) -> Result<void> {
                if (text != only.text)
                    return fail(ErrorCode::BadUsage, "{}: {} is unknown; allowed: {}", control.text, quote(text),
                                only.text);
                return {};
            },
            [](const Controls&) { return std::string(only.text); }};
}

constexpr std::array table{
    ControlInfo{"model", "graph family; detected from the checkpoint when one is given",
                "flux1, sd15, sdxl, sd3, z-image, flux2, taesd, taef1, taef2", setModel,
                [](const Controls& c) { return c.model; }},
    ControlInfo{"weights", "where parameters come from", "synthetic[:SEED] or FILE.safetensors", setWeights,
                [](const Controls& c) { return c.weights; }},
    ControlInfo{"op", "what is run", "decode, encode",
                [](Controls& c, std::string_view t) -> Result<void> {
                    TRY(c.op, choose("op", t, ops));
                    return {};
                },
                [](const Controls& c) { return nameOf(c.op, ops); }},
    ControlInfo{"size", "output pixels, multiples of the family's factor", "WxH", setSize,
                [](const Controls& c) { return fmt::format("{}x{}", c.width, c.height); }},
    ControlInfo{"batch", "pictures at a time", "1 to 1024", setBatch,
                [](const Controls& c) { return std::to_string(c.batch); }},
    ControlInfo{"activations", "dtype of feature maps; sums are fp32", "bf16, fp16, fp32",
                [](Controls& c, std::string_view t) -> Result<void> {
                    TRY(c.activations, choose("activations", t, dtypes));
                    return {};
                },
                [](const Controls& c) { return std::string(name(c.activations)); }},
    ControlInfo{"weights-dtype", "dtype of convolution weights; biases and norms are fp32",
                "auto (as activations), bf16, fp16, fp32", setWeightsDtype,
                [](const Controls& c) { return c.weightsDtype ? std::string(name(*c.weightsDtype)) : "auto"; }},
    fixed<"promote", "off">("bf16 promoted to fp32 by scaling scalars"),
    ControlInfo{"lifetime", "when memory returns", "planned, stream",
                [](Controls& c, std::string_view t) -> Result<void> {
                    TRY(c.lifetime, choose("lifetime", t, lifetimeNames));
                    return {};
                },
                [](const Controls& c) { return nameOf(c.lifetime, lifetimeNames); }},
    fixed<"conv", "direct">("how convolutions are lowered"),
    fixed<"upsample", "fused">("how the picture is doubled"),
    fixed<"norm", "fused">("GroupNorm and SiLU as one pass"),
    fixed<"attention", "chunked">("how much of the scores exists at a time"),
    fixed<"layout-copies", "off">("copies around convolutions of channels-first frameworks"),
    fixed<"load", "decoder">("which half of the model is read: the one that the op needs"),
    fixed<"apply", "stream">("how parameters reach the device"),
    ControlInfo{"allocator", "how tensors become driver memory", "auto, arena, direct",
                [](Controls& c, std::string_view t) -> Result<void> {
                    TRY(c.allocator, choose("allocator", t, allocatorNames));
                    return {};
                },
                [](const Controls& c) { return nameOf(c.allocator, allocatorNames); }},
    ControlInfo{"device", "which Vulkan device", "index, part of a name, or cpu",
                [](Controls& c, std::string_view t) -> Result<void> {
                    c.device = t;
                    return {};
                },
                [](const Controls& c) { return c.device; }},
    ControlInfo{"budget", "what fits means", "device, or GiB", setBudget,
                [](const Controls& c) {
                    return c.budgetBytes ? fmt::format("{}", static_cast<double>(*c.budgetBytes) / 1073741824.0)
                                         : "device";
                }},
};

} // namespace

AllocatorPolicy Controls::allocatorPolicy() const {
    if (allocator != AllocatorPolicy::Auto) return allocator;
    return lifetime == LifetimePolicy::Planned ? AllocatorPolicy::Arena : AllocatorPolicy::Direct;
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

Result<void> checkControls(const Controls& controls) {
    if (controls.allocator == AllocatorPolicy::Arena && controls.lifetime != LifetimePolicy::Planned)
        return fail(ErrorCode::BadUsage,
                    "allocator arena needs lifetime planned, not {}; with lifetime stream go auto, direct",
                    nameOf(controls.lifetime, lifetimeNames));
    return {};
}

std::vector<std::pair<std::string, std::string>> controlValues(const Controls& controls) {
    std::vector<std::pair<std::string, std::string>> values;
    for (const ControlInfo& info : table) values.emplace_back(info.name, info.get(controls));
    return values;
}

Result<std::uint64_t> parseGiB(std::string_view what, std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    constexpr double most = 1048576.0; // 1 PiB
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value <= 0 || value > most)
        return fail(ErrorCode::BadUsage, "{}: {} is not a number of GiB above 0 and up to {}", what, quote(text), most);
    return static_cast<std::uint64_t>(value * 1073741824.0);
}

} // namespace spikescope
