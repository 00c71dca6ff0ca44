// Mouse and keys of the timeline.

#include "app/widgets/theme.h"
#include "app/widgets/timeline_chart.h"

#include <QContextMenuEvent>
#include <QHelpEvent>
#include <QInputDialog>
#include <QMenu>
#include <QMouseEvent>
#include <QToolTip>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

constexpr int clickSlack = 4; // pixels that a click may move

} // namespace

void TimelineChart::hover(const QPointF& at) {
    const bool inside = m_workspace.shown() && m_layout.plot.contains(at);
    const std::optional<QPointF> now = inside ? std::optional(at) : std::nullopt;
    if (now == m_hover) return;
    m_hover = now;
    Q_EMIT hovered(inside ? eventUnder(at.x()) : noIndex);
    viewport()->update();
}

QString TimelineChart::toolTipAt(const QPoint& at) const {
    const ChartScene& scene = m_workspace.scene();
    if (!scene.shown.timeline) return {};
    if (m_layout.legendRows > 0 && at.y() >= m_layout.legend &&
        at.y() < m_layout.legend + m_layout.legendRows * ChartLegend::rowHeight)
        return plainTip(m_legend.text());
    const int bandsTop = m_layout.phases.value_or(m_layout.layers);
    if (at.y() >= bandsTop && at.y() < m_layout.ticks && at.x() >= m_layout.plot.left()) {
        const auto bands = at.y() < m_layout.layers
                               ? phaseBands(scene.axisOwner())
                               : layerBands(scene.axisOwner(), m_workspace.view(), m_layout.plot.width());
        for (const Band& band : bands)
            if (xAt(at.x()) >= band.begin && xAt(at.x()) < band.end) return plainTip(band.text);
    }
    if (at.y() >= m_layout.ticks && at.y() < m_layout.plot.top())
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
        const double moved = (event->position().x() - m_pressed.x()) / m_layout.plot.width() * m_viewAtPress.length();
        m_workspace.setView(panned(m_viewAtPress, m_workspace.scene().all, -moved));
    } else if (m_drag == Drag::Select && std::abs(event->position().x() - m_pressed.x()) > clickSlack) {
        const double a = std::clamp(m_pressed.x(), m_layout.plot.left(), m_layout.plot.right());
        const double b = std::clamp(event->position().x(), m_layout.plot.left(), m_layout.plot.right());
        m_workspace.setSelection(Range{xAt(std::min(a, b)), xAt(std::max(a, b))});
    }
    hover(event->position());
}

void TimelineChart::mouseReleaseEvent(QMouseEvent* event) {
    if (m_drag == Drag::Select && std::abs(event->position().x() - m_pressed.x()) <= clickSlack) {
        // A click into the range leaves it: it may be the first one of a double click.
        const double x = xAt(m_pressed.x());
        if (const auto& selection = m_workspace.selection(); selection && !selection->contains(x))
            m_workspace.setSelection(std::nullopt);
        if (const std::uint32_t under = eventUnder(m_pressed.x()); under != noIndex) m_workspace.setCursor(under);
    }
    m_drag = Drag::None;
    viewport()->setCursor(m_spaceDown ? Qt::OpenHandCursor : Qt::ArrowCursor);
}

void TimelineChart::mouseDoubleClickEvent(QMouseEvent* event) {
    const auto selection = m_workspace.selection();
    if (selection && selection->length() > 0.0 && selection->contains(xAt(event->position().x())))
        m_workspace.setView(*selection);
}

void TimelineChart::keyPressEvent(QKeyEvent* event) {
    const Range all = m_workspace.scene().all, view = m_workspace.view();
    const double middle = view.begin + view.length() / 2;
    switch (event->key()) {
    case Qt::Key_Left:
    case Qt::Key_Right:
        if (event->modifiers() & Qt::ShiftModifier)
            m_workspace.extendSelection(event->key() == Qt::Key_Right, false);
        else
            m_workspace.stepCursor(event->key() == Qt::Key_Right);
        return;
    case Qt::Key_PageUp:
    case Qt::Key_PageDown:
        m_workspace.setView(panned(view, all, (event->key() == Qt::Key_PageUp ? -0.8 : 0.8) * view.length()));
        return;
    case Qt::Key_Plus:
    case Qt::Key_Equal: m_workspace.setView(zoomed(view, all, middle, 0.5)); return;
    case Qt::Key_Minus: m_workspace.setView(zoomed(view, all, middle, 2.0)); return;
    case Qt::Key_Home:
    case Qt::Key_End:
        if (event->modifiers() & Qt::ShiftModifier)
            m_workspace.extendSelection(event->key() == Qt::Key_End, true);
        else if (event->key() == Qt::Key_Home)
            m_workspace.setCursor(0);
        else if (m_workspace.shown() && m_workspace.shown()->eventCount() > 0)
            m_workspace.setCursor(static_cast<std::uint32_t>(m_workspace.shown()->eventCount() - 1));
        return;
    case Qt::Key_Return:
    case Qt::Key_Enter:
        if (const auto selection = m_workspace.selection(); selection && selection->length() > 0.0)
            m_workspace.setView(*selection);
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
        add(QStringLiteral("Zoom to the range\tEnter"), [this] { m_workspace.setView(*m_workspace.selection()); });
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
