#pragma once
// Offsets for tensors whose lifetimes are known: two tensors share bytes only if they never live at the same time.
// Long-lived tensors first, then largest first into the lowest gap that fits, the usual greedy for this problem.

#include "core/base/error.h"
#include "core/memory/heap.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

namespace spikescope {

struct Lifetime {
    std::uint32_t begin = 0, end = 0; // alive in [begin, end), any common clock
    std::uint64_t bytes = 0;
};

// A tensor may be live several times (tiles reuse it). Lifetime holds the last interval only; this set holds the pairs
// of tensors whose earlier intervals overlapped.
class EarlierOverlaps {
public:
    void add(std::uint32_t a, std::uint32_t b) {
        if (!m_pairs.insert(key(a, b)).second) return;
        m_who.insert({a, b});
    }
    bool any(std::uint32_t who) const { return m_who.contains(who); }
    bool overlapped(std::uint32_t a, std::uint32_t b) const { return m_pairs.contains(key(a, b)); }

private:
    static std::uint64_t key(std::uint32_t a, std::uint32_t b) {
        return std::uint64_t{std::min(a, b)} << 32 | std::max(a, b);
    }

    std::unordered_set<std::uint64_t> m_pairs;
    std::unordered_set<std::uint32_t> m_who; // members of any pair
};

struct ArenaLayout {
    static constexpr std::uint32_t nowhere = 0xffffffffu; // the chunk of a tensor that is never alive
    struct Spot {
        std::uint32_t chunk = nowhere;
        std::uint64_t offset = 0; // in the chunk, a multiple of the granularity
    };
    std::vector<Spot> spots;               // by index into the lifetimes
    std::vector<std::uint64_t> chunkBytes; // one chunk, or more where a device limits the size of a block
};

// Fails with OutOfDeviceMemory when one tensor is larger than the largest block.
Result<ArenaLayout> layOutArena(std::span<const Lifetime> lifetimes, const HeapTraits& traits,
                                const EarlierOverlaps& earlier = {});

} // namespace spikescope
