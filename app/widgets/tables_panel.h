#pragma once
// The tables under the timeline, bound to its cursor and selection. Only the one that is seen is kept up to date.

#include "app/models/workspace.h"

#include <QElapsedTimer>
#include <QLabel>
#include <QLineEdit>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QTabWidget>
#include <QTableView>

namespace spikescope {

class TablesPanel final : public QTabWidget {
    Q_OBJECT
public:
    enum Tab { Layers, Alive, AdviceTab, Compare, Events, Log, tabTotal };

    explicit TablesPanel(Workspace& workspace, QWidget* parent = nullptr);
    void log(const Notice& notice);
    // Of the tab in front; null for the log.
    TableModel* currentModel() const;
    void focusFilter(); // of the tab in front

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;

protected:
    void resizeEvent(QResizeEvent* event) override;

private:
    // A column that gives way where all do not fit.
    struct Yielding {
        int column = 0, least = 0;
        int wanted = 0; // by its texts
    };
    struct Page {
        QTableView* view = nullptr;
        TableModel* model = nullptr;
        QLineEdit* filter = nullptr;
        QLabel* note = nullptr;
        std::vector<Yielding> yielding;
        bool stale = true;
        std::uint32_t marked = noIndex; // event, whose row was last shown
    };

    Page& addPage(Tab tab, const QString& title, const QString& tip, TableModel* model);
    void spoil(std::initializer_list<Tab> tabs);
    void refreshVisible();
    void refresh(Tab tab);
    void fitColumns(Page& page);
    void activated(Tab tab, int row);
    int rowOfCursor(Tab tab) const; // as shown; -1 where the table has none
    void markCursor();              // selects and shows that row
    void copy();
    void saveCsv();

    Workspace& m_workspace;
    LayersModel* m_layers;
    AliveModel* m_alive;
    AdviceModel* m_advice;
    CompareModel* m_compare;
    EventsModel* m_events;
    TimelinePtr m_eventsTimeline; // what the rows of m_events point into
    QPlainTextEdit* m_log;
    QPushButton* m_measure;
    std::array<Page, tabTotal> m_pages;
    QElapsedTimer m_refreshed;
};

} // namespace spikescope
