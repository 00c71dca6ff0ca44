#include "app/widgets/timeline_chart.h"

#include "app/widgets/theme.h"

#include <QAreaSeries>
#include <QChart>
#include <QEvent>
#include <QGraphicsLayout>
#include <QLineSeries>
#include <QPainter>
#include <QValueAxis>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

// The chart's axes are from 0 to 1 for good. A range of an axis that changed with every step of a pan would make the
// chart build all its paths twice.
QList<QPointF> inChart(QList<QPointF> points, Range view, double top) {
    for (QPointF& point : points) point = {(point.x() - view.begin) / view.length(), point.y() / top};
    return points;
}

} // namespace

TimelineChart::TimelineChart(Workspace& workspace, QWidget* parent)
    : QChartView(new QChart, parent)
    , m_workspace(workspace) {
    setObjectName(QStringLiteral("timeline"));
    setAccessibleName(QStringLiteral("Memory timeline"));
    setFocusPolicy(Qt::StrongFocus);
    setMouseTracking(true);
    viewport()->setMouseTracking(true);
    setFrameShape(QFrame::NoFrame);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    chart()->legend()->hide();
    chart()->setBackgroundVisible(false);
    chart()->setPlotAreaBackgroundVisible(false);
    chart()->setMargins({});
    chart()->setAnimationOptions(QChart::NoAnimation);

    m_xAxis = new QValueAxis;
    m_yAxis = new QValueAxis;
    chart()->addAxis(m_xAxis, Qt::AlignBottom);
    chart()->addAxis(m_yAxis, Qt::AlignLeft);
    for (QValueAxis* axis : {m_xAxis, m_yAxis}) {
        axis->setVisible(false);
        axis->setRange(0.0, 1.0);
    }
    const auto attach = [this](QAbstractSeries* series) {
        chart()->addSeries(series);
        series->attachAxis(m_xAxis);
        series->attachAxis(m_yAxis);
    };
    // Each area goes down to zero and the next smaller one lies on it: half the paths of areas between two bounds.
    for (std::size_t i = categoryCount; i-- > 0;) {
        m_bounds[i] = new QLineSeries(this);
        m_areas[i] = new QAreaSeries(m_bounds[i]);
        m_areas[i]->setPen(Qt::NoPen);
        attach(m_areas[i]);
    }
    m_reserved = addLine();
    m_budget = addLine();
    m_ghost = addCurve();
    updateColours();

    connect(&workspace, &Workspace::sceneChanged, this, &TimelineChart::rebuild);
    connect(&workspace, &Workspace::viewChanged, this, &TimelineChart::updateSeries);
    for (const auto signal : {&Workspace::cursorChanged, &Workspace::selectionChanged, &Workspace::markersChanged})
        connect(&workspace, signal, viewport(), qOverload<>(&QWidget::update));
    connect(&workspace, &Workspace::viewChanged, this, [this] {
        if (m_hover) Q_EMIT hovered(eventUnder(m_hover->x()));
    });
    // Whoever moves the cursor does not look at what lies under the mouse: one place is spoken of at a time.
    connect(&workspace, &Workspace::cursorChanged, this, [this] {
        if (std::exchange(m_cursorSeen, m_workspace.cursor()) != m_workspace.cursor()) hover({-1, -1});
    });
}

QLineSeries* TimelineChart::addLine() {
    auto* line = new QLineSeries;
    chart()->addSeries(line);
    line->attachAxis(m_xAxis);
    line->attachAxis(m_yAxis);
    return line;
}

TimelineChart::Line TimelineChart::addCurve() {
    Line curve;
    curve.casing = addLine(); // first: it lies below
    curve.line = addLine();
    return curve;
}

void TimelineChart::Line::setPoints(const QList<QPointF>& points) {
    casing->replace(points);
    line->replace(points);
}

void TimelineChart::Line::setPen(const QPen& pen) {
    QColor ground = chartColours().ground;
    ground.setAlpha(190);
    casing->setPen(cosmeticPen(ground, pen.widthF() + 2.5));
    line->setPen(pen);
}

void TimelineChart::Line::setVisible(bool visible) {
    casing->setVisible(visible);
    line->setVisible(visible);
}

