#include "app/widgets/timeline_chart.h"

#include "app/widgets/theme.h"

#include <QApplication>
#include <QAreaSeries>
#include <QChart>
#include <QContextMenuEvent>
#include <QGraphicsLayout>
#include <QHelpEvent>
#include <QInputDialog>
#include <QLineSeries>
#include <QMenu>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <QValueAxis>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

constexpr int leftMargin = 78, rightMargin = 14, topMargin = 60, bottomMargin = 30;
constexpr int phaseTop = 6, layerTop = 24, bandHeight = 16, tickTop = 42;
constexpr int clickSlack = 4; // pixels that a click may move

QPen cosmetic(const QColor& colour, double width, Qt::PenStyle style = Qt::SolidLine) {
    QPen pen(colour, width, style);
    pen.setCosmetic(true);
    pen.setJoinStyle(Qt::MiterJoin);
    return pen;
}

// From axis units and bytes to the chart's: the view from 0 to 1, bytes in the unit of the scale. A range of the axis
// that changed with every step of a pan would make the chart build all its paths twice.
QList<QPointF> inChart(QList<QPointF> points, Range view, double unit) {
    for (QPointF& point : points) point = {(point.x() - view.begin) / view.length(), point.y() / unit};
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
    setMinimumSize(320, 180);
    chart()->legend()->hide();
    chart()->setBackgroundRoundness(0);
    chart()->setMargins({});
    chart()->setAnimationOptions(QChart::NoAnimation);

    m_xAxis = new QValueAxis;
    m_yAxis = new QValueAxis;
    m_xAxis->setVisible(false);
    m_yAxis->setTickType(QValueAxis::TicksDynamic);
    chart()->addAxis(m_xAxis, Qt::AlignBottom);
    chart()->addAxis(m_yAxis, Qt::AlignLeft);
    const auto attach = [this](QAbstractSeries* series) {
        chart()->addSeries(series);
        series->attachAxis(m_xAxis);
        series->attachAxis(m_yAxis);
    };
    m_xAxis->setRange(0.0, 1.0);
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
    themeChanged();

    connect(&workspace, &Workspace::sceneChanged, this, &TimelineChart::rebuild);
    connect(&workspace, &Workspace::viewChanged, this, &TimelineChart::updateSeries);
    for (const auto signal : {&Workspace::cursorChanged, &Workspace::selectionChanged, &Workspace::markersChanged})
        connect(&workspace, signal, viewport(), qOverload<>(&QWidget::update));
}

QLineSeries* TimelineChart::addLine() {
    auto* line = new QLineSeries;
    chart()->addSeries(line);
    line->attachAxis(m_xAxis);
    line->attachAxis(m_yAxis);
    return line;
}

TimelineChart::Curve TimelineChart::addCurve() {
    Curve curve;
    curve.casing = addLine(); // first: it lies below
    curve.line = addLine();
    return curve;
}

void TimelineChart::Curve::setPoints(const QList<QPointF>& points) {
    casing->replace(points);
    line->replace(points);
}

void TimelineChart::Curve::setPen(const QPen& pen) {
    QColor ground = chartColours().ground;
    ground.setAlpha(190);
    casing->setPen(cosmetic(ground, pen.widthF() + 2.5));
    line->setPen(pen);
}

void TimelineChart::Curve::setVisible(bool visible) {
    casing->setVisible(visible);
    line->setVisible(visible);
}

