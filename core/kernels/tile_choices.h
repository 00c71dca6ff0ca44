#pragma once
// Which of its tiles a shader takes. A rule of the kernels decides unless a choice was made for such a call, by
// measuring (core/run/tuning.h). The tiles of a shader differ in time alone: not in what they read, what they write or
// how weights are to be packed for them, so choices may change between a plan and its run.

#include "core/gpu/shader_library.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

// What a call asked: tiles by name, those that it can take.
struct TileQuestion {
    std::string key, rule;
    std::vector<std::string> tiles;
};

class TileChoices {
public:
    // The one of `tiles` that was chosen for what `key()` says, if it `fits`; else the rule's.
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
    // A shader and its defines, extents that it takes as they are, and rows, which count by powers of two.
    static std::string keyOf(std::string_view shader, std::span<const Define> defines, std::uint64_t inner,
                             std::uint64_t columns, std::uint64_t rows);

    void set(const std::string& key, std::string tile) { m_chosen[key] = std::move(tile); }
    void forget(const std::string& key) { m_chosen.erase(key); }
    std::size_t size() const { return m_chosen.size(); }
    // Until nullptr is given, whatever is asked goes there too.
    void listen(std::vector<TileQuestion>* questions) { m_questions = questions; }

    std::string toJson() const;
    static Result<TileChoices> fromJson(std::string_view text);
    bool operator==(const TileChoices& other) const { return m_chosen == other.m_chosen; }

private:
    std::map<std::string, std::string> m_chosen; // tile by key
    std::vector<TileQuestion>* m_questions = nullptr;
};

} // namespace spikescope
