#include "core/advise/work_kind.h"

#include "core/base/text.h"

#include <algorithm>

namespace spikescope {

namespace {

void append(std::string& text, const Tensor& tensor) {
    text += fmt::format(" {}", name(tensor.dtype));
    if (tensor.category != Category::Workspace && tensor.category != Category::Weights)
        text += fmt::format("x{}", tensor.shape.c);
}

} // namespace

std::string workKind(const KernelCall& call, const Program& program) {
    std::string text = kernelName(call);
    for (const TensorId id : reads(call)) append(text, program.tensor(id));
    text += " >";
    for (const TensorId id : writes(call)) append(text, program.tensor(id));
    if (const auto* conv = std::get_if<ConvCall>(&call)) {
        if (conv->stride > 1) text += fmt::format(" stride {}", conv->stride);
        if (conv->upsample) text += " upsampled";
    }
    if (const auto* attention = std::get_if<AttentionCall>(&call))
        text += attention->chunkRows < program.tensor(attention->q).shape.pixels() ? " in parts" : " whole";
    return text;
}

double workOf(const KernelCall& call, const Program& program) {
    return static_cast<double>(std::max(flops(call, program), traffic(call, program)));
}

} // namespace spikescope
