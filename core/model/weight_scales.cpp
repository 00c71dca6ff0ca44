#include "core/model/weight_scales.h"

#include "core/base/text.h"

namespace spikescope {

Result<WeightScales> scalesOf(const TensorFile& file, const TensorView& weight) {
    WeightScales scales;
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

} // namespace spikescope
