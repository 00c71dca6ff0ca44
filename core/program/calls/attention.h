#pragma once
// Attention of one head.

#include "core/program/calls/call.h"

namespace spikescope {

// For each image and each block of chunkRows queries: scores = q kᵀ scale, softmax by row, out = scores v.
// scores: [chunkRows, pixels rounded up to a multiple of four] in fp32. out may be q.
struct AttentionCall {
    TensorId q, k, v, scores, out;
    bool isLastUse = false; // no later call reads k and v: kernels may rearrange them in place
    std::uint64_t chunkRows = 0;
    float scale = 1.0f;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    OpKind op() const { return OpKind::Attention; }
    std::uint64_t flops(const Program& program) const;
    std::uint64_t traffic(const Program& program) const;
};

} // namespace spikescope