void TimelineChart::themeChanged() {
    const ChartColours& colours = chartColours();
    chart()->setBackgroundBrush(colours.ground);
    chart()->setPlotAreaBackgroundBrush(colours.plot);
    chart()->setPlotAreaBackgroundVisible(true);
    setBackgroundBrush(colours.ground);
    m_yAxis->setGridLinePen(cosmetic(colours.grid, 1));
    m_yAxis->setLinePen(cosmetic(colours.grid, 1));
    m_yAxis->setLabelsBrush(colours.dimText);
    for (std::size_t i = 0; i < categoryCount; ++i) {
        QColor colour = categoryColour(static_cast<Category>(i));
        if (darkTheme()) colour = colour.darker(112);
        m_areas[i]->setBrush(colour);
    }
    m_reserved->setPen(cosmetic(colours.ink, 1.2));
    m_ghost.setPen(cosmetic(colours.ghost, 1.8, Qt::DashLine));
    m_budget->setPen(cosmetic(colours.budget, 1.2, Qt::DashDotLine));
    updateOverlays();
    m_dirty = true;
    viewport()->update();
}

double TimelineChart::xAt(double pixel) const {
    const Range view = m_workspace.view();
    return view.begin + (pixel - m_plot.left()) / std::max(m_plot.width(), 1.0) * view.length();
}

double TimelineChart::pixelAt(double x) const {
    const Range view = m_workspace.view();
    return m_plot.left() + (x - view.begin) / view.length() * m_plot.width();
}

double TimelineChart::pixelOfBytes(double bytes) const {
    return m_plot.bottom() - bytes / m_scale.unit / m_scale.top * m_plot.height();
}

void TimelineChart::rebuild() {
    const ChartScene& scene = m_workspace.scene();
    double most = scene.mostBytes * 1.04;
    // A budget far above everything would press the curves flat.
    const bool budgetShown = scene.budget && static_cast<double>(*scene.budget) < 1.6 * most;
    if (budgetShown) most = std::max(most, static_cast<double>(*scene.budget) * 1.04);
    m_scale = byteScale(most);
    m_yAxis->setRange(0.0, m_scale.top);
    m_yAxis->setTickInterval(m_scale.step);
    m_yAxis->setLabelFormat(QStringLiteral("%.%1f %2").arg(m_scale.decimals).arg(m_scale.unitName));
    m_budget->setVisible(budgetShown);
    updateOverlays(); // the series follow with the view, which always comes after a scene
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
    for (std::size_t i = 0; i < wanted.size(); ++i)
        m_overlays[i].setPen(wanted[i].run == 0
                                 ? cosmetic(chartColours().dimText, 1.4, Qt::DotLine)
                                 : cosmetic(overlayColour(wanted[i].run), 1.8, overlayDashes(wanted[i].run)));
}

void TimelineChart::updateSeries() {
    const ChartScene& scene = m_workspace.scene();
    m_dirty = true;
    viewport()->update();
    if (!scene.shown.timeline || m_plot.width() < 1.0) return;
    const Range view = m_workspace.view();
    const auto columns = static_cast<std::size_t>(std::lround(m_plot.width() * devicePixelRatioF()));
    const auto points = [&](const QList<QPointF>& list) { return inChart(list, view, m_scale.unit); };
    const auto curve = [&](const Placed& placed, const Pyramid& values) {
        return points(curvePoints(placed, values, view, columns));
    };
    const StackedPoints stacked = stackedPoints(scene.shown, view, columns);
    for (std::size_t i = 0; i < categoryCount; ++i) {
        // What holds nothing anywhere costs no painting.
        const bool any = stacked.bounds[i] != (i == 0 ? QList<QPointF>() : stacked.bounds[i - 1]);
        m_areas[i]->setVisible(any);
        if (any) m_bounds[i]->replace(points(stacked.bounds[i]));
    }
    m_reserved->replace(curve(scene.shown, scene.shown.timeline->reserved()));
    m_ghost.setVisible(scene.ghost.has_value());
    if (scene.ghost) m_ghost.setPoints(curve(*scene.ghost, scene.ghost->timeline->allocated()));
    for (std::size_t i = 0; i < m_overlays.size() && i < scene.overlays.size(); ++i) {
        const Placed& placed = scene.overlays[i].placed;
        m_overlays[i].setPoints(curve(placed, placed.timeline->allocated()));
    }
    if (scene.budget) {
        const double budget = static_cast<double>(*scene.budget) / m_scale.unit;
        m_budget->replace({{0.0, budget}, {1.0, budget}});
    }
}

