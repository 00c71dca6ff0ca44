#pragma once
// Number formats of tensors. Arithmetic is in float32 everywhere; these say how values are stored.

#include <cstdint>
#include <optional>
#include <string_view>

namespace spikescope {

enum class DType : std::uint8_t { F32, F16, BF16 };

constexpr std::uint64_t sizeOf(DType dtype) { return dtype == DType::F32 ? 4 : 2; }

constexpr std::string_view name(DType dtype) {
    switch (dtype) {
    case DType::F32: return "fp32";
    case DType::F16: return "fp16";
    case DType::BF16: return "bf16";
    }
    return "?";
}

constexpr std::optional<DType> dtypeFromName(std::string_view text) {
    if (text == "fp32") return DType::F32;
    if (text == "fp16") return DType::F16;
    if (text == "bf16") return DType::BF16;
    return std::nullopt;
}

} // namespace spikescope
