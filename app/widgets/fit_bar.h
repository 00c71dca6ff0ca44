#pragma once
// Under the predicted peak: find controls that fit into the budget, and what may be given up for that.

#include "app/models/workspace.h"

#include <QCheckBox>
#include <QPushButton>
#include <QWidget>

namespace spikescope {

class FitBar final : public QWidget {
    Q_OBJECT
public:
    explicit FitBar(Workspace& workspace, QWidget* parent = nullptr);
    void press() { m_fit->click(); }
    void fitInto(std::uint64_t bytes); // with what is ticked

private:
    FitWish wish() const;
    void refresh();

    Workspace& m_workspace;
    QPushButton* m_fit;
    QCheckBox* m_approximate;
    QCheckBox* m_dtype;
};

} // namespace spikescope
