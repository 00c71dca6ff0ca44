// The part of the workspace that is about looking: axis, zoom, cursor, selection, markers, and what is said of them.

#include "app/models/workspace.h"

#include <QUndoCommand>

#include <algorithm>

namespace spikescope {

namespace {

constexpr int viewCommandId = 1;
constexpr qint64 oneGestureMs = 700;

} // namespace

class ViewCommand final : public QUndoCommand {
public:
    ViewCommand(Workspace& workspace, Range view)
        : QUndoCommand(QStringLiteral("zoom"))
        , m_workspace(workspace)
        , m_before(workspace.m_view)
        , m_after(view) {
        m_age.start();
    }
    int id() const override { return viewCommandId; }
    bool mergeWith(const QUndoCommand* other) override {
        const auto* next = static_cast<const ViewCommand*>(other);
        if (m_age.elapsed() > oneGestureMs) return false;
        m_after = next->m_after;
        m_age.restart();
        return true;
    }
    void undo() override { go(m_before); }
    void redo() override { go(m_after); }

private:
    void go(Range view) {
        m_workspace.m_view = fitted(view, m_workspace.m_scene.all);
        m_workspace.m_fit = m_workspace.m_view == m_workspace.m_scene.all;
        Q_EMIT m_workspace.viewChanged();
    }

