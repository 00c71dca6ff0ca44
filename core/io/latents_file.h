#pragma once
// Latents in files as samplers, user interfaces and trainers write them: which tensor they are, and what was done to
// the values.

#include "core/model/family.h"
#include "core/tensors/tensor_file.h"

#include <span>

namespace spikescope {

struct LatentsFile {
    HostTensor tensor;
    bool scaled = true;             // as the family's pipelines hand them over; else what its decoder takes
    std::vector<std::string> notes; // what was decided for the user, a sentence each
};

// Without a key the tensor is chosen by the names that programs give it, else the file must hold one. `scaled` is what
// the values are where the file's layout does not say; false means the decoder's input whatever it says.
[[nodiscard]] Result<LatentsFile> readLatentsFile(const Family& family, const std::string& path,
                                                  const std::optional<std::string>& key, bool scaled);

// The tensor that is latents by its name, or nothing where no name is known. BadUsage when several are.
[[nodiscard]] Result<std::optional<std::string>> latentsByName(std::span<const TensorView> entries,
                                                               const std::string& fileName);

} // namespace spikescope
