#include "core/model/parameters.h"

#include "core/base/text.h"

namespace spikescope {

namespace {

// [512, 512] and [512, 512, 1, 1] are the same 1×1 convolution.
std::vector<std::uint64_t> trimmed(std::vector<std::uint64_t> shape) {
    while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
    return shape;
}

struct Scales {
    const TensorView* tensor = nullptr; // none: 1
    std::vector<float> values;          // one, or one for each output channel
};

// The factors of an fp8 weight, under the names that writers give them. All of them multiply, "inverse" ones too, which
// are named for what the quantisation did.
Result<Scales> scalesOf(const TensorFile& file, const TensorView& weight) {
    Scales scales;
    if (weight.stored != StoredType::F8E4M3 && weight.stored != StoredType::F8E5M2) return scales;
    constexpr std::string_view last = ".weight";
    std::vector<std::string> names{weight.name + "_scale", weight.name + "_scale_inv"};
    if (weight.name.ends_with(last))
        names.push_back(weight.name.substr(0, weight.name.size() - last.size()) + ".scale_weight");
    for (const std::string& name : names) {
        if ((scales.tensor = file.find(name)) == nullptr) continue;
        const TensorView& tensor = *scales.tensor;
        const std::uint64_t channels = weight.shape.empty() ? 1 : weight.shape.front();
        const bool perChannel = !tensor.shape.empty() && tensor.shape.front() == channels;
        if (tensor.elements != 1 && !(perChannel && tensor.elements == channels))
            return fail(ErrorCode::BadInput, "file {}, tensor {}: shape {}, a scale of {} has one value or {}",
                        quote(file.fileName()), quote(name), shapeText(tensor.shape), quote(weight.name), channels);
        TRY(HostTensor values, readTensor(file, tensor));
        scales.values = std::move(values.values);
        break;
    }
    return scales;
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
        if (!tensor.stored)
            return fail(ErrorCode::BadInput,
                        "file {}, tensor {}: dtype {} is not one of F64, F32, F16, BF16, F8_E4M3, F8_E5M2", file,
                        quote(tensor.name), tensor.dtypeText);
        CHECK(scalesOf(m_checkpoint->file(), tensor));
    }
    return {};
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
    if (Result<Scales> scales = scalesOf(m_checkpoint->file(), tensor);
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