void TimelineChart::updateColours() {
    for (std::size_t i = 0; i < categoryCount; ++i) m_areas[i]->setBrush(areaColour(static_cast<Category>(i)));
    m_reserved->setPen(reservedPen());
    m_ghost.setPen(planPen());
    m_budget->setPen(budgetPen());
    updateOverlays();
    m_dirty = true;
    viewport()->update();
}

void TimelineChart::changeEvent(QEvent* event) {
    if (event->type() == QEvent::PaletteChange && m_budget) updateColours();
    if (event->type() == QEvent::FontChange && m_budget) {
        layOut(viewport()->size());
        updateSeries();
    }
    QChartView::changeEvent(event);
}

double TimelineChart::xAt(double pixel) const {
    const Range view = m_workspace.view();
    const QRectF& plot = m_layout.plot;
    return view.begin + (pixel - plot.left()) / std::max(plot.width(), 1.0) * view.length();
}

double TimelineChart::pixelAt(double x) const {
    const Range view = m_workspace.view();
    return m_layout.plot.left() + (x - view.begin) / view.length() * m_layout.plot.width();
}

double TimelineChart::pixelOfBytes(double bytes) const {
    return m_layout.plot.bottom() - bytes / m_scale.unit / m_scale.top * m_layout.plot.height();
}

std::uint32_t TimelineChart::eventUnder(double pixel) const {
    // The highest event of the pixel: what is seen there is what is meant.
    constexpr double half = 0.5;
    return highestEvent(m_workspace.scene().shown, {xAt(pixel - half), xAt(pixel + half)});
}

void TimelineChart::rebuild() {
    m_legend.setEntries(legendOf(m_workspace.scene()));
    updateOverlays();
    layOut(viewport()->size()); // the legend may have got another row
    // The series follow with the view, which always comes after a scene.
}

void TimelineChart::rescale() {
    const ChartScene& scene = m_workspace.scene();
    double most = scene.mostBytes * 1.04;
    // A budget far above everything would press the curves flat.
    const bool budgetShown = scene.budget && static_cast<double>(*scene.budget) < 1.6 * most;
    if (budgetShown) most = std::max(most, static_cast<double>(*scene.budget) * 1.04);
    m_budget->setVisible(budgetShown);
    const double perLabel = 1.8 * QFontMetricsF(markFont()).height();
    m_scale = byteScale(most, std::clamp(static_cast<int>(m_layout.plot.height() / perLabel), 1, 6));
}

void TimelineChart::updateOverlays() {
    const std::vector<OverlayCurve>& wanted = m_workspace.scene().overlays;
    while (m_overlays.size() > wanted.size()) {
        for (QLineSeries* line : {m_overlays.back().casing, m_overlays.back().line}) {
            chart()->removeSeries(line);
            delete line;
        }
        m_overlays.pop_back();
    }
    while (m_overlays.size() < wanted.size()) m_overlays.push_back(addCurve());
    for (std::size_t i = 0; i < wanted.size(); ++i) m_overlays[i].setPen(overlayPen(wanted[i].run));
}

void TimelineChart::updateSeries() {
    const ChartScene& scene = m_workspace.scene();
    m_dirty = true;
    viewport()->update();
    if (!scene.shown.timeline || m_layout.plot.width() < 1.0) return;
    const Range view = m_workspace.view();
    const auto columns = static_cast<std::size_t>(std::lround(m_layout.plot.width() * devicePixelRatioF()));
    const double top = m_scale.unit * m_scale.top;
    const auto points = [&](const QList<QPointF>& list) { return inChart(list, view, top); };
    const StackedPoints stacked = stackedPoints(scene.shown, view, columns);
    for (std::size_t i = 0; i < categoryCount; ++i) {
        // What holds nothing anywhere costs no painting.
        const bool any = stacked.bounds[i] != (i == 0 ? QList<QPointF>() : stacked.bounds[i - 1]);
        m_areas[i]->setVisible(any);
        if (any) m_bounds[i]->replace(points(stacked.bounds[i]));
    }
    const Placed& shown = scene.shown;
    m_reserved->replace(points(curvePoints(shown.events, shown.timeline->reserved(), shown.end, view, columns)));
    m_ghost.setVisible(scene.ghost.has_value());
    if (scene.ghost) m_ghost.setPoints(points(curvePoints(*scene.ghost, view, columns)));
    for (std::size_t i = 0; i < m_overlays.size() && i < scene.overlays.size(); ++i)
        m_overlays[i].setPoints(points(curvePoints(scene.overlays[i].curve, view, columns)));
    if (scene.budget) {
        const double budget = static_cast<double>(*scene.budget) / top;
        m_budget->replace({{0.0, budget}, {1.0, budget}});
    }
}

