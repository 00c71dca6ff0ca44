#include "core/io/fit_picture.h"
#include "core/io/picture.h"
#include "tests/support/folder_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <jpeglib.h>
#include <unistd.h>
#include <webp/encode.h>

namespace spikescope {
namespace {

namespace fs = std::filesystem;

class PictureTest : public FolderTest {
protected:
    std::string put(const std::string& content) {
        const std::string path = m_folder + "in.png";
        std::ofstream(path, std::ios::binary) << content;
        return path;
    }
    std::size_t entries() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(m_folder), fs::directory_iterator()));
    }
};

using Bytes = std::vector<std::uint8_t>;

std::string bigEndian(std::uint32_t value) {
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xffu);
    return out;
}

std::uint32_t crc(std::string_view data) {
    std::uint32_t value = 0xffffffffu;
    for (const char c : data) {
        value ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1u) != 0 ? 0xedb88320u : 0u);
    }
    return ~value;
}

std::string chunk(const std::string& type, const std::string& data) {
    return bigEndian(static_cast<std::uint32_t>(data.size())) + type + data + bigEndian(crc(type + data));
}

// One stored block of zlib data, at most 65535 bytes.
std::string stored(const std::string& data) {
    std::uint32_t a = 1, b = 0;
    for (const char c : data) {
        a = (a + static_cast<unsigned char>(c)) % 65521;
        b = (b + a) % 65521;
    }
    std::string out = "\x78\x01\x01";
    const auto size = static_cast<std::uint32_t>(data.size());
    for (const std::uint32_t word : {size, ~size}) {
        out += static_cast<char>(word & 0xffu);
        out += static_cast<char>(word >> 8 & 0xffu);
    }
    return out + data + bigEndian(b << 16 | a);
}

const std::string signature = "\x89PNG\r\n\x1a\n";

std::string header(std::uint32_t width, std::uint32_t height, int depth, int colour, int interlace = 0) {
    return chunk("IHDR", bigEndian(width) + bigEndian(height) + static_cast<char>(depth) + static_cast<char>(colour) +
                             std::string(2, '\0') + static_cast<char>(interlace));
}

// rows as PNG stores them, filter bytes included
std::string png(const std::string& ihdr, const std::string& rows, const std::string& between = "") {
    return signature + ihdr + between + chunk("IDAT", stored(rows)) + chunk("IEND", "");
}

