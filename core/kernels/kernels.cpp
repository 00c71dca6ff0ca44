#include "core/kernels/kernels.h"

#include "core/kernels/cpu_kernels.h"

namespace spikescope {

std::unique_ptr<Kernels> Kernels::create(const Device& device, ShaderLibrary& library, KernelChoice choice) {
    if (choice == KernelChoice::Best && device.report().cpuKernels)
        return std::make_unique<CpuKernels>(library, device.limits().maxTexelBufferElements);
    return std::make_unique<PortableKernels>(library);
}

} // namespace spikescope
