// Tiles in the window: their edges lie over the picture where the grid says, a click on one selects its ops, and the
// difference to an untiled picture says what the edges cost. Protects: seams that can be traced to their cause.

#include "tests/support/desk.h"

#include "app/widgets/image_panel.h"
#include "app/widgets/picture_canvas.h"
#include "app/widgets/tables_panel.h"
#include "app/widgets/timeline_chart.h"
#include "core/program/tile_grid.h"

#include <QComboBox>
#include <QLabel>
#include <QToolButton>

namespace spikescope {
namespace {

struct TiledDesk : Desk {
    PictureCanvas* canvas = child<PictureCanvas>("picture");
    QLabel* about = child<QLabel>("aboutPicture");
    QAction* tiles = window.image().tilesAction();

    TiledDesk()
        : Desk("taesd", 256) {}

    void tile(const char* value, const char* overlap) {
        EXPECT_TRUE(workspace.setControl("tile", QString::fromUtf8(value)));
        EXPECT_TRUE(workspace.setControl("overlap", QString::fromUtf8(overlap)));
        ASSERT_TRUE(run());
        ASSERT_TRUE(errors.isEmpty()) << errors.join('\n').toStdString();
    }
    const Recording& recording() const { return workspace.shown()->recording(); }
    QPoint widgetPoint(const QPointF& pixel) const {
        const QRectF frame = canvas->frame();
        return (frame.topLeft() + pixel * (frame.width() / 256)).toPoint();
    }
    void click(const QPointF& pixel) {
        QTest::mouseClick(canvas, Qt::LeftButton, {}, widgetPoint(pixel));
        drain();
    }
    void expectSelected(std::uint32_t part) const {
        const auto [area, firstOp, lastOp] = recording().tiles[part];
        const Placed& placed = workspace.scene().shown;
        ASSERT_TRUE(workspace.selection());
        EXPECT_EQ(workspace.selection()->begin, placed.opBegins[firstOp]);
        EXPECT_EQ(workspace.selection()->end, placed.opEnds[lastOp]);
        EXPECT_EQ(workspace.part(), part);
    }
    // Of the picture with its tiles.
    QImage grab() const { return canvas->grab().toImage(); }
};

TEST(Tiles, aClickSelectsTheOpsAndTheTablesFollow) {
    TiledDesk desk;
    desk.tile("128", "32");
    const auto& parts = desk.recording().tiles;
    ASSERT_EQ(parts.size(), 9u);
    ASSERT_TRUE(desk.tiles->isEnabled());
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("9 tiles, approximate")));
    const QString tip = desk.workspace.runs().index(0, 0).data(Qt::ToolTipRole).toString();
    EXPECT_TRUE(tip.contains(QStringLiteral("approximate tiling"))) << tip.toStdString();
    desk.click({250, 250});
    EXPECT_FALSE(desk.workspace.selection()) << "tiles that are not seen are not meant";
    desk.key(Qt::Key_G);
    ASSERT_TRUE(desk.tiles->isChecked());

