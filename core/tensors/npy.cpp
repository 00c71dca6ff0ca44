#include "core/tensors/npy.h"

#include "core/base/checked.h"
#include "core/base/float_convert.h"
#include "core/base/mapped_file.h"
#include "core/base/text.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

namespace spikescope {

namespace {

static_assert(std::endian::native == std::endian::little, "values are used as they stand in the file");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t longestHeader = 64 * 1024; // a plain array's header has about 100 bytes
constexpr std::size_t highestRank = 8;
constexpr std::uint64_t mostElements = std::uint64_t{1} << 32;

struct Header {
    std::optional<std::string> format;
    std::optional<bool> fortranOrder;
    std::optional<std::vector<std::uint64_t>> shape;
};

// The Python dictionary in the header: only the literals NumPy writes there.
class HeaderReader {
public:
    HeaderReader(std::string_view text, const std::string& file)
        : m_rest(text)
        , m_file(file) {}

    Result<Header> read() {
        Header header;
        if (!take('{')) return malformed();
        while (!take('}')) {
            TRY(const std::string name, text());
            if (!take(':')) return malformed();
            if (name == "descr" && !header.format) {
                if (next() == '[')
                    return fail(ErrorCode::BadInput, "{}: holds records of several fields, not plain numbers.",
                                quote(m_file));
                TRY(header.format, text());
            } else if (name == "fortran_order" && !header.fortranOrder) {
                TRY(header.fortranOrder, truth());
            } else if (name == "shape" && !header.shape) {
                TRY(header.shape, shape());
            } else {
                return fail(ErrorCode::BadInput, "{}: the header's entry {} is unknown or there twice.", quote(m_file),
                            quote(name));
            }
            if (!take(',') && next() != '}') return malformed();
        }
        if (next() != '\0' || !m_rest.empty()) return malformed();
        if (!header.format || !header.fortranOrder || !header.shape)
            return fail(ErrorCode::BadInput, "{}: the header lacks descr, fortran_order or shape.", quote(m_file));
        return header;
    }

private:
    tl::unexpected<Error> malformed() const {
        return fail(ErrorCode::BadInput, "{}: the header cannot be understood at {}.", quote(m_file),
                    quote(m_rest.substr(0, 20)));
    }

    // The next character after white space; zero at the end.
    char next() {
        m_rest.remove_prefix(std::min(m_rest.find_first_not_of(" \t\n"), m_rest.size()));
        return m_rest.empty() ? '\0' : m_rest.front();
    }

    bool take(char wanted) {
        if (next() != wanted || m_rest.empty()) return false;
        m_rest.remove_prefix(1);
        return true;
    }

    Result<std::string> text() {
        const char mark = next();
        const std::size_t end = mark == '\'' || mark == '"' ? m_rest.find(mark, 1) : std::string_view::npos;
        if (end == std::string_view::npos) return malformed();
        std::string value(m_rest.substr(1, end - 1));
        m_rest.remove_prefix(end + 1);
        return value;
    }

    Result<bool> truth() {
        next();
        for (const bool value : {false, true}) {
            const std::string_view word = value ? "True" : "False";
            if (!m_rest.starts_with(word)) continue;
            m_rest.remove_prefix(word.size());
            return value;
        }
        return malformed();
    }

    Result<std::vector<std::uint64_t>> shape() {
        std::vector<std::uint64_t> dimensions;
        if (!take('(')) return malformed();
        while (!take(')')) {
            next();
            std::uint64_t value = 0;
            const auto [end, reason] = std::from_chars(m_rest.data(), m_rest.data() + m_rest.size(), value);
            if (reason != std::errc{}) return malformed();
            m_rest.remove_prefix(static_cast<std::size_t>(end - m_rest.data()));
            if (dimensions.size() == highestRank)
                return fail(ErrorCode::BadInput, "{}: has more than {} dimensions.", quote(m_file), highestRank);
            dimensions.push_back(value);
            take('L'); // Python 2 wrote its long integers so
            if (!take(',') && next() != ')') return malformed();
        }
        return dimensions;
    }

