#include "core/backend/value_check.h"

#include "core/base/float_convert.h"
#include "core/base/text.h"

#include <algorithm>
#include <cstring>

namespace spikescope {

namespace {

struct Range {
    float largest = 0; // finite magnitude
    std::uint64_t nonFinite = 0;
};

// Without the sign, floats are in the order of their bits; from the exponent of all ones on they are not finite.
template <class Bits> Range rangeOf(std::span<const std::byte> bytes, Bits exponent, float (*toFloat)(Bits)) {
    constexpr Bits magnitude = static_cast<Bits>(~Bits{0}) >> 1;
    Bits largest = 0;
    std::uint64_t nonFinite = 0;
    for (std::size_t i = 0; i + sizeof(Bits) <= bytes.size(); i += sizeof(Bits)) {
        Bits bits = 0;
        std::memcpy(&bits, bytes.data() + i, sizeof bits);
        bits &= magnitude;
        nonFinite += bits >= exponent;
        largest = std::max(largest, bits < exponent ? bits : Bits{0});
    }
    return {toFloat(largest), nonFinite};
}

Range rangeOf(DType dtype, std::span<const std::byte> bytes) {
    switch (dtype) {
    case DType::F32:
        return rangeOf<std::uint32_t>(bytes, 0x7f800000u,
                                      [](std::uint32_t bits) { return std::bit_cast<float>(bits); });
    case DType::F16: return rangeOf<std::uint16_t>(bytes, 0x7c00u, fp16ToFloat);
    case DType::BF16: return rangeOf<std::uint16_t>(bytes, 0x7f80u, bf16ToFloat);
    }
    return {};
}

} // namespace

bool ValueCheck::wants(TensorId tensor) const {
    const Tensor& wanted = m_program.tensor(tensor);
    return wanted.memory == MemoryKind::Device && !wanted.weight && wanted.category != Category::Workspace;
}

void ValueCheck::addInput(TensorId tensor, std::span<const std::byte> values) {
    const Tensor& input = m_program.tensor(tensor);
    const Range range = rangeOf(input.dtype, values);
    if (range.largest > m_before.value) m_before = {range.largest, input.layer};
}

void ValueCheck::add(LayerId layer, TensorId tensor, std::span<const std::byte> values) {
    const Range range = rangeOf(m_program.tensor(tensor).dtype, values);
    if (range.nonFinite) {
        if (m_tensor != tensor) m_nonFinite = 0;
        m_tensor = tensor;
        m_nonFinite += range.nonFinite;
    }
    if (range.largest > m_now.value) m_now = {range.largest, layer};
}

Result<void> ValueCheck::endCall(const Call& call) {
    const auto layerName = [&](LayerId layer) { return quote(m_program.layers[layer.index]); };
    if (m_nonFinite == 0) {
        if (m_now.value > m_before.value) m_before = m_now;
        m_now = {};
        return {};
    }
    const DType dtype = m_program.tensor(m_tensor).dtype;
    std::string sentence = fmt::format("layer {} is the first whose output is not finite ({}, {}: {} values)",
                                       layerName(call.layer), kernelName(call.kernel), name(dtype), m_nonFinite);
    sentence += m_before.layer.valid() ? fmt::format("; the largest finite value before it is {:.6g}, of layer {}",
                                                     m_before.value, layerName(m_before.layer))
                                       : std::string("; nothing before it is other than 0");
    if (dtype == DType::F16) sentence += "; fp16 ends at 65504, activations bf16 or fp32 go on to 3.4e38";
    m_found = {.layer = call.layer, .tensor = m_tensor, .sentence = std::move(sentence)};
    return fail(ErrorCode::BadInput, "{}", m_found->sentence);
}

} // namespace spikescope
