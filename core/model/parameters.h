#pragma once
// Where a graph's parameters come from: a checkpoint or the generator. Values are read element by element, so that
// nothing but the staging buffer ever holds a copy.

#include "core/base/float_convert.h"
#include "core/graph/graph.h"
#include "core/model/checkpoint.h"
#include "core/model/synthetic.h"
#include "core/tensors/tensor_values.h"

#include <cstring>
#include <variant>

namespace spikescope {

// Elements of one parameter in the checkpoint's row-major order. TensorValues are for what a checkpoint may hold beside
// plain numbers of these formats: fp8 with its scales, fp64, other strides.
template <DType dtype> struct StoredValues {
    const std::byte* data;
    float operator[](std::uint64_t index) const {
        if constexpr (dtype == DType::F32) {
            float value;
            std::memcpy(&value, data + 4 * index, 4);
            return value;
        } else {
            std::uint16_t bits;
            std::memcpy(&bits, data + 2 * index, 2);
            return dtype == DType::F16 ? fp16ToFloat(bits) : bf16ToFloat(bits);
        }
    }
};
using ParameterValues = std::variant<StoredValues<DType::F32>, StoredValues<DType::F16>, StoredValues<DType::BF16>,
                                     TensorValues, SyntheticTensor>;
inline ParameterValues storedValues(DType dtype, const std::byte* data) {
    switch (dtype) {
    case DType::F16: return StoredValues<DType::F16>{data};
    case DType::BF16: return StoredValues<DType::BF16>{data};
    case DType::F32: break;
    }
    return StoredValues<DType::F32>{data};
}

class Parameters {
public:
    explicit Parameters(std::uint64_t seed)
        : m_seed(seed) {}
    explicit Parameters(Checkpoint checkpoint)
        : m_checkpoint(std::move(checkpoint)) {}

    // Finds every weight, see Checkpoint::check().
    Result<void> bind(std::span<const Weight> weights, std::string_view what);

    ParameterValues values(const Weight& weight) const;
    // BadInput with the tensor, the first index and the count when values are NaN or infinite, or become so as `dtype`.
    Result<void> checkFinite(const Weight& weight, DType dtype) const;
    // What the checkpoint's values are held as; nothing for synthetic ones, which are stored nowhere.
    std::optional<DType> storedType(const Weight& weight) const;
    // The pages of a mapped parameter may go: it has been read.
    void consumed(const Weight& weight) const;

private:
    std::uint64_t m_seed = 0;
    std::optional<Checkpoint> m_checkpoint;
};

} // namespace spikescope
