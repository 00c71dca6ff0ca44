#pragma once
// What holds of every file of tensors, whatever its bytes: it is refused with a sentence, or every tensor that it names
// can be read to its last byte.

#include "core/tensors/tensor_file.h"
#include "core/tensors/tensor_values.h"
#include "tests/fuzz/require.h"

#include <algorithm>

namespace spikescope {

inline void readTensors(std::span<const std::byte> bytes, const std::string& name) {
    const auto file = TensorFile::parse(bytes, name);
    if (!file) {
        require(file.error().code == ErrorCode::BadInput);
        require(file.error().message.find("'" + name) != std::string::npos);
        return;
    }
    unsigned sum = 0;
    for (const TensorView& tensor : file->tensors()) {
        require(file->find(tensor.name) == &tensor && tensor.shape.size() <= 8);
        const auto content = file->data(tensor);
        require(content.size() == tensor.bytes);
        if (tensor.part == 0)
            require(content.empty() || (&content.front() >= &bytes.front() && &content.back() <= &bytes.back()));
        for (const std::byte value : content) sum += std::to_integer<unsigned>(value);
        if (!tensor.stored) continue;
        if (tensor.strides.empty()) require(tensor.elements * sizeOf(*tensor.stored) == tensor.bytes);
        // Expanded tensors have more elements than bytes.
        const TensorValues values(tensor, content);
        const std::uint64_t some = std::min<std::uint64_t>(tensor.elements, 10'000);
        for (std::uint64_t i = 0; i < some; ++i) sum += values[i] > 1.0f;
        if (some > 0) sum += values[tensor.elements - 1] > 1.0f;
    }
    // Keeps the reads alive under optimisation.
    volatile unsigned sink = sum;
    static_cast<void>(sink);
}

} // namespace spikescope
