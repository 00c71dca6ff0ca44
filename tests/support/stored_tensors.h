#pragma once
// Small checkpoints with values: the synthetic parameters of a family, and the files that tests make of them.

#include "core/model/family.h"
#include "core/model/synthetic.h"
#include "core/tensors/safetensors_writer.h"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

namespace spikescope {

struct TensorWithValues {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::vector<float> values;
};

inline std::vector<TensorWithValues> syntheticTensors(const Family& family, std::span<const VaeTask> halves) {
    std::vector<TensorWithValues> tensors;
    for (const VaeTask task : halves) {
        const auto weights = halfWeights(family, task);
        EXPECT_TRUE(weights);
        for (const Weight& weight : *weights) {
            const SyntheticTensor synthetic(weight.name, weight.dims, 7);
            TensorWithValues& tensor = tensors.emplace_back(TensorWithValues{weight.name, weight.dims, {}});
            std::uint64_t elements = 1;
            for (const std::uint64_t side : weight.dims) elements *= side;
            for (std::uint64_t i = 0; i < elements; ++i) tensor.values.push_back(synthetic[i]);
        }
    }
    return tensors;
}

// As fp32 in a .safetensors file, each name behind the prefix.
inline void writeTensors(const std::string& path, std::span<const TensorWithValues> tensors,
                         const std::string& prefix = "") {
    std::vector<SafetensorsWriter::Tensor> headers;
    for (const TensorWithValues& tensor : tensors)
        headers.push_back({.name = prefix + tensor.name, .dtype = DType::F32, .shape = tensor.shape});
    auto writer = SafetensorsWriter::create(path, headers);
    ASSERT_TRUE(writer) << writer.error().message;
    for (std::size_t i = 0; i < tensors.size(); ++i)
        EXPECT_TRUE(writer->write(i, 0, std::as_bytes(std::span(tensors[i].values))));
    EXPECT_TRUE(writer->commit());
}

} // namespace spikescope
