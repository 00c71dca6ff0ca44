#pragma once
// Finds the items of a list by their names. Sorted rather than hashed: a hostile file can choose names that collide.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

class NameIndex {
public:
    // Of items with a member `name`; one that two items have is the result. The list may move afterwards, but not
    // change.
    template <class Item> std::optional<std::string> build(const std::vector<Item>& items) {
        m_sorted.resize(items.size());
        std::iota(m_sorted.begin(), m_sorted.end(), 0u);
        const auto nameOf = [&](std::uint32_t index) -> const std::string& { return items[index].name; };
        std::ranges::sort(m_sorted, {}, nameOf);
        const auto twin = std::ranges::adjacent_find(m_sorted, {}, nameOf);
        return twin == m_sorted.end() ? std::nullopt : std::optional(nameOf(*twin));
    }
    // In the list that it was built of; null when there is none.
    template <class Item> const Item* find(const std::vector<Item>& items, std::string_view name) const {
        const auto nameOf = [&](std::uint32_t index) -> std::string_view { return items[index].name; };
        const auto place = std::ranges::lower_bound(m_sorted, name, {}, nameOf);
        return place != m_sorted.end() && nameOf(*place) == name ? &items[*place] : nullptr;
    }

private:
    std::vector<std::uint32_t> m_sorted; // indices, by name
};

} // namespace spikescope
