#include "core/program/calls/copies.h"

#include "core/program/program.h"

namespace spikescope {

std::vector<TensorId> CopyCall::reads() const { return {in}; }
std::vector<TensorId> CopyCall::writes() const { return {out}; }
std::string CopyCall::name() const { return upsample ? "upsample" : "copy"; }
std::uint64_t CopyCall::flops(const Program&) const { return 0; }

std::vector<TensorId> TransferCall::reads() const { return {in}; }
std::vector<TensorId> TransferCall::writes() const { return {out}; }
std::string TransferCall::name() const { return toHost ? "to_host" : "to_device"; }
std::uint64_t TransferCall::flops(const Program&) const { return 0; }
std::uint64_t TransferCall::traffic(const Program& program) const { return program.tensor(in).bytes; }

std::vector<TensorId> BlendCall::reads() const { return {in, weights}; }
std::vector<TensorId> BlendCall::writes() const { return {out}; }
std::string BlendCall::name() const { return "blend"; }
std::uint64_t BlendCall::flops(const Program& program) const { return 3 * program.tensor(in).shape.elements(); }
// It reads and writes as much of the band as the tile has.
std::uint64_t BlendCall::traffic(const Program& program) const { return 3 * program.tensor(in).bytes; }

} // namespace spikescope
