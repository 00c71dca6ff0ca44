#pragma once
// One picture, or two with a wipe between them, and over them the tiles that they were made of.

#include "app/models/tile_layout.h"

#include <QPixmap>
#include <QWidget>

#include <optional>

namespace spikescope {

class PictureCanvas final : public QWidget {
    Q_OBJECT
public:
    explicit PictureCanvas(QWidget* parent = nullptr);

    // Without a picture the hint; without a right one no wipe. Of an unfinished left one so many rows are there; no
    // number: all.
    void setImages(const QImage& left, const QImage& right, const QString& hint, std::optional<int> rows = {});
    void setTiles(const TileLayout& left, const TileLayout& right); // none are drawn of an empty layout
    void setHighlight(std::uint32_t part);                          // of the left layout; noIndex: none
    const QString& hint() const { return m_hint; }
    QRectF frame() const; // where the picture lies, in widget coordinates

Q_SIGNALS:
    // Where tiles are drawn and nothing is wiped: a pixel of the picture, and steps from tile to tile.
    void clicked(const QPoint& pixel);
    void stepped(int by);

protected:
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

private:
    QRectF areaOf(const QRect& pixels) const;
    void paintTiles(QPainter& painter, const TileLayout& tiles) const;
    void paintHighlight(QPainter& painter) const;
    void paintMissing(QPainter& painter) const;
    void moveSplit(double x);

    QImage m_left, m_right;
    QPixmap m_scaled, m_scaledRight;
    QString m_hint;
    int m_rows = 0; // of the left picture that are there
    TileLayout m_leftTiles, m_rightTiles;
    std::uint32_t m_highlight = noIndex;
    double m_split = 0.5; // share of the width that shows the left picture
};

} // namespace spikescope
