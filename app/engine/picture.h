#pragma once
// What a run made, as the window keeps it.

#include "core/model/family.h"

#include <QImage>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace spikescope {

// Decoded pictures with 16 bits a channel (QImage::Format_RGBX64), top rows first; what is not yet there is transparent
// black.
struct DecodedPictures {
    std::vector<QImage> images;
    std::uint64_t rows = 0; // that have arrived, over all pictures
};
using PicturePtr = std::shared_ptr<const DecodedPictures>;

// What an encoder made: NHWC, as the core hands it over.
struct Moments {
    Family family;
    std::uint64_t n = 1, h = 0, w = 0, c = 0;
    std::vector<float> values;
};

// Where the tiles of a picture begin and end, but for its own edges, in pixels, ascending; of a picture in one piece
// nowhere.
struct TileEdges {
    std::vector<std::uint64_t> x, y;
};

// Where two pictures of one size differ.
struct PictureDifference {
    double psnr = 0.0;    // dB over values in [0, 1]; infinite for equal pictures
    double largest = 0.0; // of all channels, in [0, 1]
    QImage heat;          // brighter where they differ more; white is `largest`
    // Root mean square of the errors within `near` pixels of an edge, and of those `far` or more pixels from all of
    // them, the farthest that there are.
    struct AtEdges {
        double near = 0.0, far = 0.0;
        std::uint64_t nearPixels = 0, farPixels = 0;
    };
    std::optional<AtEdges> atEdges; // none without edges, and where all pixels are near one
};

Result<PictureDifference> differenceOf(const QImage& a, const QImage& b, const TileEdges& edges = {});
// 8 or 16 bits a channel; whole or not at all.
Result<void> savePng(const QImage& picture, const std::string& path, int bits);
// Safetensors with "mean" and, where there is one, "logvar".
Result<void> saveMoments(const Moments& moments, const std::string& path);

} // namespace spikescope