std::string text(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

TEST_F(PictureTest, ReadsEveryKindOfPng) {
    const std::string palette = chunk("PLTE", text({0, 0, 0, 255, 0, 51, 102, 255, 0}));
    const struct {
        const char* name;
        std::string content;
        std::uint32_t width;
        std::vector<float> rgb; // one row
    } cases[] = {
        {"gray 8", png(header(2, 1, 8, 0), text({0, 51, 255})), 2, {.2f, .2f, .2f, 1, 1, 1}},
        {"gray 1", png(header(2, 1, 1, 0), text({0, 0x40})), 2, {0, 0, 0, 1, 1, 1}},
        {"gray 4", png(header(2, 1, 4, 0), text({0, 0x3f})), 2, {.2f, .2f, .2f, 1, 1, 1}},
        {"gray 16", png(header(1, 1, 16, 0), text({0, 0x12, 0x34})), 1, std::vector<float>(3, 0x1234 / 65535.0f)},
        {"gray alpha", png(header(1, 1, 8, 4), text({0, 51, 7})), 1, {.2f, .2f, .2f}},
        {"rgb 8", png(header(1, 1, 8, 2), text({0, 51, 102, 255})), 1, {.2f, .4f, 1}},
        {"rgb 16",
         png(header(1, 1, 16, 2), text({0, 0, 1, 0x80, 0, 0xff, 0xff})),
         1,
         {1 / 65535.0f, 0x8000 / 65535.0f, 1}},
        {"rgba 8", png(header(1, 1, 8, 6), text({0, 51, 102, 255, 0})), 1, {.2f, .4f, 1}},
        {"rgba 16",
         png(header(1, 1, 16, 6), text({0, 0, 1, 0, 2, 0, 3, 0, 0})),
         1,
         {1 / 65535.0f, 2 / 65535.0f, 3 / 65535.0f}},
        {"palette 8", png(header(2, 1, 8, 3), text({0, 1, 2}), palette), 2, {1, 0, .2f, .4f, 1, 0}},
        {"palette 2", png(header(2, 1, 2, 3), text({0, 0x60}), palette), 2, {1, 0, .2f, .4f, 1, 0}},
        {"palette alpha",
         png(header(1, 1, 8, 3), text({0, 1}), palette + chunk("tRNS", text({0, 0, 0}))),
         1,
         {1, 0, .2f}},
        {"transparent colour",
         png(header(1, 1, 8, 2), text({0, 51, 102, 255}), chunk("tRNS", text({0, 51, 0, 102, 0, 255}))),
         1,
         {.2f, .4f, 1}},
        {"gamma is left alone",
         png(header(1, 1, 8, 2), text({0, 51, 102, 255}), chunk("gAMA", bigEndian(100000))),
         1,
         {.2f, .4f, 1}},
    };
    for (const auto& c : cases) {
        const auto picture = readPicture(put(c.content));
        ASSERT_TRUE(picture) << c.name << ": " << picture.error().message;
        EXPECT_EQ(picture->width, c.width) << c.name;
        EXPECT_EQ(picture->height, 1u) << c.name;
        ASSERT_EQ(picture->rgb.size(), c.rgb.size()) << c.name;
        for (std::size_t i = 0; i < c.rgb.size(); ++i) EXPECT_FLOAT_EQ(picture->rgb[i], c.rgb[i]) << c.name << " " << i;
    }
}

TEST_F(PictureTest, ReadsInterlacedPictures) {
    // 3 × 2 in the passes of Adam7: (0,0) is pass 1, (2,0) pass 4, (1,0) pass 6, row 1 pass 7.
    const auto picture = readPicture(put(png(header(3, 2, 8, 0, 1), text({0, 10, 0, 30, 0, 20, 0, 40, 50, 60}))));
    ASSERT_TRUE(picture) << picture.error().message;
    ASSERT_EQ(picture->rgb.size(), 18u);
    for (std::size_t i = 0; i < 6; ++i)
        EXPECT_FLOAT_EQ(picture->rgb[i * 3], static_cast<float>((i + 1) * 10) / 255.0f) << i;
}

TEST_F(PictureTest, RefusesWithTheReason) {
    const std::string good = png(header(1, 1, 8, 2), text({0, 1, 2, 3}));
    std::string badCrc = good, badZlib = good;
    badCrc[20] = 2; // the width's last byte is at 19
    badZlib[good.find("IDAT") + 4] = 'y';
    const struct {
        std::string content;
        std::vector<std::string> parts;
    } cases[] = {
        {"no picture at all", {"is no picture that can be read", "PNG, JPEG and WebP"}},
        {signature, {"ends too early"}},
        {signature + header(1, 1, 8, 2), {"ends too early"}},
        {good.substr(0, good.size() - 12), {"ends too early"}},
        {badCrc, {"CRC"}},
        {badZlib, {"cannot be read as PNG"}},
        {png(header(0, 1, 8, 2), ""), {"cannot be read as PNG"}},
        {png(header(1, 1, 7, 2), ""), {"cannot be read as PNG"}},
        {png(header(1, 1, 8, 5), ""), {"cannot be read as PNG"}},
        {png(header(2, 2, 8, 2), text({0, 1, 2, 3})), {"cannot be read as PNG"}},
        {png(header(1, 1, 8, 3), text({0, 0})), {"cannot be read as PNG"}}, // no palette
        {png(header(65537, 1, 8, 2), ""), {"65537 × 1", "65536 along a side"}},
        {png(header(1, 0x7fffffff, 8, 2), ""), {"1 × 2147483647"}},
        {png(header(65536, 65536, 8, 2), ""), {"65536 × 65536", "268435456 in all"}},
        {png(header(16384, 16384, 16, 6), text({0})), {"16384 × 16384", "do not fit into a file of"}},
        {png(header(16384, 16384, 16, 6, 1), text({0})), {"16384 × 16384", "do not fit into a file of"}},
    };
    for (const auto& c : cases) {
        const auto picture = readPicture(put(c.content));
        ASSERT_FALSE(picture) << c.parts.front();
        EXPECT_EQ(picture.error().code, ErrorCode::BadInput);
        EXPECT_TRUE(picture.error().message.starts_with("'" + m_folder + "in.png'")) << picture.error().message;
        for (const std::string& part : c.parts)
            EXPECT_NE(picture.error().message.find(part), std::string::npos) << picture.error().message << "\n" << part;
    }
    EXPECT_FALSE(readPicture(m_folder + "missing.png"));
    EXPECT_FALSE(readPicture(m_folder));
}

TEST_F(PictureTest, NoCutOrChangedByteMisleadsTheReader) {
    const std::string good =
        png(header(3, 2, 8, 3), text({0, 0, 1, 0, 0, 1, 1, 0}), chunk("PLTE", text({9, 9, 9, 8, 8, 8})));
    ASSERT_TRUE(readPicture(put(good)));
    for (std::size_t size = 1; size < good.size(); ++size) EXPECT_FALSE(readPicture(put(good.substr(0, size)))) << size;
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string changed = good;
        changed[i] = static_cast<char>(changed[i] ^ 0x55);
        const auto picture = readPicture(put(changed)); // an unknown chunk may pass
        EXPECT_TRUE(!picture || picture->rgb.size() == 18u) << i;
    }
}

