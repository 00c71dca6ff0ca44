#include "core/kernels/kernels.h"

#include "core/kernels/coopmat_kernels.h"
#include "core/kernels/cpu_kernels.h"

namespace spikescope {

std::unique_ptr<Kernels> Kernels::create(Device& device, ShaderLibrary& library, KernelChoice choice) {
    if (choice == KernelChoice::Best && device.report().cpuKernels)
        return std::make_unique<CpuKernels>(library, device.limits().maxTexelBufferElements);
    if (choice == KernelChoice::Best && device.report().bf16Matrices) {
        const Result<bool> agree = CoopmatKernels::agree(device, library);
        if (agree && *agree) return std::make_unique<CoopmatKernels>(library);
        return std::make_unique<PortableKernels>(library, agree ? "portable: cooperative matrices answered wrongly"
                                                                : "portable: cooperative matrices did not run");
    }
    return std::make_unique<PortableKernels>(library);
}

} // namespace spikescope
