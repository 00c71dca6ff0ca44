#include "core/tensors/safetensors.h"

#include "core/base/checked.h"
#include "core/base/text.h"
#include "core/tensors/file_kind.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

namespace spikescope {

namespace {

static_assert(std::endian::native == std::endian::little, "tensor bytes are used as they stand in the file");

constexpr std::uint64_t lengthBytes = 8;
constexpr std::uint64_t largestFile = std::uint64_t{1} << 62; // sums of two sizes do not wrap
constexpr std::size_t mostTensors = 1'000'000;
constexpr std::size_t mostMetadata = 100'000;
constexpr std::size_t highestRank = 8;
constexpr std::string_view metadataKey = "__metadata__";

struct Format {
    std::string_view text;
    std::uint64_t bits;
    std::optional<StoredType> stored = {};
};

constexpr std::array formats = {
    Format{"F64", 64, StoredType::F64},
    Format{"F32", 32, StoredType::F32},
    Format{"F16", 16, StoredType::F16},
    Format{"BF16", 16, StoredType::BF16},
    Format{"F8_E4M3", 8, StoredType::F8E4M3},
    Format{"F8_E5M2", 8, StoredType::F8E5M2},
    Format{"F8_E8M0", 8},
    Format{"F8_E4M3FNUZ", 8},
    Format{"F8_E5M2FNUZ", 8},
    Format{"F6_E2M3", 6},
    Format{"F6_E3M2", 6},
    Format{"F4", 4},
    Format{"C64", 64},
    Format{"I64", 64},
    Format{"I32", 32},
    Format{"I16", 16},
    Format{"I8", 8},
    Format{"U64", 64},
    Format{"U32", 32},
    Format{"U16", 16},
    Format{"U8", 8},
    Format{"BOOL", 8},
};

// Takes the header's JSON token by token, so that repeated keys are seen, nothing nests deeper than the format does,
// and no more is kept than the tensors themselves. Every bool is "go on"; after false, error() says why.
class HeaderReader {
public:
    HeaderReader(std::string_view file, std::uint64_t headerBytes, std::uint64_t fileBytes)
        : m_file(file)
        , m_headerBytes(headerBytes)
        , m_dataStart(lengthBytes + headerBytes)
        , m_fileBytes(fileBytes) {}

    std::vector<TensorView>& tensors() { return m_tensors; }
    std::map<std::string, std::string>& metadata() { return m_metadata; }
    Error& error() { return m_error; }

    // A file that was downloaded in part has the header whole.
    bool complete() {
        const std::uint64_t end = m_dataStart + m_dataEnd;
        if (end <= m_fileBytes) return true;
        const TensorView* first = nullptr; // that lacks bytes
        for (const TensorView& tensor : m_tensors)
            if (tensor.offset + tensor.bytes > m_fileBytes && (first == nullptr || tensor.offset < first->offset))
                first = &tensor;
        return refuse("is incomplete: its tensors end at byte {}, but the file has only {} bytes, so {} bytes are "
                      "missing, from tensor {} on; download it again",
                      end, m_fileBytes, end - m_fileBytes, quote(first->name));
    }

    // Writers without metadata say null.
    bool null() { return (m_place == Place::Names && m_tensor.name == metadataKey) || unexpected("null"); }
    bool boolean(bool) { return unexpected("a boolean"); }
    bool number_float(double, const std::string& text) { return unexpected("the number " + quote(text)); }
    bool number_integer(std::int64_t value) { return unexpected(fmt::format("the number {}", value)); }
    bool binary(nlohmann::json::binary_t&) { return unexpected("binary data"); }

    bool number_unsigned(std::uint64_t value) {
        if (m_place == Place::Shape) {
            if (m_tensor.shape.size() == highestRank)
                return refuse("tensor {} has more than {} dimensions", quote(m_tensor.name), highestRank);
            m_tensor.shape.push_back(value);
            return true;
        }
        if (m_place == Place::Offsets) {
            if (m_offsetCount == m_offsets.size())
                return refuse("tensor {} has more than two data_offsets", quote(m_tensor.name));
            m_offsets[m_offsetCount++] = value;
            return true;
        }
        return unexpected(fmt::format("the number {}", value));
    }

    bool string(std::string& value) {
        if (m_place == Place::Metadata) {
            if (m_metadata.size() == mostMetadata) return refuse("has more than {} metadata entries", mostMetadata);
            if (!m_metadata.emplace(m_metadataName, value).second)
                return refuse("has metadata {} twice", quote(m_metadataName));
            return true;
        }
        if (m_place == Place::Tensor && m_field == Field::Dtype) {
            m_tensor.dtypeText = value;
            return true;
        }
        return unexpected("the text " + quote(value));
    }

    bool key(std::string& text) {
        switch (m_place) {
        case Place::Names:
            if (text == metadataKey) {
                if (std::exchange(m_metadataSeen, true)) return refuse("has {} twice", quote(text));
            } else if (m_tensors.size() == mostTensors) {
                return refuse("has more than {} tensors", mostTensors);
            }
            m_tensor = TensorView{};
            m_tensor.name = text;
            return true;
        case Place::Tensor: return tensorField(text);
        case Place::Metadata: m_metadataName = text; return true;
        default: return unexpected("the key " + quote(text));
        }
    }

