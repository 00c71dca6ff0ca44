#include "core/memory/arena_layout.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <algorithm>
#include <numeric>

namespace spikescope {

Result<ArenaLayout> layOutArena(std::span<const Lifetime> lifetimes, const HeapTraits& traits,
                                const EarlierOverlaps& earlier) {
    const std::uint64_t chunkLimit = traits.largestBlock / traits.granularity * traits.granularity;
    std::uint32_t lastEnd = 0;
    for (const Lifetime& life : lifetimes) lastEnd = std::max(lastEnd, life.end);

    std::vector<std::uint32_t> order(lifetimes.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) {
        const Lifetime &left = lifetimes[a], &right = lifetimes[b];
        const bool leftStays = left.end == lastEnd, rightStays = right.end == lastEnd;
        if (leftStays != rightStays) return leftStays;
        return left.bytes > right.bytes;
    });

    // Chunks lie one after the other in one address space; nothing straddles a border.
    struct Placed {
        std::uint64_t begin, end;
        std::uint32_t lifetime;
    };
    std::vector<Placed> placed; // ordered by begin up to `ordered`; the few that live long look at all of it
    std::size_t ordered = 0;
    const auto allPlaced = [&]() -> const std::vector<Placed>& {
        const auto fresh = placed.begin() + static_cast<std::ptrdiff_t>(ordered);
        if (placed.end() - fresh == 1) {
            std::rotate(std::ranges::upper_bound(placed.begin(), fresh, fresh->begin, {}, &Placed::begin), fresh,
                        placed.end());
        } else {
            std::ranges::stable_sort(fresh, placed.end(), {}, &Placed::begin);
            std::ranges::inplace_merge(placed, fresh, {}, &Placed::begin);
        }
        ordered = placed.size();
        return placed;
    };
    // The same, sorted by time: a short-lived tensor overlaps few others.
    constexpr std::uint64_t periods = 256;
    std::vector<std::vector<Placed>> placedIn(periods);
    const auto periodOf = [&](std::uint32_t time) { return time * periods / (std::uint64_t{lastEnd} + 1); };
    ArenaLayout layout;
    layout.spots.resize(lifetimes.size());
    for (const std::uint32_t index : order) {
        const Lifetime& life = lifetimes[index];
        if (life.begin == life.end) continue; // never alive
        if (life.bytes > chunkLimit)
            return fail(ErrorCode::OutOfDeviceMemory, "one tensor of {} is more than the device's largest block, {}",
                        formatBytes(life.bytes), formatBytes(traits.largestBlock));
        const std::uint64_t bytes = roundUp(std::max<std::uint64_t>(life.bytes, 1), traits.granularity);
        const auto fit = [&](std::uint64_t from) {
            const std::uint64_t chunkEnd = (from / chunkLimit + 1) * chunkLimit;
            return from + bytes <= chunkEnd ? from : chunkEnd;
        };
        const std::uint64_t firstPeriod = periodOf(life.begin), lastPeriod = periodOf(life.end - 1);
        const bool metEarlier = earlier.any(index);
        std::uint64_t begin = 0;
        for (const Placed& other : firstPeriod == lastPeriod && !metEarlier ? placedIn[firstPeriod] : allPlaced()) {
            const Lifetime& otherLife = lifetimes[other.lifetime];
            const bool apart = otherLife.end <= life.begin || life.end <= otherLife.begin;
            if (apart && !(metEarlier && earlier.overlapped(index, other.lifetime))) continue;
            if (begin + bytes <= other.begin) break;
            if (other.end > begin) begin = fit(other.end);
        }
        const Placed spot{.begin = begin, .end = begin + bytes, .lifetime = index};
        placed.push_back(spot);
        for (std::uint64_t period = firstPeriod; period <= lastPeriod; ++period) {
            std::vector<Placed>& list = placedIn[period];
            list.insert(std::ranges::upper_bound(list, begin, {}, &Placed::begin), spot);
        }
        const auto chunk = static_cast<std::uint32_t>(begin / chunkLimit);
        layout.spots[index] = {.chunk = chunk, .offset = begin % chunkLimit};
        if (layout.chunkBytes.size() <= chunk) layout.chunkBytes.resize(chunk + 1, 0);
        layout.chunkBytes[chunk] = std::max(layout.chunkBytes[chunk], begin % chunkLimit + bytes);
    }
    return layout;
}

} // namespace spikescope