void TimelineChart::layOut(QSize size) {
    chart()->resize(size);
    scene()->setSceneRect(QRectF(QPointF(), size));
    m_plot = QRectF(leftMargin, topMargin, std::max(size.width() - leftMargin - rightMargin, 1),
                    std::max(size.height() - topMargin - bottomMargin, 1));
    chart()->setPlotArea(m_plot);
    // Axes follow the plot area in their layout, which would come only after this is painted.
    chart()->layout()->invalidate();
    chart()->layout()->activate();
    updateSeries();
}

void TimelineChart::resizeEvent(QResizeEvent* event) {
    QChartView::resizeEvent(event);
    layOut(viewport()->size());
}

void TimelineChart::paintEvent(QPaintEvent*) {
    const double ratio = devicePixelRatioF();
    const QSize pixels = viewport()->size() * ratio;
    if (m_dirty || m_curves.size() != pixels) {
        m_curves = QPixmap(pixels);
        m_curves.setDevicePixelRatio(ratio);
        m_curves.fill(chartColours().ground);
        QPainter painter(&m_curves);
        scene()->render(&painter, QRectF(QPointF(), viewport()->size()), scene()->sceneRect());
        m_dirty = false;
    }
    QPainter painter(viewport());
    painter.drawPixmap(0, 0, m_curves);
    paintMarks(painter);
    if (m_hoverX && m_plot.contains(pixelAt(*m_hoverX), m_plot.center().y())) {
        painter.setPen(cosmetic(chartColours().hover, 1, Qt::DotLine));
        const double x = std::floor(pixelAt(*m_hoverX)) + 0.5;
        painter.drawLine(QPointF(x, m_plot.top()), QPointF(x, m_plot.bottom()));
    }
    if (hasFocus()) {
        painter.setPen(cosmetic(palette().color(QPalette::Highlight), 1));
        painter.drawRect(QRectF(viewport()->rect()).adjusted(0.5, 0.5, -0.5, -0.5));
    }
}

void TimelineChart::paintTo(QPainter& painter, QSize size) {
    layOut(size);
    painter.fillRect(QRect(QPoint(), size), chartColours().ground);
    scene()->render(&painter, QRectF(QPointF(), size), scene()->sceneRect());
    paintMarks(painter);
    layOut(viewport()->size());
}

void TimelineChart::paintMarks(QPainter& painter) {
    if (!m_workspace.shown()) return;
    QFont small = font();
    small.setPointSizeF(small.pointSizeF() * 0.85);
    painter.setFont(small);
    paintBands(painter);
    paintTicks(painter);
    paintAxis(painter);
    painter.save();
    painter.setClipRect(m_plot.adjusted(-1, -topMargin, 1, bottomMargin));
    if (const auto selection = m_workspace.selection()) {
        const QRectF area(QPointF(pixelAt(selection->begin), m_plot.top()),
                          QPointF(pixelAt(selection->end), m_plot.bottom()));
        painter.fillRect(area.intersected(m_plot), chartColours().selection);
    }
    paintMarkers(painter);
    const std::uint32_t cursor = m_workspace.cursor();
    if (cursor < m_workspace.scene().shown.events.size()) {
        const double x = std::floor(pixelAt(m_workspace.scene().shown.events[cursor])) + 0.5;
        if (x >= m_plot.left() - 1 && x <= m_plot.right() + 1) {
            painter.setPen(cosmetic(chartColours().cursor, 1));
            painter.drawLine(QPointF(x, m_plot.top()), QPointF(x, m_plot.bottom()));
        }
    }
    paintPeak(painter);
    painter.restore();
}

