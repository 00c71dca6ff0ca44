#pragma once
// Extents of a feature map, in elements: n pictures of h rows, w columns, c channels; channels lie next to each other
// in memory (NHWC). A time axis would stand between n and h.

#include <cstdint>

namespace spikescope {

struct Shape {
    std::uint64_t n = 1, h = 1, w = 1, c = 1;

    std::uint64_t pixels() const { return h * w; }
    std::uint64_t elements() const { return n * h * w * c; }
    bool operator==(const Shape&) const = default;
};

// Of an image, in pixels.
struct Sides {
    std::uint64_t width = 0, height = 0;
};

} // namespace spikescope
