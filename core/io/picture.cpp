#include "core/io/picture.h"

#include "core/base/mapped_file.h"
#include "core/base/text.h"
#include "core/io/decoders.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

namespace spikescope {

namespace {

using Decoder = Result<Decoded> (*)(std::span<const std::byte>, const std::string&, std::uint64_t);

std::string_view textAt(std::span<const std::byte> bytes, std::size_t at, std::size_t size) {
    if (at >= bytes.size()) return {};
    return {reinterpret_cast<const char*>(bytes.data()) + at, std::min(size, bytes.size() - at)};
}

Decoder decoderOf(std::span<const std::byte> begin) {
    if (textAt(begin, 0, 4) == "\x89PNG") return decodePng;
    // The fourth byte is a marker's number; with it the bytes cannot be the length of a .safetensors header.
    if (textAt(begin, 0, 3) == "\xff\xd8\xff" && begin.size() > 3 && begin[3] >= std::byte{0xc0}) return decodeJpeg;
    if (textAt(begin, 0, 4) == "RIFF" && textAt(begin, 8, 4) == "WEBP") return decodeWebp;
    return nullptr;
}

// Pictures that people have and that cannot be read here, by what their files begin with.
std::string_view otherKind(std::span<const std::byte> begin) {
    using namespace std::string_view_literals;
    struct Kind {
        std::size_t at;
        std::string_view mark, name;
    };
    constexpr std::array<Kind, 17> kinds{{{0, "GIF87a", "GIF"},
                                          {0, "GIF89a", "GIF"},
                                          {0, "BM", "BMP"},
                                          {0, "II*\0"sv, "TIFF"},
                                          {0, "MM\0*"sv, "TIFF"},
                                          {4, "ftypavif", "AVIF"},
                                          {4, "ftypavis", "AVIF"},
                                          {4, "ftypheic", "HEIC"},
                                          {4, "ftypheix", "HEIC"},
                                          {4, "ftypmif1", "HEIF"},
                                          {0, "\xff\x0a", "JPEG XL"},
                                          {4, "JXL \r\n", "JPEG XL"},
                                          {4, "jP  \r\n", "JPEG 2000"},
                                          {0, "\x76\x2f\x31\x01", "OpenEXR"},
                                          {0, "8BPS", "Photoshop"},
                                          {0, "qoif", "QOI"},
                                          {0, "<svg", "SVG"}}};
    if (textAt(begin, 8, 1) == "{") return {}; // a .safetensors file, whose length may begin as any of these
    for (const Kind& kind : kinds)
        if (textAt(begin, kind.at, kind.mark.size()) == kind.mark) return kind.name;
    return {};
}

// Upright, from a picture that lies as EXIF's orientation (2 to 8) says.
Picture turned(const Picture& from, int orientation) {
    const bool swap = orientation >= 5, flipX = orientation == 2 || orientation == 3 || orientation >= 7,
               flipY = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Picture to{.width = swap ? from.height : from.width,
               .height = swap ? from.width : from.height,
               .rgb = std::vector<float>(from.rgb.size()),
               .notes = from.notes};
    auto out = to.rgb.begin();
    for (std::size_t y = 0; y < to.height; ++y) {
        for (std::size_t x = 0; x < to.width; ++x) {
            std::size_t fromX = swap ? y : x, fromY = swap ? x : y;
            if (flipX) fromX = from.width - 1 - fromX;
            if (flipY) fromY = from.height - 1 - fromY;
            out = std::copy_n(&from.rgb[(fromY * from.width + fromX) * 3], 3, out);
        }
    }
    return to;
}

} // namespace

int exifOrientation(std::span<const std::byte> exif) {
    constexpr std::uint64_t orientationTag = 0x0112, shortType = 3, entryBytes = 12;
    if (textAt(exif, 0, 4) == "Exif" && exif.size() > 6) exif = exif.subspan(6);
    const bool big = textAt(exif, 0, 2) == "MM";
    if (!big && textAt(exif, 0, 2) != "II") return 1;
    const auto number = [&](std::uint64_t at, std::uint64_t size) -> std::uint64_t { // 0 where there is nothing
        if (at > exif.size() || size > exif.size() - at) return 0;
        std::uint64_t value = 0;
        for (std::uint64_t i = 0; i < size; ++i)
            value = value << 8 | std::to_integer<std::uint64_t>(exif[at + (big ? i : size - 1 - i)]);
        return value;
    };
    const std::uint64_t directory = number(4, 4), entries = number(directory, 2);
    for (std::uint64_t i = 0; i < entries; ++i) {
        const std::uint64_t entry = directory + 2 + i * entryBytes;
        if (number(entry, 2) != orientationTag || number(entry + 2, 2) != shortType) continue;
        const std::uint64_t value = number(entry + 8, 2);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

Result<void> checkPictureSize(std::uint64_t width, std::uint64_t height, std::uint64_t mostPixels,
                              const std::string& fileName) {
    if (width > longestPictureSide || height > longestPictureSide || width * height > mostPixels)
        return fail(ErrorCode::BadInput, "{}: has {} × {} pixels; the most is {} along a side and {} in all.",
                    quote(fileName), width, height, longestPictureSide, mostPixels);
    return {};
}

Result<void> checkFileHolds(std::uint64_t leastBytes, std::uint64_t width, std::uint64_t height,
                            std::uint64_t fileBytes, const std::string& fileName) {
    if (leastBytes <= fileBytes) return {};
    return fail(ErrorCode::BadInput, "{}: says it has {} × {} pixels, which do not fit into a file of {} bytes.",
                quote(fileName), width, height, fileBytes);
}

Result<bool> isPictureFile(const std::string& path) {
    TRY(const MappedFile file, MappedFile::open(path));
    if (decoderOf(file.bytes()) != nullptr) return true;
    if (const std::string_view kind = otherKind(file.bytes()); !kind.empty())
        return fail(ErrorCode::BadInput, "{}: is a picture of the format {}; PNG, JPEG and WebP can be read.",
                    quote(path), kind);
    return false;
}

bool isPicture(std::span<const std::byte> begin) { return decoderOf(begin) != nullptr; }

Result<Picture> parsePicture(std::span<const std::byte> bytes, const std::string& fileName,
                             std::uint64_t mostPixels) try {
    const Decoder decoder = decoderOf(bytes);
    if (decoder == nullptr)
        return fail(ErrorCode::BadInput, "{}: is no picture that can be read, which are PNG, JPEG and WebP.",
                    quote(fileName));
    TRY(Decoded decoded, decoder(bytes, fileName, mostPixels));
    if (decoded.orientation == 1) return std::move(decoded.picture);
    Picture upright = turned(decoded.picture, decoded.orientation);
    upright.notes.push_back(fmt::format("file {}: its EXIF orientation is {}, so it was turned to {}x{}",
                                        quote(fileName), decoded.orientation, upright.width, upright.height));
    return upright;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory for the picture {}.", quote(fileName));
}

Result<Picture> readPicture(const std::string& path) {
    TRY(const MappedFile file, MappedFile::open(path));
    return parsePicture(file.bytes(), path);
}

} // namespace spikescope
