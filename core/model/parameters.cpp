#include "core/model/parameters.h"

namespace spikescope {

Result<void> Parameters::bind(std::span<const Weight> weights, std::string_view what) {
    return m_checkpoint ? m_checkpoint->check(weights, what) : Result<void>{};
}

ParameterValues Parameters::values(const Weight& weight) const {
    if (!m_checkpoint) return SyntheticTensor(weight.name, weight.dims, m_seed);
    const TensorView& tensor = *m_checkpoint->find(weight.name);
    return storedValues(*tensor.dtype, m_checkpoint->file().data(tensor).data());
}

std::optional<DType> Parameters::storedType(const Weight& weight) const {
    return m_checkpoint ? m_checkpoint->find(weight.name)->dtype : std::nullopt;
}

void Parameters::consumed(const Weight& weight) const {
    if (m_checkpoint) m_checkpoint->file().dropPages(*m_checkpoint->find(weight.name));
}

} // namespace spikescope
