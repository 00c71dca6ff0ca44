#include "core/program/program.h"

namespace spikescope {

namespace {

template <class... Handlers> struct Overload : Handlers... { using Handlers::operator()...; };

} // namespace

std::vector<TensorId> reads(const KernelCall& call) {
    return std::visit(Overload{
                          [](const ConvCall& c) {
                              std::vector<TensorId> ids{c.in, c.weight};
                              if (c.bias) ids.push_back(*c.bias);
                              if (c.residual) ids.push_back(*c.residual);
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
                          [](const TanhClampCall& c) { return std::vector<TensorId>{c.in}; },
                      },
                      call);
}

std::vector<TensorId> writes(const KernelCall& call) {
    return std::visit(Overload{
                          [](const ConvCall& c) { return std::vector<TensorId>{c.out}; },
                          [](const GroupNormStatsCall& c) {
                              return std::vector<TensorId>{c.partials, c.coefficients};
                          },
                          [](const GroupNormApplyCall& c) { return std::vector<TensorId>{c.out}; },
                          [](const AttentionCall& c) {
                              return std::vector<TensorId>{c.scores, c.out};
                          },
                          [](const TanhClampCall& c) { return std::vector<TensorId>{c.out}; },
                      },
                      call);
}

TensorId output(const KernelCall& call) { return writes(call).back(); }

std::string kernelName(const KernelCall& call) {
    return std::visit(Overload{
                          [](const ConvCall& c) { return std::string(c.kernel == 3 ? "conv3x3" : "conv1x1"); },
                          [](const GroupNormStatsCall&) { return std::string("group_norm_stats"); },
                          [](const GroupNormApplyCall& c) {
                              return std::string(c.activation == Activation::Silu   ? "group_norm_silu"
                                                 : c.activation == Activation::Relu ? "group_norm_relu"
                                                                                    : "group_norm");
                          },
                          [](const AttentionCall&) { return std::string("attention"); },
                          [](const TanhClampCall&) { return std::string("tanh_clamp"); },
                      },
                      call);
}

std::uint64_t flops(const KernelCall& call, const Program& program) {
    return std::visit(
        Overload{
            [&](const ConvCall& c) {
                return 2 * program.tensor(c.out).shape.elements() * program.tensor(c.in).shape.c * c.kernel * c.kernel;
            },
            // Two for the mean, three for the squared deviations of each element.
            [&](const GroupNormStatsCall& c) { return 5 * program.tensor(c.in).shape.elements(); },
            // Scale and shift; an activation counts as four.
            [&](const GroupNormApplyCall& c) {
                return (c.activation == Activation::None ? 2 : 6) * program.tensor(c.in).shape.elements();
            },
            // Two products of pixels × pixels × channels; the softmax counts as five an element of the scores.
            [&](const AttentionCall& c) {
                const Shape& q = program.tensor(c.q).shape;
                return q.n * q.pixels() * q.pixels() * (4 * q.c + 5);
            },
            [&](const TanhClampCall& c) { return 4 * program.tensor(c.in).shape.elements(); },
        },
        call);
}

} // namespace spikescope
