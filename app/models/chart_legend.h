#pragma once
// What the colours and lines of the timeline stand for, and what it is a timeline of.

#include "app/models/chart_scene.h"

#include <QStringList>

namespace spikescope {

struct LegendEntry {
    enum class Kind : std::uint8_t { Area, Reserved, Plan, Budget, Overlay };
    Kind kind = Kind::Area;
    Category category = Category::Weights; // of an area
    int run = 0;                           // of an overlay
    QString text;
};
// Categories that the shown Recording ever holds, from below upwards, then the lines.
std::vector<LegendEntry> legendOf(const ChartScene& scene);

// What was planned or run, in a line each: model, size and device; then the preset, or each control that differs from
// its default.
QStringList configurationLines(const Recording& recording);

// What an event is, for a readout beside the mouse: bytes, op, layer.
QStringList momentLines(const Timeline& timeline, std::uint32_t event);

} // namespace spikescope
