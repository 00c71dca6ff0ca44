#pragma once
// The tables beside the timeline. Bytes are shown in MiB and GiB, and unrounded in CSV.

#include "app/models/picture_effect.h"
#include "app/models/rows_model.h"
#include "core/program/flips.h"
#include "core/timeline/alive.h"
#include "core/timeline/timeline.h"

namespace spikescope {

QString bytesText(std::uint64_t bytes);
// With a sign; "±0" for none.
QString differenceText(std::int64_t bytes);
QString textOf(std::string_view text); // UTF-8, control characters made visible

QColor categoryColour(Category category);

using LayersModel = RowsModel<LayerRow>;
std::vector<RowColumn<LayerRow>> layerColumns();
constexpr int layerTimeColumn = 3;

// Of the Recording that the rows come from.
struct AliveRow {
    QString name, category, layer, madeBy, dtype, shape;
    QColor colour;
    std::uint64_t bytes = 0;
    double share = 0.0; // of all that is alive, 0 to 1
    std::uint32_t since = 0;
    QString space; // its name, of what lies in another one than the timeline shows
};
using AliveModel = RowsModel<AliveRow>;
std::vector<RowColumn<AliveRow>> aliveColumns();
std::vector<AliveRow> aliveRows(const Timeline& timeline, std::uint32_t event);

struct AdviceRow {
    Flip flip;
    std::uint64_t allocatedNow = 0, reservedNow = 0;
    std::optional<double> msNow;
    PictureEffect picture = PictureEffect::Same;
};
using AdviceModel = RowsModel<AdviceRow>;
std::vector<RowColumn<AdviceRow>> adviceColumns();
constexpr int adviceTimeColumn = 3;
std::vector<AdviceRow> adviceRows(const Advice& advice, const Controls& of);

struct EventRow {
    const Timeline* timeline = nullptr; // lives as long as the model's owner says
    std::uint32_t event = 0;
};
using EventsModel = RowsModel<EventRow>;
std::vector<RowColumn<EventRow>> eventColumns();

struct CompareRow {
    QString group, name;
    std::vector<QString> texts; // one per Recording
    std::vector<double> values; // bytes; NaN where there is none or it is text
};
using CompareModel = RowsModel<CompareRow>;
std::vector<RowColumn<CompareRow>> compareColumns(const std::vector<QString>& labels);
// The first is what the others are measured against.
std::vector<CompareRow> compareRows(const std::vector<std::pair<QString, TimelinePtr>>& runs);

} // namespace spikescope
