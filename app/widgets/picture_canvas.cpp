#include "app/widgets/picture_canvas.h"

#include "app/widgets/theme.h"

#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

// Over any picture and over heat maps, which have no green.
const QColor edgeColour(0x33, 0xd9, 0x73), bandColour(0x33, 0xd9, 0x73, 55), casing(0, 0, 0, 130);

} // namespace

PictureCanvas::PictureCanvas(QWidget* parent)
    : QWidget(parent) {
    setMinimumSize(160, 120);
    setFocusPolicy(Qt::StrongFocus);
    setObjectName(QStringLiteral("picture"));
    setAccessibleName(QStringLiteral("Picture"));
}

void PictureCanvas::setImages(const QImage& left, const QImage& right, const QString& hint, std::optional<int> rows) {
    m_rows = rows.value_or(left.height());
    m_left = left;
    m_right = right;
    m_hint = hint;
    m_scaled = {};
    update();
}

void PictureCanvas::setTiles(const TileLayout& left, const TileLayout& right) {
    m_leftTiles = left;
    m_rightTiles = right;
    const bool clickable = !left.empty() && m_right.isNull();
    setCursor(clickable ? Qt::PointingHandCursor : Qt::ArrowCursor);
    setToolTip(clickable ? QStringLiteral("A click on a tile selects its ops on the timeline, and the tables follow; "
                                          "where tiles overlap, another click takes the next one. Left and Right go "
                                          "through them as they were made.")
                         : QString());
    update();
}

void PictureCanvas::setHighlight(std::uint32_t part) {
    if (part == m_highlight) return;
    m_highlight = part;
    update();
}

QRectF PictureCanvas::frame() const {
    const QSizeF size = QSizeF(m_left.size()).scaled(this->size(), Qt::KeepAspectRatio);
    return {QPointF((width() - size.width()) / 2, (height() - size.height()) / 2), size};
}

QRectF PictureCanvas::areaOf(const QRect& pixels) const {
    const QRectF box = frame();
    const double scaling = box.width() / m_left.width();
    return {box.topLeft() + scaling * QPointF(pixels.topLeft()), scaling * QSizeF(pixels.size())};
}

void PictureCanvas::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    painter.fillRect(rect(), chartColours().ground);
    if (m_left.isNull()) {
        painter.setPen(chartColours().dimText);
        painter.drawText(rect().adjusted(12, 12, -12, -12), Qt::AlignCenter | Qt::TextWordWrap, m_hint);
        return;
    }
    const double ratio = devicePixelRatioF();
    const QSize size = m_left.size().scaled(this->size() * ratio, Qt::KeepAspectRatio);
    if (m_scaled.size() != size) {
        // Small pictures are magnified without smoothing: pixels are what one looks for.
        const auto mode = size.width() > m_left.width() ? Qt::FastTransformation : Qt::SmoothTransformation;
        m_scaled = QPixmap::fromImage(m_left.scaled(size, Qt::IgnoreAspectRatio, mode));
        m_scaledRight =
            m_right.isNull() ? QPixmap() : QPixmap::fromImage(m_right.scaled(size, Qt::IgnoreAspectRatio, mode));
    }
    const QRectF box = frame();
    painter.drawPixmap(box, m_scaled, QRectF(m_scaled.rect()));
    painter.setClipRect(box);
    if (m_scaledRight.isNull()) {
        paintMissing(painter);
        paintTiles(painter, m_leftTiles);
        paintHighlight(painter);
        return;
    }
    const double split = std::round(box.left() + m_split * box.width());
    painter.save();
    painter.setClipRect(QRectF(box.topLeft(), QPointF(split, box.bottom())));
    paintTiles(painter, m_leftTiles);
    painter.setClipRect(QRectF(QPointF(split, box.top()), box.bottomRight()));
    painter.drawPixmap(box, m_scaledRight, QRectF(m_scaledRight.rect()));
    paintTiles(painter, m_rightTiles);
    painter.restore();
    painter.setPen(QPen(Qt::white, 2));
    painter.drawLine(QPointF(split, box.top()), QPointF(split, box.bottom()));
    const auto badge = [&](const QString& text, double left) {
        const QRectF area(left, box.top() + 6, 22, 20);
        painter.fillRect(area, QColor(0, 0, 0, 160));
        painter.drawText(area, Qt::AlignCenter, text);
    };
    badge(QStringLiteral("A"), split - 28);
    badge(QStringLiteral("B"), split + 6);
}

