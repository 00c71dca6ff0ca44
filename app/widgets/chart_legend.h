#pragma once
// The legend of the timeline in rows of swatches and names, and the colours and pens that it shares with the curves.

#include "app/models/chart_legend.h"

#include <QColor>
#include <QPen>

class QFontMetrics;
class QPainter;

namespace spikescope {

QPen cosmeticPen(const QColor& colour, double width, Qt::PenStyle style = Qt::SolidLine);
QColor areaColour(Category category);
QPen reservedPen();
QPen planPen();
QPen budgetPen();
QPen overlayPen(int run); // 0: the plan before the last flip

class ChartLegend {
public:
    static constexpr int rowHeight = 17; // pixels

    void setEntries(std::vector<LegendEntry> entries) { m_entries = std::move(entries); }
    bool empty() const { return m_entries.empty(); }
    int rows(const QFontMetrics& metrics, double width, int mostRows) const;
    // From `origin` downwards; what does not fit into the rows is counted at their end.
    void paint(QPainter& painter, const QPointF& origin, double width, int mostRows) const;
    QString text() const; // every entry in full, a line each

private:
    struct Place {
        std::size_t entry = 0;
        int row = 0;
        double x = 0.0, width = 0.0;
    };
    std::vector<Place> placed(const QFontMetrics& metrics, double width, int mostRows) const;

    std::vector<LegendEntry> m_entries;
};

} // namespace spikescope
