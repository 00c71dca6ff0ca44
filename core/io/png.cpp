#include "core/base/output_file.h"
#include "core/base/text.h"
#include "core/io/decoders.h"

#include <png.h>

#include <algorithm>
#include <array>
#include <bit>
#include <csetjmp>
#include <cstddef>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

namespace spikescope {

namespace {

constexpr png_alloc_size_t largestChunk = 8'000'000; // text, profiles and other chunks beside the image
constexpr std::uint64_t deflateRatio = 1032;         // zlib cannot expand a byte to more than this
constexpr std::size_t channels = 3;

using Message = std::array<char, 160>;

// libpng reports an error by calling this and never expects it to return.
[[noreturn]] void onError(png_structp png, png_const_charp text) {
    auto* message = static_cast<Message*>(png_get_error_ptr(png));
    std::strncpy(message->data(), text, message->size() - 1);
    png_longjmp(png, 1);
}

void onWarning(png_structp, png_const_charp) {}

// Runs a step of libpng work; false when it failed. The jump passes over the step and what it calls, so nothing there
// may own anything.
template <class State> bool guarded(void (*step)(State&), State& state) {
    if (setjmp(png_jmpbuf(state.png))) return false;
    step(state);
    return true;
}

struct Reader {
    explicit Reader(std::span<const std::byte> bytes)
        : rest(bytes) {}
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }

    std::span<const std::byte> rest; // what libpng has not taken yet
    Message message = {};
    png_structp png = nullptr;
    png_infop info = nullptr;

    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::size_t fileRowBytes = 0;  // as stored
    std::size_t rowBytes = 0;      // as decoded: three channels of 8 or 16 bits
    bool deep = false;             // 16 bits
    int passes = 1;                // more than one when interlaced
    std::vector<std::uint8_t> raw; // one row, or all of them when interlaced
    std::vector<float> rgb;
};

void onRead(png_structp png, png_bytep to, std::size_t size) {
    auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
    if (size > reader->rest.size()) png_error(png, "it ends too early");
    std::memcpy(to, reader->rest.data(), size);
    reader->rest = reader->rest.subspan(size);
}

void readHeader(Reader& reader) {
    png_read_info(reader.png, reader.info);
    reader.width = png_get_image_width(reader.png, reader.info);
    reader.height = png_get_image_height(reader.png, reader.info);
    reader.fileRowBytes = png_get_rowbytes(reader.png, reader.info);
}

// Asks for three channels of 8 or 16 bits whatever the file has.
void chooseLayout(Reader& reader) {
    png_set_expand(reader.png); // palettes, fewer than 8 bits, transparent colours
    png_set_strip_alpha(reader.png);
    png_set_gray_to_rgb(reader.png);
    if constexpr (std::endian::native == std::endian::little) png_set_swap(reader.png);
    reader.passes = png_set_interlace_handling(reader.png);
    png_read_update_info(reader.png, reader.info);
    reader.deep = png_get_bit_depth(reader.png, reader.info) == 16;
    reader.rowBytes = png_get_rowbytes(reader.png, reader.info);
}

void rowToFloats(const std::uint8_t* row, bool deep, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (deep) {
            std::uint16_t code = 0;
            std::memcpy(&code, row + i * sizeof code, sizeof code);
            values[i] = static_cast<float>(code) / 65535.0f;
        } else {
            values[i] = static_cast<float>(row[i]) / 255.0f;
        }
    }
}

void readRows(Reader& reader) {
    const std::size_t rowValues = reader.width * channels;
    for (int pass = 0; pass < reader.passes; ++pass) {
        for (std::size_t y = 0; y < reader.height; ++y) {
            std::uint8_t* row = reader.raw.data() + (reader.passes > 1 ? y * reader.rowBytes : 0);
            png_read_row(reader.png, row, nullptr);
            if (pass + 1 == reader.passes)
                rowToFloats(row, reader.deep, std::span(reader.rgb).subspan(y * rowValues, rowValues));
        }
    }
    png_read_end(reader.png, reader.info); // so that a file cut off behind its pixels is noticed
}

