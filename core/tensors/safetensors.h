#pragma once
// Reads .safetensors files: an 8-byte little-endian header length, a JSON header, then the tensors' bytes.
// The rules are those of the reference implementation (huggingface/safetensors): tensors neither overlap nor leave
// holes, the last one ends with the file, and an element may lie at any address. Stricter than it: names and fields
// must not repeat, a tensor has the fields dtype, shape and data_offsets and no others, and at most 8 dimensions.

#include "core/base/dtype.h"
#include "core/base/error.h"
#include "core/base/mapped_file.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

struct TensorView {
    std::string name;
    std::string dtypeText;            // as the file says it: "F32", "I64", "F8_E4M3"
    std::optional<DType> dtype;       // nothing for legal formats this program does not compute with
    std::vector<std::uint64_t> shape; // row-major; empty for a scalar; a dimension may be 0
    std::uint64_t elements = 0;
    std::uint64_t offset = 0; // bytes from the start of the file; not necessarily aligned to the element
    std::uint64_t bytes = 0;
};

class Safetensors {
public:
    // Maps the file and checks its header; no tensor is read. What is wrong with the file is BadInput.
    [[nodiscard]] static Result<Safetensors> open(const std::string& path);

    // The same for bytes that outlive the result. fileName only serves messages.
    [[nodiscard]] static Result<Safetensors> parse(std::span<const std::byte> bytes, std::string fileName);

    Safetensors(Safetensors&&) noexcept = default;
    Safetensors& operator=(Safetensors&&) noexcept = default;

    const std::string& fileName() const { return m_fileName; }
    const std::vector<TensorView>& tensors() const { return m_tensors; } // in the order of their bytes
    const std::map<std::string, std::string>& metadata() const { return m_metadata; }

    const TensorView* find(std::string_view name) const; // null when there is none

    // tensor must come from this object. Copy values out rather than casting: the address may be odd.
    std::span<const std::byte> data(const TensorView& tensor) const;

    // Takes a tensor's pages out of the resident set once they are consumed; nothing happens after parse().
    void dropPages(const TensorView& tensor) const;

private:
    Safetensors() = default;

    std::optional<MappedFile> m_file;
    std::span<const std::byte> m_bytes;
    std::string m_fileName;
    std::vector<TensorView> m_tensors;
    std::vector<std::uint32_t> m_byName; // indices into m_tensors, sorted by name
    std::map<std::string, std::string> m_metadata;
};

// "[2, 3, 4]"; "[]" for a scalar.
std::string shapeText(std::span<const std::uint64_t> shape);

} // namespace spikescope
