#pragma once
// The tiles or stripes that a picture was made of, as they lie in it. Plain maths: no widgets.

#include "app/engine/picture.h"
#include "core/memory/recording.h"

#include <QRect>

namespace spikescope {

struct TileLayout {
    struct Tile {
        std::uint32_t part = noIndex; // of the Recording
        QRect area;                   // pixels
    };
    std::vector<Tile> tiles;     // in the order of making
    std::vector<QRect> overlaps; // where more tiles meet than elsewhere; apart from each other
    TileEdges edges;

    bool empty() const { return tiles.empty(); }
    // The tile of a pixel whose middle is nearest to it, or, when that is `before`, the one whose middle is next: where
    // tiles overlap, asking again goes through all of them.
    std::uint32_t partAt(QPoint pixel, std::uint32_t before) const;
    const Tile* tileOf(std::uint32_t part) const; // null when it is none of these
};

// Of one picture of the batch; where the op ran more than once, of the last time.
TileLayout tileLayout(const Recording& recording, std::uint64_t picture);

} // namespace spikescope