void TimelineChart::paintBands(QPainter& painter) {
    const ChartScene& scene = m_workspace.scene();
    const ChartColours& colours = chartColours();
    const auto draw = [&](const std::vector<Band>& bands, int top) {
        for (const Band& band : bands) {
            QRectF area(QPointF(pixelAt(band.begin), top), QPointF(pixelAt(band.end), top + bandHeight));
            area.setLeft(std::max(area.left(), m_plot.left()));
            area.setRight(std::min(area.right(), m_plot.right()));
            if (area.width() < 0.5) continue;
            painter.fillRect(area, band.index % 2 ? colours.bandOdd : colours.bandEven);
            if (area.width() < 18) continue;
            painter.setPen(colours.text);
            const QRectF inner = area.adjusted(4, 0, -3, 0);
            painter.drawText(
                inner, Qt::AlignVCenter | Qt::AlignLeft | Qt::TextSingleLine,
                painter.fontMetrics().elidedText(band.text, Qt::ElideMiddle, static_cast<int>(inner.width())));
        }
    };
    draw(phaseBands(scene.shown), phaseTop);
    draw(layerBands(scene.shown, m_workspace.view(), m_plot.width()), layerTop);
    painter.setPen(colours.dimText);
    const auto title = [&](const QString& text, int top) {
        painter.drawText(QRectF(4, top, leftMargin - 10, bandHeight), Qt::AlignVCenter | Qt::AlignRight, text);
    };
    title(QStringLiteral("phase"), phaseTop);
    title(QStringLiteral("layer"), layerTop);
}

// Barriers, and where memory ran out.
void TimelineChart::paintTicks(QPainter& painter) {
    const ChartScene& scene = m_workspace.scene();
    const Recording& recording = scene.shown.timeline->recording();
    const ChartColours& colours = chartColours();
    const auto placeOf = [&](std::uint32_t event) {
        return event == 0 || scene.shown.events.empty()
                   ? scene.shown.begin
                   : scene.shown.events[std::min<std::size_t>(event, scene.shown.events.size()) - 1];
    };
    painter.setPen(cosmetic(colours.dimText, 1));
    double last = -1.0;
    for (const std::uint32_t barrier : recording.barriers) {
        const double x = std::floor(pixelAt(placeOf(barrier))) + 0.5;
        if (x == last || x < m_plot.left() || x > m_plot.right()) continue;
        painter.drawLine(QPointF(x, tickTop), QPointF(x, tickTop + 6));
        last = x;
    }
    if (!recording.failure) return;
    const double x = std::clamp(pixelAt(placeOf(recording.failure->event)), m_plot.left(), m_plot.right());
    painter.setPen(cosmetic(colours.failure, 1.5));
    painter.drawLine(QPointF(x, m_plot.top()), QPointF(x, m_plot.bottom()));
    const bool cancelled = recording.failure->code == ErrorCode::Cancelled;
    const QString text = cancelled ? QStringLiteral("stopped")
                         : recording.failure->code == ErrorCode::OutOfDeviceMemory
                             ? QStringLiteral("out of memory at %1").arg(textOf(recording.failure->layer))
                             : textOf(name(recording.failure->code)).replace(QLatin1Char('_'), QLatin1Char(' '));
    const double width = painter.fontMetrics().horizontalAdvance(text) + 12;
    const double left = std::clamp(x - width / 2, m_plot.left(), std::max(m_plot.left(), m_plot.right() - width));
    const QRectF flag(left, m_plot.bottom() - 22, width, 18);
    painter.fillRect(flag, colours.failure);
    painter.setPen(darkTheme() ? Qt::black : Qt::white);
    painter.drawText(flag, Qt::AlignCenter, text);
}

