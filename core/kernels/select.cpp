// Which kernels a device gets.

#include "core/kernels/coopmat_kernels.h"
#include "core/kernels/cpu_kernels.h"
#include "core/kernels/self_check.h"

namespace spikescope {

std::unique_ptr<Kernels> Kernels::create(Device& device, ShaderLibrary& library, KernelChoice choice) {
    const DeviceReport& report = device.report();
    if (choice == KernelChoice::Best && report.cpuKernels)
        return std::make_unique<CpuKernels>(library, device.limits().maxTexelBufferElements);
    if (choice == KernelChoice::Portable || !(report.bf16Matrices || report.fp16Matrices))
        return std::make_unique<PortableKernels>(library);
    std::vector<DType> types;
    std::string refused;
    const auto check = [&](DType type, bool promised) {
        if (!promised) return;
        PortableKernels portable(library);
        CoopmatKernels matrices(library, {type});
        const Result<bool> same = agree(device, portable, matrices, type);
        if (same && *same)
            types.push_back(type);
        else
            refused +=
                fmt::format("; {} matrices {}", spikescope::name(type), same ? "answered wrongly" : "did not run");
    };
    check(DType::BF16, report.bf16Matrices);
    check(DType::F16, report.fp16Matrices);
    if (types.empty()) return std::make_unique<PortableKernels>(library, "portable" + refused);
    return std::make_unique<CoopmatKernels>(library, std::move(types), "cooperative matrices" + refused);
}

} // namespace spikescope
