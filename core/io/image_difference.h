#pragma once
// How far one picture is from another and where, so that the seams of a tiled decode show. Errors are on the scale
// where black is 0 and white is 1; values beyond either are kept as they are.

#include "core/io/latents.h"

#include <array>
#include <limits>

namespace spikescope {

enum class ValueRange {
    Unit,  // black is 0, white is 1
    Signed // black is -1, white is 1
};

struct ComparedImage {
    Input pixels; // one picture of three channels
    ValueRange range = ValueRange::Unit;
};

ComparedImage comparedImage(Picture picture);

// A PNG, by its suffix, or else a tensor file whose values have the given range. NaN and infinity are kept.
Result<ComparedImage> openComparedImage(const std::string& path, const std::optional<std::string>& key,
                                        ValueRange tensorRange);

// Tiles begin at every (tile - overlap)th pixel, and the last one is moved back so that it ends with the picture.
struct SeamGrid {
    Sides tile;
    std::uint64_t overlap = 0; // pixels, along both axes
};

// Where tiles meet along one axis: begins of all tiles but the first, ends of all but the last, ascending. An edge at 8
// lies between pixels 7 and 8. The tile is at least 1 and at most `length` pixels long, the overlap below that.
std::vector<std::uint64_t> tileEdges(std::uint64_t length, std::uint64_t tile, std::uint64_t overlap);

// Edges along both axes for any layout of tiles; none for an image without tiles.
struct SeamEdges {
    std::vector<std::uint64_t> x, y;
    bool empty() const { return x.empty() && y.empty(); }
};
// BadUsage for tiles that do not fit into pictures of this size, or never meet there.
Result<SeamEdges> seamEdges(const SeamGrid& grid, std::uint64_t width, std::uint64_t height);

// Errors of the pixels at one distance from the nearest edge, where 0 is next to it.
struct DistanceBin {
    std::uint64_t from = 0, to = 0; // `to` included
    std::uint64_t pixels = 0;
    double rms = 0, maximum = 0; // 0 without pixels
};

constexpr std::uint64_t anyDistance = std::numeric_limits<std::uint64_t>::max();
constexpr std::array<std::string_view, 3> channelNames{"red", "green", "blue"};

// A value that is not finite in either image has an infinite error.
struct ImageDifference {
    struct Place {
        std::uint64_t x = 0, y = 0, channel = 0;
    };

    std::uint64_t width = 0, height = 0;
    std::uint64_t nonFinite = 0;         // values that are not finite in A or in B
    double psnr = 0;                     // dB, of a peak of 1; infinite when identical
    double maximum = 0, mean = 0;        // of absolute errors
    double largestFinite = 0;            // the maximum without what is not finite
    std::optional<Place> worst;          // the first place of the maximum; none when identical
    double relativeL2 = 0;               // of B against A
    std::vector<DistanceBin> byDistance; // empty without tiles
    // RMS error in the first bin over that in the last bin that has pixels. None where that is the same bin, or both
    // are 0 or infinite.
    std::optional<double> seamVisibility;

    bool identical() const { return maximum == 0; }
};

// BadInput for sizes that differ.
Result<ImageDifference> differenceOf(const ComparedImage& a, const ComparedImage& b, const SeamEdges& seams = {});

// From black over dark blue, magenta and orange to white for 0 to 1; what is not in between becomes the nearest end.
std::array<float, 3> heatColour(double value);

// The largest error of each pixel over its channels, white where it is difference.largestFinite or more; edges of tiles
// are dashed lines. The writer has the pictures' size and is not committed.
Result<void> writeHeatMap(PngWriter& writer, const ComparedImage& a, const ComparedImage& b,
                          const ImageDifference& difference, const SeamEdges& seams = {});

} // namespace spikescope
