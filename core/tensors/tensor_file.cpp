#include "core/tensors/tensor_file.h"

#include "core/base/text.h"
#include "core/tensors/file_kind.h"
#include "core/tensors/npy.h"
#include "core/tensors/safetensors.h"
#include "core/tensors/tensor_values.h"
#include "core/tensors/torch_file.h"
#include "core/tensors/zip.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

namespace spikescope {

namespace {

constexpr std::uint64_t mostElements = std::uint64_t{1} << 32;

using Format = TensorFile::Format;

std::string stem(std::string_view path) {
    path.remove_prefix(path.rfind('/') + 1); // npos + 1 is 0
    return std::string(path.substr(0, path.rfind('.')));
}

// Names come out of pickles and archives, too, and go into JSON.
bool isUtf8(std::string_view text) {
    while (!text.empty()) {
        const auto lead = static_cast<unsigned char>(text.front());
        const std::size_t length = lead < 0x80   ? 1
                                   : lead < 0xc2 ? 0
                                   : lead < 0xe0 ? 2
                                   : lead < 0xf0 ? 3
                                   : lead < 0xf5 ? 4
                                                 : 0;
        if (length == 0 || text.size() < length) return false;
        std::uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
        for (std::size_t i = 1; i < length; ++i) {
            const auto next = static_cast<unsigned char>(text[i]);
            if ((next & 0xc0u) != 0x80u) return false;
            code = code << 6 | (next & 0x3fu);
        }
        // Longer than needed, half of a pair, or beyond Unicode.
        if ((length == 3 && code < 0x800) || (length == 4 && (code < 0x10000 || code > 0x10ffff))) return false;
        if (code >= 0xd800 && code < 0xe000) return false;
        text.remove_prefix(length);
    }
    return true;
}

struct Parsed {
    Format format;
    TensorListing listing;
};

Result<Parsed> parseZip(std::span<const std::byte> bytes, const std::string& fileName) {
    TRY(const Zip zip, Zip::parse(bytes, fileName));
    if (looksLikeNpz(zip)) {
        TRY(TensorListing listing, parseNpz(zip, fileName));
        return Parsed{Format::Npz, std::move(listing)};
    }
    TRY(TensorListing listing, parseTorch(zip, fileName));
    return Parsed{Format::PyTorch, std::move(listing)};
}

Result<Parsed> parseAny(std::span<const std::byte> bytes, const std::string& fileName) {
    if (looksLikeNpy(bytes)) {
        TRY(TensorView tensor, parseNpy(bytes, fileName));
        TensorListing listing;
        listing.tensors.push_back(std::move(tensor));
        return Parsed{Format::Npy, std::move(listing)};
    }
    if (!looksLikeSafetensors(bytes) && looksLikeZip(bytes)) return parseZip(bytes, fileName);
    if (!looksLikeSafetensors(bytes) && !fileName.ends_with(".safetensors")) {
        const auto begin = bytes.first(std::min(bytes.size(), foreignBeginBytes));
        const auto kind = describeForeign(begin, bytes.size(), fileName);
        return fail(ErrorCode::BadInput, "{}: {}.", quote(fileName),
                    kind ? *kind
                         : fmt::format("is no file of tensors (.safetensors, PyTorch, .npy, .npz); it begins with the "
                                       "bytes {}",
                                       hexBytes(bytes)));
    }
    TRY(TensorListing listing, parseSafetensors(bytes, fileName));
    return Parsed{Format::Safetensors, std::move(listing)};
}

Result<void> checkFinite(const HostTensor& tensor, const std::string& path) {
    const auto bad = std::ranges::find_if(tensor.values, [](float value) { return !std::isfinite(value); });
    if (bad == tensor.values.end()) return {};
    std::vector<std::uint64_t> place(tensor.shape.size());
    auto index = static_cast<std::uint64_t>(bad - tensor.values.begin());
    for (std::size_t axis = place.size(); axis-- > 0;) {
        place[axis] = index % tensor.shape[axis]; // not zero, as the tensor has this element
        index /= tensor.shape[axis];
    }
    return fail(ErrorCode::BadInput, "{}: tensor {} of shape {} has {} at {}.", quote(path), quote(tensor.name),
                shapeText(tensor.shape), std::isnan(*bad) ? "NaN" : "infinity", shapeText(place));
}

} // namespace

Result<TensorFile> TensorFile::open(const std::string& path) {
    TRY(MappedFile file, MappedFile::open(path));
    TRY(TensorFile result, parse(file.bytes(), path));
    result.m_parts.front().file = std::move(file);
    return result;
}

Result<TensorFile> TensorFile::parse(std::span<const std::byte> bytes, std::string fileName) try {
    TRY(Parsed parsed, parseAny(bytes, fileName));
    TensorFile result;
    result.m_format = parsed.format;
    result.m_tensors = std::move(parsed.listing.tensors);
    result.m_metadata = std::move(parsed.listing.metadata);
    result.m_parts.push_back({.file = {}, .unpacked = {}, .bytes = bytes});
    for (std::vector<std::byte>& unpacked : parsed.listing.unpacked) {
        Part& part = result.m_parts.emplace_back();
        part.unpacked = std::move(unpacked);
        part.bytes = part.unpacked;
    }
    if (result.m_tensors.size() == 1 && result.m_tensors.front().name.empty() && parsed.format != Format::Safetensors)
        result.m_tensors.front().name = stem(fileName);
    result.m_fileName = std::move(fileName);
    CHECK(result.indexNames());
    return result;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory to read what a file of tensors holds.");
}

Result<TensorFile> TensorFile::merge(std::string fileName, std::vector<TensorFile> files) {
    TensorFile result;
    result.m_fileName = std::move(fileName);
    if (!files.empty()) result.m_format = files.front().m_format;
    for (TensorFile& file : files) {
        const auto before = static_cast<std::uint32_t>(result.m_parts.size());
        std::ranges::move(file.m_parts, std::back_inserter(result.m_parts));
        for (TensorView& tensor : file.m_tensors) {
            tensor.part += before;
            result.m_tensors.push_back(std::move(tensor));
        }
    }
    CHECK(result.indexNames());
    return result;
}

Result<void> TensorFile::indexNames() {
    for (const TensorView& tensor : m_tensors)
        if (!isUtf8(tensor.name))
            return fail(ErrorCode::BadInput, "{}: has a tensor whose name is not valid UTF-8, at byte {}.",
                        quote(m_fileName), tensor.offset);
    if (const auto twin = m_byName.build(m_tensors))
        return fail(ErrorCode::BadInput, "{}: has tensor {} twice.", quote(m_fileName), quote(*twin));
    return {};
}

void TensorFile::keep(const std::function<bool(const TensorView&)>& wanted) {
    std::erase_if(m_tensors, [&](const TensorView& tensor) { return !wanted(tensor); });
    (void)indexNames(); // fewer names of those that were unique
}

Result<void> TensorFile::rewrite(const std::function<void(TensorView&)>& change) {
    for (TensorView& tensor : m_tensors) change(tensor);
    return indexNames();
}

const TensorView* TensorFile::find(std::string_view name) const { return m_byName.find(m_tensors, name); }

std::span<const std::byte> TensorFile::data(const TensorView& tensor) const {
    return m_parts[tensor.part].bytes.subspan(tensor.offset, tensor.bytes);
}

void TensorFile::dropPages(const TensorView& tensor) const {
    if (const auto& file = m_parts[tensor.part].file) file->dropPages(tensor.offset, tensor.bytes);
}

std::string someNames(std::span<const TensorView> tensors, std::string_view except) {
    constexpr std::size_t enough = 5;
    std::vector<std::string> names;
    std::size_t more = 0;
    for (const TensorView& tensor : tensors) {
        if (tensor.name == except) continue;
        if (names.size() < enough)
            names.push_back(quote(tensor.name));
        else
            ++more;
    }
    return joined(names, ", ") + (more > 0 ? fmt::format(" and {} more", more) : "");
}

bool looksLikeTensorFile(std::span<const std::byte> begin, std::string_view path) {
    return looksLikeSafetensors(begin) || looksLikeNpy(begin) || looksLikeZip(begin) ||
           std::ranges::any_of(tensorFileSuffixes, [&](std::string_view suffix) { return path.ends_with(suffix); });
}

std::string shapeText(std::span<const std::uint64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Result<HostTensor> readTensor(const TensorFile& file, const TensorView& tensor, NonFinite nonFinite) try {
    if (!tensor.stored)
        return fail(ErrorCode::BadInput,
                    "{}: tensor {} is of type {}; F64, F32, F16, BF16, F8_E4M3 and F8_E5M2 can be read.",
                    quote(file.fileName()), quote(tensor.name), quote(tensor.dtypeText));
    if (tensor.elements > mostElements)
        return fail(ErrorCode::BadInput, "{}: tensor {} has {} elements; the most is {}.", quote(file.fileName()),
                    quote(tensor.name), tensor.elements, mostElements);
    HostTensor result{.shape = tensor.shape, .values = {}, .name = tensor.name};
    result.values.resize(tensor.elements);
    const TensorValues values(tensor, file.data(tensor));
    for (std::uint64_t i = 0; i < tensor.elements; ++i) result.values[i] = values[i];
    if (nonFinite == NonFinite::Refuse) CHECK(checkFinite(result, file.fileName()));
    return result;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory for the values of a tensor file.");
}

Result<const TensorView*> chooseTensor(const TensorFile& file, const std::optional<std::string>& key) {
    if (file.tensors().empty()) return fail(ErrorCode::BadInput, "{}: holds no tensors.", quote(file.fileName()));
    if (key && file.format() == Format::Npy)
        return fail(ErrorCode::BadUsage, "{}: a .npy file holds one array without a name, so {} cannot be chosen.",
                    quote(file.fileName()), quote(*key));
    if (key) {
        const TensorView* tensor = file.find(*key);
        if (tensor == nullptr)
            return fail(ErrorCode::BadUsage, "{}: has no tensor {}; it has {}.", quote(file.fileName()), quote(*key),
                        someNames(file.tensors()));
        return tensor;
    }
    if (file.tensors().size() > 1)
        return fail(ErrorCode::BadUsage, "{}: holds {} tensors, so one must be named: {}.", quote(file.fileName()),
                    file.tensors().size(), someNames(file.tensors()));
    return &file.tensors().front();
}

Result<HostTensor> readTensorFile(const std::string& path, const std::optional<std::string>& key, NonFinite nonFinite) {
    TRY(const TensorFile file, TensorFile::open(path));
    TRY(const TensorView* tensor, chooseTensor(file, key));
    return readTensor(file, *tensor, nonFinite);
}

} // namespace spikescope
