#pragma once
// The timeline: stacked areas of what is allocated, reserved as an outline, the plan as a dashed line, overlays, and
// above them a legend and bands of phases and layers. Shows a Workspace and turns mouse and keys into its calls.
// Qt Charts draws the series; ground, grid, axes and marks are painted here, as they follow every zoom and size at
// once.

#include "app/models/workspace.h"
#include "app/widgets/chart_legend.h"

#include <QChartView>
#include <QPixmap>

class QAreaSeries;
class QLineSeries;
class QValueAxis;

namespace spikescope {

class TimelineChart final : public QChartView {
    Q_OBJECT
public:
    static constexpr int leftMargin = 78, rightMargin = 14; // of the plot, in pixels
    static constexpr int legendLeft = 12;                   // it needs more room than the plot has in a narrow window

    explicit TimelineChart(Workspace& workspace, QWidget* parent = nullptr);
    QSize minimumSizeHint() const override { return {200, 90}; }
    QSize sizeHint() const override { return {600, 320}; }

    // Where curves are drawn, in widget coordinates.
    QRectF plotArea() const { return m_layout.plot; }
    double xAt(double pixel) const;
    double pixelAt(double x) const;
    double pixelOfBytes(double bytes) const;
    std::vector<ByteTick> ticks() const { return byteTicks(m_scale); } // of the vertical axis
    // Everything as it stands on the screen, without hover and under a title that says what it is of.
    void paintTo(QPainter& painter, QSize size);

Q_SIGNALS:
    void hovered(std::uint32_t event); // noIndex: the mouse is elsewhere

protected:
    bool viewportEvent(QEvent* event) override;
    void changeEvent(QEvent* event) override;
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;
    void wheelEvent(QWheelEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void keyReleaseEvent(QKeyEvent* event) override;
    void contextMenuEvent(QContextMenuEvent* event) override;

private:
    // A line over a wider one in the colour of the ground, so that it is seen on any area.
    struct Line {
        QLineSeries* casing = nullptr;
        QLineSeries* line = nullptr;
        void setPoints(const QList<QPointF>& points);
        void setPen(const QPen& pen);
        void setVisible(bool visible);
    };
    // Tops of what stands above the plot, in pixels; nothing where a low chart has no room for it.
    struct Layout {
        int title = 0, legend = 0, legendRows = 0, layers = 0, ticks = 0;
        std::optional<int> phases;
        QRectF plot;
    };

    void rebuild();
    void rescale();
    void updateSeries();
    void updateOverlays();
    void updateColours();
    void layOut(QSize size, const QStringList& titleLines = {}, std::optional<int> mostLegendRows = {});
    QLineSeries* addLine();
    Line addCurve();
    QFont markFont() const;
    std::uint32_t eventUnder(double pixel) const;
    void hover(const QPointF& at);
    QString toolTipAt(const QPoint& at) const;

    void paintGround(QPainter& painter) const;
    void paintMarks(QPainter& painter) const;
    void paintBands(QPainter& painter) const;
    void paintAxes(QPainter& painter) const;
    void paintPeak(QPainter& painter) const;
    void paintTicks(QPainter& painter) const;
    void paintMarkers(QPainter& painter) const;
    void paintHover(QPainter& painter) const;
    void paintTitle(QPainter& painter, const QStringList& lines) const;

    Workspace& m_workspace;
    QValueAxis* m_xAxis = nullptr; // both from 0 to 1, and never seen
    QValueAxis* m_yAxis = nullptr;
    std::array<QAreaSeries*, categoryCount> m_areas{};
    std::array<QLineSeries*, categoryCount> m_bounds{};
    QLineSeries* m_reserved = nullptr;
    Line m_ghost;
    QLineSeries* m_budget = nullptr;
    std::vector<Line> m_overlays;
    ChartLegend m_legend;
    ByteScale m_scale;
    Layout m_layout;
    QPixmap m_curves; // the chart without marks, kept until something in it changes
    bool m_dirty = true;

    enum class Drag : std::uint8_t { None, Select, Pan };
    Drag m_drag = Drag::None;
    QPointF m_pressed;
    Range m_viewAtPress;
    bool m_spaceDown = false;
    std::optional<QPointF> m_hover; // where the mouse is, in pixels
    std::uint32_t m_cursorSeen = noIndex;
};

} // namespace spikescope
