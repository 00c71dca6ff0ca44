// What the timeline paints around and over its series: title, legend, bands, axes, marks.

#include "app/widgets/theme.h"
#include "app/widgets/timeline_chart.h"

#include <QPainter>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

constexpr int bandHeight = 16; // pixels

} // namespace

QFont TimelineChart::markFont() const {
    QFont small = font();
    small.setPointSizeF(small.pointSizeF() * 0.85);
    return small;
}

// What the curves lie on: plot and grid.
void TimelineChart::paintGround(QPainter& painter) const {
    painter.fillRect(m_layout.plot, chartColours().plot);
    if (!m_workspace.shown()) return;
    painter.setPen(cosmeticPen(chartColours().grid, 1));
    for (const ByteTick& tick : ticks()) {
        const double y = std::floor(pixelOfBytes(tick.bytes)) + 0.5;
        painter.drawLine(QPointF(m_layout.plot.left(), y), QPointF(m_layout.plot.right(), y));
    }
}

void TimelineChart::paintTitle(QPainter& painter, const QStringList& lines) const {
    painter.setPen(chartColours().text);
    QFont plain = markFont(), bold = font();
    bold.setBold(true);
    double top = m_layout.title;
    const double height = QFontMetrics(plain).height() + 2;
    for (qsizetype i = 0; i < lines.size(); ++i) {
        painter.setFont(i == 0 ? bold : plain);
        const QRectF row(legendLeft, top, m_layout.plot.right() - legendLeft, height + 2);
        painter.drawText(row, Qt::AlignLeft | Qt::AlignVCenter | Qt::TextSingleLine,
                         painter.fontMetrics().elidedText(lines[i], Qt::ElideRight, static_cast<int>(row.width())));
        top += height;
    }
}

void TimelineChart::paintMarks(QPainter& painter) const {
    const ChartScene& scene = m_workspace.scene();
    if (!scene.shown.timeline) return;
    painter.setFont(markFont());
    const QRectF& plot = m_layout.plot;
    m_legend.paint(painter, QPointF(legendLeft, m_layout.legend), plot.right() - legendLeft, m_layout.legendRows);
    paintBands(painter);
    paintTicks(painter);
    paintAxes(painter);
    painter.save();
    painter.setClipRect(plot.adjusted(-1, -20, 1, 1)); // with room for the flag of the peak
    if (const auto selection = m_workspace.selection()) {
        // A range of one place is seen, too.
        const double left = pixelAt(selection->begin), right = std::max(pixelAt(selection->end), left + 2.0);
        const QRectF area(QPointF(left, plot.top()), QPointF(right, plot.bottom()));
        painter.fillRect(area.intersected(plot), chartColours().selection);
    }
    paintMarkers(painter);
    const std::uint32_t cursor = m_workspace.cursor();
    if (cursor < scene.shown.events.size()) {
        const double x = std::floor(pixelAt(scene.shown.events[cursor])) + 0.5;
        if (x >= plot.left() - 1 && x <= plot.right() + 1) {
            painter.setPen(cosmeticPen(chartColours().cursor, 1));
            painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()));
        }
    }
    paintPeak(painter);
    painter.restore();
}

void TimelineChart::paintBands(QPainter& painter) const {
    const ChartScene& scene = m_workspace.scene();
    const ChartColours& colours = chartColours();
    const QRectF& plot = m_layout.plot;
    const auto draw = [&](const std::vector<Band>& bands, int top, const QString& title) {
        for (const Band& band : bands) {
            QRectF area(QPointF(pixelAt(band.begin), top), QPointF(pixelAt(band.end), top + bandHeight));
            area.setLeft(std::max(area.left(), plot.left()));
            area.setRight(std::min(area.right(), plot.right()));
            if (area.width() < 0.5) continue;
            painter.fillRect(area, band.index % 2 ? colours.bandOdd : colours.bandEven);
            if (area.width() < 18) continue;
            const QRectF inner = area.adjusted(4, 0, -3, 0);
            const QString text =
                painter.fontMetrics().elidedText(band.text, Qt::ElideMiddle, static_cast<int>(inner.width()));
            if (text != band.text && text.size() < 5) continue; // says nothing
            painter.setPen(colours.text);
            painter.drawText(inner, Qt::AlignVCenter | Qt::AlignLeft | Qt::TextSingleLine, text);
        }
        painter.setPen(colours.dimText);
        painter.drawText(QRectF(4, top, leftMargin - 12, bandHeight), Qt::AlignVCenter | Qt::AlignRight, title);
    };
    if (m_layout.phases) draw(phaseBands(scene.axisOwner()), *m_layout.phases, QStringLiteral("phase"));
    draw(layerBands(scene.axisOwner(), m_workspace.view(), plot.width()), m_layout.layers, QStringLiteral("layer"));
}