// Codes of width × height × components.
struct JpegOptions {
    J_COLOR_SPACE space = JCS_RGB;
    bool progressive = false;
    std::string exif = {};
};
std::string jpeg(std::uint32_t width, std::uint32_t height, Bytes codes, const JpegOptions& options = {}) {
    jpeg_error_mgr errors{};
    jpeg_compress_struct info{};
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    unsigned char* buffer = nullptr;
    unsigned long size = 0;
    jpeg_mem_dest(&info, &buffer, &size);
    info.image_width = width;
    info.image_height = height;
    info.input_components = static_cast<int>(codes.size() / width / height);
    info.in_color_space = options.space;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 100, TRUE);
    for (int i = 0; i < info.num_components; ++i) info.comp_info[i].h_samp_factor = info.comp_info[i].v_samp_factor = 1;
    if (options.progressive) jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    if (!options.exif.empty())
        jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(options.exif.data()),
                          static_cast<unsigned>(options.exif.size()));
    const std::size_t rowBytes = codes.size() / height;
    while (info.next_scanline < height) {
        JSAMPROW row = codes.data() + info.next_scanline * rowBytes;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    std::string file(reinterpret_cast<const char*>(buffer), size);
    jpeg_destroy_compress(&info);
    std::free(buffer);
    return file;
}

std::string exifOf(int orientation, bool big) {
    const auto number = [&](std::uint32_t value, int size) {
        std::string out;
        for (int i = 0; i < size; ++i) out += static_cast<char>(value >> 8 * (big ? size - 1 - i : i) & 0xffu);
        return out;
    };
    const auto entry = [&](std::uint32_t tag, std::uint32_t value) {
        return number(tag, 2) + number(3, 2) + number(1, 4) + number(value, 2) + number(0, 2);
    };
    return std::string("Exif\0\0", 6) + (big ? "MM" : "II") + number(42, 2) + number(8, 4) + number(2, 2) +
           entry(0x0103, 6) + entry(0x0112, static_cast<std::uint32_t>(orientation)) + number(0, 4);
}

// Codes of width × height × channels, without loss.
std::string webp(int width, int height, const Bytes& codes, bool alpha = false) {
    std::uint8_t* buffer = nullptr;
    const std::size_t size = alpha ? WebPEncodeLosslessRGBA(codes.data(), width, height, 4 * width, &buffer)
                                   : WebPEncodeLosslessRGB(codes.data(), width, height, 3 * width, &buffer);
    std::string file(reinterpret_cast<const char*>(buffer), size);
    WebPFree(buffer);
    return file;
}

Bytes noise(std::size_t count) {
    Bytes codes(count);
    std::uint32_t random = 1;
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>((random = random * 1664525u + 1013904223u) >> 24);
    return codes;
}

TEST_F(PictureTest, ReadsJpegWhateverItsName) {
    constexpr std::uint32_t width = 21, height = 13;
    Bytes rgb, gray;
    for (std::uint32_t i = 0; i < width * height; ++i) {
        gray.push_back(static_cast<std::uint8_t>(i / width * 12 + i % width * 4));
        for (const std::uint32_t c : {0u, 30u, 60u}) rgb.push_back(static_cast<std::uint8_t>(i % width * 9 + c));
    }
    for (const bool progressive : {false, true}) {
        const auto picture = readPicture(put(jpeg(width, height, rgb, {.progressive = progressive})));
        ASSERT_TRUE(picture) << picture.error().message;
        EXPECT_EQ(picture->width, width);
        EXPECT_EQ(picture->height, height);
        EXPECT_TRUE(picture->notes.empty());
        ASSERT_EQ(picture->rgb.size(), rgb.size());
        for (std::size_t i = 0; i < rgb.size(); ++i) ASSERT_NEAR(picture->rgb[i] * 255.0f, rgb[i], 3.0f) << i;
        const auto flat =
            readPicture(put(jpeg(width, height, gray, {.space = JCS_GRAYSCALE, .progressive = progressive})));
        ASSERT_TRUE(flat) << flat.error().message;
        for (std::size_t i = 0; i < rgb.size(); ++i) ASSERT_NEAR(flat->rgb[i] * 255.0f, gray[i / 3], 2.0f) << i;
    }
}

