#include "app/models/chart_legend.h"

#include "app/models/configurations.h"
#include "app/models/tables.h"

#include <QFileInfo>

#include <algorithm>

namespace spikescope {

namespace {

std::array<bool, categoryCount> categoriesOf(const Timeline& timeline) {
    std::array<bool, categoryCount> present{};
    const Recording& recording = timeline.recording();
    for (const Event& event : recording.events)
        if (event.kind == EventKind::Alloc && event.space == timeline.space() && event.bytes > 0 &&
            event.tensor < recording.tensors.size())
            present[static_cast<std::size_t>(recording.tensors[event.tensor].category)] = true;
    return present;
}

// The controls that a Recording names; what other versions wrote and this one does not know is left out.
Controls controlsOf(const Recording& recording) {
    Controls controls;
    for (const auto& [control, value] : recording.controls)
        if (!value.empty()) (void)setControl(controls, control, value);
    return controls;
}

} // namespace

std::vector<LegendEntry> legendOf(const ChartScene& scene) {
    std::vector<LegendEntry> entries;
    if (!scene.shown.timeline) return entries;
    const auto present = categoriesOf(*scene.shown.timeline);
    for (std::size_t i = 0; i < categoryCount; ++i)
        if (const auto category = static_cast<Category>(i); present[i])
            entries.push_back({.kind = LegendEntry::Kind::Area, .category = category, .text = textOf(name(category))});
    const auto add = [&](LegendEntry::Kind kind, const QString& text, int run = 0) {
        entries.push_back({.kind = kind, .run = run, .text = text});
    };
    if (scene.shown.timeline->peak().reserved > 0) add(LegendEntry::Kind::Reserved, QStringLiteral("reserved"));
    if (scene.ghost)
        add(LegendEntry::Kind::Plan,
            scene.whole ? QStringLiteral("plan of this run") : QStringLiteral("plan of the controls"));
    if (scene.budget) add(LegendEntry::Kind::Budget, QStringLiteral("budget %1").arg(bytesText(*scene.budget)));
    for (const OverlayCurve& overlay : scene.overlays)
        add(LegendEntry::Kind::Overlay,
            QStringLiteral("%1, peak %2").arg(overlay.label, bytesText(overlay.curve.timeline->peak().allocated)),
            overlay.run);
    return entries;
}

QStringList configurationLines(const Recording& recording) {
    QString what = QStringLiteral("Plan");
    if (recording.kind == RecordingKind::Replay)
        what = QStringLiteral("Replay of a snapshot");
    else if (recording.kind == RecordingKind::Run)
        what = recording.device.name.empty() ? QStringLiteral("Run")
                                             : QStringLiteral("Run on %1, driver %2")
                                                   .arg(textOf(recording.device.name), textOf(recording.device.driver));
    if (recording.controls.empty()) return {what};
    const Controls controls = controlsOf(recording);
    QString subject = QStringLiteral("%1, %2 of %3×%4")
                          .arg(textOf(controls.model), QString::fromStdString(*controlValue(controls, "op")))
                          .arg(controls.width)
                          .arg(controls.height);
    if (!controls.syntheticSeed())
        subject +=
            QStringLiteral(", weights of %1").arg(QFileInfo(QString::fromStdString(controls.weights)).fileName());
    if (controls.batch > 1) subject += QStringLiteral(", batch %1").arg(controls.batch);
    if (controls.repeat > 1) subject += QStringLiteral(", %1 times").arg(controls.repeat);
    return {QStringLiteral("%1. %2").arg(subject, what), QStringLiteral("Controls: %1").arg(describe(controls))};
}

QStringList momentLines(const Timeline& timeline, std::uint32_t event) {
    if (event >= timeline.eventCount()) return {};
    const Recording& recording = timeline.recording();
    QStringList lines{QStringLiteral("%1 allocated").arg(bytesText(timeline.allocated().value(event)))};
    if (const std::uint32_t op = recording.events[event].op; op < recording.ops.size()) {
        lines << QStringLiteral("op %1 %2").arg(op).arg(textOf(recording.ops[op].name));
        if (const std::string_view layer = layerName(recording, recording.ops[op].layer); !layer.empty())
            lines << textOf(layer);
    }
    return lines;
}

} // namespace spikescope