void TimelineChart::paintAxis(QPainter& painter) {
    const ChartScene& scene = m_workspace.scene();
    const ChartColours& colours = chartColours();
    const Range view = m_workspace.view();
    painter.setPen(cosmetic(colours.grid, 1));
    painter.drawRect(m_plot.adjusted(-0.5, -0.5, 0.5, 0.5));
    const int most = std::max(2, static_cast<int>(m_plot.width() / 110));
    double step = niceStep(view.length(), most);
    if (scene.axis != AxisKind::Time) step = std::max(step, 1.0);
    const int baseline = static_cast<int>(m_plot.bottom()) + 4;
    double freeFrom = m_plot.left() - 20;
    for (double x = std::ceil(view.begin / step) * step; x <= view.end + step * 1e-6; x += step) {
        const double at = pixelAt(x);
        QString text;
        if (scene.axis == AxisKind::Time)
            text = timeLabel(x, step);
        else if (scene.axis == AxisKind::Ops)
            text = QString::number(static_cast<qint64>(std::llround(x)));
        else
            continue; // the band names layers
        const double width = painter.fontMetrics().horizontalAdvance(text);
        const double left = std::clamp(at - width / 2, m_plot.left() - 20, m_plot.right() - width + rightMargin);
        painter.setPen(colours.grid);
        painter.drawLine(QPointF(at, m_plot.bottom()), QPointF(at, m_plot.bottom() + 4));
        if (left < freeFrom) continue;
        painter.setPen(colours.dimText);
        painter.drawText(QPointF(left, baseline + painter.fontMetrics().ascent()), text);
        freeFrom = left + width + 12;
    }
    const QString axisText = scene.axis == AxisKind::Layers ? QStringLiteral("layers, all of one width")
                             : scene.axis == AxisKind::Ops  ? QStringLiteral("ops")
                                                            : QStringLiteral("time");
    painter.setPen(colours.dimText);
    const QRectF under(m_plot.left(), baseline, m_plot.width(), bottomMargin - 4);
    if (scene.axis == AxisKind::Layers)
        painter.drawText(under, Qt::AlignTop | Qt::AlignHCenter, axisText);
    else
        painter.drawText(QRectF(0, baseline, leftMargin - 20, bottomMargin - 4), Qt::AlignTop | Qt::AlignRight,
                         axisText);
}

void TimelineChart::paintPeak(QPainter& painter) {
    const ChartScene& scene = m_workspace.scene();
    const Peak& peak = scene.shown.timeline->peak();
    if (peak.eventIndex == noIndex || peak.allocated == 0) return;
    const double x = pixelAt(scene.shown.events[peak.eventIndex]);
    if (x < m_plot.left() - 1 || x > m_plot.right() + 1) return;
    const double y = pixelOfBytes(static_cast<double>(peak.allocated));
    const ChartColours& colours = chartColours();
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(Qt::NoPen);
    painter.setBrush(colours.ink);
    painter.drawPolygon(QPolygonF({{x, y - 1}, {x - 5, y - 9}, {x + 5, y - 9}}));
    const QString text = QStringLiteral("peak %1").arg(bytesText(peak.allocated));
    const double width = painter.fontMetrics().horizontalAdvance(text) + 12;
    const double left =
        std::clamp(x - width / 2, m_plot.left() + 2, std::max(m_plot.left() + 2, m_plot.right() - width - 2));
    const QRectF flag(left, std::max(y - 27, m_plot.top() - 14.0), width, 18);
    painter.drawRoundedRect(flag, 3, 3);
    painter.setRenderHint(QPainter::Antialiasing, false);
    painter.setPen(colours.ground);
    painter.drawText(flag, Qt::AlignCenter, text);
}

void TimelineChart::paintMarkers(QPainter& painter) {
    const ChartScene& scene = m_workspace.scene();
    const QColor colour = palette().color(QPalette::Highlight);
    for (const ChartMarker& marker : m_workspace.markers()) {
        if (marker.event >= scene.shown.events.size()) continue;
        const double x = std::floor(pixelAt(scene.shown.events[marker.event])) + 0.5;
        painter.setPen(cosmetic(colour, 1, Qt::DashLine));
        painter.drawLine(QPointF(x, m_plot.top()), QPointF(x, m_plot.bottom()));
        const double width = painter.fontMetrics().horizontalAdvance(marker.text) + 8;
        const QRectF flag(x, m_plot.top(), width, 16);
        painter.fillRect(flag, colour);
        painter.setPen(palette().color(QPalette::HighlightedText));
        painter.drawText(flag, Qt::AlignCenter, marker.text);
    }
}