// EXIF says which sides of the picture the first row and the first column are.
TEST_F(PictureTest, TurnsAsExifSays) {
    constexpr std::uint32_t width = 3, height = 2; // blocks of 8 × 8 pixels, upright
    const auto upright = [](std::uint32_t y, std::uint32_t x) {
        return static_cast<std::uint8_t>(40 * (y * width + x));
    };
    for (int orientation = 0; orientation <= 9; ++orientation) {
        const bool onSide = orientation >= 5 && orientation <= 8;
        const std::uint32_t rows = onSide ? width : height, columns = onSide ? height : width;
        Bytes codes;
        for (std::uint32_t row = 0; row < 8 * rows; ++row)
            for (std::uint32_t column = 0; column < 8 * columns; ++column) {
                const std::uint32_t r = row / 8, c = column / 8, bottom = height - 1, right = width - 1;
                switch (orientation) {
                case 2: codes.push_back(upright(r, right - c)); break;
                case 3: codes.push_back(upright(bottom - r, right - c)); break;
                case 4: codes.push_back(upright(bottom - r, c)); break;
                case 5: codes.push_back(upright(c, r)); break;
                case 6: codes.push_back(upright(c, right - r)); break;
                case 7: codes.push_back(upright(bottom - c, right - r)); break;
                case 8: codes.push_back(upright(bottom - c, r)); break;
                default: codes.push_back(upright(r, c)); break;
                }
            }
        Bytes rgb;
        for (const std::uint8_t code : codes) rgb.insert(rgb.end(), 3, code);
        for (const bool big : {false, true}) {
            const std::string exif = exifOf(orientation, big);
            const std::string tiff = exif.substr(6);
            std::string extended = webp(8 * columns, 8 * rows, rgb); // RIFF, size, WEBP, then the chunk of the picture
            extended += "EXIF" + std::string{static_cast<char>(tiff.size()), 0, 0, 0} + tiff;
            std::string vp8x = "VP8X" + std::string{10, 0, 0, 0, 8, 0, 0, 0};
            vp8x += {static_cast<char>(8 * columns - 1), 0, 0, static_cast<char>(8 * rows - 1), 0, 0};
            extended.insert(12, vp8x);
            extended[4] = static_cast<char>((extended.size() - 8) & 0xff);
            extended[5] = static_cast<char>((extended.size() - 8) >> 8);
            std::string lines;
            for (std::uint32_t y = 0; y < 8 * rows; ++y)
                lines += std::string(1, '\0') +
                         text({codes.begin() + y * 8 * columns, codes.begin() + (y + 1) * 8 * columns});
            const std::pair<const char*, std::string> files[] = {
                {"JPEG", jpeg(8 * columns, 8 * rows, codes, {.space = JCS_GRAYSCALE, .exif = exif})},
                {"WebP", extended},
                {"PNG", png(header(8 * columns, 8 * rows, 8, 0), lines, chunk("eXIf", tiff))}};
            for (const auto& [kind, file] : files) {
                const auto picture = readPicture(put(file));
                ASSERT_TRUE(picture) << kind << picture.error().message;
                ASSERT_EQ(picture->width, 8 * width) << kind << orientation;
                ASSERT_EQ(picture->height, 8 * height) << kind << orientation;
                EXPECT_EQ(picture->notes.size(), orientation >= 2 && orientation <= 8 ? 1u : 0u) << kind << orientation;
                for (std::uint32_t y = 0; y < 8 * height; ++y)
                    for (std::uint32_t x = 0; x < 8 * width; ++x)
                        ASSERT_NEAR(picture->rgb[(y * 8 * width + x) * 3] * 255.0f, upright(y / 8, x / 8), 1.0f)
                            << kind << orientation << " " << y << " " << x;
            }
        }
    }
}

