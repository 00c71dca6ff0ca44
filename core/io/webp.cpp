#include "core/base/text.h"
#include "core/io/decoders.h"

#include <webp/decode.h>

#include <cstring>
#include <new>
#include <utility>

namespace spikescope {

namespace {

constexpr std::size_t channels = 3;

std::string_view describe(VP8StatusCode status) {
    switch (status) {
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA: return "it ends too early";
    case VP8_STATUS_UNSUPPORTED_FEATURE: return "it is of a kind that libwebp does not know";
    default: return "its data is damaged";
    }
}

// The content of the chunk "EXIF" of the RIFF file, if there is one.
std::span<const std::byte> exifOf(std::span<const std::byte> bytes) {
    constexpr std::size_t headBytes = 8; // name and size of a chunk
    for (auto rest = bytes.subspan(12); rest.size() >= headBytes;) {
        std::size_t size = 0;
        for (std::size_t i = 0; i < 4; ++i) size |= std::to_integer<std::size_t>(rest[4 + i]) << (8 * i);
        const bool isExif = std::memcmp(rest.data(), "EXIF", 4) == 0;
        rest = rest.subspan(headBytes);
        if (size > rest.size()) return {};
        if (isExif) return rest.first(size);
        size += size % 2; // chunks begin at even places
        if (size > rest.size()) return {};
        rest = rest.subspan(size);
    }
    return {};
}

} // namespace

Result<Decoded> decodeWebp(std::span<const std::byte> bytes, const std::string& fileName, std::uint64_t mostPixels) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
    const auto damaged = [&](VP8StatusCode status) -> tl::unexpected<Error> {
        if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
        return fail(ErrorCode::BadInput, "{}: cannot be read as WebP: {}.", quote(fileName), describe(status));
    };
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return fail(ErrorCode::Unsupported, "{}: libwebp is of another version than this was built with.",
                    quote(fileName));
    if (const auto status = WebPGetFeatures(data, bytes.size(), &config.input); status != VP8_STATUS_OK)
        return damaged(status);
    if (config.input.has_animation)
        return fail(ErrorCode::BadInput, "{}: is an animated WebP; one picture can be read.", quote(fileName));
    const auto width = static_cast<std::uint32_t>(config.input.width),
               height = static_cast<std::uint32_t>(config.input.height);
    CHECK(checkPictureSize(width, height, mostPixels, fileName));
    std::vector<std::uint8_t> codes(std::size_t{width} * height * channels);
    config.output.colorspace = MODE_RGB; // which drops transparency
    config.output.is_external_memory = 1;
    config.output.u.RGBA = {.rgba = codes.data(), .stride = static_cast<int>(width * channels), .size = codes.size()};
    if (const auto status = WebPDecode(data, bytes.size(), &config); status != VP8_STATUS_OK) return damaged(status);
    Decoded decoded{.picture = {.width = width, .height = height, .rgb = std::vector<float>(codes.size()), .notes = {}},
                    .orientation = exifOrientation(exifOf(bytes))};
    for (std::size_t i = 0; i < codes.size(); ++i) decoded.picture.rgb[i] = static_cast<float>(codes[i]) / 255.0f;
    return decoded;
}

} // namespace spikescope