// --- mouse and keys

void TimelineChart::hover(const QPointF& at) {
    const ChartScene& scene = m_workspace.scene();
    const bool inside = scene.shown.timeline && m_plot.contains(at);
    const auto before = m_hoverX;
    m_hoverX = inside ? std::optional(xAt(at.x())) : std::nullopt;
    if (before == m_hoverX) return;
    Q_EMIT hovered(inside ? eventAt(scene.shown, xAt(at.x() + 0.5)) : noIndex, m_hoverX.value_or(0.0));
    viewport()->update();
}

QString TimelineChart::toolTipAt(const QPoint& at) const {
    const ChartScene& scene = m_workspace.scene();
    if (!scene.shown.timeline) return {};
    if (at.y() < tickTop && at.x() >= m_plot.left()) {
        const auto bands =
            at.y() < layerTop ? phaseBands(scene.shown) : layerBands(scene.shown, m_workspace.view(), m_plot.width());
        for (const Band& band : bands)
            if (xAt(at.x()) >= band.begin && xAt(at.x()) < band.end) return band.text;
    }
    if (at.y() >= tickTop && at.y() < m_plot.top())
        return QStringLiteral("Ticks are barriers: the program waits for the device here");
    return {};
}

bool TimelineChart::viewportEvent(QEvent* event) {
    if (event->type() == QEvent::ToolTip) {
        const auto* help = static_cast<QHelpEvent*>(event);
        QToolTip::showText(help->globalPos(), toolTipAt(help->pos()), viewport());
        return true;
    }
    if (event->type() == QEvent::Leave) hover({-1, -1});
    return QChartView::viewportEvent(event);
}

void TimelineChart::wheelEvent(QWheelEvent* event) {
    event->accept();
    if (!m_workspace.shown()) return;
    const Range all = m_workspace.scene().all, view = m_workspace.view();
    const QPoint angle = event->angleDelta();
    if (std::abs(angle.x()) > std::abs(angle.y()) || (event->modifiers() & Qt::ShiftModifier)) {
        const int by = angle.x() ? angle.x() : angle.y();
        m_workspace.setView(panned(view, all, -by / 1200.0 * view.length()));
    } else if (angle.y()) {
        m_workspace.setView(zoomed(view, all, xAt(event->position().x()), std::pow(0.8, angle.y() / 120.0)));
    }
}

void TimelineChart::mousePressEvent(QMouseEvent* event) {
    if (!m_workspace.shown()) return;
    m_pressed = event->position();
    m_viewAtPress = m_workspace.view();
    if (event->button() == Qt::MiddleButton || (event->button() == Qt::LeftButton && m_spaceDown)) {
        m_drag = Drag::Pan;
        viewport()->setCursor(Qt::ClosedHandCursor);
    } else if (event->button() == Qt::LeftButton) {
        m_drag = Drag::Select;
    }
}

void TimelineChart::mouseMoveEvent(QMouseEvent* event) {
    if (m_drag == Drag::Pan) {
        const double moved = (event->position().x() - m_pressed.x()) / m_plot.width() * m_viewAtPress.length();
        m_workspace.setView(panned(m_viewAtPress, m_workspace.scene().all, -moved));
    } else if (m_drag == Drag::Select && std::abs(event->position().x() - m_pressed.x()) > clickSlack) {
        const double a = std::clamp(m_pressed.x(), m_plot.left(), m_plot.right());
        const double b = std::clamp(event->position().x(), m_plot.left(), m_plot.right());
        m_workspace.setSelection(Range{xAt(std::min(a, b)), xAt(std::max(a, b))});
    }
    hover(event->position());
}

