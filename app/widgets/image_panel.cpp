#include "app/widgets/image_panel.h"

#include "app/widgets/theme.h"

#include <QHBoxLayout>
#include <QMouseEvent>
#include <QPainter>
#include <QVBoxLayout>

#include <cmath>

namespace spikescope {

class ImagePanel::Canvas final : public QWidget {
public:
    explicit Canvas(QWidget* parent)
        : QWidget(parent) {
        setMinimumSize(160, 120);
        setFocusPolicy(Qt::StrongFocus);
        setAccessibleName(QStringLiteral("Picture"));
    }

    void setImages(const QImage& left, const QImage& right, const QString& hint) {
        m_left = left;
        m_right = right;
        m_hint = hint;
        m_scaled = {};
        update();
    }

protected:
    void paintEvent(QPaintEvent*) override {
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
        if (m_scaledRight.isNull()) return;
        const double split = std::round(box.left() + m_split * box.width());
        painter.save();
        painter.setClipRect(QRectF(QPointF(split, box.top()), box.bottomRight()));
        painter.drawPixmap(box, m_scaledRight, QRectF(m_scaledRight.rect()));
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
    void mousePressEvent(QMouseEvent* event) override { moveSplit(event->position().x()); }
    void mouseMoveEvent(QMouseEvent* event) override { moveSplit(event->position().x()); }
    void keyPressEvent(QKeyEvent* event) override {
        if (event->key() != Qt::Key_Left && event->key() != Qt::Key_Right) {
            QWidget::keyPressEvent(event);
            return;
        }
        m_split = std::clamp(m_split + (event->key() == Qt::Key_Left ? -0.05 : 0.05), 0.0, 1.0);
        update();
    }

private:
    QRectF frame() const {
        const QSizeF size = QSizeF(m_left.size()).scaled(this->size(), Qt::KeepAspectRatio);
        return {QPointF((width() - size.width()) / 2, (height() - size.height()) / 2), size};
    }
    void moveSplit(double x) {
        if (m_right.isNull()) return;
        m_split = std::clamp((x - frame().left()) / frame().width(), 0.0, 1.0);
        update();
    }

    QImage m_left, m_right;
    QPixmap m_scaled, m_scaledRight;
    QString m_hint;
    double m_split = 0.5;
};

ImagePanel::ImagePanel(Workspace& workspace, Engine& engine, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_engine(engine)
    , m_canvas(new Canvas(this))
    , m_mode(new QComboBox(this))
    , m_index(new QSpinBox(this))
    , m_text(new QLabel(this)) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 6, 8, 8);
    layout->setSpacing(4);
    auto* bar = new QHBoxLayout;
    m_mode->addItems({QStringLiteral("Picture"), QStringLiteral("A | B wipe"), QStringLiteral("Difference A − B")});
    m_mode->setAccessibleName(QStringLiteral("What the image panel shows"));
    m_mode->setToolTip(QStringLiteral(
        "The picture of the run that is shown; runs A and B with a wipe between them; or where they differ"));
    m_index->setPrefix(QStringLiteral("№ "));
    m_index->setAccessibleName(QStringLiteral("Picture of the batch"));
    m_index->setToolTip(QStringLiteral("Which picture of the batch"));
    m_index->hide();
    bar->addWidget(m_mode, 1);
    bar->addWidget(m_index);
    layout->addLayout(bar);
    layout->addWidget(m_canvas, 1);
    layout->addWidget(m_text);
    m_text->setWordWrap(true);
    m_text->setAccessibleName(QStringLiteral("About the picture"));
    m_text->setTextInteractionFlags(Qt::TextSelectableByMouse);
    connect(m_mode, &QComboBox::activated, this, &ImagePanel::refresh);
    connect(m_index, &QSpinBox::valueChanged, this, &ImagePanel::refresh);
    connect(&workspace, &Workspace::pictureChanged, this, &ImagePanel::refresh);
    connect(&workspace.runs(), &RunsModel::overlaysChanged, this, [this] {
        if (m_mode->currentIndex() != 0) refresh();
    });
    refresh();
}

QImage ImagePanel::imageOf(int run) const {
    const RunEntry* entry = m_workspace.runs().find(run);
    if (!entry || !entry->picture || entry->picture->images.empty()) return {};
    return entry->picture
        ->images[std::min<std::size_t>(static_cast<std::size_t>(m_index->value()), entry->picture->images.size() - 1)];
}

QImage ImagePanel::current() const {
    const PicturePtr picture = m_workspace.picture();
    if (!picture || picture->images.empty()) return {};
    return picture
        ->images[std::min<std::size_t>(static_cast<std::size_t>(m_index->value()), picture->images.size() - 1)];
}

void ImagePanel::refresh() {
    const PicturePtr picture = m_workspace.picture();
    const int count = picture ? static_cast<int>(picture->images.size()) : 0;
    m_index->setRange(0, std::max(0, count - 1));
    m_index->setVisible(count > 1);
    const QImage a = imageOf(m_workspace.runs().badgeA()), b = imageOf(m_workspace.runs().badgeB());
    ++m_differenceRequest;
    if (m_mode->currentIndex() == 0) {
        const QImage image = current();
        m_canvas->setImages(image, {}, QStringLiteral("Press Run: the decoded picture appears here"));
        m_text->setText(image.isNull() ? QString()
                                       : QStringLiteral("%1 × %2 pixels").arg(image.width()).arg(image.height()));
        return;
    }
    if (a.isNull() || b.isNull()) {
        m_canvas->setImages(
            {}, {}, QStringLiteral("Two runs with pictures are compared: mark them A and B in the list of runs"));
        m_text->clear();
        return;
    }
    if (m_mode->currentIndex() == 1 && a.size() == b.size()) m_canvas->setImages(a, b, {});
    askDifference();
}

void ImagePanel::askDifference() {
    const QImage a = imageOf(m_workspace.runs().badgeA()), b = imageOf(m_workspace.runs().badgeB());
    const auto result = std::make_shared<Result<PictureDifference>>();
    m_text->setText(QStringLiteral("Comparing …"));
    m_engine.background([=] { *result = differenceOf(a, b); },
                        [this, result, request = m_differenceRequest] {
                            if (request != m_differenceRequest) return;
                            if (!*result) {
                                m_canvas->setImages({}, {}, QString::fromStdString(result->error().message));
                                m_text->clear();
                                return;
                            }
                            const PictureDifference& difference = **result;
                            if (m_mode->currentIndex() == 2) m_canvas->setImages(difference.heat, {}, {});
                            m_text->setText(std::isinf(difference.psnr)
                                                ? QStringLiteral("A and B are equal, to the last bit of 16")
                                                : QStringLiteral("PSNR %1 dB, largest error %2 of 255 (brightest)")
                                                      .arg(difference.psnr, 0, 'f', 2)
                                                      .arg(255.0 * difference.largest, 0, 'f', 3));
                        });
}

} // namespace spikescope
