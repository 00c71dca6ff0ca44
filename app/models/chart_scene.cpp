#include "app/models/chart_scene.h"

#include "core/program/layer_groups.h"

#include <algorithm>

namespace spikescope {

namespace {

double mostOf(const Placed& placed) {
    const Peak& peak = placed.timeline->peak();
    return static_cast<double>(std::max(peak.allocated, peak.reserved));
}

void include(Range& all, const Placed& placed) {
    all.begin = std::min(all.begin, placed.begin);
    all.end = std::max(all.end, placed.end);
}

// A curve from one value for each column of equal width. Values that last are drawn as steps; one of a single column is
// a point in the column's middle, where the pixel is sampled, which halves what a chart has to paint.
class Steps {
public:
    Steps(QList<QPointF>& points, double width)
        : m_points(points)
        , m_width(width) {}
    void add(double x, double y) {
        if (m_any && y == m_y) return;
        flush(x);
        m_x = x;
        m_y = y;
        m_any = true;
    }
    void end(double x) { flush(x); }

private:
    void flush(double end) {
        if (!m_any) return;
        if (end - m_x < 1.5 * m_width && !m_points.isEmpty()) {
            m_points.append({m_x + m_width / 2, m_y});
            return;
        }
        m_points.append({m_x, m_y});
        m_points.append({end, m_y});
    }

