#pragma once
// The timeline: stacked areas of what is allocated, reserved as an outline, the plan as a dashed ghost, overlays, and
// above them bands of phases and layers. Shows a Workspace and turns mouse and keys into its calls.

#include "app/models/workspace.h"

#include <QChartView>
#include <QPixmap>

class QAreaSeries;
class QLineSeries;
class QValueAxis;

namespace spikescope {

class TimelineChart final : public QChartView {
    Q_OBJECT
public:
    explicit TimelineChart(Workspace& workspace, QWidget* parent = nullptr);

    // Where curves are drawn, in widget coordinates.
    QRectF plotArea() const { return m_plot; }
    double xAt(double pixel) const;
    double pixelAt(double x) const;
    double pixelOfBytes(double bytes) const;
    // Everything as it stands on the screen, without hover.
    void paintTo(QPainter& painter, QSize size);
    void themeChanged();

Q_SIGNALS:
    void hovered(std::uint32_t event, double x); // noIndex: the mouse is elsewhere

protected:
    bool viewportEvent(QEvent* event) override;
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
    struct Curve {
        QLineSeries* casing = nullptr;
        QLineSeries* line = nullptr;
        void setPoints(const QList<QPointF>& points);
        void setPen(const QPen& pen);
        void setVisible(bool visible);
    };

    void rebuild();
    void updateSeries();
    void updateOverlays();
    void layOut(QSize size);
    QLineSeries* addLine();
    Curve addCurve();
    void paintMarks(QPainter& painter);
    void paintBands(QPainter& painter);
    void paintAxis(QPainter& painter);
    void paintPeak(QPainter& painter);
    void paintTicks(QPainter& painter);
    void paintMarkers(QPainter& painter);
    void hover(const QPointF& at);
    QString toolTipAt(const QPoint& at) const;

    Workspace& m_workspace;
    QValueAxis* m_xAxis = nullptr;
    QValueAxis* m_yAxis = nullptr;
    std::array<QAreaSeries*, categoryCount> m_areas{};
    std::array<QLineSeries*, categoryCount> m_bounds{};
    QLineSeries* m_reserved = nullptr;
    Curve m_ghost;
    QLineSeries* m_budget = nullptr;
    std::vector<Curve> m_overlays;
    ByteScale m_scale;
    QRectF m_plot;
    QPixmap m_curves; // the chart without marks, kept until something in it changes
    bool m_dirty = true;

    enum class Drag : std::uint8_t { None, Select, Pan };
    Drag m_drag = Drag::None;
    QPointF m_pressed;
    Range m_viewAtPress;
    bool m_spaceDown = false;
    std::optional<double> m_hoverX;
};

} // namespace spikescope
