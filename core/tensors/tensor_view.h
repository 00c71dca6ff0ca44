#pragma once
// A tensor in a file: its name, shape and number format, and where its bytes lie.

#include "core/base/stored_type.h"

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
    std::string name;                   // UTF-8
    std::string dtypeText;              // as .safetensors files say it: "F32", "I64", "F8_E4M3"
    std::optional<StoredType> stored;   // nothing for legal formats this program does not compute with
    std::vector<std::uint64_t> shape;   // outermost first; empty for a scalar; a dimension may be 0
    std::vector<std::uint64_t> strides; // in elements, where they are not those of row-major order; empty otherwise
    std::uint64_t elements = 0;
    std::uint64_t offset = 0; // bytes from the start of the part; not necessarily aligned to the element
    std::uint64_t bytes = 0;  // with strides from the first to the last element, which may be fewer than elements
    std::uint32_t part = 0;   // of its TensorFile
    bool bigEndian = false;

    // Row-major and little-endian: the bytes are the values one after the other.
    bool plain() const { return strides.empty() && !bigEndian; }
};

// What a reader of a format finds. Part 0 is the file's bytes, part i is unpacked[i - 1].
struct TensorListing {
    std::vector<TensorView> tensors;
    std::map<std::string, std::string> metadata;
    std::vector<std::vector<std::byte>> unpacked;
};

// The first five, enough to recognise a file by, and how many more: "'a', 'b' and 3 more". `except` is left out.
std::string someNames(std::span<const TensorView> tensors, std::string_view except = {});

// "[2, 3, 4]"; "[]" for a scalar.
std::string shapeText(std::span<const std::uint64_t> shape);

} // namespace spikescope