    QList<QPointF>& m_points;
    double m_width, m_x = 0.0, m_y = 0.0;
    bool m_any = false;
};

// "decoder.up_blocks.2.resnets.0.conv1" without what the reader knows.
QString shortLayer(std::string_view layer) {
    for (const std::string_view prefix : {"decoder.", "encoder."})
        if (layer.starts_with(prefix)) layer.remove_prefix(prefix.size());
    return QString::fromUtf8(layer.data(), static_cast<qsizetype>(layer.size()));
}

QString stageName(const std::string& layer) {
    // Tiny autoencoders have no stages but numbered layers.
    if (layer.find(".layers.") != std::string::npos) return shortLayer(blockOf(layer));
    for (const char* part : {".up_blocks.", ".down_blocks.", ".mid_block"})
        if (layer.find(part) != std::string::npos) return shortLayer(stageOf(layer, {}));
    return shortLayer(layer);
}

template <class Name> std::vector<Band> bandsOf(const Placed& placed, Name name) {
    std::vector<Band> bands;
    const Recording& recording = placed.timeline->recording();
    for (std::size_t i = 0; i < recording.ops.size(); ++i) {
        const QString text = name(recording.ops[i]);
        if (bands.empty() || bands.back().text != text)
            bands.push_back({.begin = placed.opBegins[i],
                             .end = placed.opEnds[i],
                             .text = text,
                             .index = static_cast<std::uint32_t>(bands.size())});
        bands.back().end = std::max(bands.back().end, placed.opEnds[i]);
    }
    return bands;
}

} // namespace

ChartScene makeScene(const SceneParts& parts) {
    ChartScene scene{.axis = parts.axis,
                     .shown = {},
                     .shownLabel = parts.shownLabel,
                     .ghost = {},
                     .overlays = {},
                     .budget = parts.budget,
                     .all = {}};
    if (!parts.shown) return scene;
    if (scene.axis == AxisKind::Time && !parts.shown->timed()) scene.axis = AxisKind::Ops;
    const bool others = parts.ghost || !parts.overlays.empty();
    std::optional<LayerSlots> slots;
    if (others || scene.axis == AxisKind::Layers) {
        std::vector<TimelinePtr> all{parts.shown};
        for (const SceneParts::Overlay& overlay : parts.overlays) all.push_back(overlay.timeline);
        if (parts.ghost) all.push_back(parts.ghost);
        slots.emplace(all);
    }
    static const std::vector<double> none;
    const std::vector<double>& shownSlots = slots ? slots->opPositions(0) : none;
    scene.shown = place(parts.shown, scene.axis, shownSlots);
    scene.all = {scene.shown.begin, scene.shown.end};
    scene.mostBytes = std::max(1.0, mostOf(scene.shown));
    const auto placedBeside = [&](const TimelinePtr& timeline, std::size_t index, bool byLayer) {
        const std::vector<double>& positions = slots->opPositions(index);
        const bool ownAxis = !byLayer || scene.axis == AxisKind::Layers || parts.shown->recording().ops.empty();
        return ownAxis ? place(timeline, scene.axis, positions)
                       : placeOnto(timeline, positions, scene.shown, shownSlots);
    };
    for (std::size_t i = 0; i < parts.overlays.size(); ++i) {
        const SceneParts::Overlay& overlay = parts.overlays[i];
        // Without times of its own a plan lies on a run's time by its layers.
        const bool byLayer = parts.overlaysByLayer || (scene.axis == AxisKind::Time && !overlay.timeline->timed());
        scene.overlays.push_back(
            {.run = overlay.run, .label = overlay.label, .placed = placedBeside(overlay.timeline, i + 1, byLayer)});
        include(scene.all, scene.overlays.back().placed);
        scene.mostBytes = std::max(scene.mostBytes, mostOf(scene.overlays.back().placed));
    }
    if (parts.ghost) {
        scene.ghost = placedBeside(parts.ghost, parts.overlays.size() + 1, true);
        include(scene.all, *scene.ghost);
        scene.mostBytes = std::max(scene.mostBytes, static_cast<double>(parts.ghost->peak().allocated));
    }
    return scene;
}

StackedPoints stackedPoints(const Placed& placed, Range view, std::size_t columns) {
    StackedPoints points;
    std::vector<Steps> steps;
    steps.reserve(categoryCount);
    for (QList<QPointF>& bound : points.bounds) steps.emplace_back(bound, view.length() / static_cast<double>(columns));
    for (const Column& column : columnsOf(placed, placed.timeline->allocated(), view.begin, view.end, columns)) {
        double sum = 0.0;
        const Breakdown& breakdown = placed.timeline->breakdown(column.most);
        for (std::size_t i = 0; i < categoryCount; ++i) {
            sum += static_cast<double>(breakdown[i]);
            steps[i].add(column.x, sum);
        }
    }
    // Where the curve ends, not where the view does.
    for (Steps& step : steps) step.end(std::min(view.end, placed.end));
    return points;
}

QList<QPointF> curvePoints(const Placed& placed, const Pyramid& values, Range view, std::size_t columns) {
    QList<QPointF> points;
    Steps steps(points, view.length() / static_cast<double>(columns));
    for (const Column& column : columnsOf(placed, values, view.begin, view.end, columns))
        steps.add(column.x, static_cast<double>(values.value(column.most)));
    steps.end(std::min(view.end, placed.end));
    return points;
}

std::vector<Band> phaseBands(const Placed& placed) {
    return bandsOf(placed, [](const RecordedOp& op) { return QString::fromUtf8(name(op.phase).data()); });
}

std::vector<Band> layerBands(const Placed& placed, Range view, double pixels) {
    const Recording& recording = placed.timeline->recording();
    const auto layerOf = [&](const RecordedOp& op) { return std::string(layerName(recording, op.layer)); };
    const auto first = std::ranges::upper_bound(placed.opEnds, view.begin) - placed.opEnds.begin();
    const auto last = std::ranges::lower_bound(placed.opBegins, view.end) - placed.opBegins.begin();
    constexpr double pixelsToName = 60.0;
    const bool roomForLayers = static_cast<double>(last - first) * pixelsToName < pixels * 2.0;
    return bandsOf(placed, [&](const RecordedOp& op) {
        if (op.phase == Phase::Load) return QStringLiteral("weights");
        return roomForLayers ? shortLayer(layerOf(op)) : stageName(layerOf(op));
    });
}

std::uint32_t neighbour(const Placed& placed, std::uint32_t event, bool forward) {
    const auto count = static_cast<std::uint32_t>(placed.events.size());
    if (count == 0) return noIndex;
    if (event >= count) return forward ? 0 : count - 1;
    if (forward) return std::min(event + 1, count - 1);
    return event == 0 ? 0 : event - 1;
}

} // namespace spikescope
