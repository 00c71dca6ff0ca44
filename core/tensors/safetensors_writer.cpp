#include "core/tensors/safetensors_writer.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <nlohmann/json.hpp>

#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace spikescope {

namespace {

static_assert(std::endian::native == std::endian::little, "the header's length is written as it stands in memory");

constexpr std::size_t highestRank = 8;
constexpr std::string_view metadataKey = "__metadata__";

std::string_view formatText(DType dtype) {
    switch (dtype) {
    case DType::F32: return "F32";
    case DType::F16: return "F16";
    case DType::BF16: return "BF16";
    }
    return "";
}

Result<std::uint64_t> bytesOf(const SafetensorsWriter::Tensor& tensor) {
    std::optional<std::uint64_t> bytes = sizeOf(tensor.dtype);
    for (const std::uint64_t dimension : tensor.shape)
        if (bytes) bytes = checkedMultiply(*bytes, dimension);
    if (!bytes) return fail(ErrorCode::BadUsage, "Tensor {} is too large to write.", quote(tensor.name));
    if (tensor.shape.size() > highestRank)
        return fail(ErrorCode::BadUsage, "Tensor {} has {} dimensions; a file takes {}.", quote(tensor.name),
                    tensor.shape.size(), highestRank);
    return *bytes;
}

Result<std::string> headerText(const nlohmann::json& header) try {
    std::string text = header.dump();
    text.resize(roundUp(text.size(), std::size_t{8}), ' '); // the data begins at a multiple of 8
    return text;
} catch (const nlohmann::json::exception&) {
    return fail(ErrorCode::BadUsage, "A tensor's name or the metadata is not valid UTF-8.");
}

} // namespace

Result<SafetensorsWriter> SafetensorsWriter::create(const std::string& path, const std::vector<Tensor>& tensors,
                                                    const std::map<std::string, std::string>& metadata) {
    nlohmann::json header = nlohmann::json::object();
    if (!metadata.empty()) header[std::string(metadataKey)] = metadata;

    std::vector<Place> places(tensors.size());
    std::uint64_t end = 0;
    for (const bool wide : {true, false}) {
        for (std::size_t index = 0; index < tensors.size(); ++index) {
            const Tensor& tensor = tensors[index];
            if ((tensor.dtype == DType::F32) != wide) continue;
            TRY(const std::uint64_t bytes, bytesOf(tensor));
            const auto next = checkedAdd(end, bytes);
            if (!next) return fail(ErrorCode::BadUsage, "Tensor {} is too large to write.", quote(tensor.name));
            if (tensor.name == metadataKey || header.contains(tensor.name))
                return fail(ErrorCode::BadUsage, "{}: the tensor name {} is taken.", quote(path), quote(tensor.name));
            header[tensor.name] = {
                {"dtype", formatText(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {end, *next}}};
            places[index] = Place{.name = tensor.name, .offset = end, .bytes = bytes};
            end = *next;
        }
    }

    TRY(const std::string text, headerText(header));
    const std::uint64_t length = text.size();
    for (Place& place : places) place.offset += sizeof length + length;

    TRY(OutputFile file, OutputFile::create(path));
    CHECK(file.write(std::as_bytes(std::span(&length, 1))));
    CHECK(file.write(text));
    return SafetensorsWriter(std::move(file), std::move(places));
}

Result<void> SafetensorsWriter::write(std::size_t tensor, std::uint64_t offset, std::span<const std::byte> bytes) {
    if (tensor >= m_places.size())
        return fail(ErrorCode::BadUsage, "{}: there is no tensor number {} of {}.", quote(m_file.path()), tensor,
                    m_places.size());
    Place& place = m_places[tensor];
    if (offset > place.bytes || bytes.size() > place.bytes - offset)
        return fail(ErrorCode::BadUsage, "{}: tensor {} has {} bytes; {} at {} do not fit.", quote(m_file.path()),
                    quote(place.name), place.bytes, bytes.size(), offset);
    CHECK(m_file.writeAt(place.offset + offset, bytes));
    place.written += bytes.size();
    return {};
}

Result<void> SafetensorsWriter::commit() {
    for (const Place& place : m_places)
        if (place.written != place.bytes)
            return fail(ErrorCode::BadUsage, "{}: {} of the {} bytes of tensor {} were written.", quote(m_file.path()),
                        place.written, place.bytes, quote(place.name));
    return m_file.commit();
}

} // namespace spikescope
