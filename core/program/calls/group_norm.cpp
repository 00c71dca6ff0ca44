#include "core/program/calls/group_norm.h"

#include "core/program/program.h"

namespace spikescope {

std::vector<TensorId> GroupNormStatsCall::reads() const { return {in, gamma, beta}; }

std::vector<TensorId> GroupNormStatsCall::writes() const {
    std::vector<TensorId> ids{partials};
    if (totals) ids.push_back(*totals);
    ids.push_back(coefficients);
    return ids;
}

std::string GroupNormStatsCall::name() const { return "group_norm_stats"; }

// Two for the mean, three for the squared deviation of each element.
std::uint64_t GroupNormStatsCall::flops(const Program& program) const {
    return 5 * program.tensor(in).shape.elements();
}

std::vector<TensorId> GroupNormApplyCall::reads() const { return {in, coefficients}; }
std::vector<TensorId> GroupNormApplyCall::writes() const { return {out}; }
std::string GroupNormApplyCall::name() const { return withActivation("group_norm", activation); }
std::uint64_t GroupNormApplyCall::flops(const Program& program) const { return applyFlops(in, activation, program); }

std::uint64_t applyFlops(TensorId in, Activation activation, const Program& program) {
    return (activation == Activation::None ? 2 : 6) * program.tensor(in).shape.elements();
}

} // namespace spikescope
