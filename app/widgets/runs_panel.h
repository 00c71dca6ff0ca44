#pragma once
// The history of runs: tick to overlay, double-click to show, A and B for pictures.

#include "app/models/workspace.h"

#include <QTreeView>

namespace spikescope {

class RunsPanel final : public QWidget {
    Q_OBJECT
public:
    explicit RunsPanel(Workspace& workspace, QWidget* parent = nullptr);

private:
    void menu(const QPoint& at);
    int currentRun() const;

    Workspace& m_workspace;
    QTreeView* m_view;
};

} // namespace spikescope
