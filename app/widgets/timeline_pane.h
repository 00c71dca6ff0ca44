#pragma once
// The timeline with what belongs to it, one above the other: message, chart, overview, values at the cursor. Where
// there is too little room, parts shrink and go in the order in which they are missed least; none lies over another.

#include "app/models/workspace.h"

#include <QWidget>

namespace spikescope {

class CursorBar;
class Minimap;
class NoticeBar;
class TimelineChart;

class TimelinePane final : public QWidget {
    Q_OBJECT
public:
    explicit TimelinePane(Workspace& workspace, QWidget* parent = nullptr);
    TimelineChart& chart() { return *m_chart; }
    NoticeBar& notices() { return *m_notices; }
    QSize minimumSizeHint() const override { return {240, 150}; }
    QSize sizeHint() const override { return {700, 480}; }

protected:
    void resizeEvent(QResizeEvent* event) override;
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    void place();

    NoticeBar* m_notices;
    TimelineChart* m_chart;
    Minimap* m_minimap;
    CursorBar* m_cursorBar;
};

} // namespace spikescope