    bool start_object(std::size_t) {
        if (m_place == Place::Outside) {
            m_place = Place::Names;
        } else if (m_place == Place::Names && m_tensor.name == metadataKey) {
            m_place = Place::Metadata;
        } else if (m_place == Place::Names) {
            m_place = Place::Tensor;
            m_field = Field::None;
            m_fieldsSeen = {};
            m_offsetCount = 0;
        } else {
            return unexpected("an object");
        }
        return true;
    }

    bool end_object() {
        if (m_place == Place::Tensor && !finishTensor()) return false;
        m_place = m_place == Place::Names ? Place::Outside : Place::Names;
        return true;
    }

    bool start_array(std::size_t) {
        if (m_place != Place::Tensor) return unexpected("a list");
        if (m_field == Field::Shape)
            m_place = Place::Shape;
        else if (m_field == Field::Offsets)
            m_place = Place::Offsets;
        else
            return unexpected("a list");
        return true;
    }

    bool end_array() {
        m_place = Place::Tensor;
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
        return refuse("the header is not valid JSON at byte {} of {}", position, m_headerBytes);
    }

private:
    enum class Place { Outside, Names, Tensor, Shape, Offsets, Metadata };
    enum class Field { None, Dtype, Shape, Offsets };

    template <class... Args> bool refuse(fmt::format_string<Args...> text, Args&&... args) {
        m_error = Error{ErrorCode::BadInput,
                        fmt::format("{}: {}.", quote(m_file), fmt::format(text, std::forward<Args>(args)...))};
        return false;
    }

    bool unexpected(const std::string& what) {
        switch (m_place) {
        case Place::Outside: return refuse("the header is {} instead of an object", what);
        case Place::Names: return refuse("{} is {} instead of an object", quote(m_tensor.name), what);
        case Place::Tensor: return refuse("tensor {} has {} as its {}", quote(m_tensor.name), what, fieldName(m_field));
        case Place::Shape: return refuse("tensor {} has {} in its shape", quote(m_tensor.name), what);
        case Place::Offsets: return refuse("tensor {} has {} in its data_offsets", quote(m_tensor.name), what);
        case Place::Metadata: return refuse("metadata {} is {} instead of text", quote(m_metadataName), what);
        }
        return false;
    }

    static std::string_view fieldName(Field field) {
        switch (field) {
        case Field::Dtype: return "dtype";
        case Field::Shape: return "shape";
        case Field::Offsets: return "data_offsets";
        case Field::None: break;
        }
        return "field";
    }

    bool tensorField(const std::string& text) {
        m_field = Field::None;
        for (const Field field : {Field::Dtype, Field::Shape, Field::Offsets})
            if (text == fieldName(field)) m_field = field;
        if (m_field == Field::None)
            return refuse("tensor {} has the unknown field {}", quote(m_tensor.name), quote(text));
        if (std::exchange(m_fieldsSeen[static_cast<std::size_t>(m_field)], true))
            return refuse("tensor {} has {} twice", quote(m_tensor.name), text);
        return true;
    }

    bool finishTensor() {
        const std::string tensor = quote(m_tensor.name);
        for (const Field field : {Field::Dtype, Field::Shape, Field::Offsets})
            if (!m_fieldsSeen[static_cast<std::size_t>(field)])
                return refuse("tensor {} has no {}", tensor, fieldName(field));
        if (m_offsetCount != 2) return refuse("tensor {} has {} data_offsets instead of 2", tensor, m_offsetCount);

        const auto [begin, end] = m_offsets;
        if (begin > end) return refuse("tensor {} ends at byte {} before it begins at {}", tensor, end, begin);
        if (end > largestFile) return refuse("tensor {} ends at byte {} of the data", tensor, end);

        const auto format = std::ranges::find(formats, m_tensor.dtypeText, &Format::text);
        if (format == formats.end())
            return refuse("tensor {} has the unknown dtype {}", tensor, quote(m_tensor.dtypeText));

        std::optional<std::uint64_t> elements = 1;
        for (const std::uint64_t dimension : m_tensor.shape)
            if (elements) elements = checkedMultiply(*elements, dimension);
        const auto bits = elements ? checkedMultiply(*elements, format->bits) : std::nullopt;
        if (!bits)
            return refuse("tensor {} of shape {} {} has more bytes than a number can say", tensor,
                          shapeText(m_tensor.shape), format->text);
        if (*bits % 8 != 0)
            return refuse("tensor {} of shape {} {} does not fill whole bytes", tensor, shapeText(m_tensor.shape),
                          format->text);
        if (*bits / 8 != end - begin)
            return refuse("tensor {} of shape {} {} takes {} bytes, but its data_offsets {} to {} hold {}", tensor,
                          shapeText(m_tensor.shape), format->text, *bits / 8, begin, end, end - begin);

        m_tensor.stored = format->stored;
        m_tensor.elements = *elements;
        m_tensor.offset = m_dataStart + begin;
        m_tensor.bytes = end - begin;
        m_dataEnd = std::max(m_dataEnd, end);
        m_tensors.push_back(std::move(m_tensor));
        return true;
    }

