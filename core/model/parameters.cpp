#include "core/model/parameters.h"

#include "core/base/text.h"

#include <algorithm>

namespace spikescope {

namespace {

// [512, 512] and [512, 512, 1, 1] are the same 1×1 convolution.
std::vector<std::uint64_t> trimmed(std::vector<std::uint64_t> shape) {
    while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
    return shape;
}

} // namespace

Result<void> Parameters::bind(std::span<const Weight> weights, std::string_view what) {
    if (!m_checkpoint) return {};
    const std::string file = quote(m_checkpoint->file().fileName());
    std::vector<std::string> missing;
    std::size_t missingCount = 0;
    for (const Weight& weight : weights)
        if (!m_checkpoint->find(weight.name)) {
            if (++missingCount <= 5) missing.push_back(weight.name);
        }
    if (missingCount)
        return fail(ErrorCode::BadInput, "file {}: {} of the {} tensors of {} are missing, first {}", file,
                    missingCount, weights.size(), what, joined(missing, ", "));
    for (const Weight& weight : weights) {
        const TensorView& tensor = *m_checkpoint->find(weight.name);
        if (trimmed(tensor.shape) != trimmed(weight.dims))
            return fail(ErrorCode::BadInput, "file {}, tensor {}: shape [{}], {} has [{}]", file, quote(tensor.name),
                        fmt::join(tensor.shape, ", "), what, fmt::join(weight.dims, ", "));
        if (!tensor.dtype)
            return fail(ErrorCode::BadInput, "file {}, tensor {}: dtype {} is not one of F32, F16, BF16", file,
                        quote(tensor.name), tensor.dtypeText);
    }
    return {};
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
