#pragma once
// Input of a decode or an encode: latents as pipelines hand them over or as the decoder takes them, or an image. It is
// read in the device's order (NHWC), a range of elements at a time.

#include "core/io/picture.h"
#include "core/model/family.h"
#include "core/model/parameters.h"
#include "core/tensors/tensor_file.h"

#include <functional>
#include <span>

namespace spikescope {

struct Input {
    std::uint64_t width = 0, height = 0, batch = 1; // pixels of the image that it is or becomes
    // Writes elements [begin, begin + out.size()) of the NHWC tensor.
    std::function<void(std::uint64_t begin, std::span<float> out)> read;
};

// Maps of 3 to 5 dimensions with one frame, channels first or, where only that fits, last; or tokens packed 2×2, whose
// picture has `size` pixels. Scaled latents become latents / scaling + shift; flux2's are packed and take their running
// statistics from `parameters`. BadInput for a shape that is not the family's, BadUsage for a size of tokens that is
// missing (zero) or does not fit.
Result<Input> latentsInput(const Family& family, HostTensor latents, bool scaled, const Parameters& parameters,
                           const std::string& fileName, Sides size = {});
Result<Input> syntheticLatents(const Family& family, std::uint64_t width, std::uint64_t height, std::uint64_t batch,
                               std::uint64_t seed);
// Of the same layouts with three channels, values as the encoder takes them.
Result<Input> imageInput(HostTensor image, const std::string& fileName);
// KL families see [-1, 1], tiny ones [0, 1].
Input pictureInput(const Family& family, Picture picture);

// Weights (beyond the graph's) that latentsInput reads for this family.
std::vector<Weight> latentStatistics(const Family& family);

} // namespace spikescope
