#include "core/model/parameters.h"

#include "core/base/text.h"
#include "core/model/weight_scales.h"

#include <cmath>

namespace spikescope {

Result<void> Parameters::bind(std::span<const Weight> weights, std::string_view what) {
    return m_checkpoint ? m_checkpoint->check(weights, what) : Result<void>{};
}

ParameterValues Parameters::values(const Weight& weight) const {
    if (!m_checkpoint) return SyntheticTensor(weight.name, weight.dims, m_seed);
    const TensorView& tensor = *m_checkpoint->find(weight.name);
    const std::span<const std::byte> data = m_checkpoint->file().data(tensor);
    if (tensor.plain()) {
        if (tensor.stored == StoredType::F32) return StoredValues<DType::F32>{data.data()};
        if (tensor.stored == StoredType::F16) return StoredValues<DType::F16>{data.data()};
        if (tensor.stored == StoredType::BF16) return StoredValues<DType::BF16>{data.data()};
    }
    TensorValues values(tensor, data);
    // bind() has refused scales that cannot be read.
    if (Result<WeightScales> scales = scalesOf(m_checkpoint->file(), tensor);
        scales && scales->tensor && tensor.elements > 0) {
        const std::uint64_t count = scales->values.size();
        values.scale(std::move(scales->values), tensor.elements / count);
    }
    return values;
}

namespace {

// Elements of 16 or 32 bits whose exponent is all ones.
template <class Bits> std::uint64_t countOnes(std::span<const std::byte> data, Bits exponent) {
    std::uint64_t count = 0;
    for (std::size_t at = 0; at + sizeof(Bits) <= data.size(); at += sizeof(Bits)) {
        Bits bits = 0;
        std::memcpy(&bits, data.data() + at, sizeof bits);
        count += (bits & exponent) == exponent;
    }
    return count;
}

} // namespace

Result<void> Parameters::checkFinite(const Weight& weight, DType dtype) const {
    if (!m_checkpoint) return {};
    const TensorView& tensor = *m_checkpoint->find(weight.name);
    const bool narrows = dtype == DType::F16 && tensor.stored != StoredType::F16;
    if (tensor.plain() && !narrows) {
        // Most weights: counted without conversion, for it is done at every load.
        const std::span<const std::byte> data = m_checkpoint->file().data(tensor);
        std::optional<std::uint64_t> count;
        if (tensor.stored == StoredType::F32) count = countOnes<std::uint32_t>(data, 0x7f800000u);
        if (tensor.stored == StoredType::F16) count = countOnes<std::uint16_t>(data, 0x7c00u);
        if (tensor.stored == StoredType::BF16) count = countOnes<std::uint16_t>(data, 0x7f80u);
        if (count == 0u) return {};
    }
    constexpr float fp16End = 65520.0f; // from here on fp16 rounds to infinity
    std::uint64_t count = 0, first = 0;
    bool isFinite = true;
    std::visit(
        [&](const auto& values) {
            for (std::uint64_t i = 0; i < tensor.elements; ++i) {
                const float value = values[i];
                if (std::isfinite(value) && !(narrows && std::abs(value) >= fp16End)) continue;
                if (count++ > 0) continue;
                first = i;
                isFinite = std::isfinite(value);
            }
        },
        values(weight));
    if (count == 0) return {};
    return fail(ErrorCode::BadInput, "file {}, tensor {}: {} of its {} values {}, the first at index {}",
                quote(m_checkpoint->file().fileName()), quote(tensor.name), count, tensor.elements,
                isFinite ? "are too large for fp16" : "are NaN or infinite", first);
}

std::optional<DType> Parameters::storedType(const Weight& weight) const {
    if (!m_checkpoint) return std::nullopt;
    const auto stored = m_checkpoint->find(weight.name)->stored;
    return stored ? std::optional(heldAs(*stored)) : std::nullopt;
}

void Parameters::consumed(const Weight& weight) const {
    if (m_checkpoint) m_checkpoint->file().dropPages(*m_checkpoint->find(weight.name));
}

} // namespace spikescope
