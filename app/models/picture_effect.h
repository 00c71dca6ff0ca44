#pragma once
// What a change of controls does to the picture.

#include "core/program/controls.h"

#include <QString>

#include <string_view>

namespace spikescope {

enum class PictureEffect : std::uint8_t {
    Same,        // to the last bit: memory moves otherwise, values do not
    Rounding,    // sums in another order
    Precision,   // values in other dtypes
    Exact,       // approximate tiles are given up
    Approximate, // tiles of their own, whose norms and attention see one of them only
    Other,       // something else is run
};

// Of one control alone. Stored: parameters come as they are stored, which of synthetic ones is the weights' dtype.
// Tiles depend on each other: pictureEffect() judges them.
enum class ControlEffect : std::uint8_t { None, Rounding, Precision, Stored, Tiles, Subject };
ControlEffect effectOf(std::string_view control);

bool isApproximate(const Controls& controls);
// The gravest of all controls that differ.
PictureEffect pictureEffect(const Controls& from, const Controls& to);
QString shortText(PictureEffect effect); // "same", "rounding" …
QString longText(PictureEffect effect);  // a sentence

} // namespace spikescope