    std::string_view m_rest;
    const std::string& m_file;
};

struct Content {
    Header header;
    std::span<const std::byte> data;
};

Result<Content> splitHeader(std::span<const std::byte> bytes, const std::string& file) {
    if (!looksLikeNpy(bytes)) return fail(ErrorCode::BadInput, "{}: is not a .npy file.", quote(file));
    constexpr std::size_t versionAt = magic.size(), lengthAt = versionAt + 2;
    if (bytes.size() < lengthAt + 2)
        return fail(ErrorCode::BadInput, "{}: is cut off after {} bytes.", quote(file), bytes.size());
    const auto major = std::to_integer<unsigned>(bytes[versionAt]);
    if (major < 1 || major > 3)
        return fail(ErrorCode::BadInput, "{}: is of .npy version {}; 1 to 3 can be read.", quote(file), major);

    const std::size_t lengthBytes = major == 1 ? 2 : 4;
    const std::size_t headerAt = lengthAt + lengthBytes;
    std::uint32_t length = 0;
    if (bytes.size() >= headerAt) std::memcpy(&length, bytes.data() + lengthAt, lengthBytes);
    if (bytes.size() < headerAt || length > bytes.size() - headerAt)
        return fail(ErrorCode::BadInput, "{}: is cut off: a header of {} bytes, but only {} in the file.", quote(file),
                    length, bytes.size());
    if (length > longestHeader)
        return fail(ErrorCode::BadInput, "{}: has a header of {} bytes; the most is {}.", quote(file), length,
                    longestHeader);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + headerAt, length);
    TRY(Header header, HeaderReader(text, file).read());
    return Content{.header = std::move(header), .data = bytes.subspan(headerAt + length)};
}

Result<std::size_t> elementBytes(const std::string& format, const std::string& file) {
    if (format == "<f4") return 4;
    if (format == "<f2") return 2;
    if (format == "<f8") return 8;
    std::string_view kind = "holds values of type";
    if (format.starts_with('>')) kind = "holds big-endian values of type";
    if (format.find('O') != std::string::npos) kind = "holds Python objects of type";
    return fail(ErrorCode::BadInput, "{}: {} {}; '<f2', '<f4' and '<f8' can be read.", quote(file), kind,
                quote(format));
}

float nearestFloat(double value) {
    // Converting what lies outside float's range is undefined in C++, so it is sent to infinity by hand.
    if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()))
        return std::copysign(std::numeric_limits<float>::infinity(), value < 0 ? -1.0f : 1.0f);
    return static_cast<float>(value);
}

// From may stand at any address.
template <class From, class Convert>
void convertAll(std::span<const std::byte> data, std::span<float> values, Convert convert) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        From value;
        std::memcpy(&value, data.data() + i * sizeof value, sizeof value);
        values[i] = convert(value);
    }
}

} // namespace

bool looksLikeNpy(std::span<const std::byte> bytes) {
    return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

Result<NpyArray> parseNpy(std::span<const std::byte> bytes, const std::string& fileName) try {
    TRY(Content content, splitHeader(bytes, fileName));
    TRY(const std::size_t size, elementBytes(*content.header.format, fileName));
    if (*content.header.fortranOrder)
        return fail(ErrorCode::BadInput, "{}: is in Fortran order; save it in C order.", quote(fileName));

    NpyArray array{.shape = std::move(*content.header.shape), .values = {}};
    const std::string shape = fmt::format("({})", fmt::join(array.shape, ", "));
    std::optional<std::uint64_t> elements = 1;
    for (const std::uint64_t dimension : array.shape)
        if (elements) elements = checkedMultiply(*elements, dimension);
    if (!elements || *elements > mostElements)
        return fail(ErrorCode::BadInput, "{}: shape {} has more than {} elements.", quote(fileName), shape,
                    mostElements);
    if (*elements * size != content.data.size())
        return fail(ErrorCode::BadInput, "{}: shape {} {} takes {} bytes, but the file has {}.", quote(fileName), shape,
                    *content.header.format, *elements * size, content.data.size());

    array.values.resize(*elements);
    if (size == 4)
        convertAll<float>(content.data, array.values, [](float value) { return value; });
    else if (size == 2)
        convertAll<std::uint16_t>(content.data, array.values, fp16ToFloat);
    else
        convertAll<double>(content.data, array.values, nearestFloat);
    return array;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory for the values of a .npy file.");
}

Result<NpyArray> readNpy(const std::string& path) {
    TRY(const MappedFile file, MappedFile::open(path));
    return parseNpy(file.bytes(), path);
}

} // namespace spikescope
