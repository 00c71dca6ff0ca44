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

// What was planned or run: a line with model, size and device, and one with the controls.
QStringList configurationLines(const Recording& recording);

// What an event is, for a readout beside the mouse: bytes, op, layer.
QStringList momentLines(const Timeline& timeline, std::uint32_t event);

} // namespace spikescope
