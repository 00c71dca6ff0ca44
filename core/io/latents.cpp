#include "core/io/latents.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

namespace spikescope {

namespace {

struct Nchw {
    std::uint64_t n = 1, c = 0, h = 0, w = 0;
};

// Where a tensor has its elements: sizes, and the elements from one to the next along each axis.
struct Layout {
    Nchw size, step;
    std::uint64_t at(std::uint64_t n, std::uint64_t c, std::uint64_t y, std::uint64_t x) const {
        return n * step.n + c * step.c + y * step.h + x * step.w;
    }
};

// What a tensor can be.
struct Wanted {
    std::string_view what;         // the plural, for messages
    std::uint64_t channels = 0;    // of maps
    std::uint64_t packed = 0;      // channels of maps and tokens packed 2×2; 0: those are not possible
    std::uint64_t packedPixel = 0; // pixels of the picture along a side of one of them
};

// The meanings of the axes, for each rank the likelier one first: n, c, h, w; f: frames, of which one can be decoded;
// t: tokens, the packed pixels of an image row by row.
constexpr std::array<std::string_view, 10> axisOrders{"tc",   "chw",  "ntc",   "hwc",   "nchw",
                                                      "nhwc", "cfhw", "ncfhw", "nfchw", "nfhwc"};

std::string shapeOf(const HostTensor& tensor, const std::string& fileName) {
    return fmt::format("file {}, tensor {}: shape [{}]", quote(fileName), quote(tensor.name),
                       fmt::join(tensor.shape, ", "));
}

// The sizes in pixels of which a number of tokens can be, nearest to a square first.
std::string sizesOf(std::uint64_t tokens, std::uint64_t pixel) {
    constexpr std::size_t enough = 6;
    std::vector<std::string> sizes;
    for (auto side = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(tokens))); side > 0; --side) {
        if (tokens % side != 0) continue;
        const std::uint64_t other = tokens / side;
        if (sizes.size() >= enough) return joined(sizes, ", ") + " and others";
        sizes.push_back(fmt::format("{}x{}", side * pixel, other * pixel));
        if (side != other) sizes.push_back(fmt::format("{}x{}", other * pixel, side * pixel));
    }
    return joined(sizes, ", ");
}

Result<Sides> sidesOfTokens(const HostTensor& tensor, std::uint64_t tokens, const Wanted& wanted, Sides size,
                            const std::string& fileName) {
    const std::uint64_t pixel = wanted.packedPixel;
    if (size.width == 0)
        return fail(ErrorCode::BadUsage, "{} is of {} packed tokens, whose size must be given with --size: {}",
                    shapeOf(tensor, fileName), tokens, sizesOf(tokens, pixel));
    const Sides sides{size.width / pixel, size.height / pixel};
    if (size.width % pixel != 0 || size.height % pixel != 0 || sides.width > tokens ||
        sides.width * sides.height != tokens)
        return fail(ErrorCode::BadUsage,
                    "size {}x{}: {} is of {} packed tokens, each of {}x{} pixels; sizes that fit are {}", size.width,
                    size.height, shapeOf(tensor, fileName), tokens, pixel, pixel, sizesOf(tokens, pixel));
    return sides;
}

