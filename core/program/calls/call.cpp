#include "core/program/calls/call.h"

#include "core/program/program.h"

namespace spikescope {

std::string withActivation(std::string name, Activation activation) {
    if (activation == Activation::Silu) name += "_silu";
    if (activation == Activation::Relu) name += "_relu";
    return name;
}

std::uint64_t tensorTraffic(const std::vector<TensorId>& reads, const std::vector<TensorId>& writes,
                            const Program& program) {
    std::uint64_t bytes = 0;
    for (const TensorId id : reads) bytes += program.tensor(id).bytes;
    for (const TensorId id : writes) {
        const Tensor& tensor = program.tensor(id);
        bytes += (tensor.category == Category::Workspace ? 2 : 1) * tensor.bytes;
    }
    return bytes;
}

} // namespace spikescope
