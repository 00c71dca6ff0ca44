#include "core/model/parameters.h"

#include "core/model/weight_scales.h"

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

std::optional<DType> Parameters::storedType(const Weight& weight) const {
    if (!m_checkpoint) return std::nullopt;
    const auto stored = m_checkpoint->find(weight.name)->stored;
    return stored ? std::optional(heldAs(*stored)) : std::nullopt;
}

void Parameters::consumed(const Weight& weight) const {
    if (m_checkpoint) m_checkpoint->file().dropPages(*m_checkpoint->find(weight.name));
}

} // namespace spikescope
