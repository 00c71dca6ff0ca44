#pragma once
// Products and sums of sizes that come from outside: nothing instead of a wrapped number.

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>

namespace spikescope {

inline std::optional<std::uint64_t> checkedAdd(std::uint64_t a, std::uint64_t b) {
    if (a > std::numeric_limits<std::uint64_t>::max() - b) return std::nullopt;
    return a + b;
}

inline std::optional<std::uint64_t> checkedMultiply(std::uint64_t a, std::uint64_t b) {
    if (a != 0 && b > std::numeric_limits<std::uint64_t>::max() / a) return std::nullopt;
    return a * b;
}

template <std::unsigned_integral T> constexpr T divideUp(T value, T by) { return (value + by - 1) / by; }
template <std::unsigned_integral T> constexpr T roundUp(T value, T to) { return divideUp(value, to) * to; }

} // namespace spikescope
