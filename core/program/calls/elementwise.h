#pragma once
// Calls that map each element to one.

#include "core/program/calls/call.h"

namespace spikescope {

struct TanhClampCall {
    TensorId in, out;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    std::uint64_t flops(const Program& program) const;
};
// out = activation(in); out may be in.
struct ActivationCall {
    TensorId in, out;
    Activation activation = Activation::Silu;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    std::uint64_t flops(const Program& program) const;
};

} // namespace spikescope
