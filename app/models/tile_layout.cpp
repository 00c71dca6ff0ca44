#include "app/models/tile_layout.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

namespace spikescope {

namespace {

constexpr std::size_t mostCells = std::size_t{1} << 22; // a report may say anything

// Where tiles begin and end, ascending.
struct Places {
    std::vector<int> x, y;
};
Places placesOf(const std::vector<TileLayout::Tile>& tiles) {
    Places places;
    for (const auto& [part, area] : tiles) {
        places.x.insert(places.x.end(), {area.x(), area.x() + area.width()});
        places.y.insert(places.y.end(), {area.y(), area.y() + area.height()});
    }
    for (std::vector<int>* axis : {&places.x, &places.y}) {
        std::ranges::sort(*axis);
        axis->erase(std::unique(axis->begin(), axis->end()), axis->end());
    }
    return places;
}
std::size_t placeOf(const std::vector<int>& places, int at) {
    return static_cast<std::size_t>(std::ranges::lower_bound(places, at) - places.begin());
}

// Between all begins and ends lie cells that a tile has whole or not at all.
std::vector<QRect> overlapsOf(const std::vector<TileLayout::Tile>& tiles, const Places& places) {
    const auto& [xs, ys] = places;
    const std::size_t columns = xs.size();
    if (columns * ys.size() > mostCells) return {};
    // How many tiles have a cell, first as differences to its neighbours.
    std::vector<int> count(columns * ys.size(), 0);
    for (const auto& [part, area] : tiles) {
        const std::size_t left = placeOf(xs, area.x()), right = placeOf(xs, area.x() + area.width()),
                          top = placeOf(ys, area.y()), bottom = placeOf(ys, area.y() + area.height());
        ++count[top * columns + left];
        --count[top * columns + right];
        --count[bottom * columns + left];
        ++count[bottom * columns + right];
    }
    for (std::size_t i = 1; i < count.size(); ++i)
        if (i % columns) count[i] += count[i - 1];
    for (std::size_t i = columns; i < count.size(); ++i) count[i] += count[i - columns];
    int least = std::numeric_limits<int>::max(); // passes over the whole picture overlap everywhere
    for (std::size_t y = 0; y + 1 < ys.size(); ++y)
        for (std::size_t x = 0; x + 1 < columns; ++x) least = std::min(least, count[y * columns + x]);
    std::vector<QRect> overlaps;
    for (std::size_t y = 0; y + 1 < ys.size(); ++y)
        for (std::size_t x = 0; x + 1 < columns;) {
            std::size_t end = x;
            while (end + 1 < columns && count[y * columns + end] > least) ++end;
            if (end > x) overlaps.push_back(QRect(QPoint(xs[x], ys[y]), QSize(xs[end] - xs[x], ys[y + 1] - ys[y])));
            x = std::max(end, x + 1);
        }
    return overlaps;
}

std::vector<std::uint64_t> innerOf(const std::vector<int>& places) {
    std::vector<std::uint64_t> inner; // without the picture's own edges
    for (std::size_t i = 1; i + 1 < places.size(); ++i) inner.push_back(static_cast<std::uint64_t>(places[i]));
    return inner;
}

} // namespace

TileLayout tileLayout(const Recording& recording, std::uint64_t picture) {
    TileLayout layout;
    std::set<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>> known;
    for (std::size_t i = recording.tiles.size(); i-- > 0;) {
        const OutputArea& area = recording.tiles[i].area;
        if (area.frame != picture || area.width == 0 || area.height == 0) continue;
        if (!known.emplace(area.x, area.y, area.width, area.height).second) continue;
        layout.tiles.push_back({.part = static_cast<std::uint32_t>(i),
                                .area = QRect(static_cast<int>(area.x), static_cast<int>(area.y),
                                              static_cast<int>(area.width), static_cast<int>(area.height))});
    }
    std::ranges::reverse(layout.tiles);
    if (layout.empty()) return layout;
    const Places places = placesOf(layout.tiles);
    layout.edges = {.x = innerOf(places.x), .y = innerOf(places.y)};
    layout.overlaps = overlapsOf(layout.tiles, places);
    return layout;
}

std::uint32_t TileLayout::partAt(QPoint pixel, std::uint32_t before) const {
    std::vector<std::pair<std::int64_t, std::uint32_t>> found; // by distance of the middles, doubled
    for (const auto& [part, area] : tiles) {
        if (!area.contains(pixel)) continue;
        const std::int64_t x = 2 * (pixel.x() - area.x()) - area.width(),
                           y = 2 * (pixel.y() - area.y()) - area.height();
        found.emplace_back(x * x + y * y, part);
    }
    if (found.empty()) return noIndex;
    std::ranges::sort(found);
    const auto last = std::ranges::find(found, before, &std::pair<std::int64_t, std::uint32_t>::second);
    return last == found.end() || last + 1 == found.end() ? found.front().second : (last + 1)->second;
}

const TileLayout::Tile* TileLayout::tileOf(std::uint32_t part) const {
    const auto found = std::ranges::lower_bound(tiles, part, {}, &Tile::part);
    return found != tiles.end() && found->part == part ? &*found : nullptr;
}

} // namespace spikescope