    desk.click({250, 250});
    desk.expectSelected(8);
    const Event& event = desk.recording().events[desk.workspace.cursor()];
    EXPECT_EQ(desk.recording().tileOf(event), 8u) << "the cursor goes with it";
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("Tile 9 of 9: 128 × 128 pixels at (128, 128)")))
        << desk.about->text().toStdString();
    desk.window.tables().setCurrentIndex(TablesPanel::Layers);
    drain();
    const auto* layers = dynamic_cast<const LayersModel*>(desk.window.tables().currentModel());
    ASSERT_TRUE(layers);
    ASSERT_GT(layers->rowCount(), 3);
    for (const LayerRow& row : layers->rows()) {
        EXPECT_GE(row.lastOp + 1, parts[8].firstOp) << row.name;
        EXPECT_LE(row.firstOp, parts[8].lastOp + 1) << row.name;
    }

    // By keyboard, as they were made.
    desk.canvas->setFocus();
    QTest::keyClick(desk.canvas, Qt::Key_Left);
    desk.expectSelected(7);
    QTest::keyClick(desk.canvas, Qt::Key_Right);
    QTest::keyClick(desk.canvas, Qt::Key_Right);
    desk.expectSelected(8);
    // Where tiles overlap a second click takes the next one.
    desk.click({100, 10});
    const std::uint32_t first = desk.workspace.part();
    desk.click({100, 10});
    const std::uint32_t second = desk.workspace.part();
    EXPECT_NE(first, second);
    for (const std::uint32_t part : {first, second}) {
        EXPECT_EQ(parts[part].area.y, 0u);
        EXPECT_LE(parts[part].area.x, 100u);
    }

    // And the other way round: the tile of the timeline's cursor stands out, or that under the mouse.
    desk.workspace.setSelection(std::nullopt);
    desk.workspace.setCursor(0);
    EXPECT_FALSE(desk.about->text().contains(QStringLiteral("Tile")));
    const QImage plain = desk.grab();
    const auto& events = desk.recording().events;
    std::uint32_t inside = 0;
    while (desk.recording().tileOf(events[inside]) != 4) ++inside;
    desk.window.image().showHover(inside);
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("Tile 5 of 9"))) << desk.about->text().toStdString();
    EXPECT_NE(desk.grab(), plain);
    desk.window.image().showHover(noIndex);
    EXPECT_EQ(desk.grab(), plain);
    desk.workspace.setCursor(inside);
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("Tile 5 of 9")));

    // The plan has neither a picture nor tiles over it.
    const int run = desk.workspace.shownRun();
    desk.workspace.show(0);
    EXPECT_FALSE(desk.tiles->isEnabled());
    EXPECT_FALSE(desk.workspace.picture());
    desk.workspace.show(run);
    desk.click({250, 250});
    desk.expectSelected(8);
}

TEST(Tiles, edgesLieWhereTheGridSays) {
    TiledDesk desk;
    desk.tile("96", "32");
    desk.window.resize(1600, 1000);
    drain();
    desk.workspace.setCursor(0); // no tile stands out
    const QImage plain = desk.grab();
    desk.tiles->setChecked(true);
    drain();
    const QImage drawn = desk.grab();
    ASSERT_EQ(plain.size(), drawn.size());
    std::vector<std::uint64_t> edges;
    const TileGrid grid = tileGrids(desk.workspace.controls(), {32, 32, 8}, 8).front();
    for (const TileLine& line : grid.columns)
        for (const std::uint64_t at : {line.begin * 8, (line.begin + line.length) * 8})
            if (at > 0 && at < 256) edges.push_back(at);
    ASSERT_GE(edges.size(), 4u);
    const auto isEdge = [](const QColor& colour) {
        return colour.green() > 180 && colour.red() < 120 && colour.blue() < 160;
    };
    // At rows within a tile and no overlap, x is what is looked for, and the other way round.
    const double between = 40.0;
    for (int i = 4; i < 252; ++i) {
        const bool edge = std::ranges::find(edges, static_cast<std::uint64_t>(i)) != edges.end();
        const bool near = std::ranges::any_of(edges, [&](std::uint64_t at) { return std::abs(i - int(at)) < 3; });
        if (near && !edge) continue;
        const auto place = static_cast<double>(i);
        const QPoint across = desk.widgetPoint({place, between}), down = desk.widgetPoint({between, place});
        bool seenAcross = false, seenDown = false;
        for (int off = -1; off <= 1; ++off) {
            seenAcross = seenAcross || isEdge(drawn.pixelColor(across.x() + off, across.y()));
            seenDown = seenDown || isEdge(drawn.pixelColor(down.x(), down.y() + off));
        }
        EXPECT_EQ(seenAcross, edge) << "column " << i;
        EXPECT_EQ(seenDown, edge) << "row " << i;
        // Bands where tiles overlap, the picture elsewhere.
        const auto overlapped = std::ranges::count_if(grid.columns, [&](const TileLine& line) {
            return line.begin * 8 <= static_cast<std::uint64_t>(i) &&
                   static_cast<std::uint64_t>(i) < (line.begin + line.length) * 8;
        });
        if (near) continue;
        EXPECT_EQ(drawn.pixelColor(across) != plain.pixelColor(across), overlapped > 1) << "column " << i;
    }
    desk.key(Qt::Key_G);
    EXPECT_EQ(desk.grab(), plain);
}

TEST(Tiles, stripesSelectWhatIsForTheirRowsAlone) {
    TiledDesk desk;
    desk.tile("stripe:64", "64");
    desk.key(Qt::Key_G);
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("4 stripes, exact"))) << desk.about->text().toStdString();
    desk.click({10, 100});
    desk.expectSelected(1);
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("Stripe 2 of 4: 256 × 64 pixels at (0, 64)")))
        << desk.about->text().toStdString();
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("what all rows need was made before")));
}