void TimelineChart::mouseReleaseEvent(QMouseEvent* event) {
    if (m_drag == Drag::Select && std::abs(event->position().x() - m_pressed.x()) <= clickSlack) {
        m_workspace.setSelection(std::nullopt);
        const ChartScene& scene = m_workspace.scene();
        // The highest event of the pixel that was clicked: what is seen there is what is meant.
        const double x = m_pressed.x(), half = 0.5;
        const auto columns = columnsOf(scene.shown, scene.shown.timeline->allocated(), xAt(x - half), xAt(x + half), 1);
        if (!columns.empty()) m_workspace.setCursor(columns.front().any ? columns.front().most : columns.front().last);
    }
    m_drag = Drag::None;
    viewport()->setCursor(m_spaceDown ? Qt::OpenHandCursor : Qt::ArrowCursor);
}

void TimelineChart::mouseDoubleClickEvent(QMouseEvent*) {
    if (const auto selection = m_workspace.selection()) m_workspace.setView(*selection);
}

void TimelineChart::keyPressEvent(QKeyEvent* event) {
    const Range all = m_workspace.scene().all, view = m_workspace.view();
    const double middle = view.begin + view.length() / 2;
    switch (event->key()) {
    case Qt::Key_Left:
    case Qt::Key_Right: m_workspace.stepCursor(event->key() == Qt::Key_Right); return;
    case Qt::Key_PageUp:
    case Qt::Key_PageDown:
        m_workspace.setView(panned(view, all, (event->key() == Qt::Key_PageUp ? -0.8 : 0.8) * view.length()));
        return;
    case Qt::Key_Plus:
    case Qt::Key_Equal: m_workspace.setView(zoomed(view, all, middle, 0.5)); return;
    case Qt::Key_Minus: m_workspace.setView(zoomed(view, all, middle, 2.0)); return;
    case Qt::Key_Home: m_workspace.setCursor(0); return;
    case Qt::Key_End:
        if (m_workspace.shown() && m_workspace.shown()->eventCount() > 0)
            m_workspace.setCursor(static_cast<std::uint32_t>(m_workspace.shown()->eventCount() - 1));
        return;
    case Qt::Key_Escape: m_workspace.setSelection(std::nullopt); return;
    case Qt::Key_Space:
        if (!event->isAutoRepeat()) {
            m_spaceDown = true;
            viewport()->setCursor(Qt::OpenHandCursor);
        }
        return;
    default: QChartView::keyPressEvent(event);
    }
}

void TimelineChart::keyReleaseEvent(QKeyEvent* event) {
    if (event->key() == Qt::Key_Space && !event->isAutoRepeat()) {
        m_spaceDown = false;
        viewport()->unsetCursor();
        return;
    }
    QChartView::keyReleaseEvent(event);
}

void TimelineChart::contextMenuEvent(QContextMenuEvent* event) {
    if (!m_workspace.shown()) return;
    QMenu menu(this);
    const auto add = [&](const QString& text, auto call) {
        connect(menu.addAction(text), &QAction::triggered, this, call);
    };
    add(QStringLiteral("Jump to peak\tP"), [this] { m_workspace.jumpToPeak(); });
    add(QStringLiteral("Show everything\tF"), [this] { m_workspace.fit(); });
    if (m_workspace.selection())
        add(QStringLiteral("Zoom to the selection"), [this] { m_workspace.setView(*m_workspace.selection()); });
    menu.addSeparator();
    add(QStringLiteral("Marker at the cursor\tM"), [this] { m_workspace.toggleMarker(); });
    const auto here = std::ranges::find(m_workspace.markers(), m_workspace.cursor(), &ChartMarker::event);
    if (here != m_workspace.markers().end())
        add(QStringLiteral("Name the marker…"), [this, marker = *here] {
            bool ok = false;
            const QString text = QInputDialog::getText(this, QStringLiteral("Marker"), QStringLiteral("Name"),
                                                       QLineEdit::Normal, marker.text, &ok);
            if (ok && !text.isEmpty()) m_workspace.renameMarker(marker.event, text);
        });
    menu.exec(event->globalPos());
}

} // namespace spikescope
