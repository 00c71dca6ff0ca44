#pragma once
// Synthetic parameters and latents: a function of the seed, the tensor's diffusers name and the element's index alone,
// so that any program can make the same ones (a splitmix64 over a FNV-1a of the name).

#include <cstdint>
#include <span>
#include <string_view>

namespace spikescope {

class SyntheticTensor {
public:
    // dims as in the checkpoint; they decide the distribution together with the name.
    SyntheticTensor(std::string_view name, std::span<const std::uint64_t> dims, std::uint64_t seed);
    // Element `index` in row-major order, rounded once to float32.
    float operator[](std::uint64_t index) const;

private:
    std::uint64_t m_hash;
    double m_offset = 0.0, m_scale = 1.0;
};

// Latents as the decoder takes them: element `index` of an NCHW tensor, close to a normal distribution.
class SyntheticLatents {
public:
    explicit SyntheticLatents(std::uint64_t seed);
    float operator[](std::uint64_t index) const;

private:
    std::uint64_t m_hashes[4];
};

} // namespace spikescope