// Barriers, and where memory ran out.
void TimelineChart::paintTicks(QPainter& painter) const {
    const ChartScene& scene = m_workspace.scene();
    const Recording& recording = scene.shown.timeline->recording();
    const ChartColours& colours = chartColours();
    const QRectF& plot = m_layout.plot;
    const auto placeOf = [&](std::uint32_t event) {
        return event == 0 || scene.shown.events.empty()
                   ? scene.shown.begin
                   : scene.shown.events[std::min<std::size_t>(event, scene.shown.events.size()) - 1];
    };
    painter.setPen(cosmeticPen(colours.dimText, 1));
    double last = -1.0;
    for (const std::uint32_t barrier : recording.barriers) {
        const double x = std::floor(pixelAt(placeOf(barrier))) + 0.5;
        if (x == last || x < plot.left() || x > plot.right()) continue;
        painter.drawLine(QPointF(x, m_layout.ticks), QPointF(x, m_layout.ticks + 6));
        last = x;
    }
    if (!recording.failure) return;
    const double x = std::clamp(pixelAt(placeOf(recording.failure->event)), plot.left(), plot.right());
    painter.setPen(cosmeticPen(colours.failure, 1.5));
    painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()));
    const bool cancelled = recording.failure->code == ErrorCode::Cancelled;
    const QString text = cancelled ? QStringLiteral("stopped")
                         : recording.failure->code == ErrorCode::OutOfDeviceMemory
                             ? QStringLiteral("out of memory at %1").arg(textOf(recording.failure->layer))
                             : textOf(name(recording.failure->code)).replace(QLatin1Char('_'), QLatin1Char(' '));
    const double width = painter.fontMetrics().horizontalAdvance(text) + 12;
    const double left = std::clamp(x - width / 2, plot.left(), std::max(plot.left(), plot.right() - width));
    const QRectF flag(left, plot.bottom() - 22, width, 18);
    painter.fillRect(flag, colours.failure);
    painter.setPen(darkTheme() ? Qt::black : Qt::white);
    painter.drawText(flag, Qt::AlignCenter, text);
}

void TimelineChart::paintAxes(QPainter& painter) const {
    const ChartScene& scene = m_workspace.scene();
    const ChartColours& colours = chartColours();
    const Range view = m_workspace.view();
    const QRectF& plot = m_layout.plot;
    const QFontMetrics metrics = painter.fontMetrics();
    painter.setBrush(Qt::NoBrush);
    painter.setPen(cosmeticPen(colours.grid, 1));
    painter.drawRect(plot.adjusted(-0.5, -0.5, 0.5, 0.5));
    painter.setPen(colours.dimText);
    for (const ByteTick& tick : ticks()) {
        const double y = pixelOfBytes(tick.bytes);
        painter.drawText(QRectF(0, y - metrics.height() / 2.0, leftMargin - 8, metrics.height()),
                         Qt::AlignRight | Qt::AlignVCenter | Qt::TextSingleLine, tick.text);
    }
    const double baseline = plot.bottom() + metrics.height() / 2.0 + 2;
    const double under = plot.bottom() + 4;
    if (scene.axis == AxisKind::Layers) { // the band names them
        painter.drawText(QRectF(plot.left(), under, plot.width(), metrics.height()), Qt::AlignTop | Qt::AlignHCenter,
                         QStringLiteral("layers, equally wide"));
        return;
    }
    const int most = std::max(2, static_cast<int>(plot.width() / 110));
    double step = niceStep(view.length(), most);
    if (scene.axis != AxisKind::Time) step = std::max(step, 1.0);
    const bool timed = scene.axis == AxisKind::Time;
    // The caption stands below the label of zero bytes.
    const QString caption = timed ? QStringLiteral("device time") : QStringLiteral("op number");
    painter.drawText(QRectF(0, baseline, leftMargin - 8, metrics.height()), Qt::AlignTop | Qt::AlignRight, caption);
    double freeFrom = plot.left() - 4;
    for (double x = std::ceil(view.begin / step) * step; x <= view.end + step * 1e-6; x += step) {
        const double at = pixelAt(x);
        const QString text = timed ? timeLabel(x, step) : QString::number(static_cast<qint64>(std::llround(x)));
        const double width = metrics.horizontalAdvance(text);
        const double left = std::clamp(at - width / 2, plot.left() - 4, plot.right() - width + rightMargin);
        painter.setPen(colours.grid);
        painter.drawLine(QPointF(at, plot.bottom()), QPointF(at, plot.bottom() + 4));
        if (left < freeFrom) continue;
        painter.setPen(colours.dimText);
        painter.drawText(QPointF(left, baseline + metrics.ascent()), text);
        freeFrom = left + width + 12;
    }
}

