#pragma once
// Pictures in and PNG out. Values are the file's code values divided by the largest one: no gamma, no colour profile.

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

struct Picture {
    std::uint32_t width = 0; // pixels
    std::uint32_t height = 0;
    std::vector<float> rgb;         // height × width × 3, in [0,1]
    std::vector<std::string> notes; // what was decided for the user, a sentence each
};

constexpr std::uint32_t longestPictureSide = 65536;
constexpr std::uint64_t mostPicturePixels = std::uint64_t{1} << 28;

// Whether a file that begins so is a picture that readPicture() reads; its name does not count.
bool isPicture(std::span<const std::byte> begin);
// The same of a file. BadInput names a picture of another format.
[[nodiscard]] Result<bool> isPictureFile(const std::string& path);

// PNG, JPEG or WebP: gray is spread over the three channels, a palette is looked up, 16 bits are kept. It is turned as
// its EXIF orientation says. Transparency is dropped, not composed: the colours are those stored under it. BadInput for
// anything damaged or cut off, CMYK, an animated WebP, and too many pixels.
[[nodiscard]] Result<Picture> readPicture(const std::string& path);
// The same for bytes in memory. fileName only serves messages.
[[nodiscard]] Result<Picture> parsePicture(std::span<const std::byte> bytes, const std::string& fileName,
                                           std::uint64_t mostPixels = mostPicturePixels);

// Writes rows from the top; the file appears at commit() or not at all.
class PngWriter {
public:
    // bitDepth is 8 or 16, per channel; sides are 1 to 65536 pixels. Anything else is BadUsage.
    [[nodiscard]] static Result<PngWriter> create(const std::string& path, std::uint32_t width, std::uint32_t height,
                                                  int bitDepth);

    PngWriter(PngWriter&&) noexcept;
    PngWriter& operator=(PngWriter&&) noexcept;
    ~PngWriter();

    // Whole rows, each width × 3 values. They are clamped to [0,1] and rounded to the nearest code; NaN becomes 0.
    [[nodiscard]] Result<void> writeRows(std::span<const float> rgb);

    // Refused, and nothing appears, while rows are missing.
    [[nodiscard]] Result<void> commit();

private:
    struct State;
    explicit PngWriter(std::unique_ptr<State> state);

    std::unique_ptr<State> m_state;
};

} // namespace spikescope
