#include "core/program/program.h"

#include "core/base/checked.h"

namespace spikescope {

namespace {

template <class... Handlers> struct Overload : Handlers... { using Handlers::operator()...; };

std::vector<TensorId> made(const GroupNormStatsCall& call) {
    std::vector<TensorId> ids{call.partials};
    if (call.totals) ids.push_back(*call.totals);
    ids.push_back(call.coefficients);
    return ids;
}

std::vector<TensorId> workspaces(const ConvCall& call) {
    std::vector<TensorId> ids;
    if (call.inCopy) ids.push_back(*call.inCopy);
    if (call.columns) ids.push_back(*call.columns);
    if (const auto& w = call.winograd)
        for (const TensorId id : {w->padded, w->filters, w->inputs, w->products}) ids.push_back(id);
    if (call.outCopy) ids.push_back(*call.outCopy);
    if (call.stats)
        for (const TensorId id : made(*call.stats)) ids.push_back(id);
    return ids;
}

std::string withActivation(std::string name, Activation activation) {
    if (activation == Activation::Silu) name += "_silu";
    if (activation == Activation::Relu) name += "_relu";
    return name;
}

std::string convName(const ConvCall& call) {
    std::string name = call.kernel == 3 ? "conv3x3" : "conv1x1";
    if (call.method == ConvMethod::Folded) name += "_folded";
    if (call.method == ConvMethod::Im2col) name += "_im2col";
    if (call.method == ConvMethod::Winograd) name += "_winograd";
    if (call.norm) name += "_norm";
    return name;
}

// The products of a convolution as its method makes them; transforms and copies count what their loops do.
std::uint64_t convFlops(const ConvCall& call, const Program& program) {
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

// Two for the mean, three for the squared deviations of each element.
std::uint64_t statsFlops(const GroupNormStatsCall& call, const Program& program) {
    return 5 * program.tensor(call.in).shape.elements();
}
// Scale and shift of each element once, however often a convolution reads it; an activation counts as four.
std::uint64_t applyFlops(TensorId in, Activation activation, const Program& program) {
    return (activation == Activation::None ? 2 : 6) * program.tensor(in).shape.elements();
}

} // namespace

std::vector<TensorId> reads(const KernelCall& call) {
    return std::visit(Overload{
                          [](const ConvCall& c) {
                              std::vector<TensorId> ids{c.in, c.weight};
                              if (c.bias) ids.push_back(*c.bias);
                              if (c.residual) ids.push_back(*c.residual);
                              if (c.norm) ids.push_back(c.norm->coefficients);
                              if (c.stats) ids.insert(ids.end(), {c.stats->gamma, c.stats->beta});
                              return ids;
                          },
                          [](const GroupNormStatsCall& c) {
                              return std::vector<TensorId>{c.in, c.gamma, c.beta};
                          },
                          [](const GroupNormApplyCall& c) {
                              return std::vector<TensorId>{c.in, c.coefficients};
                          },
                          [](const AttentionCall& c) {
                              return std::vector<TensorId>{c.q, c.k, c.v};
                          },
                          [](const BlendCall& c) {
                              return std::vector<TensorId>{c.in, c.weights};
                          },
                          [](const auto& c) { return std::vector<TensorId>{c.in}; },
                      },
                      call);
}

std::vector<TensorId> writes(const KernelCall& call) {
    return std::visit(Overload{
                          [](const ConvCall& c) {
                              std::vector<TensorId> ids = workspaces(c);
                              ids.push_back(c.out);
                              return ids;
                          },
                          [](const GroupNormStatsCall& c) { return made(c); },
                          [](const AttentionCall& c) {
                              return std::vector<TensorId>{c.scores, c.out};
                          },
                          [](const auto& c) { return std::vector<TensorId>{c.out}; },
                      },
                      call);
}

TensorId output(const KernelCall& call) { return writes(call).back(); }

// Tiles have 16 rows × 8 pixels, of wide maps 4; of a folded convolution in each of the four quarters of its output.
std::uint64_t convSlices(const Shape& out) {
    return 4 * divideUp<std::uint64_t>(out.h, 32) * divideUp<std::uint64_t>(out.w, out.c % 256 == 0 ? 8 : 16);
}

std::string kernelName(const KernelCall& call) {
    return std::visit(Overload{
                          [](const ConvCall& c) { return convName(c); },
                          [](const GroupNormStatsCall&) { return std::string("group_norm_stats"); },
                          [](const GroupNormApplyCall& c) { return withActivation("group_norm", c.activation); },
                          [](const AttentionCall&) { return std::string("attention"); },
                          [](const TanhClampCall&) { return std::string("tanh_clamp"); },
                          [](const ActivationCall& c) { return withActivation("activation", c.activation); },
                          [](const CopyCall& c) { return std::string(c.upsample ? "upsample" : "copy"); },
                          [](const TransferCall& c) { return std::string(c.toHost ? "to_host" : "to_device"); },
                          [](const BlendCall&) { return std::string("blend"); },
                      },
                      call);
}

OpKind opKind(const KernelCall& call) {
    return std::visit(Overload{
                          [](const ConvCall&) { return OpKind::Convolution; },
                          [](const AttentionCall&) { return OpKind::Attention; },
                          [](const CopyCall&) { return OpKind::Copy; },
                          [](const TransferCall& c) { return c.toHost ? OpKind::ToHost : OpKind::ToDevice; },
                          [](const auto&) { return OpKind::Compute; },
                      },
                      call);
}

std::uint64_t flops(const KernelCall& call, const Program& program) {
    return std::visit(
        Overload{
            [&](const ConvCall& c) {
                return convFlops(c, program) + (c.norm ? applyFlops(c.in, c.norm->activation, program) : 0) +
                       (c.stats ? statsFlops(*c.stats, program) : 0);
            },
            [&](const GroupNormStatsCall& c) { return statsFlops(c, program); },
            [&](const GroupNormApplyCall& c) { return applyFlops(c.in, c.activation, program); },
            // Two products of pixels × pixels × channels; the softmax counts as five an element of the scores.
            [&](const AttentionCall& c) {
                const Shape& q = program.tensor(c.q).shape;
                return q.n * q.pixels() * q.pixels() * (4 * q.c + 5);
            },
            [&](const TanhClampCall& c) { return 4 * program.tensor(c.in).shape.elements(); },
            [&](const ActivationCall& c) { return 4 * program.tensor(c.in).shape.elements(); },
            [](const CopyCall&) { return std::uint64_t{0}; },
            [](const TransferCall&) { return std::uint64_t{0}; },
            [&](const BlendCall& c) { return 3 * program.tensor(c.in).shape.elements(); },
        },
        call);
}

std::uint64_t traffic(const KernelCall& call, const Program& program) {
    std::uint64_t bytes = 0;
    // A blend reads and writes as much of the band as a tile has.
    if (const auto* blend = std::get_if<BlendCall>(&call)) return 3 * program.tensor(blend->in).bytes;
    if (const auto* transfer = std::get_if<TransferCall>(&call)) return program.tensor(transfer->in).bytes;
    for (const TensorId id : reads(call)) bytes += program.tensor(id).bytes;
    for (const TensorId id : writes(call)) {
        const Tensor& tensor = program.tensor(id);
        // A workspace is written and read again; one that is used in pieces, as often as there are pieces.
        std::uint64_t written = tensor.bytes;
        if (const auto* conv = std::get_if<ConvCall>(&call); conv && conv->columns == id) {
            const Shape& out = program.tensor(conv->out).shape;
            written = tensor.bytes / conv->chunkRows * out.n * out.h;
        }
        if (const auto* attention = std::get_if<AttentionCall>(&call); attention && attention->scores == id) {
            const Shape& q = program.tensor(attention->q).shape;
            written = tensor.bytes / attention->chunkRows * q.n * q.pixels();
        }
        bytes += (tensor.category == Category::Workspace ? 2 : 1) * written;
    }
    return bytes;
}

} // namespace spikescope
