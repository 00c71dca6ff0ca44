#include "app/widgets/image_panel.h"

#include "app/widgets/picture_canvas.h"
#include "core/base/text.h"

#include <QHBoxLayout>
#include <QToolButton>
#include <QVBoxLayout>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

bool inStripes(const Recording& recording) {
    const auto tile = std::ranges::find(recording.controls, "tile", &std::pair<std::string, std::string>::first);
    return tile != recording.controls.end() && tile->second.starts_with("stripe");
}

// Errors that round to nothing are said to be below what is shown.
constexpr double leastOf255 = 0.001;
QString of255(double error) {
    return error > 0 && 255.0 * error < leastOf255 ? QStringLiteral("below %1").arg(leastOf255)
                                                   : QString::number(255.0 * error, 'f', 3);
}

// How much larger, as far as the smaller one is more than rounding.
QString timesText(double larger, double smaller) {
    if (255.0 * smaller < leastOf255) return {};
    return QStringLiteral(", a ratio of %1").arg(larger / smaller, 0, 'g', 3);
}

} // namespace

ImagePanel::ImagePanel(Workspace& workspace, Engine& engine, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_engine(engine)
    , m_canvas(new PictureCanvas(this))
    , m_mode(new QComboBox(this))
    , m_index(new QSpinBox(this))
    , m_tiles(new QAction(QStringLiteral("&Tiles"), this))
    , m_text(new QLabel(this)) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 6, 8, 8);
    layout->setSpacing(4);
    auto* bar = new QHBoxLayout;
    m_mode->addItems({QStringLiteral("Picture"), QStringLiteral("A | B wipe"), QStringLiteral("Difference A − B")});
    m_mode->setObjectName(QStringLiteral("pictureMode"));
    m_mode->setAccessibleName(QStringLiteral("What the image panel shows"));
    m_mode->setToolTip(QStringLiteral(
        "The picture of the run that is shown; runs A and B with a wipe between them; or where they differ"));
    m_index->setPrefix(QStringLiteral("№ "));
    m_index->setAccessibleName(QStringLiteral("Picture of the batch"));
    m_index->setToolTip(QStringLiteral("Which picture of the batch"));
    m_index->hide();
    m_tiles->setObjectName(QStringLiteral("tiles"));
    m_tiles->setCheckable(true);
    m_tiles->setShortcut(Qt::Key_G);
    auto* tiles = new QToolButton(this);
    tiles->setDefaultAction(m_tiles);
    bar->addWidget(m_mode, 1);
    bar->addWidget(m_index);
    bar->addWidget(tiles);
    layout->addLayout(bar);
    layout->addWidget(m_canvas, 1);
    layout->addWidget(m_text);
    m_text->setWordWrap(true);
    m_text->setAlignment(Qt::AlignLeft | Qt::AlignTop);
    m_text->setObjectName(QStringLiteral("aboutPicture"));
    m_text->setAccessibleName(QStringLiteral("About the picture"));
    m_text->setTextInteractionFlags(Qt::TextSelectableByMouse);
    connect(m_mode, &QComboBox::activated, this, &ImagePanel::refresh);
    connect(m_index, &QSpinBox::valueChanged, this, &ImagePanel::refresh);
    connect(m_tiles, &QAction::toggled, this, &ImagePanel::refreshTiles);
    connect(m_canvas, &PictureCanvas::clicked, this, [this](const QPoint& pixel) {
        m_workspace.selectPart(m_tiled.run, m_tiled.tiles.partAt(pixel, highlighted()));
    });
    connect(m_canvas, &PictureCanvas::stepped, this, &ImagePanel::step);
    connect(&workspace, &Workspace::pictureChanged, this, &ImagePanel::refresh);
    connect(&workspace, &Workspace::cursorChanged, this, &ImagePanel::refreshText);
    connect(&workspace.runs(), &RunsModel::overlaysChanged, this, [this] {
        if (m_mode->currentIndex() != Picture) refresh();
    });
    connect(&workspace.runs(), &RunsModel::revised, this, [this] {
        if (m_mode->currentIndex() == Picture) refresh(); // the name of what is shown
    });
    // What a plan makes, a picture or latents.
    connect(&workspace, &Workspace::controlsChanged, this, [this] {
        if (m_mode->currentIndex() == Picture && m_tiled.image.isNull()) refresh();
    });
    refresh();
}

ImagePanel::Side ImagePanel::sideOf(int run, const TimelinePtr& timeline, const PicturePtr& picture) const {
    Side side{.run = run, .timeline = timeline, .image = {}, .tiles = {}};
    if (!picture || picture->images.empty()) return side;
    const auto index = std::min<std::size_t>(static_cast<std::size_t>(m_index->value()), picture->images.size() - 1);
    side.image = picture->images[index];
    if (timeline) side.tiles = tileLayout(timeline->recording(), index);
    return side;
}

