#include "app/widgets/minimap.h"

#include "app/widgets/theme.h"

#include <QMouseEvent>
#include <QPainter>

namespace spikescope {

Minimap::Minimap(Workspace& workspace, double leftMargin, double rightMargin, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_left(leftMargin)
    , m_right(rightMargin) {
    setObjectName(QStringLiteral("minimap"));
    setAccessibleName(QStringLiteral("Overview of the timeline"));
    setToolTip(QStringLiteral("All of the timeline; drag to move the part that is shown above"));
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    connect(&workspace, &Workspace::sceneChanged, this, &Minimap::rebuild);
    connect(&workspace, &Workspace::viewChanged, this, qOverload<>(&QWidget::update));
    connect(&workspace, &Workspace::cursorChanged, this, qOverload<>(&QWidget::update));
}

QRectF Minimap::area() const { return QRectF(m_left, 4, std::max(1.0, width() - m_left - m_right), height() - 8); }

double Minimap::pixelAt(double x) const {
    const Range all = m_workspace.scene().all;
    return area().left() + (x - all.begin) / all.length() * area().width();
}

void Minimap::rebuild() {
    m_shape.clear();
    const ChartScene& scene = m_workspace.scene();
    update();
    if (!scene.shown.timeline) return;
    // Of a run under way the plan says how high it will get.
    const double most = std::max<double>(1.0, static_cast<double>(scene.axisOwner().timeline->peak().allocated));
    const QRectF box = area();
    m_shape << box.bottomLeft();
    for (const QPointF& point : curvePoints(scene.shown.events, scene.shown.timeline->allocated(), scene.shown.end,
                                            scene.all, static_cast<std::size_t>(box.width())))
        m_shape << QPointF(pixelAt(point.x()), box.bottom() - point.y() / most * box.height());
    m_shape << QPointF(m_shape.back().x(), box.bottom());
}

void Minimap::resizeEvent(QResizeEvent*) { rebuild(); }

void Minimap::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    const ChartColours& colours = chartColours();
    const QRectF box = area();
    painter.fillRect(rect(), colours.ground);
    painter.fillRect(box, colours.plot);
    const ChartScene& scene = m_workspace.scene();
    if (!scene.shown.timeline) return;
    painter.setPen(Qt::NoPen);
    painter.setBrush(colours.dimText);
    painter.drawPolygon(m_shape);
    const Range view = m_workspace.view();
    const QRectF frame(QPointF(pixelAt(view.begin), box.top()), QPointF(pixelAt(view.end), box.bottom()));
    QColor veil = colours.ground;
    veil.setAlpha(170);
    painter.fillRect(QRectF(box.topLeft(), frame.bottomLeft()), veil);
    painter.fillRect(QRectF(frame.topRight(), box.bottomRight()), veil);
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(palette().color(QPalette::Highlight), 1));
    painter.drawRect(frame.adjusted(0.5, 0.5, -0.5, -0.5));
    if (m_workspace.cursor() < scene.shown.events.size()) {
        const double x = std::floor(pixelAt(scene.shown.events[m_workspace.cursor()])) + 0.5;
        painter.setPen(colours.cursor);
        painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()));
    }
}

void Minimap::moveTo(double pixel) {
    if (!m_workspace.shown()) return;
    const Range all = m_workspace.scene().all, view = m_workspace.view();
    const double at = all.begin + (pixel - area().left()) / area().width() * all.length();
    m_workspace.setView({at - view.length() / 2, at + view.length() / 2});
}

void Minimap::mousePressEvent(QMouseEvent* event) { moveTo(event->position().x()); }
void Minimap::mouseMoveEvent(QMouseEvent* event) {
    if (event->buttons() & Qt::LeftButton) moveTo(event->position().x());
}

} // namespace spikescope