// EXIF may stand on either side of the pixels.
int orientationOf(const Reader& reader) {
    png_uint_32 size = 0;
    png_bytep exif = nullptr;
    if (png_get_eXIf_1(reader.png, reader.info, &size, &exif) == 0) return 1;
    return exifOrientation(std::as_bytes(std::span(exif, size)));
}

} // namespace

Result<Decoded> decodePng(std::span<const std::byte> bytes, const std::string& fileName, std::uint64_t mostPixels) {
    Reader reader(bytes);
    const auto damaged = [&] {
        return fail(ErrorCode::BadInput, "{}: cannot be read as PNG: {}.", quote(fileName), reader.message.data());
    };
    reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader.message, onError, onWarning);
    if (reader.png != nullptr) reader.info = png_create_info_struct(reader.png);
    if (reader.info == nullptr) throw std::bad_alloc();
    png_set_read_fn(reader.png, &reader, onRead);
    // checkPictureSize() refuses with the numbers instead.
    png_set_user_limits(reader.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(reader.png, largestChunk);

    if (!guarded(readHeader, reader)) return damaged();
    CHECK(checkPictureSize(reader.width, reader.height, mostPixels, fileName));
    CHECK(checkFileHolds(reader.fileRowBytes * std::uint64_t{reader.height} / deflateRatio, reader.width, reader.height,
                         bytes.size(), fileName));
    if (!guarded(chooseLayout, reader)) return damaged();
    reader.raw.resize(reader.passes > 1 ? reader.rowBytes * reader.height : reader.rowBytes);
    reader.rgb.resize(std::size_t{reader.width} * reader.height * channels);
    if (!guarded(readRows, reader)) return damaged();
    return Decoded{
        .picture = {.width = reader.width, .height = reader.height, .rgb = std::move(reader.rgb), .notes = {}},
        .orientation = orientationOf(reader)};
}

