#include "core/base/text.h"
#include "core/io/decoders.h"

#include <cstdio> // which jpeglib.h needs before it

#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <new>
#include <utility>

namespace spikescope {

namespace {

constexpr std::size_t channels = 3;
// Each scan of a progressive file goes over all of the picture. Encoders write about ten.
constexpr int mostScans = 100;
// Some component has all of the pixels, and of each 8×8 of them a bit at least.
constexpr std::uint64_t mostPixelsPerByte = 512;

struct Reader {
    Reader() { info.client_data = this; }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() { jpeg_destroy_decompress(&info); } // also before its creation, as all of it is zero

    std::span<const std::byte> bytes;
    std::jmp_buf jump = {};
    std::array<char, JMSG_LENGTH_MAX> message = {};
    jpeg_error_mgr errors = {};
    jpeg_source_mgr source = {};
    jpeg_progress_mgr progress = {};
    jpeg_decompress_struct info = {};

    int orientation = 1;
    std::vector<std::uint8_t> row;
    std::vector<float> rgb;
};

Reader& readerOf(j_common_ptr info) { return *static_cast<Reader*>(info->client_data); }

// libjpeg reports an error by calling this and never expects it to return.
[[noreturn]] void onError(j_common_ptr info) {
    Reader& reader = readerOf(info);
    info->err->format_message(info, reader.message.data());
    std::longjmp(reader.jump, 1);
}

// Most warnings are harmless. These two mean that pixels are missing, which libjpeg would fill with gray.
void onMessage(j_common_ptr info, int level) {
    if (level < 0 && (info->err->msg_code == JWRN_JPEG_EOF || info->err->msg_code == JWRN_HIT_MARKER)) onError(info);
}

void onText(j_common_ptr) {}

void ignore(j_decompress_ptr) {}

boolean onEnd(j_decompress_ptr info) {
    info->err->msg_code = JERR_INPUT_EOF;
    onError(reinterpret_cast<j_common_ptr>(info));
}

void onSkip(j_decompress_ptr info, long count) {
    if (count <= 0) return;
    if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) onEnd(info);
    info->src->next_input_byte += count;
    info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

void onProgress(j_common_ptr info) {
    if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= mostScans) return;
    Reader& reader = readerOf(info);
    std::strncpy(reader.message.data(), "it has too many scans", reader.message.size() - 1);
    std::longjmp(reader.jump, 1);
}

// Runs a step of libjpeg's work; false when it failed. The jump passes over the step and what it calls, so nothing
// there may own anything.
bool guarded(void (*step)(Reader&), Reader& reader) {
    if (setjmp(reader.jump)) return false;
    step(reader);
    return true;
}

void readHeader(Reader& reader) {
    jpeg_create_decompress(&reader.info);
    reader.info.src = &reader.source;
    reader.info.progress = &reader.progress;
    constexpr int exifMarker = JPEG_APP0 + 1;
    constexpr unsigned wholeMarker = 0xffff; // bytes
    jpeg_save_markers(&reader.info, exifMarker, wholeMarker);
    jpeg_read_header(&reader.info, TRUE);
    for (jpeg_saved_marker_ptr marker = reader.info.marker_list; marker != nullptr; marker = marker->next) {
        const std::span exif(reinterpret_cast<const std::byte*>(marker->data), marker->data_length);
        if (exif.size() < 6 || std::memcmp(exif.data(), "Exif\0", 6) != 0) continue;
        reader.orientation = exifOrientation(exif);
        break;
    }
}

void readRows(Reader& reader) {
    const std::size_t rowValues = reader.info.output_width * channels;
    while (reader.info.output_scanline < reader.info.output_height) {
        float* values = reader.rgb.data() + reader.info.output_scanline * rowValues;
        JSAMPROW row = reader.row.data();
        jpeg_read_scanlines(&reader.info, &row, 1);
        for (std::size_t i = 0; i < rowValues; ++i) values[i] = static_cast<float>(row[i]) / 255.0f;
    }
    jpeg_finish_decompress(&reader.info); // so that a file cut off behind its pixels is noticed
}

void start(Reader& reader) {
    reader.info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&reader.info);
}

} // namespace

Result<Decoded> decodeJpeg(std::span<const std::byte> bytes, const std::string& fileName, std::uint64_t mostPixels) {
    Reader reader;
    reader.bytes = bytes;
    reader.info.err = jpeg_std_error(&reader.errors);
    reader.errors.error_exit = onError;
    reader.errors.emit_message = onMessage;
    reader.errors.output_message = onText;
    reader.progress.progress_monitor = onProgress;
    reader.source = {.next_input_byte = reinterpret_cast<const JOCTET*>(bytes.data()),
                     .bytes_in_buffer = bytes.size(),
                     .init_source = ignore,
                     .fill_input_buffer = onEnd,
                     .skip_input_data = onSkip,
                     .resync_to_restart = jpeg_resync_to_restart,
                     .term_source = ignore};
    const auto damaged = [&]() -> tl::unexpected<Error> {
        if (reader.errors.msg_code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();
        std::string_view message(reader.message.data());
        if (message.ends_with('.')) message.remove_suffix(1);
        return fail(ErrorCode::BadInput, "{}: cannot be read as JPEG: {}.", quote(fileName), message);
    };
    if (!guarded(readHeader, reader)) return damaged();
    const std::uint32_t width = reader.info.image_width, height = reader.info.image_height;
    CHECK(checkPictureSize(width, height, mostPixels, fileName));
    CHECK(checkFileHolds(std::uint64_t{width} * height / mostPixelsPerByte, width, height, bytes.size(), fileName));
    const J_COLOR_SPACE space = reader.info.jpeg_color_space;
    if (space == JCS_CMYK || space == JCS_YCCK)
        return fail(ErrorCode::BadInput, "{}: is a JPEG in CMYK; RGB and gray can be read.", quote(fileName));
    if (!guarded(start, reader)) return damaged();
    reader.row.resize(std::size_t{width} * channels);
    reader.rgb.resize(std::size_t{width} * height * channels);
    if (!guarded(readRows, reader)) return damaged();
    return Decoded{.picture = {.width = width, .height = height, .rgb = std::move(reader.rgb), .notes = {}},
                   .orientation = reader.orientation};
}

} // namespace spikescope
