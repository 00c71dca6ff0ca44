#include "core/tensors/npy.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace spikescope {

namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t longestHeader = 64 * 1024; // a plain array's header has about 100 bytes
constexpr std::size_t highestRank = 8;
constexpr std::uint64_t mostElements = std::uint64_t{1} << 32;
constexpr std::uint64_t mostUnpacked = std::uint64_t{1} << 30;
constexpr std::string_view suffix = ".npy";

struct Header {
    std::string format; // empty: not said
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
            if (name == "descr" && header.format.empty()) {
                TRY(header.format, next() == '[' ? records() : text());
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
        if (header.format.empty() || !header.fortranOrder || !header.shape)
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

    // A list of fields, each with its format and perhaps a list of fields itself.
    Result<std::string> records() {
        std::size_t depth = 0, length = 0;
        while (length < m_rest.size()) {
            const char c = m_rest[length++];
            if (c == '[') ++depth;
            if (c == ']' && --depth == 0) break;
        }
        if (depth != 0) return malformed();
        std::string value(m_rest.substr(0, length));
        m_rest.remove_prefix(length);
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
    std::uint64_t dataAt = 0;
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
    return Content{.header = std::move(header), .dataAt = headerAt + length};
}

struct Format {
    std::string_view text; // after the byte order
    std::string_view dtype;
    std::uint64_t bytes;
    std::optional<StoredType> stored = {};
};
constexpr std::array formats{
    Format{"f8", "F64", 8, StoredType::F64},
    Format{"f4", "F32", 4, StoredType::F32},
    Format{"f2", "F16", 2, StoredType::F16},
    Format{"V2", "BF16", 2, StoredType::BF16},
    Format{"i8", "I64", 8},
    Format{"i4", "I32", 4},
    Format{"i2", "I16", 2},
    Format{"i1", "I8", 1},
    Format{"u8", "U64", 8},
    Format{"u4", "U32", 4},
    Format{"u2", "U16", 2},
    Format{"u1", "U8", 1},
    Format{"b1", "BOOL", 1},
    Format{"c8", "C64", 8},
};

Result<TensorView> parseArray(std::span<const std::byte> bytes, const std::string& file) {
    TRY(Content content, splitHeader(bytes, file));
    const std::string& format = content.header.format;
    TensorView tensor{.dtypeText = format, .shape = std::move(*content.header.shape), .offset = content.dataAt};
    std::optional<std::uint64_t> elements = 1;
    for (const std::uint64_t dimension : tensor.shape)
        if (elements) elements = checkedMultiply(*elements, dimension);
    const std::string shape = fmt::format("({})", fmt::join(tensor.shape, ", "));
    if (!elements || *elements > mostElements)
        return fail(ErrorCode::BadInput, "{}: shape {} has more than {} elements.", quote(file), shape, mostElements);
    tensor.elements = *elements;
    tensor.bytes = bytes.size() - content.dataAt;

    const auto known = std::ranges::find_if(formats, [&](const Format& f) {
        return format.size() == 3 && std::string_view("<>|=").find(format[0]) != std::string_view::npos &&
               std::string_view(format).substr(1) == f.text;
    });
    if (known == formats.end()) return tensor;
    tensor.dtypeText = known->dtype;
    if (*elements * known->bytes != tensor.bytes)
        return fail(ErrorCode::BadInput, "{}: shape {} {} takes {} bytes, but the file has {}.", quote(file), shape,
                    format, *elements * known->bytes, tensor.bytes);
    tensor.stored = known->stored;
    tensor.bigEndian = format[0] == '>' && known->bytes > 1;
    if (*content.header.fortranOrder && tensor.shape.size() > 1 && tensor.elements > 0) {
        std::uint64_t stride = 1;
        for (const std::uint64_t dimension : tensor.shape) {
            tensor.strides.push_back(stride);
            stride *= dimension;
        }
    }
    return tensor;
}

} // namespace

bool looksLikeNpy(std::span<const std::byte> bytes) {
    return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

bool looksLikeNpz(const Zip& zip) {
    return !zip.entries().empty() &&
           std::ranges::all_of(zip.entries(), [](const Zip::Entry& entry) { return entry.name.ends_with(suffix); });
}

Result<TensorView> parseNpy(std::span<const std::byte> bytes, const std::string& fileName) {
    TRY(TensorView tensor, parseArray(bytes, fileName));
    if (tensor.stored) return tensor;
    std::string_view kind = "values";
    if (tensor.dtypeText.starts_with('[')) kind = "records of several fields, not plain numbers,";
    if (tensor.dtypeText.find('O') != std::string::npos) kind = "Python objects";
    return fail(ErrorCode::BadInput, "{}: holds {} of type {}; F64, F32, F16 and BF16 can be read.", quote(fileName),
                kind, quote(tensor.dtypeText));
}

Result<TensorListing> parseNpz(const Zip& zip, const std::string& fileName) {
    TensorListing listing;
    std::uint64_t room = mostUnpacked;
    for (const Zip::Entry& entry : zip.entries()) {
        const std::string name = entry.name.substr(0, entry.name.size() - suffix.size());
        const std::string where = fileName + ":" + name;
        std::span<const std::byte> bytes;
        std::uint64_t offset = 0;
        std::uint32_t part = 0;
        if (entry.method == 0) {
            TRY(bytes, zip.stored(entry));
            offset = entry.offset;
        } else {
            TRY(std::vector<std::byte> content, zip.inflated(entry, room));
            room -= content.size();
            bytes = listing.unpacked.emplace_back(std::move(content));
            part = static_cast<std::uint32_t>(listing.unpacked.size());
        }
        TRY(TensorView tensor, parseArray(bytes, where));
        tensor.name = name;
        tensor.part = part;
        tensor.offset += offset;
        listing.tensors.push_back(std::move(tensor));
    }
    return listing;
}

} // namespace spikescope
