#include "core/timeline/pyramid.h"

#include <algorithm>
#include <utility>

namespace spikescope {

Pyramid::Pyramid(std::vector<std::uint64_t> values)
    : m_values(std::move(values)) {
    for (std::size_t below = m_values.size(); below > fanOut; below = m_levels.back().size()) {
        std::vector<Extremes> level((below + fanOut - 1) / fanOut);
        for (std::size_t i = 0; i < level.size(); ++i) {
            const std::size_t first = i * fanOut, last = std::min(first + fanOut, below);
            const auto at = [&](std::size_t j) {
                const auto index = static_cast<std::uint32_t>(j);
                return m_levels.empty() ? Extremes{index, index} : m_levels.back()[j];
            };
            level[i] = at(first);
            for (std::size_t j = first + 1; j < last; ++j) consider(level[i], at(j));
        }
        m_levels.push_back(std::move(level));
    }
}

void Pyramid::consider(Extremes& found, Extremes other) const {
    if (m_values[other.least] < m_values[found.least]) found.least = other.least;
    if (m_values[other.most] > m_values[found.most]) found.most = other.most;
}

Extremes Pyramid::extremes(std::size_t first, std::size_t last) const {
    Extremes found{static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(first)};
    // Ascends while whole nodes of the next level fit in, then descends, from left to right.
    for (std::size_t i = first; i < last;) {
        std::size_t level = 0, width = 1;
        while (level < m_levels.size() && i % (width * fanOut) == 0 && i + width * fanOut <= last) {
            width *= fanOut;
            ++level;
        }
        const auto index = static_cast<std::uint32_t>(i);
        consider(found, level == 0 ? Extremes{index, index} : m_levels[level - 1][i / width]);
        i += width;
    }
    return found;
}

} // namespace spikescope
