#include "core/kernels/kernels.h"

#include "core/kernels/portable_kernels.h"

namespace spikescope {

std::unique_ptr<Kernels> Kernels::create(const Device&, ShaderLibrary& library, KernelChoice) {
    return std::make_unique<PortableKernels>(library);
}

} // namespace spikescope