    Workspace& m_workspace;
    Range m_before, m_after;
    QElapsedTimer m_age;
};

class MarkersCommand final : public QUndoCommand {
public:
    MarkersCommand(Workspace& workspace, std::vector<ChartMarker> after, const QString& text)
        : QUndoCommand(text)
        , m_workspace(workspace)
        , m_before(workspace.m_markers)
        , m_after(std::move(after)) {}
    void undo() override { m_workspace.setMarkers(m_before); }
    void redo() override { m_workspace.setMarkers(m_after); }

private:
    Workspace& m_workspace;
    std::vector<ChartMarker> m_before, m_after;
};

void Workspace::rebuildScene(bool newShown) {
    SceneParts parts{.overlaysByLayer = m_overlaysByLayer,
                     .shown = {},
                     .shownLabel = {},
                     .whole = {},
                     .ghost = {},
                     .overlays = {},
                     .budget = m_controls.budgetBytes};
    const RunEntry* entry = m_runs.find(m_shownRun);
    if (m_live) {
        parts.shown = m_live;
        parts.shownLabel = QStringLiteral("running");
        parts.whole = m_runPlan;
    } else if (entry) {
        parts.shown = entry->timeline;
        parts.shownLabel = entry->label;
    } else {
        parts.shown = m_plan;
        parts.shownLabel = QStringLiteral("plan");
    }
    if (!parts.shown) return;
    const bool replay = parts.shown->recording().kind == RecordingKind::Replay;
    if (m_live && m_runPlan)
        parts.ghost = m_runPlan;
    else if (parts.shown != m_plan && m_plan && !replay)
        parts.ghost = m_plan;
    if (parts.shown == m_plan && m_planBefore)
        parts.overlays.push_back(
            {.run = 0, .label = QStringLiteral("before %1").arg(m_lastFlip), .timeline = m_planBefore});
    for (const RunEntry& other : m_runs.entries())
        if (other.ticked && other.timeline != parts.shown)
            parts.overlays.push_back({.run = other.id, .label = other.label, .timeline = other.timeline});
    if (!m_axisChosen) m_axis = parts.shown->timed() ? AxisKind::Time : replay ? AxisKind::Ops : AxisKind::Layers;
    parts.axis = m_axis;
    const AxisKind axisBefore = m_scene.axis;
    m_scene = makeScene(parts);
    if (newShown || axisBefore != m_scene.axis) {
        m_fit = true;
        m_selection.reset();
        m_part = noIndex;
        m_rangeAnchor = noIndex;
        m_cursorAtPeak = true;
    }
    m_view = m_fit ? m_scene.all : fitted(m_view, m_scene.all);
    if (m_cursorAtPeak || m_cursor >= m_scene.shown.events.size()) m_cursor = m_scene.shown.timeline->peak().eventIndex;
    Q_EMIT sceneChanged();
    Q_EMIT viewChanged();
    Q_EMIT cursorChanged();
    if (newShown) Q_EMIT selectionChanged();
}

void Workspace::setAxis(AxisKind axis) {
    m_axisChosen = true;
    m_axis = axis;
    rebuildScene(false);
}

void Workspace::setOverlaysByLayer(bool byLayer) {
    if (m_overlaysByLayer == byLayer) return;
    m_overlaysByLayer = byLayer;
    rebuildScene(false);
}

void Workspace::setView(Range view) {
    const Range wanted = fitted(view, m_scene.all);
    if (!(wanted == m_view)) m_undo.push(new ViewCommand(*this, wanted));
}

void Workspace::fit() { setView(m_scene.all); }

void Workspace::setCursor(std::uint32_t event) {
    const TimelinePtr timeline = shown();
    if (!timeline || event >= timeline->eventCount() || (event == m_cursor && !m_cursorAtPeak)) return;
    m_cursorAtPeak = event == timeline->peak().eventIndex;
    m_cursor = event;
    m_part = noIndex;
    m_rangeAnchor = noIndex;
    Q_EMIT cursorChanged();
}

void Workspace::stepCursor(bool forward) {
    if (!shown() || m_scene.shown.events.empty()) return;
    setCursor(neighbour(m_scene.shown, m_cursor, forward));
    const Range moved = showing(m_view, m_scene.all, m_scene.shown.events[m_cursor]);
    if (!(moved == m_view)) setView(moved);
}

void Workspace::extendSelection(bool forward, bool toEnd) {
    const std::vector<double>& places = m_scene.shown.events;
    if (!shown() || m_cursor >= places.size()) return;
    const std::uint32_t anchor = m_rangeAnchor < places.size() ? m_rangeAnchor : m_cursor;
    // Several events share a place: a step is one that is seen.
    const auto last = static_cast<std::uint32_t>(places.size() - 1);
    std::uint32_t to = toEnd ? (forward ? last : 0) : neighbour(m_scene.shown, m_cursor, forward);
    while (to != 0 && to != last && places[to] == places[m_cursor]) to = neighbour(m_scene.shown, to, forward);
    setCursor(to);
    m_rangeAnchor = anchor;
    const Range moved = showing(m_view, m_scene.all, places[to]);
    if (!(moved == m_view)) setView(moved);
    setSelection(Range{std::min(places[anchor], places[to]), std::max(places[anchor], places[to])});
}

void Workspace::jumpToPeak() {
    const TimelinePtr timeline = shown();
    if (!timeline || timeline->peak().eventIndex == noIndex) return;
    m_cursorAtPeak = true;
    m_cursor = timeline->peak().eventIndex;
    m_part = noIndex;
    m_rangeAnchor = noIndex;
    const Range moved = showing(m_view, m_scene.all, m_scene.shown.events[m_cursor]);
    if (!(moved == m_view)) setView(moved);
    Q_EMIT cursorChanged();
}

void Workspace::setSelection(std::optional<Range> selection) {
    if (!selection) m_rangeAnchor = noIndex;
    if (selection == m_selection) return;
    m_selection = selection;
    m_part = noIndex;
    Q_EMIT selectionChanged();
}

void Workspace::selectPart(int run, std::uint32_t part) {
    if (m_live ? run != 0 : !m_runs.find(run)) return;
    if (!m_live) show(run);
    const TimelinePtr timeline = shown();
    if (!timeline || part >= timeline->recording().tiles.size()) return;
    const Recording& recording = timeline->recording();
    const auto [area, firstOp, lastOp] = recording.tiles[part];
    m_part = part;
    m_rangeAnchor = noIndex;
    m_selection = Range{m_scene.shown.opBegins[firstOp], m_scene.shown.opEnds[lastOp]};
    const auto& events = recording.events;
    // Parts beside each other have the same ops.
    const auto ofPart = [&recording, firstOp = firstOp](const Event& event) {
        const std::uint32_t found = recording.tileOf(event);
        return found != noIndex && recording.tiles[found].firstOp == firstOp;
    };
    // What is given back by the op before stands at the same boundary, in front.
    const auto first = std::find_if(std::ranges::lower_bound(events, firstOp, {}, &Event::op), events.end(), ofPart),
               last = std::find_if_not(first, events.end(), ofPart);
    if (first != last) { // a part that works in place has no events
        m_cursor = timeline->allocated()
                       .extremes(static_cast<std::size_t>(first - events.begin()),
                                 static_cast<std::size_t>(last - events.begin()))
                       .most;
        m_cursorAtPeak = m_cursor == timeline->peak().eventIndex;
    }
    const Range moved = showing(m_view, m_scene.all, m_selection->begin);
    if (!(moved == m_view)) setView(moved);
    Q_EMIT selectionChanged();
    Q_EMIT cursorChanged();
}

std::uint32_t Workspace::part() const {
    const TimelinePtr timeline = shown();
    if (m_part != noIndex || !timeline || m_cursor >= timeline->eventCount()) return m_part;
    return timeline->recording().tileOf(timeline->recording().events[m_cursor]);
}

void Workspace::toggleMarker() {
    if (!shown() || m_cursor == noIndex) return;
    std::vector<ChartMarker> after = m_markers;
    const auto there = std::ranges::find(after, m_cursor, &ChartMarker::event);
    const bool gone = there != after.end();
    if (gone) {
        after.erase(there);
    } else {
        int number = 1;
        while (std::ranges::find(after, QString::number(number), &ChartMarker::text) != after.end()) ++number;
        after.push_back({.event = m_cursor, .text = QString::number(number)});
    }
    m_undo.push(
        new MarkersCommand(*this, std::move(after), gone ? QStringLiteral("remove marker") : QStringLiteral("marker")));
}

void Workspace::renameMarker(std::uint32_t event, const QString& text) {
    std::vector<ChartMarker> after = m_markers;
    const auto there = std::ranges::find(after, event, &ChartMarker::event);
    if (there == after.end()) return;
    there->text = text;
    m_undo.push(new MarkersCommand(*this, std::move(after), QStringLiteral("name marker")));
}

void Workspace::setMarkers(std::vector<ChartMarker> markers) {
    m_markers = std::move(markers);
    Q_EMIT markersChanged();
}

QString Workspace::explanation() const {
    const TimelinePtr timeline = shown();
    if (!timeline || m_cursor >= timeline->eventCount()) return {};
    const bool atPeak = m_cursor == timeline->peak().eventIndex;
    QString text = textOf(describeMoment(timeline->recording(), m_cursor, timeline->space()));
    if (!atPeak) return text;
    text.prepend(m_live ? QStringLiteral("The peak so far. ") : QStringLiteral("The peak. "));
    if (m_live) return text;
    const bool ofPlan = m_plan && timeline->recording().controls == m_plan->recording().controls;
    if (!ofPlan || !m_advice.advice || m_advice.advice->flips.empty()) return text;
    const Flip& best = m_advice.advice->flips.front();
    const std::uint64_t now = m_advice.advice->allocated;
    if (best.allocated < now)
        text += QStringLiteral(" The change that helps most: %1 %2, to %3 (%4).")
                    .arg(textOf(best.control), textOf(best.to), bytesText(best.allocated),
                         differenceText(static_cast<std::int64_t>(best.allocated) - static_cast<std::int64_t>(now)));
    else
        text += QStringLiteral(" No single change of a control lowers it.");
    return text;
}

QString Workspace::summary() const {
    const TimelinePtr timeline = shown();
    if (!timeline) return QStringLiteral("No timeline");
    const Peak& peak = timeline->peak();
    QStringList parts;
    for (std::size_t i = 0; i < categoryCount; ++i)
        if (peak.byCategory[i])
            parts << QStringLiteral("%1 %2").arg(textOf(name(static_cast<Category>(i))), bytesText(peak.byCategory[i]));
    QString text = QStringLiteral("Memory timeline of %1: %2 events. Peak %3 allocated and %4 reserved at %5: %6.")
                       .arg(m_scene.shownLabel)
                       .arg(timeline->eventCount())
                       .arg(bytesText(peak.allocated), bytesText(peak.reserved), textOf(peak.layer),
                            parts.join(QStringLiteral(", ")));
    if (m_scene.ghost)
        text += QStringLiteral(" The controls as they stand would peak at %1.")
                    .arg(bytesText(m_scene.ghost->timeline->peak().allocated));
    for (const OverlayCurve& overlay : m_scene.overlays)
        text += QStringLiteral(" Overlaid: %1, peak %2.")
                    .arg(overlay.label, bytesText(overlay.curve.timeline->peak().allocated));
    if (timeline->recording().failure) text += QLatin1Char(' ') + textOf(timeline->recording().failure->message);
    return text;
}

} // namespace spikescope