Result<Layout> layoutOf(const HostTensor& tensor, const Wanted& wanted, Sides size, const std::string& fileName) {
    const auto& shape = tensor.shape;
    if (std::ranges::count(shape, 0u) > 0) return fail(ErrorCode::BadInput, "{} is empty", shapeOf(tensor, fileName));
    std::vector<std::uint64_t> step(shape.size(), 1);
    for (std::size_t i = shape.size(); i-- > 1;) step[i - 1] = step[i] * shape[i];
    std::uint64_t frames = 1;
    for (const std::string_view order : axisOrders) {
        if (order.size() != shape.size()) continue;
        Layout layout{.size = {.n = 1, .c = 0, .h = 1, .w = 1}, .step = {.n = 0, .c = 0, .h = 0, .w = 0}};
        std::uint64_t frameCount = 1, tokens = 0, tokenStep = 0;
        for (std::size_t i = 0; i < order.size(); ++i) {
            switch (order[i]) {
            case 'n': layout.size.n = shape[i], layout.step.n = step[i]; break;
            case 'c': layout.size.c = shape[i], layout.step.c = step[i]; break;
            case 'h': layout.size.h = shape[i], layout.step.h = step[i]; break;
            case 'w': layout.size.w = shape[i], layout.step.w = step[i]; break;
            case 't': tokens = shape[i], tokenStep = step[i]; break;
            default: frameCount = shape[i]; break;
            }
        }
        const bool packed = wanted.packed != 0 && layout.size.c == wanted.packed;
        if (!packed && (tokens != 0 || layout.size.c != wanted.channels)) continue;
        if (frameCount != 1) {
            frames = frameCount;
            continue;
        }
        if (tokens != 0) {
            TRY(const Sides sides, sidesOfTokens(tensor, tokens, wanted, size, fileName));
            layout.size.h = sides.height, layout.size.w = sides.width;
            layout.step.h = sides.width * tokenStep, layout.step.w = tokenStep;
        }
        return layout;
    }
    if (frames > 1)
        return fail(ErrorCode::BadInput, "{} has {} frames, one can be read", shapeOf(tensor, fileName), frames);
    if (shape.size() < 3 || shape.size() > 5)
        return fail(ErrorCode::BadInput, "{} has {} dimensions, {} have 3 (CHW) to 5 (NCFHW)",
                    shapeOf(tensor, fileName), shape.size(), wanted.what);
    const bool both = wanted.packed != 0 && wanted.packed != wanted.channels;
    return fail(ErrorCode::BadInput, "{} does not fit, {} have {} channels{}", shapeOf(tensor, fileName), wanted.what,
                wanted.channels, both ? fmt::format(", or {} when packed", wanted.packed) : "");
}

// Calls value(n, c, y, x) for each element asked for in NHWC order.
template <class Value> auto readNhwc(Nchw shape, Value value) {
    return [shape, value = std::move(value)](std::uint64_t begin, std::span<float> out) {
        std::uint64_t c = begin % shape.c, rest = begin / shape.c;
        std::uint64_t x = rest % shape.w;
        rest /= shape.w;
        std::uint64_t y = rest % shape.h, n = rest / shape.h;
        for (float& element : out) {
            element = value(n, c, y, x);
            if (++c < shape.c) continue;
            c = 0;
            if (++x < shape.w) continue;
            x = 0;
            if (++y < shape.h) continue;
            y = 0;
            ++n;
        }
    };
}

} // namespace

std::vector<Weight> latentStatistics(const Family& family) {
    if (!family.packedLatents) return {};
    const std::uint64_t packed = 4 * family.latentChannels;
    return {{.name = "bn.running_mean", .dims = {packed}}, {.name = "bn.running_var", .dims = {packed}}};
}

