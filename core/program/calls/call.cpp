#include "core/program/calls/call.h"

#include "core/program/program.h"

namespace spikescope {

std::string withActivation(std::string name, Activation activation) {
    if (activation == Activation::Silu) name += "_silu";
    if (activation == Activation::Relu) name += "_relu";
    return name;
}

std::uint64_t bytesRead(const std::vector<TensorId>& tensors, const Program& program) {
    std::uint64_t bytes = 0;
    for (const TensorId id : tensors) bytes += program.tensor(id).bytes;
    return bytes;
}

std::uint64_t bytesWritten(const std::vector<TensorId>& tensors, const Program& program) {
    std::uint64_t bytes = 0;
    for (const TensorId id : tensors) {
        const Tensor& tensor = program.tensor(id);
        bytes += (tensor.category == Category::Workspace ? 2 : 1) * tensor.bytes;
    }
    return bytes;
}

} // namespace spikescope
