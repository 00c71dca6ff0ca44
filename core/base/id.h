#pragma once
// An index that cannot be mixed up with an index of another kind.

#include <compare>
#include <cstdint>
#include <limits>

namespace spikescope {

template <class Tag> struct Id {
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t index = none;

    constexpr bool valid() const { return index != none; }
    constexpr auto operator<=>(const Id&) const = default;
};

} // namespace spikescope