void TimelineChart::paintPeak(QPainter& painter) const {
    const ChartScene& scene = m_workspace.scene();
    const Peak& peak = scene.shown.timeline->peak();
    const QRectF& plot = m_layout.plot;
    if (peak.eventIndex == noIndex || peak.allocated == 0) return;
    const double x = pixelAt(scene.shown.events[peak.eventIndex]);
    if (x < plot.left() - 1 || x > plot.right() + 1) return;
    const double y = pixelOfBytes(static_cast<double>(peak.allocated));
    const ChartColours& colours = chartColours();
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(Qt::NoPen);
    painter.setBrush(colours.ink);
    painter.drawPolygon(QPolygonF({{x, y - 1}, {x - 5, y - 9}, {x + 5, y - 9}}));
    const QString text =
        (scene.whole ? QStringLiteral("peak so far %1") : QStringLiteral("peak %1")).arg(bytesText(peak.allocated));
    const double width = painter.fontMetrics().horizontalAdvance(text) + 12;
    const double left = std::clamp(x - width / 2, plot.left() + 2, std::max(plot.left() + 2, plot.right() - width - 2));
    const QRectF flag(left, std::max(y - 27, plot.top() - 14.0), width, 18);
    painter.drawRoundedRect(flag, 3, 3);
    painter.setRenderHint(QPainter::Antialiasing, false);
    painter.setPen(colours.ground);
    painter.drawText(flag, Qt::AlignCenter, text);
}

void TimelineChart::paintMarkers(QPainter& painter) const {
    const ChartScene& scene = m_workspace.scene();
    const QRectF& plot = m_layout.plot;
    const QColor colour = palette().color(QPalette::Highlight);
    for (const ChartMarker& marker : m_workspace.markers()) {
        if (marker.event >= scene.shown.events.size()) continue;
        const double x = std::floor(pixelAt(scene.shown.events[marker.event])) + 0.5;
        painter.setPen(cosmeticPen(colour, 1, Qt::DashLine));
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()));
        const double width = painter.fontMetrics().horizontalAdvance(marker.text) + 8;
        const QRectF flag(x, plot.top(), width, 16);
        painter.fillRect(flag, colour);
        painter.setPen(palette().color(QPalette::HighlightedText));
        painter.drawText(flag, Qt::AlignCenter, marker.text);
    }
}

// A thin line under the mouse and what a click there would go to. All else in the window is about the cursor.
void TimelineChart::paintHover(QPainter& painter) const {
    if (!m_hover || m_drag == Drag::Pan) return;
    const QRectF& plot = m_layout.plot;
    const ChartColours& colours = chartColours();
    painter.setPen(cosmeticPen(colours.hover, 1, Qt::DotLine));
    const double x = std::floor(m_hover->x()) + 0.5;
    painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()));
    const std::uint32_t event = eventUnder(m_hover->x());
    if (event == noIndex) return;
    const QStringList lines = momentLines(*m_workspace.shown(), event);
    painter.setFont(markFont());
    const QFontMetrics metrics = painter.fontMetrics();
    const double widest = std::max(60.0, plot.width() / 2 - 24);
    double width = 0.0;
    for (const QString& line : lines) width = std::max<double>(width, metrics.horizontalAdvance(line));
    const QSizeF size(std::min(width, widest) + 12, static_cast<double>(lines.size()) * metrics.height() + 8);
    const double left = x + 10 + size.width() <= plot.right() ? x + 10 : x - 10 - size.width();
    const double top = std::clamp(m_hover->y() - size.height() - 6, plot.top() + 2,
                                  std::max(plot.top() + 2, plot.bottom() - size.height() - 2));
    const QRectF box(QPointF(left, top), size);
    QColor ground = colours.ground;
    ground.setAlpha(235);
    painter.fillRect(box, ground);
    painter.setPen(cosmeticPen(colours.hover, 1));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5));
    painter.setPen(colours.text);
    for (qsizetype i = 0; i < lines.size(); ++i)
        painter.drawText(QPointF(left + 6, top + 4 + static_cast<double>(i) * metrics.height() + metrics.ascent()),
                         metrics.elidedText(lines[i], Qt::ElideMiddle, static_cast<int>(size.width() - 12)));
}

} // namespace spikescope
