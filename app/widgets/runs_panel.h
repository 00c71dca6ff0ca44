#pragma once
// The list of runs: its selection is the run that is shown, ticked ones are overlaid, A and B are compared.

#include "app/models/workspace.h"

#include <QPushButton>
#include <QTreeView>

namespace spikescope {

class RunsPanel final : public QWidget {
    Q_OBJECT
public:
    explicit RunsPanel(Workspace& workspace, QWidget* parent = nullptr);

protected:
    void resizeEvent(QResizeEvent* event) override;

private:
    class View;
    void menu(const QPoint& at);
    void refreshShown();

    Workspace& m_workspace;
    View* m_view;
    QPushButton* m_plan;
    bool m_refreshing = false;
};

} // namespace spikescope
