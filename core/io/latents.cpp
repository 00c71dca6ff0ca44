#include "core/io/latents.h"

#include "core/base/text.h"

#include <algorithm>
#include <cmath>
#include <memory>

namespace spikescope {

namespace {

struct Nchw {
    std::uint64_t n = 1, c = 0, h = 0, w = 0;
};

Result<Nchw> nchwOf(const HostTensor& tensor, const std::string& fileName, std::string_view what) {
    const auto& s = tensor.shape;
    if (s.size() != 3 && s.size() != 4)
        return fail(ErrorCode::BadInput,
                    "file {}, tensor {}: shape [{}] has {} dimensions, {} have 3 (CHW) or 4 (NCHW)", quote(fileName),
                    quote(tensor.name), fmt::join(s, ", "), s.size(), what);
    if (std::ranges::count(s, 0u) > 0)
        return fail(ErrorCode::BadInput, "file {}, tensor {}: shape [{}] is empty", quote(fileName), quote(tensor.name),
                    fmt::join(s, ", "));
    const std::size_t c = s.size() - 3;
    return Nchw{.n = c == 0 ? 1 : s[0], .c = s[c], .h = s[c + 1], .w = s[c + 2]};
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
                           const std::string& fileName) {
    TRY(const Nchw shape, nchwOf(latents, fileName, "latents"));
    const bool packed = family.packedLatents && scaled;
    const std::uint64_t channels = packed ? 4 * family.latentChannels : family.latentChannels;
    if (shape.c != channels)
        return fail(ErrorCode::BadInput, "file {}, tensor {}: {} channels, {}latents of {} have {}", quote(fileName),
                    quote(latents.name), shape.c, packed ? "scaled (packed) " : "", family.name, channels);
    const auto data = std::make_shared<const HostTensor>(std::move(latents));
    const std::uint64_t factor = family.factor(VaeTask::Decode);
    if (!packed) {
        const double scaling = scaled ? family.scaling : 1.0;
        std::vector<double> deviations(channels, 1.0), shifts(channels, scaled ? family.shift : 0.0);
        if (scaled && !family.latentsMean.empty()) {
            deviations.assign(family.latentsStd.begin(), family.latentsStd.end());
            shifts.assign(family.latentsMean.begin(), family.latentsMean.end());
        }
        return Input{.width = shape.w * factor,
                     .height = shape.h * factor,
                     .batch = shape.n,
                     .read = readNhwc(shape, [=](auto n, auto c, auto y, auto x) {
                         const double value = data->values[((n * shape.c + c) * shape.h + y) * shape.w + x];
                         return static_cast<float>(value * deviations[c] / scaling + shifts[c]);
                     })};
    }
    // Channel 4c + 2·dy + dx of a packed pixel is channel c at (2y + dy, 2x + dx).
    std::vector<double> mean(channels), deviation(channels);
    const std::vector<Weight> statistics = latentStatistics(family);
    std::visit(
        [&](const auto& v) {
            for (std::uint64_t i = 0; i < channels; ++i) mean[i] = v[i];
        },
        parameters.values(statistics[0]));
    std::visit(
        [&](const auto& v) {
            for (std::uint64_t i = 0; i < channels; ++i) deviation[i] = std::sqrt(v[i] + packedNormEps);
        },
        parameters.values(statistics[1]));
    const Nchw unpacked{.n = shape.n, .c = family.latentChannels, .h = 2 * shape.h, .w = 2 * shape.w};
    return Input{.width = unpacked.w * factor,
                 .height = unpacked.h * factor,
                 .batch = shape.n,
                 .read = readNhwc(unpacked, [=](auto n, auto c, auto y, auto x) {
                     const std::uint64_t from = 4 * c + 2 * (y % 2) + x % 2;
                     const double value = data->values[((n * shape.c + from) * shape.h + y / 2) * shape.w + x / 2];
                     return static_cast<float>(value * deviation[from] + mean[from]);
                 })};
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
    TRY(const Nchw shape, nchwOf(image, fileName, "pictures"));
    if (shape.c != 3)
        return fail(ErrorCode::BadInput, "file {}, tensor {}: {} channels, pictures have 3", quote(fileName),
                    quote(image.name), shape.c);
    const auto data = std::make_shared<const HostTensor>(std::move(image));
    return Input{.width = shape.w,
                 .height = shape.h,
                 .batch = shape.n,
                 .read = readNhwc(shape, [=](auto n, auto c, auto y, auto x) {
                     return data->values[((n * shape.c + c) * shape.h + y) * shape.w + x];
                 })};
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
