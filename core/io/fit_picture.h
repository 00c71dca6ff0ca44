#pragma once
// Pictures to sizes that a family's encoder takes.

#include "core/graph/shape.h"
#include "core/io/picture.h"

#include <optional>

namespace spikescope {

enum class ImageFit : std::uint8_t {
    Crop,   // its middle: the largest that fits, or the size asked for
    Pad,    // more on the right and below, as its last column and row are
    Resize, // to the nearest size that fits, or that asked for; averaged over what a new pixel covers
};
template <> inline constexpr std::array<std::string_view, 3> enumNames<ImageFit>{"crop", "pad", "resize"};

// `picture` when its sides are multiples of `multiple` and `size` (pixels; 0: any) is theirs, else what `fit` makes of
// it, with a note. BadUsage names the sizes where there is no `fit` or it cannot make one. `family` and the file's name
// serve messages.
[[nodiscard]] Result<Picture> fitPicture(Picture picture, std::uint64_t multiple, Sides size,
                                         std::optional<ImageFit> fit, std::string_view family,
                                         const std::string& fileName);

} // namespace spikescope
