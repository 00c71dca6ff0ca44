#pragma once
// The whole timeline in little, with a frame around what the chart shows. Dragging moves the frame.

#include "app/models/workspace.h"

#include <QWidget>

namespace spikescope {

class Minimap final : public QWidget {
    Q_OBJECT
public:
    Minimap(Workspace& workspace, double leftMargin, double rightMargin, QWidget* parent = nullptr);
    QSize sizeHint() const override { return {400, 40}; }

protected:
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void rebuild();
    QRectF area() const;
    double pixelAt(double x) const;
    void moveTo(double pixel);

    Workspace& m_workspace;
    double m_left, m_right;
    QPolygonF m_shape;
};

} // namespace spikescope
