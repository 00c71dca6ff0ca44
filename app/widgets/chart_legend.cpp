#include "app/widgets/chart_legend.h"

#include "app/models/runs_model.h"
#include "app/models/tables.h"
#include "app/widgets/theme.h"

#include <QFontMetrics>
#include <QPainter>

#include <algorithm>

namespace spikescope {

namespace {

constexpr double swatch = 10.0, line = 22.0, gapInside = 5.0, gapBetween = 14.0, widestText = 230.0;

double markWidth(const LegendEntry& entry) { return entry.kind == LegendEntry::Kind::Area ? swatch : line; }

QPen penOf(const LegendEntry& entry) {
    switch (entry.kind) {
    case LegendEntry::Kind::Reserved: return reservedPen();
    case LegendEntry::Kind::Plan: return planPen();
    case LegendEntry::Kind::Budget: return budgetPen();
    case LegendEntry::Kind::Overlay: return overlayPen(entry.run);
    case LegendEntry::Kind::Area: break;
    }
    return QPen(Qt::NoPen);
}

QString othersText(std::size_t count) { return QStringLiteral("and %1 more").arg(count); }

} // namespace

QPen cosmeticPen(const QColor& colour, double width, Qt::PenStyle style) {
    QPen pen(colour, width, style);
    pen.setCosmetic(true);
    pen.setJoinStyle(Qt::MiterJoin);
    return pen;
}

QColor areaColour(Category category) {
    const QColor colour = categoryColour(category);
    return darkTheme() ? colour.darker(112) : colour;
}
QPen reservedPen() { return cosmeticPen(chartColours().ink, 1.2); }
QPen planPen() { return cosmeticPen(chartColours().ghost, 1.8, Qt::DashLine); }
QPen budgetPen() { return cosmeticPen(chartColours().budget, 1.2, Qt::DashDotLine); }
QPen overlayPen(int run) {
    return run == 0 ? cosmeticPen(chartColours().dimText, 1.4, Qt::DotLine)
                    : cosmeticPen(overlayColour(run), 1.8, overlayDashes(run));
}

std::vector<ChartLegend::Place> ChartLegend::placed(const QFontMetrics& metrics, double width, int mostRows) const {
    std::vector<Place> places;
    double x = 0.0;
    int row = 0;
    for (std::size_t i = 0; i < m_entries.size(); ++i) {
        const double text = std::min<double>(metrics.horizontalAdvance(m_entries[i].text), widestText);
        const double wanted = std::min(markWidth(m_entries[i]) + gapInside + text, width);
        // In the last row there is room for the count of those that are left.
        const std::size_t behind = m_entries.size() - i - 1;
        const double room = row + 1 == mostRows && behind > 0
                                ? width - gapBetween - metrics.horizontalAdvance(othersText(behind))
                                : width;
        if (x > 0.0 && x + wanted > room) {
            if (row + 1 == mostRows) break;
            x = 0.0;
            ++row;
        }
        places.push_back({.entry = i, .row = row, .x = x, .width = wanted});
        x += wanted + gapBetween;
    }
    return places;
}

int ChartLegend::rows(const QFontMetrics& metrics, double width, int mostRows) const {
    if (mostRows < 1 || m_entries.empty()) return 0;
    const std::vector<Place> places = placed(metrics, width, mostRows);
    return places.empty() ? 0 : places.back().row + 1;
}

void ChartLegend::paint(QPainter& painter, const QPointF& origin, double width, int mostRows) const {
    if (mostRows < 1) return;
    const QFontMetrics metrics = painter.fontMetrics();
    const std::vector<Place> places = placed(metrics, width, mostRows);
    for (const Place& place : places) {
        const LegendEntry& entry = m_entries[place.entry];
        const double left = origin.x() + place.x, top = origin.y() + place.row * rowHeight, mark = markWidth(entry);
        const double middle = std::floor(top + rowHeight / 2.0) + 0.5;
        if (entry.kind == LegendEntry::Kind::Area) {
            painter.fillRect(QRectF(left, middle - swatch / 2 - 0.5, swatch, swatch), areaColour(entry.category));
        } else {
            painter.setPen(penOf(entry));
            painter.drawLine(QPointF(left, middle), QPointF(left + mark, middle));
        }
        painter.setPen(chartColours().text);
        const QRectF text(left + mark + gapInside, top, place.width - mark - gapInside + 1, rowHeight);
        painter.drawText(text, Qt::AlignLeft | Qt::AlignVCenter | Qt::TextSingleLine,
                         metrics.elidedText(entry.text, Qt::ElideMiddle, static_cast<int>(text.width())));
    }
    if (places.size() == m_entries.size() || places.empty()) return;
    const Place& last = places.back();
    const double left = last.x + last.width + gapBetween;
    painter.setPen(chartColours().dimText);
    painter.drawText(
        QRectF(origin.x() + left, origin.y() + last.row * rowHeight, std::max(0.0, width - left), rowHeight),
        Qt::AlignLeft | Qt::AlignVCenter | Qt::TextSingleLine, othersText(m_entries.size() - places.size()));
}

QString ChartLegend::text() const {
    QStringList lines;
    for (const LegendEntry& entry : m_entries) lines << entry.text;
    return lines.join(QLatin1Char('\n'));
}

} // namespace spikescope
