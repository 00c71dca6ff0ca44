#include "app/models/tables.h"

#include "core/base/text.h"
#include "core/timeline/compare.h"

#include <fmt/format.h>

#include <limits>

namespace spikescope {

namespace {

constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

double number(std::uint64_t value) { return static_cast<double>(value); }

QString shapeOf(const RecordedTensor& tensor) {
    return QString::fromStdString(fmt::format("{}", fmt::join(tensor.shape, "×")));
}

QString countText(std::uint64_t count) {
    if (count == 0) return {};
    constexpr std::array units{"", " k", " M", " G", " T", " P"};
    double value = static_cast<double>(count);
    std::size_t unit = 0;
    while (value >= 1000.0 && unit + 1 < units.size()) {
        value /= 1000.0;
        ++unit;
    }
    return QStringLiteral("%1%2").arg(value, 0, 'f', unit ? 2 : 0).arg(QLatin1String(units[unit]));
}

QString differenceOrEqual(double from, double to) {
    if (std::isnan(from) || std::isnan(to)) return {};
    return differenceText(static_cast<std::int64_t>(to) - static_cast<std::int64_t>(from));
}

} // namespace

QString bytesText(std::uint64_t bytes) { return QString::fromStdString(formatBytes(bytes)); }

QString differenceText(std::int64_t bytes) {
    if (bytes == 0) return QStringLiteral("±0");
    const std::uint64_t size = bytes < 0 ? ~static_cast<std::uint64_t>(bytes) + 1 : static_cast<std::uint64_t>(bytes);
    return (bytes < 0 ? QStringLiteral("−") : QStringLiteral("+")) + bytesText(size);
}

QString textOf(std::string_view text) { return QString::fromStdString(printable(text)); }

QColor categoryColour(Category category) {
    switch (category) {
    case Category::Weights: return QColor(0x4f, 0x7c, 0xc4);
    case Category::Activation: return QColor(0x2a, 0xa1, 0x98);
    case Category::Workspace: return QColor(0xe8, 0x6a, 0x33);
    case Category::Image: return QColor(0x9a, 0x6b, 0xd1);
    case Category::Staging: return QColor(0x8d, 0x96, 0xa0);
    case Category::Resident: return QColor(0xd4, 0xa5, 0x1c);
    }
    return {};
}

std::vector<RowColumn<LayerRow>> layerColumns() {
    using R = LayerRow;
    return {
        {.title = "Layer",
         .tip = "Module path in the checkpoint; “weights” is the load phase, with a row for each kind of op",
         .text = [](const R& r) { return textOf(r.name); }},
        {.title = "Op", .tip = "The layer's op with most operations", .text = [](const R& r) { return textOf(r.op); }},
        {.title = "Type", .tip = "Element type of the output", .text = [](const R& r) { return textOf(r.dtype); }},
        {.title = "Time",
         .tip = "Device time in ms, from the first op's begin to the last one's end; empty in a plan",
         .text =
             [](const R& r) {
                 return r.endNs == 0
                            ? QString()
                            : QString::fromStdString(formatDuration(static_cast<double>(r.endNs - r.beginNs) / 1e6));
             },
         .number = [](const R& r) { return r.endNs == 0 ? nothing : static_cast<double>(r.endNs - r.beginNs) / 1e6; }},
        {.title = "Peak",
         .tip = "Largest allocated bytes while one of the layer's ops ran, whoever holds them",
         .text = [](const R& r) { return bytesText(r.peakBytes); },
         .number = [](const R& r) { return number(r.peakBytes); }},
        {.title = "Workspace",
         .tip = "Largest bytes of workspace while one of the layer's ops ran: columns, scores, copies",
         .text = [](const R& r) { return r.workspaceBytes ? bytesText(r.workspaceBytes) : QString(); },
         .number = [](const R& r) { return number(r.workspaceBytes); }},
        {.title = "Output",
         .tip = "Bytes of what the layer makes",
         .text = [](const R& r) { return bytesText(r.outputBytes); },
         .number = [](const R& r) { return number(r.outputBytes); }},
        {.title = "FLOP",
         .tip = "Multiplications and additions, counted apart",
         .text = [](const R& r) { return countText(r.flops); },
         .number = [](const R& r) { return number(r.flops); }},
    };
}

std::vector<RowColumn<AliveRow>> aliveColumns() {
    using R = AliveRow;
    return {
        {.title = "Tensor",
         .tip = "Its name; workspaces are named after what they hold",
         .text = [](const R& r) { return r.name; },
         .colour = [](const R& r) { return r.colour; }},
        {.title = "Bytes",
         .tip = "As allocated, before rounding by the allocator",
         .text = [](const R& r) { return bytesText(r.bytes); },
         .number = [](const R& r) { return number(r.bytes); }},
        {.title = "Share",
         .tip = "Of all that is allocated at this event, in %",
         .text =
             [](const R& r) {
                 return r.space.isEmpty() ? QStringLiteral("%1 %").arg(100.0 * r.share, 0, 'f', 1) : r.space;
             },
         .number = [](const R& r) { return r.space.isEmpty() ? 100.0 * r.share : nothing; }},
        {.title = "Category",
         .tip = "weights, activation, workspace (beside inputs and outputs), image, staging or resident (other models)",
         .text = [](const R& r) { return r.category; }},
        {.title = "Shape", .tip = "Elements along each dimension", .text = [](const R& r) { return r.shape; }},
        {.title = "Type", .tip = "Element type", .text = [](const R& r) { return r.dtype; }},
        {.title = "Layer", .tip = "The layer that made it", .text = [](const R& r) { return r.layer; }},
        {.title = "Made by",
         .tip = "The op before which it was allocated; of a snapshot the Python function",
         .text = [](const R& r) { return r.madeBy; }},
        {.title = "Since",
         .tip = "Index of the event that allocated it",
         .text = [](const R& r) { return QString::number(r.since); },
         .number = [](const R& r) { return static_cast<double>(r.since); }},
    };
}

std::vector<AliveRow> aliveRows(const Timeline& timeline, std::uint32_t event) {
    const Recording& recording = timeline.recording();
    std::vector<AliveRow> rows;
    if (event >= recording.events.size()) return rows;
    const auto all = static_cast<double>(timeline.allocated().value(event));
    for (const AliveTensor& alive : aliveAt(recording, event)) {
        const RecordedTensor& tensor = recording.tensors[alive.tensor];
        const std::uint32_t op = recording.events[alive.since].op;
        rows.push_back(
            {.name = textOf(tensor.name),
             .category = textOf(name(tensor.category)),
             .layer = textOf(layerName(recording, tensor.layer)),
             .madeBy = op < recording.ops.size() ? textOf(recording.ops[op].name) : QString(),
             .dtype = textOf(tensor.dtype),
             .shape = shapeOf(tensor),
             .colour = categoryColour(tensor.category),
             .bytes = alive.bytes,
             .share = all > 0.0 ? static_cast<double>(alive.bytes) / all : 0.0,
             .since = alive.since,
             .space = tensor.space == timeline.space() ? QString() : textOf(recording.spaces[tensor.space].name)});
    }
    return rows;
}

std::vector<RowColumn<AdviceRow>> adviceColumns() {
    using R = AdviceRow;
    const auto change = [](const R& r) {
        return static_cast<std::int64_t>(r.flip.allocated) - static_cast<std::int64_t>(r.allocatedNow);
    };
    const auto reservedChange = [](const R& r) {
        return static_cast<std::int64_t>(r.flip.reserved) - static_cast<std::int64_t>(r.reservedNow);
    };
    const auto slower = [](const R& r) { return r.flip.ms && r.msNow ? *r.flip.ms - *r.msNow : nothing; };
    return {
        {.title = "Change",
         .tip = "One control set to another value, all others as they are",
         .text = [](const R& r) { return textOf(r.flip.control + " " + r.flip.to); },
         .rowTip =
             [](const R& r) {
                 return QStringLiteral("%1: %2 → %3")
                     .arg(textOf(r.flip.control), textOf(r.flip.from), textOf(r.flip.to));
             },
         .link = true},
        {.title = "Peak change",
         .tip = "Change of the allocated peak",
         .text = [=](const R& r) { return differenceText(change(r)); },
         .number = [=](const R& r) { return static_cast<double>(change(r)); }},
        {.title = "Reserved change",
         .tip = "Change of the reserved peak: what is held from the driver",
         .text = [=](const R& r) { return differenceText(reservedChange(r)); },
         .number = [=](const R& r) { return static_cast<double>(reservedChange(r)); }},
        {.title = "Time change",
         .tip = "Change of the decode's time by the cost model, from rates measured on this device",
         .text =
             [=](const R& r) {
                 const double ms = slower(r);
                 if (std::isnan(ms)) return QString();
                 return (ms < 0 ? QStringLiteral("−") : QStringLiteral("+")) +
                        QString::fromStdString(formatDuration(std::abs(ms)));
             },
         .number = slower},
        {.title = "Picture",
         .tip =
             "What the change does to the picture: the same to the last bit, the same but for rounding, other dtypes, "
             "or approximate tiles",
         .text = [](const R& r) { return shortText(r.picture); },
         .rowTip = [](const R& r) { return longText(r.picture); }},
        {.title = "Peak",
         .tip = "The allocated peak with the change",
         .text = [](const R& r) { return bytesText(r.flip.allocated); },
         .number = [](const R& r) { return number(r.flip.allocated); }},
        {.title = "Fits",
         .tip = "Into the budget",
         .text = [](const R& r) { return r.flip.fits ? QStringLiteral("yes") : QStringLiteral("no"); }},
        {.title = "Peak at",
         .tip = "The layer of the allocated peak with the change",
         .text = [](const R& r) { return textOf(r.flip.layer); }},
    };
}

std::vector<AdviceRow> adviceRows(const Advice& advice, const Controls& of) {
    std::vector<AdviceRow> rows;
    for (const Flip& flip : advice.flips) {
        Controls changed = of;
        (void)setControl(changed, flip.control, flip.to); // advice was planned with it
        rows.push_back({.flip = flip,
                        .allocatedNow = advice.allocated,
                        .reservedNow = advice.reserved,
                        .msNow = advice.ms,
                        .picture = pictureEffect(of, changed)});
    }
    return rows;
}

std::vector<RowColumn<EventRow>> eventColumns() {
    using R = EventRow;
    const auto event = [](const R& r) -> const Event& { return r.timeline->recording().events[r.event]; };
    const auto tensor = [=](const R& r) -> const RecordedTensor* {
        const Event& e = event(r);
        const auto& tensors = r.timeline->recording().tensors;
        return e.tensor < tensors.size() ? &tensors[e.tensor] : nullptr;
    };
    const auto bytes = [](const QString& title, const QString& tip, auto value) {
        return RowColumn<R>{.title = title,
                            .tip = tip,
                            .text = [=](const R& r) { return bytesText(value(r)); },
                            .number = [=](const R& r) { return number(value(r)); }};
    };
    return {
        {.title = "#",
         .tip = "Index of the event",
         .text = [](const R& r) { return QString::number(r.event); },
         .number = [](const R& r) { return static_cast<double>(r.event); }},
        {.title = "Time",
         .tip = "Device time in ms since the first op; empty in a plan",
         .text =
             [=](const R& r) {
                 return r.timeline->timed()
                            ? QString::number(static_cast<double>(r.timeline->recording().timeNs(event(r))) / 1e6, 'f',
                                              3)
                            : QString();
             },
         .number =
             [=](const R& r) {
                 return r.timeline->timed() ? static_cast<double>(r.timeline->recording().timeNs(event(r))) / 1e6
                                            : nothing;
             }},
        {.title = "Event",
         .tip = "alloc and free are tensors; reserve and return are memory taken from and given back to the driver",
         .text = [=](const R& r) { return textOf(name(event(r).kind)); }},
        {.title = "Tensor",
         .tip = "The tensor that is allocated or freed",
         .text = [=](const R& r) { return tensor(r) ? textOf(tensor(r)->name) : QString(); },
         .colour = [=](const R& r) { return tensor(r) ? categoryColour(tensor(r)->category) : QColor(); }},
        bytes("Bytes", "Of the tensor or block", [=](const R& r) { return event(r).bytes; }),
        bytes("Allocated", "Bytes of live tensors on the device, after the event",
              [](const R& r) { return r.timeline->allocated().value(r.event); }),
        bytes("Reserved", "Bytes held from the driver, after the event",
              [](const R& r) { return r.timeline->reserved().value(r.event); }),
        bytes("Workspace", "Bytes that kernels need beside inputs and outputs, after the event",
              [](const R& r) { return r.timeline->recording().totalsAfter(r.event, r.timeline->space()).workspace; }),
        {.title = "Layer",
         .tip = "The layer that makes the tensor",
         .text =
             [=](const R& r) {
                 return tensor(r) ? textOf(layerName(r.timeline->recording(), tensor(r)->layer)) : QString();
             }},
        {.title = "Address",
         .tip = "Device address; a plan numbers from its own start",
         .text = [=](const R& r) { return QStringLiteral("0x") + QString::number(event(r).address, 16); }},
    };
}

std::vector<RowColumn<CompareRow>> compareColumns(const std::vector<QString>& labels) {
    using R = CompareRow;
    std::vector<RowColumn<R>> columns{
        {.title = "What",
         .tip = "Peaks, categories at the peak, controls that differ, layers",
         .text = [](const R& r) { return r.group; }},
        {.title = "Name", .tip = "Of the peak, category, control or layer", .text = [](const R& r) { return r.name; }}};
    for (std::size_t i = 0; i < labels.size(); ++i) {
        columns.push_back({.title = labels[i],
                           .tip = QStringLiteral("Peak bytes in %1").arg(labels[i]),
                           .text = [i](const R& r) { return r.texts[i]; },
                           .number = [i](const R& r) { return r.values[i]; }});
        if (i == 0) continue;
        columns.push_back({.title = QStringLiteral("Difference"),
                           .tip = QStringLiteral("%1 less %2").arg(labels[i], labels[0]),
                           .text = [i](const R& r) { return differenceOrEqual(r.values[0], r.values[i]); },
                           .number = [i](const R& r) { return r.values[i] - r.values[0]; }});
    }
    return columns;
}

std::vector<CompareRow> compareRows(const std::vector<std::pair<QString, TimelinePtr>>& runs) {
    std::vector<std::string> labels;
    std::vector<const Recording*> recordings;
    for (const auto& [label, timeline] : runs) {
        labels.push_back(label.toStdString());
        recordings.push_back(&timeline->recording());
    }
    const Comparison comparison = compare(labels, recordings);
    std::vector<CompareRow> rows;
    const auto addBytes = [&](const QString& group, const std::vector<ComparedBytes>& list) {
        for (const ComparedBytes& compared : list) {
            CompareRow& row =
                rows.emplace_back(CompareRow{.group = group, .name = textOf(compared.name), .texts = {}, .values = {}});
            for (const auto& bytes : compared.bytes) {
                row.texts.push_back(bytes ? bytesText(*bytes) : QStringLiteral("–"));
                row.values.push_back(bytes ? number(*bytes) : nothing);
            }
        }
    };
    addBytes("peak", comparison.peaks);
    addBytes("category", comparison.categories);
    for (const ComparedControl& compared : comparison.controls) {
        CompareRow& row =
            rows.emplace_back(CompareRow{.group = "control", .name = textOf(compared.name), .texts = {}, .values = {}});
        for (const auto& value : compared.values) {
            row.texts.push_back(value ? textOf(*value) : QStringLiteral("–"));
            row.values.push_back(nothing);
        }
    }
    addBytes("layer", comparison.layers);
    return rows;
}

} // namespace spikescope