ImagePanel::Side ImagePanel::sideOf(int run) const {
    const RunEntry* entry = m_workspace.runs().find(run);
    return entry ? sideOf(run, entry->timeline, entry->picture) : Side{};
}

void ImagePanel::setCurrent(const QImage& image) {
    m_current = image;
    Q_EMIT currentChanged();
}

void ImagePanel::refresh() {
    const PicturePtr picture = m_workspace.picture();
    const int count = picture ? static_cast<int>(picture->images.size()) : 0;
    m_index->setRange(0, std::max(0, count - 1));
    m_index->setVisible(count > 1);
    ++m_differenceRequest;
    m_about.clear();
    m_right = {};
    const int mode = m_mode->currentIndex();
    if (mode == Picture) {
        refreshPicture();
        return;
    }
    setCurrent({});
    const Side a = sideOf(m_workspace.runs().badgeA()), b = sideOf(m_workspace.runs().badgeB());
    m_tiled = {};
    if (a.image.isNull() || b.image.isNull()) {
        m_canvas->setImages(
            {}, {}, QStringLiteral("Two runs with pictures are compared: mark them A and B in the list of runs"));
        refreshTiles();
        return;
    }
    if (mode == Wipe) {
        m_tiled = a;
        m_right = b;
        if (a.image.size() == b.image.size()) m_canvas->setImages(a.image, b.image, {});
    } else {
        m_tiled = b.tiles.empty() ? a : b;
    }
    m_about = QStringLiteral("Comparing …");
    refreshTiles();
    askDifference(a, b);
}

void ImagePanel::refreshPicture() {
    const PicturePtr picture = m_workspace.picture();
    const int run = m_workspace.pictureRun();
    m_tiled = sideOf(run, m_workspace.pictureTimeline(), picture);
    const QImage& image = m_tiled.image;
    // The batch's pictures are made one after the other, each from its top.
    const int before = m_index->value() * image.height();
    const int rows = run != 0 || image.isNull()
                         ? image.height()
                         : std::clamp(static_cast<int>(picture->rows) - before, 0, image.height());
    const bool whole = rows == image.height();
    m_canvas->setImages(rows > 0 ? image : QImage(), {}, m_workspace.whyNoPicture(), rows);
    if (rows == 0) m_tiled.image = {};
    if (!m_tiled.image.isNull()) {
        const RunEntry* entry = m_workspace.runs().find(run);
        m_about = QStringLiteral("%1: %2 × %3 pixels")
                      .arg(entry ? entry->label : QStringLiteral("The run under way"))
                      .arg(image.width())
                      .arg(image.height());
        if (!whole) m_about += QStringLiteral(", unfinished: %1 rows are there").arg(rows);
    }
    if (!m_tiled.tiles.empty())
        m_about +=
            QStringLiteral(", %1 %2, %3")
                .arg(m_tiled.tiles.tiles.size())
                .arg(inStripes(m_tiled.timeline->recording()) ? QStringLiteral("stripes") : QStringLiteral("tiles"),
                     textOf(name(m_tiled.timeline->recording().tiling)));
    setCurrent(run != 0 ? m_tiled.image : QImage());
    refreshTiles();
}

void ImagePanel::refreshTiles() {
    const bool any = !m_tiled.tiles.empty() || !m_right.tiles.empty();
    QString tip = QStringLiteral("Draws the edges of the tiles or stripes that the picture was made of, and bands "
                                 "where they overlap (G)");
    if (!any) {
        const bool tiled = m_tiled.timeline && m_tiled.timeline->recording().tiling != TilingKind::Off;
        tip = m_tiled.image.isNull() ? QStringLiteral("There is no picture yet that was made of tiles")
              : tiled                ? QStringLiteral("The recording does not say where its tiles lie")
                                     : QStringLiteral("The picture was made in one piece: its run had tile off");
    }
    m_tiles->setEnabled(any);
    m_tiles->setToolTip(tip);
    m_tiles->setStatusTip(tip);
    const bool drawn = any && m_tiles->isChecked();
    m_canvas->setTiles(drawn ? m_tiled.tiles : TileLayout{}, drawn ? m_right.tiles : TileLayout{});
    refreshText();
}

std::uint32_t ImagePanel::highlighted() const {
    const TimelinePtr shown = m_workspace.shown();
    if (!shown || shown != m_tiled.timeline) return noIndex;
    const auto& events = shown->recording().events;
    return m_hover < events.size() ? shown->recording().tileOf(events[m_hover]) : m_workspace.part();
}

void ImagePanel::showHover(std::uint32_t event) {
    m_hover = event;
    refreshText();
}

