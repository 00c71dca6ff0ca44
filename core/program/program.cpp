#include "core/program/program.h"

namespace spikescope {

std::vector<TensorId> reads(const KernelCall& call) {
    return std::visit([](const auto& c) { return c.reads(); }, call);
}
std::vector<TensorId> writes(const KernelCall& call) {
    return std::visit([](const auto& c) { return c.writes(); }, call);
}
TensorId output(const KernelCall& call) { return writes(call).back(); }
std::string kernelName(const KernelCall& call) {
    return std::visit([](const auto& c) { return c.name(); }, call);
}
OpKind opKind(const KernelCall& call) {
    return std::visit(
        [](const auto& c) {
            if constexpr (requires { c.op(); })
                return c.op();
            else
                return OpKind::Compute;
        },
        call);
}
std::uint64_t flops(const KernelCall& call, const Program& program) {
    return std::visit([&](const auto& c) { return c.flops(program); }, call);
}
std::uint64_t traffic(const KernelCall& call, const Program& program) {
    return std::visit(
        [&](const auto& c) {
            if constexpr (requires { c.traffic(program); })
                return c.traffic(program);
            else
                return tensorTraffic(c.reads(), c.writes(), program);
        },
        call);
}

} // namespace spikescope
