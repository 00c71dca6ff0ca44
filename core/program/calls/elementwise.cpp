#include "core/program/calls/elementwise.h"

#include "core/program/program.h"

namespace spikescope {

std::vector<TensorId> TanhClampCall::reads() const { return {in}; }
std::vector<TensorId> TanhClampCall::writes() const { return {out}; }
std::string TanhClampCall::name() const { return "tanh_clamp"; }
std::uint64_t TanhClampCall::flops(const Program& program) const { return 4 * program.tensor(in).shape.elements(); }
std::vector<TensorId> ActivationCall::reads() const { return {in}; }
std::vector<TensorId> ActivationCall::writes() const { return {out}; }
std::string ActivationCall::name() const { return withActivation("activation", activation); }
std::uint64_t ActivationCall::flops(const Program& program) const { return 4 * program.tensor(in).shape.elements(); }
} // namespace spikescope
