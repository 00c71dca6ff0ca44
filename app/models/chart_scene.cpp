#include "app/models/chart_scene.h"

#include "app/models/tables.h"
#include "core/program/layer_groups.h"

#include <algorithm>

namespace spikescope {

namespace {

double mostOf(const Timeline& timeline) {
    return static_cast<double>(std::max(timeline.peak().allocated, timeline.peak().reserved));
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

// `name`: of an op, by its index.
template <class Name> std::vector<Band> bandsOf(const Placed& placed, Name name) {
    std::vector<Band> bands;
    for (std::uint32_t i = 0; i < placed.opBegins.size(); ++i) {
        const QString text = name(i);
        if (bands.empty() || bands.back().text != text)
            bands.push_back({.begin = placed.opBegins[i],
                             .end = placed.opEnds[i],
                             .text = text,
                             .index = static_cast<std::uint32_t>(bands.size())});
        bands.back().end = std::max(bands.back().end, placed.opEnds[i]);
    }
    return bands;
}

// Of every op the number of its tile, of those beside each other the first; 0: it is for all of them.
std::vector<std::uint32_t> tileNumbers(const Recording& recording) {
    std::vector<std::uint32_t> numbers(recording.ops.size());
    for (std::size_t i = recording.tiles.size(); i-- > 0;)
        for (std::uint32_t op = recording.tiles[i].firstOp; op <= recording.tiles[i].lastOp && op < numbers.size();
             ++op)
            numbers[op] = static_cast<std::uint32_t>(i + 1);
    return numbers;
}

} // namespace

ChartScene makeScene(const SceneParts& parts) {
    ChartScene scene{.axis = parts.axis,
                     .shown = {},
                     .shownLabel = parts.shownLabel,
                     .whole = {},
                     .ghost = {},
                     .overlays = {},
                     .budget = parts.budget,
                     .all = {}};
    if (!parts.shown) return scene;
    if (parts.whole) {
        // What is still to come has no times yet.
        if (scene.axis == AxisKind::Time) scene.axis = AxisKind::Layers;
        Placed whole = place(parts.whole, scene.axis);
        if (std::optional<Placed> part = placeAsPartOf(parts.shown, whole)) {
            scene.shown = std::move(*part);
            scene.whole = std::move(whole);
        }
    }
    if (!scene.whole) {
        if (scene.axis == AxisKind::Time && !parts.shown->timed()) scene.axis = AxisKind::Ops;
        scene.shown = place(parts.shown, scene.axis);
    }
    const Placed& owner = scene.axisOwner();
    scene.all = {owner.begin, owner.end};
    scene.mostBytes = std::max(1.0, mostOf(*parts.shown));
    const auto curve = [&](const TimelinePtr& timeline, bool byLayer) {
        const bool aligned = (byLayer || scene.axis == AxisKind::Layers) && !owner.opBegins.empty();
        return aligned ? alignedCurve(timeline, owner) : curveOf(place(timeline, scene.axis));
    };
    const auto include = [&](const Curve& other) {
        scene.all.begin = std::min(scene.all.begin, other.begin);
        scene.all.end = std::max(scene.all.end, other.end);
        scene.mostBytes = std::max(scene.mostBytes, static_cast<double>(other.timeline->peak().allocated));
    };
    for (const SceneParts::Overlay& overlay : parts.overlays) {
        // Without times of its own a plan lies on a run's time by its layers.
        const bool byLayer = parts.overlaysByLayer || (scene.axis == AxisKind::Time && !overlay.timeline->timed());
        scene.overlays.push_back(
            {.run = overlay.run, .label = overlay.label, .curve = curve(overlay.timeline, byLayer)});
        include(scene.overlays.back().curve);
    }
    if (parts.ghost) {
        scene.ghost = curve(parts.ghost, true);
        include(*scene.ghost);
    }
    return scene;
}

StackedPoints stackedPoints(const Placed& placed, Range view, std::size_t columns) {
    StackedPoints points;
    std::vector<Steps> steps;
    steps.reserve(categoryCount);
    for (QList<QPointF>& bound : points.bounds) steps.emplace_back(bound, view.length() / static_cast<double>(columns));
    for (const Column& column : columnsOf(placed.events, placed.timeline->allocated(), view.begin, view.end, columns)) {
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

QList<QPointF> curvePoints(const std::vector<double>& places, const Pyramid& values, double end, Range view,
                           std::size_t columns) {
    QList<QPointF> points;
    Steps steps(points, view.length() / static_cast<double>(columns));
    for (const Column& column : columnsOf(places, values, view.begin, view.end, columns))
        steps.add(column.x, static_cast<double>(values.value(column.most)));
    steps.end(std::min(view.end, end));
    return points;
}

QList<QPointF> curvePoints(const Curve& curve, Range view, std::size_t columns) {
    return curvePoints(curve.places, curve.values, curve.end, view, columns);
}

std::vector<Band> phaseBands(const Placed& placed) {
    const Recording& recording = placed.timeline->recording();
    return bandsOf(placed, [&](std::uint32_t op) { return textOf(name(recording.ops[op].phase)); });
}

std::vector<Band> layerBands(const Placed& placed, Range view, double pixels) {
    constexpr double pixelsToName = 60.0, pixelsToSee = 20.0;
    const Recording& recording = placed.timeline->recording();
    const auto first = std::ranges::upper_bound(placed.opEnds, view.begin) - placed.opEnds.begin();
    const auto last = std::ranges::lower_bound(placed.opBegins, view.end) - placed.opBegins.begin();
    const bool roomForLayers = static_cast<double>(last - first) * pixelsToName < pixels * 2.0;
    const auto byLayer = [&](std::uint32_t op) {
        if (recording.ops[op].phase == Phase::Load) return QStringLiteral("weights");
        const std::string layer(layerName(recording, recording.ops[op].layer));
        return roomForLayers ? shortLayer(layer) : stageName(layer);
    };
    std::vector<Band> bands = bandsOf(placed, byLayer);
    const auto inView = [&](const Band& band) { return band.end > view.begin && band.begin < view.end; };
    if (recording.tiles.empty() || static_cast<double>(std::ranges::count_if(bands, inView)) * pixelsToSee < pixels)
        return bands;
    const std::vector<std::uint32_t> numbers = tileNumbers(recording);
    return bandsOf(placed, [&](std::uint32_t op) {
        return numbers[op] ? QStringLiteral("tile %1").arg(numbers[op]) : byLayer(op);
    });
}

std::uint32_t neighbour(const Placed& placed, std::uint32_t event, bool forward) {
    const auto count = static_cast<std::uint32_t>(placed.events.size());
    if (count == 0) return noIndex;
    if (event >= count) return forward ? 0 : count - 1;
    if (forward) return std::min(event + 1, count - 1);
    return event == 0 ? 0 : event - 1;
}

std::uint32_t highestEvent(const Placed& placed, Range range) {
    const auto columns = columnsOf(placed.events, placed.timeline->allocated(), range.begin, range.end, 1);
    if (columns.empty()) return noIndex;
    return columns.front().any ? columns.front().most : columns.front().last;
}

std::optional<std::uint64_t> ghostAt(const ChartScene& scene, std::uint32_t event) {
    if (!scene.ghost || event >= scene.shown.events.size()) return std::nullopt;
    const Timeline& plan = *scene.ghost->timeline;
    const Event& here = scene.shown.timeline->recording().events[event];
    // Of several events at one place the last one would be compared with the one that is asked for.
    if (event < plan.eventCount()) {
        const Event& there = plan.recording().events[event];
        if (there.kind == here.kind && there.op == here.op && there.bytes == here.bytes)
            return plan.allocated().value(event);
    }
    return valueAt(*scene.ghost, scene.shown.events[event]);
}

} // namespace spikescope
