#include "core/tensors/tensor_file.h"

#include "core/base/float_convert.h"
#include "core/base/mapped_file.h"
#include "core/base/text.h"
#include "core/tensors/npy.h"
#include "core/tensors/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <utility>

namespace spikescope {

namespace {

constexpr std::uint64_t mostElements = std::uint64_t{1} << 32;

// The first keys, enough to recognise the file by.
std::string someKeys(const Safetensors& file) {
    constexpr std::size_t enough = 5;
    std::vector<std::string> names;
    for (const TensorView& tensor : file.tensors()) {
        if (names.size() == enough) break;
        names.push_back(quote(tensor.name));
    }
    const std::size_t more = file.tensors().size() - names.size();
    return joined(names, ", ") + (more > 0 ? fmt::format(" and {} more", more) : "");
}

Result<const TensorView*> chosen(const Safetensors& file, const std::optional<std::string>& key) {
    if (file.tensors().empty()) return fail(ErrorCode::BadInput, "{}: holds no tensors.", quote(file.fileName()));
    if (key) {
        const TensorView* tensor = file.find(*key);
        if (tensor == nullptr)
            return fail(ErrorCode::BadUsage, "{}: has no tensor {}; it has {}.", quote(file.fileName()), quote(*key),
                        someKeys(file));
        return tensor;
    }
    if (file.tensors().size() > 1)
        return fail(ErrorCode::BadUsage, "{}: holds {} tensors, so one must be named: {}.", quote(file.fileName()),
                    file.tensors().size(), someKeys(file));
    return &file.tensors().front();
}

void convert16(std::span<const std::byte> data, std::span<float> values, float (*convert)(std::uint16_t)) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, data.data() + i * sizeof bits, sizeof bits);
        values[i] = convert(bits);
    }
}

Result<HostTensor> fromSafetensors(const Safetensors& file, const std::optional<std::string>& key) {
    TRY(const TensorView* tensor, chosen(file, key));
    if (!tensor->dtype)
        return fail(ErrorCode::BadInput, "{}: tensor {} is of type {}; F32, F16 and BF16 can be read.",
                    quote(file.fileName()), quote(tensor->name), tensor->dtypeText);
    if (tensor->elements > mostElements)
        return fail(ErrorCode::BadInput, "{}: tensor {} has {} elements; the most is {}.", quote(file.fileName()),
                    quote(tensor->name), tensor->elements, mostElements);

    HostTensor result{.shape = tensor->shape, .values = {}, .name = tensor->name};
    result.values.resize(tensor->elements);
    const auto data = file.data(*tensor);
    switch (*tensor->dtype) {
    case DType::F32:
        if (!data.empty()) std::memcpy(result.values.data(), data.data(), data.size());
        break;
    case DType::F16: convert16(data, result.values, fp16ToFloat); break;
    case DType::BF16: convert16(data, result.values, bf16ToFloat); break;
    }
    return result;
}

std::string stem(std::string_view path) {
    path.remove_prefix(path.rfind('/') + 1); // npos + 1 is 0
    return std::string(path.substr(0, path.rfind('.')));
}

Result<HostTensor> fromNpy(std::span<const std::byte> bytes, const std::string& path,
                           const std::optional<std::string>& key) {
    if (key)
        return fail(ErrorCode::BadUsage, "{}: a .npy file holds one array without a name, so {} cannot be chosen.",
                    quote(path), quote(*key));
    TRY(NpyArray array, parseNpy(bytes, path));
    return HostTensor{.shape = std::move(array.shape), .values = std::move(array.values), .name = stem(path)};
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

bool looksLikeSafetensors(std::span<const std::byte> bytes) {
    return bytes.size() > 8 && bytes[8] == std::byte{'{'}; // after the header's length
}

} // namespace

Result<std::vector<TensorEntry>> listTensors(const std::string& path) try {
    TRY(const MappedFile file, MappedFile::open(path));
    std::vector<TensorEntry> entries;
    if (looksLikeSafetensors(file.bytes()) || path.ends_with(".safetensors")) {
        TRY(const Safetensors tensors, Safetensors::parse(file.bytes(), path));
        for (const TensorView& tensor : tensors.tensors())
            entries.push_back({.name = tensor.name, .shape = tensor.shape});
    } else {
        TRY(HostTensor tensor, readTensorFile(path, std::nullopt, NonFinite::Keep));
        entries.push_back({.name = std::move(tensor.name), .shape = std::move(tensor.shape)});
    }
    return entries;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory for the values of a tensor file.");
}

Result<HostTensor> readTensorFile(const std::string& path, const std::optional<std::string>& key,
                                  NonFinite nonFinite) try {
    TRY(const MappedFile file, MappedFile::open(path));
    const auto read = [&]() -> Result<HostTensor> {
        if (looksLikeNpy(file.bytes())) return fromNpy(file.bytes(), path, key);
        if (looksLikeSafetensors(file.bytes()) || path.ends_with(".safetensors")) {
            TRY(const Safetensors tensors, Safetensors::parse(file.bytes(), path));
            return fromSafetensors(tensors, key);
        }
        return fail(ErrorCode::BadInput, "{}: is neither a .safetensors nor a .npy file.", quote(path));
    };
    TRY(HostTensor tensor, read());
    if (nonFinite == NonFinite::Refuse) CHECK(checkFinite(tensor, path));
    return tensor;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory for the values of a tensor file.");
}

} // namespace spikescope
