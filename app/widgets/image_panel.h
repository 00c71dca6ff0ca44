#pragma once
// The picture that a run made, growing while it is made, with the tiles that it was made of; two runs' pictures with a
// wipe between them, or their difference as a heat map with PSNR, largest error and errors at tile edges.

#include "app/models/tile_layout.h"
#include "app/models/workspace.h"

#include <QAction>
#include <QComboBox>
#include <QLabel>
#include <QSpinBox>
#include <QWidget>

namespace spikescope {

class PictureCanvas;

class ImagePanel final : public QWidget {
    Q_OBJECT
public:
    ImagePanel(Workspace& workspace, Engine& engine, QWidget* parent = nullptr);
    // What is seen, whole: of the run that is shown, or where A and B differ; null when there is none.
    QImage current() const { return m_current; }
    QAction* tilesAction() const { return m_tiles; } // whether the edges of tiles are drawn
    // The tile of an event of the timeline stands out; noIndex: that of the cursor.
    void showHover(std::uint32_t event);

Q_SIGNALS:
    void currentChanged();

private:
    enum Mode { Picture, Wipe, Difference };
    // A run with a picture, as this panel shows it.
    struct Side {
        int run = 0;
        TimelinePtr timeline;
        QImage image;
        TileLayout tiles;
    };
    Side sideOf(int run, const TimelinePtr& timeline, const PicturePtr& picture) const;
    Side sideOf(int run) const;
    void refresh();
    void refreshPicture();
    void setCurrent(const QImage& image);
    void refreshTiles();
    void refreshText();
    void askDifference(const Side& a, const Side& b);
    QString namesOfSides() const;
    std::uint32_t highlighted() const;
    QString textOfTile(std::uint32_t part) const;
    void step(int by);

    Workspace& m_workspace;
    Engine& m_engine;
    PictureCanvas* m_canvas;
    QComboBox* m_mode;
    QSpinBox* m_index;
    QAction* m_tiles;
    QLabel* m_text;
    // Whose tiles are drawn, and can be clicked on; of a wipe those of A, and beside them those of B.
    Side m_tiled, m_right;
    QString m_about;                 // the picture or the difference
    std::uint32_t m_hover = noIndex; // event
    std::uint64_t m_differenceRequest = 0;
    QImage m_current;
};

} // namespace spikescope
