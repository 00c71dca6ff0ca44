#pragma once
// Number formats in files. What is computed with is held in one of the formats of dtype.h.

#include "core/base/dtype.h"

namespace spikescope {

// F8E4M3 is the variant without infinities (E4M3FN): 0x7f and 0xff are NaN, the largest value is 448.
enum class StoredType : std::uint8_t { F64, F32, F16, BF16, F8E4M3, F8E5M2 };

constexpr std::uint64_t sizeOf(StoredType type) {
    switch (type) {
    case StoredType::F64: return 8;
    case StoredType::F32: return 4;
    case StoredType::F16:
    case StoredType::BF16: return 2;
    case StoredType::F8E4M3:
    case StoredType::F8E5M2: break;
    }
    return 1;
}

// The format that values of a file are held in. Every fp8 value is exact in bf16; its product with a scale is rounded.
constexpr DType heldAs(StoredType type) {
    switch (type) {
    case StoredType::F64:
    case StoredType::F32: return DType::F32;
    case StoredType::F16: return DType::F16;
    case StoredType::BF16:
    case StoredType::F8E4M3:
    case StoredType::F8E5M2: break;
    }
    return DType::BF16;
}

// As .safetensors files say it.
constexpr std::string_view name(StoredType type) {
    switch (type) {
    case StoredType::F64: return "F64";
    case StoredType::F32: return "F32";
    case StoredType::F16: return "F16";
    case StoredType::BF16: return "BF16";
    case StoredType::F8E4M3: return "F8_E4M3";
    case StoredType::F8E5M2: return "F8_E5M2";
    }
    return "?";
}

} // namespace spikescope
