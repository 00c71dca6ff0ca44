#pragma once
// Calls that move elements: copies, transfers between device and host, blends of tiles.

#include "core/program/calls/call.h"

namespace spikescope {

// out = in, or in upsampled 2× by nearest neighbour.
struct CopyCall {
    TensorId in, out;
    bool upsample = false;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    OpKind op() const { return OpKind::Copy; }
    std::uint64_t flops(const Program& program) const;
};
// out = in, one of which is in host memory: a copy by the device without a kernel.
struct TransferCall {
    TensorId in, out;
    bool toHost = false;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    OpKind op() const { return toHost ? OpKind::ToHost : OpKind::ToDevice; }
    std::uint64_t flops(const Program& program) const;
    std::uint64_t traffic(const Program& program) const;
};
// band[(bandRow + y) % band rows][column + x] += in[y][x] rowWeights[y] columnWeights[x], fp32; from row `splitRow` on
// with the second row of columnWeights. The weights are [h] and [2, w]; these are their first elements in a constant.
struct BlendCall {
    TensorId in, weights, out;
    std::uint64_t rowWeights = 0, columnWeights = 0;
    std::uint64_t bandRow = 0, column = 0, splitRow = 0;

    std::vector<TensorId> reads() const;
    std::vector<TensorId> writes() const;
    std::string name() const;
    std::uint64_t flops(const Program& program) const;
    std::uint64_t traffic(const Program& program) const;
};

} // namespace spikescope
