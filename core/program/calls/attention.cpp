#include "core/program/calls/attention.h"

#include "core/program/program.h"

namespace spikescope {

std::vector<TensorId> AttentionCall::reads() const { return {q, k, v}; }
std::vector<TensorId> AttentionCall::writes() const { return {scores, out}; }
std::string AttentionCall::name() const { return "attention"; }

// Two products of pixels × pixels × channels; the softmax counts as five for each element of the scores.
std::uint64_t AttentionCall::flops(const Program& program) const {
    const Shape& shape = program.tensor(q).shape;
    return shape.n * shape.pixels() * shape.pixels() * (4 * shape.c + 5);
}

std::uint64_t AttentionCall::traffic(const Program& program) const {
    const Shape& shape = program.tensor(q).shape;
    const std::uint64_t chunk = program.tensor(scores).bytes;
    // Scores are used in chunks of rows, and so as often as there are chunks.
    return tensorTraffic(reads(), writes(), program) + 2 * (chunk / chunkRows * shape.n * shape.pixels() - chunk);
}

} // namespace spikescope