TEST_F(PictureTest, RefusesJpegWithTheReason) {
    const std::string good = jpeg(16, 16, noise(16 * 16 * 3));
    std::string huge = good;
    const std::size_t frame = huge.find("\xff\xc0");
    ASSERT_NE(frame, std::string::npos);
    huge.replace(frame + 5, 4, "\xfd\xe8\xfd\xe8"); // 65000 × 65000
    std::string large = good;
    large.replace(frame + 5, 4, "\x20\x10\x20\x10");
    const struct {
        std::string content;
        std::vector<std::string> parts;
    } cases[] = {
        {jpeg(16, 16, noise(16 * 16 * 4), {.space = JCS_CMYK}), {"is a JPEG in CMYK; RGB and gray can be read."}},
        {good.substr(0, good.size() / 2), {"cannot be read as JPEG", "remature end"}},
        {huge, {"65000 × 65000", "268435456 in all"}},
        {large, {"8208 × 8208", "do not fit into a file of"}},
        {"\xff\xd8\xff\xe0", {"cannot be read as JPEG"}},
    };
    for (const auto& c : cases) {
        const auto picture = readPicture(put(c.content));
        ASSERT_FALSE(picture) << c.parts.front();
        EXPECT_EQ(picture.error().code, ErrorCode::BadInput);
        for (const std::string& part : c.parts)
            EXPECT_NE(picture.error().message.find(part), std::string::npos) << picture.error().message << "\n" << part;
    }
}

TEST_F(PictureTest, ReadsWebp) {
    const Bytes codes = noise(5 * 3 * 3);
    const auto picture = readPicture(put(webp(5, 3, codes)));
    ASSERT_TRUE(picture) << picture.error().message;
    EXPECT_EQ(picture->width, 5u);
    EXPECT_EQ(picture->height, 3u);
    for (std::size_t i = 0; i < codes.size(); ++i) EXPECT_FLOAT_EQ(picture->rgb[i], codes[i] / 255.0f);
    const auto opaque = readPicture(put(webp(1, 2, {10, 20, 30, 0x80, 40, 50, 60, 0xff}, true)));
    ASSERT_TRUE(opaque) << opaque.error().message;
    for (std::size_t i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(opaque->rgb[i] * 255.0f, static_cast<float>(10 * (i + 1)));
    std::uint8_t* buffer = nullptr;
    const std::size_t size = WebPEncodeRGB(Bytes(32 * 32 * 3, 128).data(), 32, 32, 96, 90.0f, &buffer);
    const auto lossy = readPicture(put(std::string(reinterpret_cast<const char*>(buffer), size)));
    WebPFree(buffer);
    ASSERT_TRUE(lossy) << lossy.error().message;
    for (const float value : lossy->rgb) EXPECT_NEAR(value * 255.0f, 128.0f, 3.0f);

    std::string animated = "RIFF" + std::string{22, 0, 0, 0} + "WEBPVP8X" + std::string{10, 0, 0, 0, 2, 0, 0, 0};
    animated += std::string(6, '\0');
    const auto refused = readPicture(put(animated));
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("is an animated WebP; one picture can be read."), std::string::npos)
        << refused.error().message;
}

