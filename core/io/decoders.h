#pragma once
// The readers of picture formats behind readPicture(). Each takes a whole file, refuses what is damaged, cut off or
// larger than `mostPixels` before it asks for memory, and leaves the turning to readPicture().

#include "core/io/picture.h"

namespace spikescope {

struct Decoded {
    Picture picture;
    int orientation = 1; // as EXIF counts: 1 is upright
};

[[nodiscard]] Result<Decoded> decodePng(std::span<const std::byte> bytes, const std::string& fileName,
                                        std::uint64_t mostPixels);
[[nodiscard]] Result<Decoded> decodeJpeg(std::span<const std::byte> bytes, const std::string& fileName,
                                         std::uint64_t mostPixels);
[[nodiscard]] Result<Decoded> decodeWebp(std::span<const std::byte> bytes, const std::string& fileName,
                                         std::uint64_t mostPixels);

// BadInput for more than 65536 pixels along a side or `mostPixels` in all.
[[nodiscard]] Result<void> checkPictureSize(std::uint64_t width, std::uint64_t height, std::uint64_t mostPixels,
                                            const std::string& fileName);
// `leastBytes` is what the pixels take at the very least: a few bytes can claim any size.
[[nodiscard]] Result<void> checkFileHolds(std::uint64_t leastBytes, std::uint64_t width, std::uint64_t height,
                                          std::uint64_t fileBytes, const std::string& fileName);

// The orientation in a block of EXIF; 1 where it has none or is damaged.
int exifOrientation(std::span<const std::byte> exif);

} // namespace spikescope
