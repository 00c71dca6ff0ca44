#pragma once
// The predicted peak as a bar against the budget, with what the last flip changed.

#include "app/models/workspace.h"

#include <QLabel>
#include <QWidget>

namespace spikescope {

class PeakGauge final : public QWidget {
    Q_OBJECT
public:
    explicit PeakGauge(Workspace& workspace, QWidget* parent = nullptr);

protected:
    void changeEvent(QEvent* event) override;

private:
    class Bar;
    void refresh();
    void refreshMeasured();
    QString timeText() const; // of the controls as they stand

    Workspace& m_workspace;
    QLabel* m_peak;
    QLabel* m_change;
    QLabel* m_measured;
    Bar* m_bar;
    QLabel* m_fits;
};

} // namespace spikescope
