#include "app/models/picture_effect.h"

#include <algorithm>
#include <array>

namespace spikescope {

namespace {

struct Known {
    std::string_view control;
    ControlEffect effect;
};
using E = ControlEffect;
// All others move memory and leave values alone.
constexpr std::array known{
    Known{"model", E::Subject},         Known{"weights", E::Subject},         Known{"op", E::Subject},
    Known{"size", E::Subject},          Known{"batch", E::Subject},           Known{"device", E::Rounding},
    Known{"activations", E::Precision}, Known{"weights-dtype", E::Precision}, Known{"promote", E::Precision},
    Known{"apply", E::Stored},          Known{"conv", E::Rounding},           Known{"upsample", E::Rounding},
    Known{"norm", E::Rounding},         Known{"attention", E::Rounding},      Known{"tile", E::Tiles},
    Known{"overlap", E::Tiles},         Known{"tile-grid", E::Tiles},         Known{"blend", E::Tiles},
    Known{"tile-norm", E::Tiles},       Known{"tile-attention", E::Tiles},    Known{"spill", E::Tiles},
};

PictureEffect ofTiles(const Controls& from, const Controls& to) {
    if (isApproximate(to)) return PictureEffect::Approximate;
    if (isApproximate(from)) return PictureEffect::Exact;
    // What belongs to tiles does nothing without them.
    return from.isTiled() || to.isTiled() ? PictureEffect::Rounding : PictureEffect::Same;
}

} // namespace

ControlEffect effectOf(std::string_view control) {
    const auto found = std::ranges::find(known, control, &Known::control);
    return found == known.end() ? ControlEffect::None : found->effect;
}

bool isApproximate(const Controls& controls) { return controls.isTiled() && !controls.isExactlyTiled(); }

PictureEffect pictureEffect(const Controls& from, const Controls& to) {
    PictureEffect gravest = PictureEffect::Same;
    for (const ControlInfo& info : controlTable()) {
        if (info.get(from) == info.get(to)) continue;
        switch (effectOf(info.name)) {
        case E::None: break;
        case E::Rounding: gravest = std::max(gravest, PictureEffect::Rounding); break;
        case E::Precision: gravest = std::max(gravest, PictureEffect::Precision); break;
        case E::Stored:
            if (to.syntheticSeed()) gravest = std::max(gravest, PictureEffect::Precision);
            break;
        case E::Tiles: gravest = std::max(gravest, ofTiles(from, to)); break;
        case E::Subject: return PictureEffect::Other;
        }
    }
    return gravest;
}

QString shortText(PictureEffect effect) {
    switch (effect) {
    case PictureEffect::Same: return QStringLiteral("same");
    case PictureEffect::Rounding: return QStringLiteral("rounding");
    case PictureEffect::Precision: return QStringLiteral("precision");
    case PictureEffect::Exact: return QStringLiteral("exact");
    case PictureEffect::Approximate: return QStringLiteral("approximate");
    case PictureEffect::Other: return QStringLiteral("another");
    }
    return {};
}

QString longText(PictureEffect effect) {
    switch (effect) {
    case PictureEffect::Same: return QStringLiteral("the picture stays the same, to the last bit");
    case PictureEffect::Rounding:
        return QStringLiteral("the picture stays the same but for rounding: sums are taken in another order");
    case PictureEffect::Precision:
        return QStringLiteral("values have other dtypes: the picture changes a little everywhere");
    case PictureEffect::Exact: return QStringLiteral("tiles of their own are given up: the picture becomes exact");
    case PictureEffect::Approximate:
        return QStringLiteral("tiles are independent, norms and attention see one of them only: the picture changes, "
                              "most at their edges");
    case PictureEffect::Other: return QStringLiteral("another picture is made");
    }
    return {};
}

} // namespace spikescope