struct PngWriter::State {
    explicit State(OutputFile output)
        : file(std::move(output)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { png_destroy_write_struct(&png, &info); }

    // The steps for guarded().
    static void begin(State& state);
    static void putRow(State& state) { png_write_row(state.png, state.row.data()); }
    static void end(State& state) { png_write_end(state.png, state.info); }

    static void onWrite(png_structp png, png_bytep data, std::size_t size);
    bool store(std::span<const std::byte> bytes);
    void encodeRow(std::span<const float> values);
    tl::unexpected<Error> failed();

    OutputFile file;
    std::optional<Error> failure; // of the file; it says more than libpng's message
    Message message = {};
    png_structp png = nullptr;
    png_infop info = nullptr;

    std::uint32_t width = 0;
    std::uint32_t height = 0;
    int bitDepth = 8;
    std::uint32_t rowsWritten = 0;
    bool broken = false;           // libpng jumped out of a step and cannot go on
    std::vector<std::uint8_t> row; // codes in the machine's byte order
};

void PngWriter::State::begin(State& state) {
    // On an 8-bit photograph 1.6 % more bytes than zlib's default level, in a quarter of the time.
    constexpr int compression = 2;
    png_set_compression_level(state.png, compression);
    png_set_IHDR(state.png, state.info, state.width, state.height, state.bitDepth, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(state.png, state.info);
    if constexpr (std::endian::native == std::endian::little) png_set_swap(state.png);
}

void PngWriter::State::onWrite(png_structp png, png_bytep data, std::size_t size) {
    auto* state = static_cast<State*>(png_get_io_ptr(png));
    if (!state->store(std::as_bytes(std::span(data, size)))) png_error(png, "the file cannot be written");
}

// Apart from onWrite(), whose jump would pass over the Result.
bool PngWriter::State::store(std::span<const std::byte> bytes) {
    if (auto written = file.write(bytes); !written) failure = std::move(written.error());
    return !failure;
}

void PngWriter::State::encodeRow(std::span<const float> values) {
    const double largest = bitDepth == 16 ? 65535.0 : 255.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const float value = values[i] > 0.0f ? std::min(values[i], 1.0f) : 0.0f; // NaN is not greater than zero
        const auto code = static_cast<std::uint16_t>(static_cast<double>(value) * largest + 0.5);
        if (bitDepth == 16)
            std::memcpy(row.data() + i * sizeof code, &code, sizeof code);
        else
            row[i] = static_cast<std::uint8_t>(code);
    }
}

tl::unexpected<Error> PngWriter::State::failed() {
    broken = true;
    if (failure) return tl::unexpected<Error>(*failure);
    return fail(ErrorCode::Io, "Cannot write {}: {}.", quote(file.path()), message.data());
}

PngWriter::PngWriter(std::unique_ptr<State> state)
    : m_state(std::move(state)) {}
PngWriter::PngWriter(PngWriter&&) noexcept = default;
PngWriter& PngWriter::operator=(PngWriter&&) noexcept = default;
PngWriter::~PngWriter() = default;

Result<PngWriter> PngWriter::create(const std::string& path, std::uint32_t width, std::uint32_t height, int bitDepth) {
    if (width < 1 || width > longestPictureSide || height < 1 || height > longestPictureSide)
        return fail(ErrorCode::BadUsage, "{}: a picture of {} × {} pixels cannot be written; sides are 1 to {}.",
                    quote(path), width, height, longestPictureSide);
    if (bitDepth != 8 && bitDepth != 16)
        return fail(ErrorCode::BadUsage, "{}: a PNG has 8 or 16 bits per channel here, not {}.", quote(path), bitDepth);

    TRY(OutputFile file, OutputFile::create(path));
    auto state = std::make_unique<State>(std::move(file));
    state->width = width;
    state->height = height;
    state->bitDepth = bitDepth;
    state->row.resize(std::size_t{width} * channels * static_cast<std::size_t>(bitDepth / 8));
    state->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state->message, onError, onWarning);
    if (state->png != nullptr) state->info = png_create_info_struct(state->png);
    if (state->info == nullptr)
        return fail(ErrorCode::OutOfHostMemory, "There is not enough memory to write {}.", quote(path));
    png_set_write_fn(state->png, state.get(), State::onWrite, nullptr);
    png_set_user_limits(state->png, longestPictureSide, longestPictureSide);
    if (!guarded(State::begin, *state)) return state->failed();
    return PngWriter(std::move(state));
}

Result<void> PngWriter::writeRows(std::span<const float> rgb) {
    State& state = *m_state;
    const std::size_t rowValues = std::size_t{state.width} * channels;
    if (state.broken) return state.failed();
    if (rgb.size() % rowValues != 0 || rgb.size() / rowValues > state.height - state.rowsWritten)
        return fail(ErrorCode::BadUsage,
                    "{}: {} values are not whole rows of {}, or more than the {} rows still missing.",
                    quote(state.file.path()), rgb.size(), rowValues, state.height - state.rowsWritten);
    for (; !rgb.empty(); rgb = rgb.subspan(rowValues)) {
        state.encodeRow(rgb.first(rowValues));
        if (!guarded(State::putRow, state)) return state.failed();
        ++state.rowsWritten;
    }
    return {};
}

Result<void> PngWriter::commit() {
    State& state = *m_state;
    if (state.broken) return state.failed();
    if (state.rowsWritten != state.height)
        return fail(ErrorCode::BadUsage, "{}: only {} of {} rows were written.", quote(state.file.path()),
                    state.rowsWritten, state.height);
    if (!guarded(State::end, state)) return state.failed();
    return state.file.commit();
}

} // namespace spikescope
