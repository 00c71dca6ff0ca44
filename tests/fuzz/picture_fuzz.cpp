// Any bytes are a picture: the readers refuse them with a sentence, or what they read has as many values as its size
// says, all from 0 to 1, and can be fitted in every way.

#include "core/io/fit_picture.h"
#include "tests/fuzz/require.h"

#include <algorithm>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace spikescope;
    constexpr std::uint64_t mostPixels = 1 << 16;
    const auto picture = parsePicture(std::as_bytes(std::span(data, size)), "fuzz.picture", mostPixels);
    if (!picture) {
        const Error& error = picture.error();
        require(error.code == ErrorCode::BadInput);
        require(error.message.starts_with("'fuzz.picture': ") && error.message.ends_with('.'));
        return 0;
    }
    const auto right = [](const Picture& checked) {
        return checked.rgb.size() == std::size_t{3} * checked.width * checked.height &&
               std::ranges::all_of(checked.rgb, [](float value) { return value >= 0.0f && value <= 1.0f; });
    };
    require(right(*picture) && std::uint64_t{picture->width} * picture->height <= mostPixels);
    for (const ImageFit fit : {ImageFit::Crop, ImageFit::Pad, ImageFit::Resize}) {
        const auto fitted = fitPicture(*picture, 8, {}, fit, "fuzz", "fuzz.picture");
        if (!fitted) continue;
        require(right(*fitted) && fitted->width % 8 == 0 && fitted->height % 8 == 0);
    }
    return 0;
}
