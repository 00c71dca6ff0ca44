#pragma once
// Where a long row of values is smallest and largest between two places, without looking at all of them.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace spikescope {

// Indices of extremes; of equal values the first.
struct Extremes {
    std::uint32_t least = 0, most = 0;
};

class Pyramid {
public:
    Pyramid() = default;
    // Keeps the values; fewer than 2^32.
    explicit Pyramid(std::vector<std::uint64_t> values);

    std::size_t size() const { return m_values.size(); }
    std::uint64_t value(std::size_t index) const { return m_values[index]; }
    // Of [first, last), which must not be empty. Looks at O(fanOut · log size) values.
    Extremes extremes(std::size_t first, std::size_t last) const;

private:
    static constexpr std::size_t fanOut = 16;

    void consider(Extremes& found, Extremes other) const;

    std::vector<std::uint64_t> m_values;
    // Level l has the extremes of each fanOut^(l+1) values.
    std::vector<std::vector<Extremes>> m_levels;
};

} // namespace spikescope
