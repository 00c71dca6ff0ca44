#pragma once
// Which of its tiles a shader uses for a call: the one that tuning (core/vulkan/tuning.h) measured to be the fastest,
// else the one that the rule of the kernels names. Tiles of a shader differ in time only: they read and write the same
// tensors and take the same packed weights, so choices may change between a plan and its run.

#include "core/gpu/shader_library.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

// A call that had to choose, and the names of the tiles that fit it.
struct TileQuestion {
    std::string key, rule;
    std::vector<std::string> tiles;
};

class TileChoices {
public:
    // The tile that was chosen for key(), if it fits; else the one at index `rule`.
    template <class Tile, std::size_t count, class Fits, class Key>
    const Tile& choose(const Tile (&tiles)[count], std::size_t rule, Fits fits, Key key) const {
        if (m_chosen.empty() && !m_questions) return tiles[rule];
        const std::string asked = key();
        if (m_questions) {
            TileQuestion question{asked, std::string(tiles[rule].name), {}};
            for (const Tile& tile : tiles)
                if (fits(tile)) question.tiles.emplace_back(tile.name);
            m_questions->push_back(std::move(question));
        }
        const auto chosen = m_chosen.find(asked);
        if (chosen == m_chosen.end()) return tiles[rule];
        const auto found =
            std::ranges::find_if(tiles, [&](const Tile& tile) { return tile.name == chosen->second && fits(tile); });
        return found == std::end(tiles) ? tiles[rule] : *found;
    }
    // Shader, defines and extents; rows only by their power of two, so that similar sizes share a choice.
    static std::string keyOf(std::string_view shader, std::span<const Define> defines, std::uint64_t inner,
                             std::uint64_t columns, std::uint64_t rows);

    void set(const std::string& key, std::string tile) { m_chosen[key] = std::move(tile); }
    void forget(const std::string& key) { m_chosen.erase(key); }
    std::size_t size() const { return m_chosen.size(); }
    // Appends every question to `questions`; nullptr ends that.
    void listen(std::vector<TileQuestion>* questions) { m_questions = questions; }

    std::string toJson() const;
    static Result<TileChoices> fromJson(std::string_view text);
    bool operator==(const TileChoices& other) const { return m_chosen == other.m_chosen; }

private:
    std::map<std::string, std::string> m_chosen; // tile by key
    std::vector<TileQuestion>* m_questions = nullptr;
};

} // namespace spikescope