QString ImagePanel::textOfTile(std::uint32_t part) const {
    const TileLayout::Tile* tile = m_tiled.tiles.tileOf(part);
    if (!tile) return {};
    const Recording& recording = m_tiled.timeline->recording();
    const auto [area, firstOp, lastOp] = recording.tiles[part];
    QString text = QStringLiteral("\n%1 %2 of %3: %4 × %5 pixels at (%6, %7)\n")
                       .arg(inStripes(recording) ? QStringLiteral("Stripe") : QStringLiteral("Tile"))
                       .arg(tile - m_tiled.tiles.tiles.data() + 1)
                       .arg(m_tiled.tiles.tiles.size())
                       .arg(area.width)
                       .arg(area.height)
                       .arg(area.x)
                       .arg(area.y);
    text += firstOp == lastOp ? QStringLiteral("op %1").arg(firstOp)
                              : QStringLiteral("ops %1 to %2").arg(firstOp).arg(lastOp);
    const double ms = static_cast<double>(recording.ops[lastOp].endNs - recording.ops[firstOp].beginNs) / 1e6;
    if (ms > 0) text += QStringLiteral(", ") + QString::fromStdString(formatDuration(ms));
    const auto beside = std::ranges::count(recording.tiles, firstOp, &RecordedTile::firstOp);
    if (beside > 1) text += QStringLiteral("; %1 tiles beside each other").arg(beside);
    // Norms need all rows: up to the last norm every stripe is for the whole image.
    if (recording.tiling == TilingKind::Exact) text += QStringLiteral("; what all rows need was made before");
    return text;
}

void ImagePanel::refreshText() {
    const bool tiled = m_tiles->isEnabled() && m_mode->currentIndex() != Wipe, drawn = tiled && m_tiles->isChecked();
    const std::uint32_t part = drawn ? highlighted() : noIndex;
    m_canvas->setHighlight(part);
    // Of the cursor's tile, which comes and goes: the picture stays where it is.
    const int lines = m_mode->currentIndex() == Difference ? 5 : 4;
    m_text->setMinimumHeight(tiled ? lines * m_text->fontMetrics().lineSpacing() : 0);
    const QString tile = textOfTile(part);
    if (m_text->text() != m_about + tile) m_text->setText(m_about + tile);
    m_canvas->setAccessibleDescription(m_about.isEmpty() ? m_canvas->hint() : m_about + tile);
}

// As they were made, from the one that stands out.
void ImagePanel::step(int by) {
    const auto& tiles = m_tiled.tiles.tiles;
    const TileLayout::Tile* now = m_tiled.tiles.tileOf(highlighted());
    const auto last = static_cast<std::ptrdiff_t>(tiles.size()) - 1;
    const std::ptrdiff_t next = now ? std::clamp<std::ptrdiff_t>(now - tiles.data() + by, 0, last) : by > 0 ? 0 : last;
    m_workspace.selectPart(m_tiled.run, tiles[static_cast<std::size_t>(next)].part);
}

QString ImagePanel::namesOfSides() const {
    const RunEntry *a = m_workspace.runs().find(m_workspace.runs().badgeA()),
                   *b = m_workspace.runs().find(m_workspace.runs().badgeB());
    return a && b ? QStringLiteral("\nA: %1\nB: %2").arg(a->label, b->label) : QString();
}

void ImagePanel::askDifference(const Side& a, const Side& b) {
    const auto made = std::make_shared<PictureDifference>();
    m_engine.background(
        [made, a = a.image, b = b.image, edges = (b.tiles.empty() ? a : b).tiles.edges]() -> Result<void> {
            TRY(*made, differenceOf(a, b, edges));
            return {};
        },
        [this, made, request = m_differenceRequest](const Result<void>& result) {
            if (request != m_differenceRequest) return;
            if (!result) {
                m_canvas->setImages({}, {}, QString::fromStdString(result.error().message));
                m_about.clear();
                refreshText();
                return;
            }
            const PictureDifference& difference = *made;
            if (m_mode->currentIndex() == Difference) {
                m_canvas->setImages(difference.heat, {}, {});
                setCurrent(difference.heat);
            }
            m_about = std::isinf(difference.psnr) ? QStringLiteral("A and B are equal, to the last bit of 16")
                                                  : QStringLiteral("PSNR %1 dB, largest error %2 of 255 (white)")
                                                        .arg(difference.psnr, 0, 'f', 2)
                                                        .arg(of255(difference.largest));
            if (const auto& seams = difference.atEdges; seams && !std::isinf(difference.psnr))
                m_about += QStringLiteral(". Within %1 pixels of tile edges the error is %2 of 255 (RMS), %3 or more "
                                          "pixels away %4%5")
                               .arg(seams->nearPixels)
                               .arg(of255(seams->near))
                               .arg(seams->farPixels)
                               .arg(of255(seams->far), timesText(seams->near, seams->far));
            m_about += namesOfSides();
            refreshText();
        });
}

} // namespace spikescope
