#pragma once
// Arithmetic that must not wrap. checkedAdd() and checkedMultiply() are for sizes that come from outside: nothing
// instead of a wrapped number. narrow() is for sizes that were checked before: a value that does not fit is a defect of
// ours.

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

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

// Says the value and the place, and ends the program.
[[noreturn]] void endAtNarrowing(bool negative, std::uint64_t magnitude, int bits, bool isSigned, const char* file,
                                 unsigned line);

// The same value in a smaller type, in release builds too: a wrapped size would be a wrong picture.
template <std::integral To, std::integral From>
constexpr To narrow(From value, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    if (!std::in_range<To>(value)) [[unlikely]] {
        const bool negative = std::cmp_less(value, 0);
        const auto bits = static_cast<std::uint64_t>(value);
        endAtNarrowing(negative, negative ? std::uint64_t{0} - bits : bits, 8 * int{sizeof(To)}, std::is_signed_v<To>,
                       file, line);
    }
    return static_cast<To>(value);
}

} // namespace spikescope