void TimelineChart::layOut(QSize size, const QStringList& titleLines, std::optional<int> mostLegendRows) {
    // A low chart does without the band of phases, a lower one without the legend: curves need the room.
    constexpr int bandHeight = 18, ticksHeight = 18, bottomMargin = 26, low = 200, lower = 120, perLegendRow = 120;
    const QFontMetrics metrics(markFont());
    const double width = std::max(size.width() - leftMargin - rightMargin, 1);
    Layout layout;
    int top = 4;
    layout.title = top;
    if (!titleLines.isEmpty()) top += static_cast<int>(titleLines.size()) * (metrics.height() + 2) + 8;
    layout.legend = top;
    const int room = size.height() < lower ? 0 : std::clamp(size.height() / perLegendRow, 1, 3);
    layout.legendRows = m_legend.rows(metrics, size.width() - legendLeft - rightMargin, mostLegendRows.value_or(room));
    top += layout.legendRows * ChartLegend::rowHeight + (layout.legendRows > 0 ? 4 : 0);
    if (size.height() >= low) {
        layout.phases = top;
        top += bandHeight;
    }
    layout.layers = top;
    top += bandHeight;
    layout.ticks = top;
    top += ticksHeight;
    layout.plot = QRectF(leftMargin, top, width, std::max(size.height() - top - bottomMargin, 1));
    m_layout = layout;
    chart()->resize(size);
    scene()->setSceneRect(QRectF(QPointF(), size));
    chart()->setPlotArea(layout.plot);
    // Series follow the plot area in the chart's layout, which would come only after this is painted.
    chart()->layout()->invalidate();
    chart()->layout()->activate();
    rescale();
}

void TimelineChart::resizeEvent(QResizeEvent* event) {
    QChartView::resizeEvent(event);
    layOut(viewport()->size());
    updateSeries();
}

void TimelineChart::paintEvent(QPaintEvent*) {
    const double ratio = devicePixelRatioF();
    const QSize pixels = viewport()->size() * ratio;
    if (m_dirty || m_curves.size() != pixels) {
        m_curves = QPixmap(pixels);
        m_curves.setDevicePixelRatio(ratio);
        QPainter painter(&m_curves);
        painter.fillRect(viewport()->rect(), chartColours().ground);
        paintGround(painter);
        scene()->render(&painter, QRectF(QPointF(), viewport()->size()), scene()->sceneRect());
        m_dirty = false;
    }
    QPainter painter(viewport());
    painter.drawPixmap(0, 0, m_curves);
    paintMarks(painter);
    paintHover(painter);
    if (hasFocus()) {
        painter.setPen(cosmeticPen(palette().color(QPalette::Highlight), 1));
        painter.setBrush(Qt::NoBrush);
        painter.drawRect(QRectF(viewport()->rect()).adjusted(0.5, 0.5, -0.5, -0.5));
    }
}

void TimelineChart::paintTo(QPainter& painter, QSize size) {
    const ChartScene& shown = m_workspace.scene();
    QStringList lines;
    if (shown.shown.timeline) lines << shown.shownLabel << configurationLines(shown.shown.timeline->recording());
    constexpr int allRows = 1000;
    layOut(size, lines, allRows);
    updateSeries();
    painter.fillRect(QRect(QPoint(), size), chartColours().ground);
    paintTitle(painter, lines);
    paintGround(painter);
    scene()->render(&painter, QRectF(QPointF(), size), scene()->sceneRect());
    paintMarks(painter);
    layOut(viewport()->size());
    updateSeries();
}

} // namespace spikescope
