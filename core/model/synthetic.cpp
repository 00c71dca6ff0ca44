#include "core/model/synthetic.h"

#include <cmath>
#include <string>

namespace spikescope {

namespace {

constexpr std::uint64_t golden = 0x9E3779B97F4A7C15u;

std::uint64_t hashOf(std::string_view name, std::uint64_t seed) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return hash ^ (seed * golden);
}

// Uniform in [-1, 1), 24 bits.
double uniform(std::uint64_t hash, std::uint64_t index) {
    std::uint64_t z = hash + (index + 1) * golden;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return static_cast<double>(z >> 40) * 0x1p-23 - 1.0;
}

} // namespace

SyntheticTensor::SyntheticTensor(std::string_view name, std::span<const std::uint64_t> dims, std::uint64_t seed)
    : m_hash(hashOf(name, seed)) {
    if (name.ends_with("gamma")) {
        m_offset = 1.0;
        m_scale = 0.1;
    } else if (dims.size() >= 2) {
        double fanIn = 1.0;
        for (const std::uint64_t dim : dims.subspan(1)) fanIn *= static_cast<double>(dim);
        m_scale = std::sqrt(3.0 / fanIn);
    } else if (name.ends_with("running_mean")) {
        m_scale = 0.1;
    } else if (name.ends_with("running_var")) {
        m_offset = 1.0;
        m_scale = 0.5;
    } else if (name.ends_with("weight")) {
        m_offset = 1.0;
        m_scale = 0.1;
    } else {
        m_scale = name.find("norm") != std::string_view::npos ? 0.1 : 0.02;
    }
}

float SyntheticTensor::operator[](std::uint64_t index) const {
    return static_cast<float>(m_offset + m_scale * uniform(m_hash, index));
}

SyntheticLatents::SyntheticLatents(std::uint64_t seed) {
    for (int j = 0; j < 4; ++j) m_hashes[j] = hashOf("latents#" + std::to_string(j), seed);
}

float SyntheticLatents::operator[](std::uint64_t index) const {
    double sum = 0.0;
    for (const std::uint64_t hash : m_hashes) sum += uniform(hash, index);
    return static_cast<float>(sum * std::sqrt(0.75));
}

} // namespace spikescope
