#include "core/program/calls/conv.h"

#include "core/base/checked.h"
#include "core/program/program.h"

namespace spikescope {

std::vector<TensorId> ConvCall::reads() const {
    std::vector<TensorId> ids{in, weight};
    if (bias) ids.push_back(*bias);
    if (residual) ids.push_back(*residual);
    if (norm) ids.push_back(norm->coefficients);
    if (stats) ids.insert(ids.end(), {stats->gamma, stats->beta});
    return ids;
}

std::vector<TensorId> ConvCall::writes() const {
    std::vector<TensorId> ids;
    if (inCopy) ids.push_back(*inCopy);
    if (columns) ids.push_back(*columns);
    if (winograd) ids.insert(ids.end(), {winograd->padded, winograd->filters, winograd->inputs, winograd->products});
    if (outCopy) ids.push_back(*outCopy);
    if (stats)
        for (const TensorId id : stats->writes()) ids.push_back(id);
    ids.push_back(out);
    return ids;
}

std::string ConvCall::name() const {
    std::string name = kernel == 3 ? "conv3x3" : "conv1x1";
    if (method == ConvMethod::Folded) name += "_folded";
    if (method == ConvMethod::Im2col) name += "_im2col";
    if (method == ConvMethod::Winograd) name += "_winograd";
    if (norm) name += "_norm";
    return name;
}

namespace {

// The products of a convolution as its method computes them; transforms and copies count what their loops do.
std::uint64_t productFlops(const ConvCall& call, const Program& program) {
    const Shape& out = program.tensor(call.out).shape;
    const std::uint64_t in = program.tensor(call.in).shape.c;
    if (call.method == ConvMethod::Folded) return 2 * out.elements() * in * 4;
    if (call.method != ConvMethod::Winograd) return 2 * out.elements() * in * call.kernel * call.kernel;
    constexpr std::uint64_t planes = winogradReach * winogradReach;
    const std::uint64_t tiles = program.tensor(call.winograd->inputs).dims[1];
    // Bᵀ d B with 8×8 by 8×8, G g Gᵀ with 8×3 by 3×3 and 3×8, Aᵀ m A with 6×8 by 8×8 and 8×6; two flops a product.
    return 2 * planes * tiles * in * out.c + 2 * tiles * in * (2 * planes * 8) + 2 * in * out.c * (8 * 9 + planes * 3) +
           2 * tiles * out.c * (6 * planes + 36 * 8);
}

} // namespace

std::uint64_t ConvCall::flops(const Program& program) const {
    // A norm counts once for each element, however often the convolution reads it.
    return productFlops(*this, program) + (norm ? applyFlops(in, norm->activation, program) : 0) +
           (stats ? stats->flops(program) : 0);
}

std::uint64_t ConvCall::traffic(const Program& program) const {
    std::uint64_t bytes = tensorTraffic(reads(), writes(), program);
    if (columns) { // used in chunks of rows, and so as often as there are chunks
        const Shape& shape = program.tensor(out).shape;
        const std::uint64_t chunk = program.tensor(*columns).bytes;
        bytes += 2 * (chunk / chunkRows * shape.n * shape.h - chunk);
    }
    return bytes;
}

// Tiles have 16 rows × 8 pixels, of tensors with many channels 4; a folded convolution has them in each of the four
// quarters of its output.
std::uint64_t convSlices(const Shape& out) {
    return 4 * divideUp<std::uint64_t>(out.h, 32) * divideUp<std::uint64_t>(out.w, out.c % 256 == 0 ? 8 : 16);
}

} // namespace spikescope