TEST(Tiles, anUntiledPictureHasNoneAndSaysWhy) {
    TiledDesk desk;
    EXPECT_FALSE(desk.tiles->isEnabled());
    EXPECT_TRUE(desk.tiles->toolTip().contains(QStringLiteral("no picture yet")));
    desk.tiles->setChecked(true);
    ASSERT_TRUE(desk.run());
    EXPECT_FALSE(desk.tiles->isEnabled());
    EXPECT_TRUE(desk.tiles->toolTip().contains(QStringLiteral("tile off")));
    desk.click({100, 100});
    EXPECT_FALSE(desk.workspace.selection());
    const QImage with = desk.grab();
    desk.tiles->setChecked(false);
    EXPECT_EQ(desk.grab(), with) << "nothing is drawn";
}

TEST(Tiles, theDifferenceSaysWhatTheirEdgesCost) {
    TiledDesk desk;
    ASSERT_TRUE(desk.run());
    desk.tile("128", "0");
    auto* mode = desk.child<QComboBox>("pictureMode");
    mode->setFocus();
    QTest::keyClick(mode, Qt::Key_End);
    ASSERT_TRUE(wait([&] { return desk.about->text().startsWith(QStringLiteral("PSNR")); }));
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("of 255 (white)"))) << desk.about->text().toStdString();
    EXPECT_TRUE(desk.about->text().contains(QStringLiteral("of tile edges the error is")))
        << desk.about->text().toStdString();
    // Tiles that share nothing are wrong at their edges, and only there.
    const QImage heat = desk.grab();
    const auto brightness = [&](const QPointF& pixel) { return qGray(heat.pixel(desk.widgetPoint(pixel))); };
    int atEdge = 0, inside = 0;
    for (int i = 8; i < 120; ++i) {
        atEdge = std::max({atEdge, brightness({127.5, double(i)}), brightness({128.5, double(i)})});
        inside = std::max(inside, brightness({60.0, double(i)}));
    }
    EXPECT_GT(atEdge, inside);
    // The tiles of the one that has some lie over it.
    desk.tiles->setChecked(true);
    desk.click({200, 20});
    desk.expectSelected(1);
}

TEST(Fit, byKeyboardItSetsTheControls) {
    Desk desk("flux1", 256);
    ASSERT_TRUE(desk.workspace.applyPreset("mlx-after"));
    ASSERT_TRUE(desk.workspace.setControl("budget", QStringLiteral("0.2")));
    ASSERT_TRUE(
        wait([&] { return desk.workspace.plan()->recording().controls == controlValues(desk.workspace.controls()); }));
    ASSERT_GT(desk.workspace.plan()->peak().reserved, *desk.workspace.controls().budgetBytes);
    auto* button = desk.child<QAbstractButton>("fit");
    EXPECT_TRUE(button->text().contains(QStringLiteral("204.80 MiB"))) << button->text().toStdString();
    desk.key(Qt::Key_F, Qt::ControlModifier | Qt::ShiftModifier);
    ASSERT_TRUE(wait([&] { return !desk.workspace.fitting(); }));
    ASSERT_TRUE(wait([&] { return desk.workspace.plan()->peak().reserved <= *desk.workspace.controls().budgetBytes; }));
    auto* notice = desk.child<QWidget>("notice");
    EXPECT_TRUE(notice->isVisible());
    EXPECT_TRUE(notice->findChild<QLabel*>()->text().startsWith(QStringLiteral("Fits into")));
    EXPECT_TRUE(desk.errors.isEmpty());
    desk.key(Qt::Key_Z, Qt::ControlModifier);
    EXPECT_EQ(desk.workspace.preset(), QStringLiteral("mlx-after"));
    // What cannot be is said with the smallest need.
    ASSERT_TRUE(desk.workspace.setControl("budget", QStringLiteral("0.1")));
    desk.key(Qt::Key_F, Qt::ControlModifier | Qt::ShiftModifier);
    ASSERT_TRUE(wait([&] { return !desk.workspace.fitting(); }));
    ASSERT_EQ(desk.errors.size(), 1);
    EXPECT_TRUE(desk.errors.front().startsWith(QStringLiteral("Nothing fits into 102.40 MiB: the least")))
        << desk.errors.front().toStdString();
}

} // namespace
} // namespace spikescope