void PictureCanvas::paintTiles(QPainter& painter, const TileLayout& tiles) const {
    if (tiles.empty()) return;
    for (const QRect& overlap : tiles.overlaps) painter.fillRect(areaOf(overlap), bandColour);
    const QRectF box = frame();
    QList<QLineF> lines;
    for (const auto& [part, pixels] : tiles.tiles) {
        const QRectF area = areaOf(pixels);
        // The picture's own edges are no tile's.
        for (const double x : {area.left(), area.right()})
            if (x > box.left() + 0.5 && x < box.right() - 0.5) lines << QLineF(x, area.top(), x, area.bottom());
        for (const double y : {area.top(), area.bottom()})
            if (y > box.top() + 0.5 && y < box.bottom() - 0.5) lines << QLineF(area.left(), y, area.right(), y);
    }
    for (const QPen& pen : {QPen(casing, 3, Qt::SolidLine, Qt::FlatCap), QPen(edgeColour, 1)}) {
        painter.setPen(pen);
        painter.drawLines(lines);
    }
}

// What is not yet made is no black picture.
void PictureCanvas::paintMissing(QPainter& painter) const {
    if (m_rows >= m_left.height()) return;
    const QRectF area = areaOf(QRect(0, m_rows, m_left.width(), m_left.height() - m_rows));
    painter.fillRect(area, chartColours().ground);
    QColor lines = chartColours().dimText;
    painter.setPen(lines);
    lines.setAlpha(70);
    painter.fillRect(area, QBrush(lines, Qt::BDiagPattern));
    painter.drawText(area.adjusted(8, 4, -8, -4), Qt::AlignCenter | Qt::TextWordWrap, QStringLiteral("not yet made"));
}

void PictureCanvas::paintHighlight(QPainter& painter) const {
    const TileLayout::Tile* tile = m_leftTiles.tileOf(m_highlight);
    if (!tile) return;
    const QRectF area = areaOf(tile->area).adjusted(1, 1, -1, -1);
    QColor inside = palette().color(QPalette::Highlight);
    inside.setAlpha(45);
    painter.fillRect(area, inside);
    painter.setBrush(Qt::NoBrush);
    for (const QPen& pen :
         {QPen(Qt::white, 4, Qt::SolidLine, Qt::SquareCap, Qt::MiterJoin),
          QPen(palette().color(QPalette::Highlight), 2, Qt::SolidLine, Qt::SquareCap, Qt::MiterJoin)}) {
        painter.setPen(pen);
        painter.drawRect(area);
    }
}

void PictureCanvas::moveSplit(double x) {
    m_split = std::clamp((x - frame().left()) / frame().width(), 0.0, 1.0);
    update();
}

void PictureCanvas::mousePressEvent(QMouseEvent* event) {
    if (!m_right.isNull()) {
        moveSplit(event->position().x());
        return;
    }
    const QRectF box = frame();
    if (m_leftTiles.empty() || !box.contains(event->position())) return;
    const QPointF inside = (event->position() - box.topLeft()) * (m_left.width() / box.width());
    Q_EMIT clicked({static_cast<int>(inside.x()), static_cast<int>(inside.y())});
}

void PictureCanvas::mouseMoveEvent(QMouseEvent* event) {
    if (!m_right.isNull()) moveSplit(event->position().x());
}

void PictureCanvas::keyPressEvent(QKeyEvent* event) {
    const bool left = event->key() == Qt::Key_Left;
    if (!left && event->key() != Qt::Key_Right) {
        QWidget::keyPressEvent(event);
    } else if (!m_right.isNull()) {
        m_split = std::clamp(m_split + (left ? -0.05 : 0.05), 0.0, 1.0);
        update();
    } else if (!m_leftTiles.empty()) {
        Q_EMIT stepped(left ? -1 : 1);
    }
}

} // namespace spikescope