    std::string_view m_file;
    std::uint64_t m_headerBytes;
    std::uint64_t m_dataStart;
    std::uint64_t m_fileBytes;
    std::uint64_t m_dataEnd = 0; // of the last tensor
    std::vector<TensorView> m_tensors;
    std::map<std::string, std::string> m_metadata;
    Error m_error;

    Place m_place = Place::Outside;
    TensorView m_tensor; // the one being read; its name is the last key of the header
    Field m_field = Field::None;
    std::array<bool, 4> m_fieldsSeen = {}; // by Field
    std::array<std::uint64_t, 2> m_offsets = {};
    std::size_t m_offsetCount = 0;
    std::string m_metadataName;
    bool m_metadataSeen = false;
};

// Expects the tensors in the order of their bytes.
Result<void> checkTiling(const std::vector<TensorView>& tensors, std::uint64_t dataStart, std::uint64_t fileBytes,
                         const std::string& file) {
    const TensorView* previous = nullptr; // the last one that has bytes
    std::uint64_t expected = dataStart;
    for (const TensorView& tensor : tensors) {
        const std::uint64_t begin = tensor.offset - dataStart;
        if (tensor.offset < expected)
            return fail(ErrorCode::BadInput,
                        "{}: tensor {} begins at byte {} of the data, inside tensor {}, which ends "
                        "at {}.",
                        quote(file), quote(tensor.name), begin, quote(previous->name), expected - dataStart);
        if (tensor.offset > expected)
            return fail(ErrorCode::BadInput, "{}: bytes {} to {} of the data, before tensor {}, belong to no tensor.",
                        quote(file), expected - dataStart, begin, quote(tensor.name));
        if (tensor.bytes == 0) continue;
        expected += tensor.bytes;
        previous = &tensor;
    }
    if (expected != fileBytes)
        return fail(ErrorCode::BadInput, "{}: the tensors end at byte {}, but the file has {} bytes.", quote(file),
                    expected, fileBytes);
    return {};
}

Result<std::string_view> headerOf(std::span<const std::byte> bytes, const std::string& fileName) {
    const auto foreign = [&]() -> tl::unexpected<Error> {
        const auto begin = bytes.first(std::min(bytes.size(), foreignBeginBytes));
        if (const auto kind = describeForeign(begin, bytes.size(), fileName))
            return fail(ErrorCode::BadInput, "{}: {}.", quote(fileName), *kind);
        if (bytes.size() < lengthBytes)
            return fail(ErrorCode::BadInput, "{}: has {} bytes, too few for a safetensors header.", quote(fileName),
                        bytes.size());
        return fail(ErrorCode::BadInput, "{}: is not a .safetensors file; it begins with the bytes {}.",
                    quote(fileName), hexBytes(bytes));
    };
    if (bytes.size() < lengthBytes) return foreign();
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), lengthBytes);
    if (bytes.size() > lengthBytes && bytes[lengthBytes] != std::byte{'{'}) return foreign();
    if (length > longestSafetensorsHeader) {
        if (length > bytes.size() - lengthBytes) return foreign();
        return fail(ErrorCode::BadInput, "{}: says its header has {} bytes; the most is {}.", quote(fileName), length,
                    longestSafetensorsHeader);
    }
    if (length > bytes.size() - lengthBytes)
        return fail(ErrorCode::BadInput,
                    "{}: is incomplete: its header has {} bytes, but the file has only {}; download it again.",
                    quote(fileName), length, bytes.size());
    return std::string_view(reinterpret_cast<const char*>(bytes.data()) + lengthBytes, length);
}

} // namespace

Result<TensorListing> parseSafetensors(std::span<const std::byte> bytes, const std::string& fileName) try {
    TRY(const std::string_view header, headerOf(bytes, fileName));
    if (!header.starts_with('{'))
        return fail(ErrorCode::BadInput, "{}: the header does not begin with '{{'.", quote(fileName));
    // The JSON reader would take a zero byte for the end and ignore what follows.
    if (const std::size_t zero = header.find('\0'); zero != std::string_view::npos)
        return fail(ErrorCode::BadInput, "{}: the header is not valid JSON at byte {} of {}.", quote(fileName),
                    zero + 1, header.size());

    HeaderReader reader(fileName, header.size(), bytes.size());
    if (!nlohmann::json::sax_parse(header.begin(), header.end(), &reader) || !reader.complete())
        return tl::unexpected<Error>(std::move(reader.error()));

    TensorListing result{
        .tensors = std::move(reader.tensors()), .metadata = std::move(reader.metadata()), .unpacked = {}};
    // Sorted by both ends, as the reference does: a tensor without bytes may share its place with the next.
    std::ranges::stable_sort(result.tensors, {},
                             [](const TensorView& tensor) { return std::pair(tensor.offset, tensor.bytes); });
    CHECK(checkTiling(result.tensors, lengthBytes + header.size(), bytes.size(), fileName));
    return result;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory to read a safetensors header.");
}

} // namespace spikescope
