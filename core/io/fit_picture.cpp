#include "core/io/fit_picture.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <new>

namespace spikescope {

namespace {

constexpr std::size_t channels = 3;

std::string sizeText(Sides size) { return fmt::format("{}x{}", size.width, size.height); }

std::uint64_t fittingSide(std::uint64_t side, std::uint64_t multiple, ImageFit fit) {
    switch (fit) {
    case ImageFit::Crop: return side / multiple * multiple;
    case ImageFit::Pad: return roundUp(side, multiple);
    case ImageFit::Resize: break;
    }
    return std::max((side + multiple / 2) / multiple, std::uint64_t{1}) * multiple;
}

Picture emptyPicture(Sides size, std::vector<std::string> notes) {
    return {.width = narrow<std::uint32_t>(size.width),
            .height = narrow<std::uint32_t>(size.height),
            .rgb = std::vector<float>(size.width * size.height * channels),
            .notes = std::move(notes)};
}

// The pixels from (left, top) on; beyond the last column and row those repeat.
Picture windowOf(const Picture& from, Sides size, std::uint64_t left, std::uint64_t top) {
    Picture to = emptyPicture(size, from.notes);
    auto out = to.rgb.begin();
    for (std::uint64_t y = 0; y < size.height; ++y) {
        const float* row = &from.rgb[std::min<std::uint64_t>(top + y, from.height - 1) * from.width * channels];
        for (std::uint64_t x = 0; x < size.width; ++x)
            out = std::copy_n(row + std::min<std::uint64_t>(left + x, from.width - 1) * channels, channels, out);
    }
    return to;
}

// What each new element takes of the old ones along an axis: a triangle over two old elements, or over two new ones
// where those are wider.
struct Taps {
    std::uint64_t first = 0;
    std::vector<float> weights; // their sum is 1
};

std::vector<Taps> tapsOf(std::uint64_t from, std::uint64_t to) {
    const double step = static_cast<double>(from) / static_cast<double>(to), reach = std::max(step, 1.0);
    std::vector<Taps> all(to);
    std::vector<double> weights;
    for (std::uint64_t i = 0; i < to; ++i) {
        const double centre = (static_cast<double>(i) + 0.5) * step;
        const auto first = static_cast<std::uint64_t>(std::max(std::floor(centre - reach), 0.0));
        const auto end = std::min(static_cast<std::uint64_t>(std::ceil(centre + reach)), from);
        weights.clear();
        double sum = 0.0;
        for (std::uint64_t j = first; j < end; ++j) {
            weights.push_back(std::max(1.0 - std::abs(static_cast<double>(j) + 0.5 - centre) / reach, 0.0));
            sum += weights.back();
        }
        all[i].first = first;
        for (const double weight : weights) all[i].weights.push_back(static_cast<float>(weight / sum));
    }
    return all;
}

Picture resized(const Picture& from, Sides size) {
    const std::vector<Taps> columns = tapsOf(from.width, size.width), rows = tapsOf(from.height, size.height);
    Picture to = emptyPicture(size, from.notes);
    std::vector<float> row(size.width * channels);
    // Old rows go one by one into the new rows that take something of them, so that one row is held beside both.
    std::uint64_t begin = 0; // the first new row that is not complete
    for (std::uint64_t y = 0; y < from.height; ++y) {
        const float* old = &from.rgb[y * from.width * channels];
        for (std::uint64_t x = 0; x < size.width; ++x) {
            const Taps& taps = columns[x];
            std::array<float, channels> sum{};
            for (std::size_t i = 0; i < taps.weights.size(); ++i)
                for (std::size_t c = 0; c < channels; ++c)
                    sum[c] += taps.weights[i] * old[(taps.first + i) * channels + c];
            std::ranges::copy(sum, row.begin() + static_cast<std::ptrdiff_t>(x * channels));
        }
        while (begin < size.height && rows[begin].first + rows[begin].weights.size() <= y) ++begin;
        for (std::uint64_t i = begin; i < size.height && rows[i].first <= y; ++i) {
            if (y - rows[i].first >= rows[i].weights.size()) continue;
            const float weight = rows[i].weights[y - rows[i].first];
            float* sums = &to.rgb[i * size.width * channels];
            for (std::size_t k = 0; k < row.size(); ++k) sums[k] += weight * row[k];
        }
    }
    for (float& value : to.rgb) value = std::min(value, 1.0f); // weights add up to 1 only nearly
    return to;
}

} // namespace

Result<Picture> fitPicture(Picture picture, std::uint64_t multiple, Sides size, std::optional<ImageFit> fit,
                           std::string_view family, const std::string& fileName) try {
    const Sides has{picture.width, picture.height};
    const auto fitting = [&](ImageFit how) {
        return Sides{fittingSide(has.width, multiple, how), fittingSide(has.height, multiple, how)};
    };
    const Sides cropped = fitting(ImageFit::Crop);
    const bool asked = size.width != 0, fits = cropped.width == has.width && cropped.height == has.height;
    if (!fit) {
        if (asked && (size.width != has.width || size.height != has.height))
            return fail(ErrorCode::BadUsage,
                        "size {}: the picture {} has {} pixels; --fit-image crop, pad or resize changes that",
                        sizeText(size), quote(fileName), sizeText(has));
        if (fits) return picture;
        const bool canCrop = cropped.width > 0 && cropped.height > 0;
        return fail(ErrorCode::BadUsage,
                    "the picture {} has {} pixels, {} takes multiples of {}; --fit-image {}pad makes it {}, resize {}",
                    quote(fileName), sizeText(has), family, multiple,
                    canCrop ? fmt::format("crop makes it {}, ", sizeText(cropped)) : "",
                    sizeText(fitting(ImageFit::Pad)), sizeText(fitting(ImageFit::Resize)));
    }
    const Sides wanted = asked ? size : fitting(*fit);
    const auto refused = [&](std::string_view why) {
        return fail(ErrorCode::BadUsage, "fit-image {}: the picture {} has {} pixels, {}", name(*fit), quote(fileName),
                    sizeText(has), why);
    };
    if (wanted.width == has.width && wanted.height == has.height) return picture;
    if (wanted.width == 0 || wanted.height == 0)
        return refused(fmt::format("so nothing would be left of it in multiples of {}", multiple));
    if (wanted.width % multiple != 0 || wanted.height % multiple != 0)
        return refused(
            fmt::format("{} takes multiples of {}, which size {} has not", family, multiple, sizeText(size)));
    if (wanted.width > longestPictureSide || wanted.height > longestPictureSide ||
        wanted.width * wanted.height > mostPicturePixels)
        return refused(fmt::format("size {} is more than {} along a side or {} in all", sizeText(size),
                                   longestPictureSide, mostPicturePixels));
    Picture result;
    std::string how;
    switch (*fit) {
    case ImageFit::Crop:
        if (wanted.width > has.width || wanted.height > has.height)
            return refused(fmt::format("of which {} cannot be cropped", sizeText(size)));
        how = "cropped around its middle";
        result = windowOf(picture, wanted, (has.width - wanted.width) / 2, (has.height - wanted.height) / 2);
        break;
    case ImageFit::Pad:
        if (wanted.width < has.width || wanted.height < has.height)
            return refused(fmt::format("which cannot be padded to {}", sizeText(size)));
        how = "padded on the right and below with its edge";
        result = windowOf(picture, wanted, 0, 0);
        break;
    case ImageFit::Resize:
        how = "resized";
        result = resized(picture, wanted);
        break;
    }
    result.notes.push_back(
        fmt::format("the picture {} was {} from {} to {}", quote(fileName), how, sizeText(has), sizeText(wanted)));
    return result;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory for the picture {}.", quote(fileName));
}

} // namespace spikescope
