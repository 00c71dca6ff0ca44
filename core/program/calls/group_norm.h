#pragma once
// GroupNorm: statistics, and their application.

#include "core/program/calls/call.h"

namespace spikescope {

// Statistics of each group, folded with gamma and beta into (scale, shift) for each channel of each image.
// partials: [n, slices, groups] of (count, mean, sum of squared deviations, 0) in fp32. coefficients: [n, c, 2] in
// fp32.
struct GroupNormStatsCall {
    TensorId in, gamma, beta, partials, coefficients;
    std::uint32_t groups = 32;
    std::uint64_t slices = 1;
    float eps = 1e-6f;
    // For an image in stripes: the moments of this stripe go to slot `slot` of totals [slots, groups, 4]; the last
    // stripe computes the coefficients.
    std::optional<TensorId> totals = std::nullopt;
    std::uint32_t slot = 0, slots = 1;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    std::uint64_t flops(const Program& program) const;
};
// out = activation(in * scale + shift); out may be in.
struct GroupNormApplyCall {
    TensorId in, coefficients, out;
    Activation activation = Activation::None;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    std::uint64_t flops(const Program& program) const;
};

// Scale and shift of each element; an activation counts as four.
std::uint64_t applyFlops(TensorId in, Activation activation, const Program& program);

} // namespace spikescope