TEST_F(PictureTest, NoCutOrChangedByteOfJpegOrWebpMisleads) {
    const Bytes codes = noise(16 * 16 * 3);
    testing::internal::CaptureStderr(); // where decoders put their warnings
    for (const std::string& good : {jpeg(16, 16, codes, {.exif = exifOf(6, true)}),
                                    jpeg(16, 16, codes, {.progressive = true}), webp(16, 16, codes)}) {
        const auto bytesOf = [](const std::string& file) { return std::as_bytes(std::span(file)); };
        ASSERT_TRUE(parsePicture(bytesOf(good), "in"));
        for (std::size_t size = 1; size < good.size(); ++size)
            EXPECT_FALSE(parsePicture(bytesOf(good.substr(0, size)), "in")) << size;
        for (std::size_t i = 0; i < good.size(); ++i) {
            std::string changed = good;
            changed[i] = static_cast<char>(changed[i] ^ 0x55);
            const auto picture = parsePicture(bytesOf(changed), "in", 1 << 20);
            EXPECT_TRUE(!picture || picture->rgb.size() == std::size_t{3} * picture->width * picture->height) << i;
        }
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(PictureTest, OtherFormatsAreNamed) {
    const auto named = [&](const std::string& content) {
        const auto picture = isPictureFile(put(content));
        return picture ? std::string(*picture ? "picture" : "none") : picture.error().message;
    };
    EXPECT_NE(named("GIF89a and so on").find("of the format GIF; PNG, JPEG and WebP can be read."), std::string::npos);
    EXPECT_NE(named(std::string("\0\0\0\x1c"
                                "ftypavif",
                                12))
                  .find("AVIF"),
              std::string::npos);
    EXPECT_EQ(named(std::string("BM\0\0\0\0\0\0{}", 10)), "none"); // a .safetensors file
    EXPECT_EQ(named(webp(1, 1, {1, 2, 3})), "picture");
}

TEST_F(PictureTest, ReplaysTheFuzzersCorpus) {
    std::size_t read = 0;
    for (const auto& place : fs::directory_iterator(SPIKESCOPE_TEST_DATA "/fuzz/corpus/picture")) {
        const auto picture = readPicture(place.path().string());
        const std::string name = place.path().filename().string();
        EXPECT_FALSE(picture && name.starts_with("bad_")) << name;
        EXPECT_FALSE(!picture && name.starts_with("good_")) << name << ": " << picture.error().message;
        if (!picture) continue;
        ++read;
        EXPECT_EQ(picture->rgb.size(), std::size_t{3} * picture->width * picture->height) << name;
    }
    EXPECT_GT(read, 12u);
}

// One channel counts x, one y, one is flat.
Picture grid(std::uint32_t width, std::uint32_t height) {
    Picture picture{.width = width, .height = height, .rgb = {}, .notes = {}};
    for (std::uint32_t i = 0; i < width * height; ++i)
        picture.rgb.insert(picture.rgb.end(),
                           {static_cast<float>(i % width) / 1024.0f, static_cast<float>(i / width) / 1024.0f, 1.0f});
    return picture;
}

TEST(FitPicture, MakesSizesThatTheEncoderTakes) {
    const auto fitted = [](std::uint32_t width, std::uint32_t height, Sides size, ImageFit fit) {
        auto picture = fitPicture(grid(width, height), 8, size, fit, "taesd", "x.png");
        EXPECT_TRUE(picture) << picture.error().message;
        return picture ? *picture : Picture{};
    };
    const auto at = [](const Picture& picture, std::uint32_t x, std::uint32_t y) {
        const float* pixel = &picture.rgb[(y * picture.width + x) * 3];
        return std::pair(pixel[0] * 1024.0f, pixel[1] * 1024.0f);
    };
    const Picture cropped = fitted(29, 18, {}, ImageFit::Crop);
    EXPECT_EQ(cropped.width, 24u);
    EXPECT_EQ(cropped.height, 16u);
    EXPECT_EQ(at(cropped, 0, 0), std::pair(2.0f, 1.0f));
    EXPECT_EQ(at(cropped, 23, 15), std::pair(25.0f, 16.0f));
    ASSERT_EQ(cropped.notes.size(), 1u);
    EXPECT_EQ(cropped.notes[0], "the picture 'x.png' was cropped around its middle from 29x18 to 24x16");
    EXPECT_EQ(at(fitted(29, 18, {8, 8}, ImageFit::Crop), 0, 0), std::pair(10.0f, 5.0f));

    const Picture padded = fitted(29, 18, {}, ImageFit::Pad);
    EXPECT_EQ(padded.width, 32u);
    EXPECT_EQ(padded.height, 24u);
    EXPECT_EQ(at(padded, 28, 17), std::pair(28.0f, 17.0f));
    EXPECT_EQ(at(padded, 31, 20), std::pair(28.0f, 17.0f));
    EXPECT_EQ(fitted(29, 18, {64, 32}, ImageFit::Pad).width, 64u);

    // A ramp stays a ramp, but for the ends; what is flat stays flat.
    for (const Sides size : {Sides{16, 8}, Sides{64, 40}, Sides{16, 40}}) {
        const Picture resized = fitted(29, 18, size, ImageFit::Resize);
        ASSERT_EQ(resized.width, size.width);
        ASSERT_EQ(resized.height, size.height);
        const float stepX = 29.0f / static_cast<float>(size.width), stepY = 18.0f / static_cast<float>(size.height);
        for (std::uint32_t y = 3; y + 3 < resized.height; ++y)
            for (std::uint32_t x = 3; x + 3 < resized.width; ++x) {
                ASSERT_NEAR(at(resized, x, y).first, (static_cast<float>(x) + 0.5f) * stepX - 0.5f,
                            stepX > 1 ? 0.2f : 0.01f);
                ASSERT_NEAR(at(resized, x, y).second, (static_cast<float>(y) + 0.5f) * stepY - 0.5f,
                            stepY > 1 ? 0.2f : 0.01f);
            }
        for (std::size_t i = 2; i < resized.rgb.size(); i += 3) ASSERT_NEAR(resized.rgb[i], 1.0f, 1e-6f);
    }
    // Stripes that are finer than the new pixels become gray.
    Picture stripes = grid(64, 8);
    for (std::size_t i = 0; i < stripes.rgb.size(); ++i) stripes.rgb[i] = i / 3 % 2 == 0 ? 1.0f : 0.0f;
    const auto gray = fitPicture(stripes, 8, {8, 8}, ImageFit::Resize, "taesd", "x.png");
    for (const float value : gray->rgb) EXPECT_NEAR(value, 0.5f, 0.04f);
    const Picture nearest = fitted(29, 18, {}, ImageFit::Resize);
    EXPECT_EQ(nearest.width, 32u);
    EXPECT_EQ(nearest.height, 16u);
    EXPECT_EQ(fitted(3, 18, {}, ImageFit::Resize).width, 8u);

    for (const auto fit : {std::optional<ImageFit>(), {ImageFit::Crop}, {ImageFit::Pad}, {ImageFit::Resize}}) {
        const auto kept = fitPicture(grid(16, 8), 8, {}, fit, "taesd", "x.png");
        ASSERT_TRUE(kept);
        EXPECT_EQ(kept->rgb, grid(16, 8).rgb);
        EXPECT_TRUE(kept->notes.empty());
    }
}

TEST(FitPicture, RefusesWithTheSizes) {
    const auto refused = [](std::uint32_t width, std::uint32_t height, Sides size, std::optional<ImageFit> fit) {
        const auto picture = fitPicture(grid(width, height), 8, size, fit, "taesd", "x.png");
        EXPECT_FALSE(picture);
        return picture ? "" : picture.error().message;
    };
    EXPECT_EQ(refused(29, 18, {}, {}),
              "the picture 'x.png' has 29x18 pixels, taesd takes multiples of 8; --fit-image crop "
              "makes it 24x16, pad makes it 32x24, resize 32x16");
    EXPECT_EQ(refused(29, 3, {}, {}),
              "the picture 'x.png' has 29x3 pixels, taesd takes multiples of 8; --fit-image pad "
              "makes it 32x8, resize 32x8");
    EXPECT_EQ(refused(16, 16, {32, 32}, {}),
              "size 32x32: the picture 'x.png' has 16x16 pixels; --fit-image crop, pad or resize changes that");
    EXPECT_EQ(refused(29, 3, {}, ImageFit::Crop),
              "fit-image crop: the picture 'x.png' has 29x3 pixels, so nothing would "
              "be left of it in multiples of 8");
    EXPECT_EQ(refused(16, 16, {24, 8}, ImageFit::Crop),
              "fit-image crop: the picture 'x.png' has 16x16 pixels, of which 24x8 cannot be cropped");
    EXPECT_EQ(refused(16, 16, {24, 8}, ImageFit::Pad),
              "fit-image pad: the picture 'x.png' has 16x16 pixels, which cannot be padded to 24x8");
    EXPECT_EQ(
        refused(16, 16, {20, 8}, ImageFit::Resize),
        "fit-image resize: the picture 'x.png' has 16x16 pixels, taesd takes multiples of 8, which size 20x8 has not");
    EXPECT_EQ(
        refused(16, 16, {65536, 65536}, ImageFit::Resize),
        "fit-image resize: the picture 'x.png' has 16x16 pixels, size 65536x65536 is more than 65536 along a side or "
        "268435456 in all");
}

TEST_F(PictureTest, WritesClampedAndRoundedCodes) {
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    for (const int depth : {8, 16}) {
        const float largest = depth == 8 ? 255.0f : 65535.0f;
        const std::string path = m_folder + "out.png";
        auto writer = PngWriter::create(path, 2, 3, depth);
        ASSERT_TRUE(writer) << writer.error().message;
        ASSERT_TRUE(writer->writeRows(std::vector<float>{-1, 0, 2, nan, infinity, -infinity}));
        ASSERT_TRUE(writer->writeRows({}));
        ASSERT_TRUE(writer->writeRows(std::vector<float>{1.49f / largest, 1.51f / largest, 1, .5f, .25f, 7 / largest, 0,
                                                         0, 0, 0, 0, 0.999f / largest}));
        PngWriter moved = std::move(*writer);
        EXPECT_FALSE(fs::exists(path));
        ASSERT_TRUE(moved.commit());
        const auto picture = readPicture(path);
        ASSERT_TRUE(picture) << picture.error().message;
        EXPECT_EQ(picture->width, 2u);
        EXPECT_EQ(picture->height, 3u);
        const std::vector<float> codes = {0,
                                          0,
                                          largest,
                                          0,
                                          largest,
                                          0,
                                          1,
                                          2,
                                          largest,
                                          std::floor(.5f * largest + .5f),
                                          std::floor(.25f * largest + .5f),
                                          7,
                                          0,
                                          0,
                                          0,
                                          0,
                                          0,
                                          1};
        ASSERT_EQ(picture->rgb.size(), codes.size());
        for (std::size_t i = 0; i < codes.size(); ++i) EXPECT_FLOAT_EQ(picture->rgb[i] * largest, codes[i]) << i;
        fs::remove(path);
    }
}

TEST_F(PictureTest, WriterRefusesWithTheReason) {
    const struct {
        std::uint32_t width, height;
        int depth;
        const char* part;
    } cases[] = {
        {0, 1, 8, "0 × 1"},         {1, 0, 8, "1 × 0"},   {65537, 1, 8, "65537 × 1"},
        {1, 65537, 8, "1 × 65537"}, {1, 1, 12, "not 12"},
    };
    for (const auto& c : cases) {
        const auto writer = PngWriter::create(m_folder + "out.png", c.width, c.height, c.depth);
        ASSERT_FALSE(writer);
        EXPECT_EQ(writer.error().code, ErrorCode::BadUsage);
        EXPECT_NE(writer.error().message.find(c.part), std::string::npos) << writer.error().message;
    }
    EXPECT_EQ(PngWriter::create(m_folder + "no/out.png", 1, 1, 8).error().code, ErrorCode::Io);

    auto writer = PngWriter::create(m_folder + "out.png", 2, 2, 8);
    ASSERT_TRUE(writer);
    EXPECT_FALSE(writer->writeRows(std::vector<float>(5)));
    EXPECT_FALSE(writer->writeRows(std::vector<float>(18)));
    EXPECT_TRUE(writer->writeRows(std::vector<float>(6)));
    const auto committed = writer->commit();
    ASSERT_FALSE(committed);
    EXPECT_NE(committed.error().message.find("only 1 of 2 rows"), std::string::npos) << committed.error().message;
    { const PngWriter gone = std::move(*writer); }
    EXPECT_EQ(entries(), 0u);
}

TEST_F(PictureTest, AFullDiskIsAnError) {
    auto small = PngWriter::create("/dev/full", 1, 1, 8);
    ASSERT_TRUE(small && small->writeRows(std::vector<float>(3)));
    const auto committed = small->commit(); // all of it was still in the buffer
    ASSERT_FALSE(committed);
    EXPECT_EQ(committed.error().code, ErrorCode::Io);
    EXPECT_NE(committed.error().message.find("'/dev/full': No space left"), std::string::npos)
        << committed.error().message;

    constexpr std::uint32_t side = 256;
    auto large = PngWriter::create("/dev/full", side, side, 16);
    ASSERT_TRUE(large);
    std::vector<float> noise(side * side * 3);
    std::uint32_t random = 1;
    for (float& value : noise) value = static_cast<float>((random = random * 1664525u + 1013904223u) >> 8) * 0x1p-24f;
    const auto written = large->writeRows(noise);
    ASSERT_FALSE(written);
    EXPECT_NE(written.error().message.find("No space left"), std::string::npos) << written.error().message;
    EXPECT_FALSE(large->writeRows(noise));
    EXPECT_FALSE(large->commit());
}

TEST_F(PictureTest, ALargePictureComesBack) {
    constexpr std::uint32_t width = 301, height = 203;
    std::vector<float> rgb(width * height * 3);
    for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<float>(i * 31 % 65536) / 65535.0f;
    auto writer = PngWriter::create(m_folder + "out.png", width, height, 16);
    ASSERT_TRUE(writer && writer->writeRows(rgb) && writer->commit());
    const auto picture = readPicture(m_folder + "out.png");
    ASSERT_TRUE(picture) << picture.error().message;
    EXPECT_EQ(picture->rgb, rgb);
    EXPECT_EQ(entries(), 1u);
}

} // namespace
} // namespace spikescope
