#pragma once
// The factors of fp8 weights.

#include "core/tensors/tensor_file.h"

#include <vector>

namespace spikescope {

struct WeightScales {
    const TensorView* tensor = nullptr; // none: 1
    std::vector<float> values;          // one, or one for each output channel
};

// Those of a weight, under the names that writers give them; of other dtypes none. All of them multiply, "inverse" ones
// too, which are named for what the quantisation did. BadInput for a number of values that fits no weight.
Result<WeightScales> scalesOf(const TensorFile& file, const TensorView& weight);

} // namespace spikescope
