#pragma once
// The picture that a run made, growing while it is made; two runs' pictures with a wipe between them, or their
// difference as a heat map with PSNR and largest error.

#include "app/models/workspace.h"

#include <QComboBox>
#include <QLabel>
#include <QSpinBox>
#include <QWidget>

namespace spikescope {

class ImagePanel final : public QWidget {
    Q_OBJECT
public:
    ImagePanel(Workspace& workspace, Engine& engine, QWidget* parent = nullptr);
    // The one that is shown; null when there is none.
    QImage current() const;

private:
    class Canvas;
    void refresh();
    void askDifference();
    QImage imageOf(int run) const;

    Workspace& m_workspace;
    Engine& m_engine;
    Canvas* m_canvas;
    QComboBox* m_mode;
    QSpinBox* m_index;
    QLabel* m_text;
    std::uint64_t m_differenceRequest = 0;
};

} // namespace spikescope
