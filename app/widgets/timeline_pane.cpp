#include "app/widgets/timeline_pane.h"

#include "app/widgets/cursor_bar.h"
#include "app/widgets/minimap.h"
#include "app/widgets/notice_bar.h"
#include "app/widgets/timeline_chart.h"

#include <QEvent>

#include <algorithm>

namespace spikescope {

TimelinePane::TimelinePane(Workspace& workspace, QWidget* parent)
    : QWidget(parent)
    , m_notices(new NoticeBar(workspace, this))
    , m_chart(new TimelineChart(workspace, this))
    , m_minimap(new Minimap(workspace, TimelineChart::leftMargin, TimelineChart::rightMargin, this))
    , m_cursorBar(new CursorBar(workspace, this)) {
    m_notices->installEventFilter(this);
    connect(m_cursorBar, &CursorBar::rowsChanged, this, &TimelinePane::place);
}

void TimelinePane::resizeEvent(QResizeEvent*) { place(); }

bool TimelinePane::eventFilter(QObject* watched, QEvent* event) {
    // The message comes, goes, and has another text.
    if (event->type() == QEvent::ShowToParent || event->type() == QEvent::HideToParent ||
        event->type() == QEvent::LayoutRequest)
        place();
    return QWidget::eventFilter(watched, event);
}

void TimelinePane::place() {
    // Heights of the chart, in pixels: where the overview goes, the sentence has one line, the values have one row, and
    // the sentence goes.
    constexpr int withOverview = 190, withSentence = 170, withValues = 140, leastChart = 110, mostRows = 3, wide = 640;
    const int width = this->width();
    int top = 0;
    if (!m_notices->isHidden()) {
        const int wanted =
            m_notices->hasHeightForWidth() ? m_notices->heightForWidth(width) : m_notices->sizeHint().height();
        const int height = std::clamp(wanted, 0, std::max(0, this->height() - leastChart));
        m_notices->setGeometry(0, 0, width, height);
        top = height;
    }
    int rows = std::min(m_cursorBar->stripRows(width), mostRows), lines = width >= wide ? 2 : 3;
    const auto chartHeight = [&](int overview) {
        return this->height() - top - overview - m_cursorBar->heightFor(rows, lines);
    };
    int overview = m_minimap->sizeHint().height();
    if (chartHeight(overview) < withOverview) overview = 0;
    while (lines > 1 && chartHeight(overview) < withSentence) --lines;
    while (rows > 1 && chartHeight(overview) < withValues) --rows;
    if (chartHeight(overview) < leastChart) lines = 0;
    const int chart = std::max(1, chartHeight(overview));
    m_chart->setGeometry(0, top, width, chart);
    m_minimap->setVisible(overview > 0);
    m_minimap->setGeometry(0, top + chart, width, overview);
    m_cursorBar->setRows(rows, lines);
    m_cursorBar->setGeometry(0, top + chart + overview, width, m_cursorBar->heightFor(rows, lines));
}

} // namespace spikescope