Result<Input> latentsInput(const Family& family, HostTensor latents, bool scaled, const Parameters& parameters,
                           const std::string& fileName, Sides size) {
    // FLUX's pipelines hand over packed tokens, and all that comes from them has 16 channels or more.
    constexpr std::uint64_t fewestOfPacked = 16;
    const bool normed = family.packedLatents && scaled,
               packable = normed || (!family.packedLatents && family.latentChannels >= fewestOfPacked);
    const std::uint64_t packed = 4 * family.latentChannels;
    const std::string what = fmt::format("{}latents of {}", normed ? "scaled (packed) " : "", family.name);
    const std::uint64_t factor = family.factor(VaeTask::Decode);
    TRY(const Layout layout, layoutOf(latents,
                                      {.what = what,
                                       .channels = normed ? packed : family.latentChannels,
                                       .packed = packable ? packed : 0,
                                       .packedPixel = 2 * factor},
                                      size, fileName));
    const auto data = std::make_shared<const HostTensor>(std::move(latents));
    // By channel.
    const double scaling = scaled ? family.scaling : 1.0;
    std::vector<double> deviations(family.latentChannels, 1.0),
        shifts(family.latentChannels, scaled ? family.shift : 0.0);
    if (scaled && !family.latentsMean.empty()) {
        deviations.assign(family.latentsStd.begin(), family.latentsStd.end());
        shifts.assign(family.latentsMean.begin(), family.latentsMean.end());
    }
    const auto decoderInput = [=](double value, std::uint64_t c) {
        return static_cast<float>(value * deviations[c] / scaling + shifts[c]);
    };
    const auto inputOf = [factor](Nchw shape, auto value) {
        return Input{.width = shape.w * factor,
                     .height = shape.h * factor,
                     .batch = shape.n,
                     .read = readNhwc(shape, std::move(value))};
    };
    if (layout.size.c == family.latentChannels)
        return inputOf(layout.size, [=](auto n, auto c, auto y, auto x) {
            return decoderInput(data->values[layout.at(n, c, y, x)], c);
        });
    // Channel 4c + 2·dy + dx of a packed pixel is channel c at (2y + dy, 2x + dx).
    const auto packedChannel = [](std::uint64_t c, std::uint64_t y, std::uint64_t x) {
        return 4 * c + 2 * (y % 2) + x % 2;
    };
    const Nchw unpacked{.n = layout.size.n, .c = family.latentChannels, .h = 2 * layout.size.h, .w = 2 * layout.size.w};
    if (!normed)
        return inputOf(unpacked, [=](auto n, auto c, auto y, auto x) {
            return decoderInput(data->values[layout.at(n, packedChannel(c, y, x), y / 2, x / 2)], c);
        });
    std::vector<double> mean(packed), deviation(packed);
    const std::vector<Weight> statistics = latentStatistics(family);
    std::visit(
        [&](const auto& v) {
            for (std::uint64_t i = 0; i < packed; ++i) mean[i] = v[i];
        },
        parameters.values(statistics[0]));
    std::visit(
        [&](const auto& v) {
            for (std::uint64_t i = 0; i < packed; ++i) deviation[i] = std::sqrt(v[i] + packedNormEps);
        },
        parameters.values(statistics[1]));
    return inputOf(unpacked, [=](auto n, auto c, auto y, auto x) {
        const std::uint64_t from = packedChannel(c, y, x);
        const double value = data->values[layout.at(n, from, y / 2, x / 2)];
        return static_cast<float>(value * deviation[from] + mean[from]);
    });
}

Result<Input> syntheticLatents(const Family& family, std::uint64_t width, std::uint64_t height, std::uint64_t batch,
                               std::uint64_t seed) {
    const std::uint64_t factor = family.factor(VaeTask::Decode);
    const Nchw shape{.n = batch, .c = family.latentChannels, .h = height / factor, .w = width / factor};
    const auto make = readNhwc(shape, [shape, latents = SyntheticLatents(seed)](auto n, auto c, auto y, auto x) {
        return latents[((n * shape.c + c) * shape.h + y) * shape.w + x];
    });
    // Tiles read them many times, faster than they are generated: they are kept unless there are very many.
    constexpr std::uint64_t mostKept = std::uint64_t{1} << 24; // elements, 64 MiB
    const std::uint64_t elements = shape.n * shape.c * shape.h * shape.w;
    const auto kept = std::make_shared<std::vector<float>>();
    return Input{
        .width = width, .height = height, .batch = batch, .read = [=](std::uint64_t begin, std::span<float> out) {
            if (elements > mostKept) return make(begin, out);
            if (kept->empty()) {
                kept->resize(elements);
                make(0, *kept);
            }
            std::copy_n(kept->begin() + static_cast<std::ptrdiff_t>(begin), out.size(), out.begin());
        }};
}

Result<Input> imageInput(HostTensor image, const std::string& fileName) {
    TRY(const Layout layout, layoutOf(image, {.what = "pictures", .channels = 3}, {}, fileName));
    const auto data = std::make_shared<const HostTensor>(std::move(image));
    return Input{.width = layout.size.w,
                 .height = layout.size.h,
                 .batch = layout.size.n,
                 .read = readNhwc(layout.size,
                                  [=](auto n, auto c, auto y, auto x) { return data->values[layout.at(n, c, y, x)]; })};
}

Input pictureInput(const Family& family, Picture picture) {
    const float scale = family.backbone == Backbone::Kl ? 2.0f : 1.0f,
                shift = family.backbone == Backbone::Kl ? -1.0f : 0.0f;
    const auto data = std::make_shared<const Picture>(std::move(picture));
    return Input{.width = data->width,
                 .height = data->height,
                 .batch = 1,
                 .read = [=](std::uint64_t begin, std::span<float> out) {
                     for (std::size_t i = 0; i < out.size(); ++i) out[i] = data->rgb[begin + i] * scale + shift;
                 }};
}

} // namespace spikescope
