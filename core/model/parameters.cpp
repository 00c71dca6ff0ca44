#include "core/model/parameters.h"

#include "core/base/text.h"
#include "core/model/weight_scales.h"

#include <cmath>
#include <limits>
#include <type_traits>

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

// Whether no exponent is all ones: without conversion, for it is asked of most weights at every load.
template <DType dtype> bool allFinite(const StoredValues<dtype>& values, std::uint64_t elements) {
    using Bits = std::conditional_t<dtype == DType::F32, std::uint32_t, std::uint16_t>;
    constexpr Bits exponent = dtype == DType::F32 ? 0x7f800000u : dtype == DType::F16 ? 0x7c00u : 0x7f80u;
    std::uint64_t count = 0;
    for (std::uint64_t i = 0; i < elements; ++i) {
        Bits bits = 0;
        std::memcpy(&bits, values.data + i * sizeof bits, sizeof bits);
        count += (bits & exponent) == exponent;
    }
    return count == 0;
}

struct Unfit {
    std::uint64_t count = 0, first = 0;
    bool firstIsFinite = true;
};
// Values that are not finite, or from `end` on.
template <class Values> Unfit findUnfit(const Values& values, std::uint64_t elements, float end) {
    Unfit unfit;
    for (std::uint64_t i = 0; i < elements; ++i) {
        if (std::isfinite(values[i]) && std::abs(values[i]) < end) continue;
        if (unfit.count++ == 0) unfit = {.count = 1, .first = i, .firstIsFinite = std::isfinite(values[i])};
    }
    return unfit;
}

} // namespace

Result<void> Parameters::checkFinite(const Weight& weight, DType dtype) const {
    if (!m_checkpoint) return {};
    constexpr float fp16End = 65520.0f; // from here on fp16 rounds to infinity
    const TensorView& tensor = *m_checkpoint->find(weight.name);
    const bool narrows = dtype == DType::F16 && tensor.stored != StoredType::F16;
    const Unfit unfit = std::visit(
        [&](const auto& values) {
            if constexpr (requires { allFinite(values, tensor.elements); })
                if (!narrows && allFinite(values, tensor.elements)) return Unfit();
            return findUnfit(values, tensor.elements, narrows ? fp16End : std::numeric_limits<float>::infinity());
        },
        values(weight));
    if (unfit.count == 0) return {};
    return fail(ErrorCode::BadInput, "file {}, tensor {}: {} of its {} values {}, the first at index {}",
                quote(m_checkpoint->file().fileName()), quote(tensor.name), unfit.count, tensor.elements,
                unfit.firstIsFinite ? "are too large for fp16" : "are NaN or infinite", unfit.first);
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
