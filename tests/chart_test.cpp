// The timeline as it is seen and used: labels, legend, axes that stay readable, one place that everything speaks of,
// and a layout in which nothing lies over anything else.

#include "tests/support/desk.h"

#include "app/widgets/cursor_bar.h"
#include "app/widgets/elided_label.h"
#include "app/widgets/image_panel.h"
#include "app/widgets/minimap.h"
#include "app/widgets/notice_bar.h"
#include "app/widgets/tables_panel.h"
#include "app/widgets/theme.h"
#include "app/widgets/timeline_chart.h"
#include "app/widgets/timeline_pane.h"
#include "core/job/job.h"
#include "core/program/presets.h"

#include <QComboBox>
#include <QStatusBar>
#include <QTableView>
#include <QToolBar>

#include <cmath>
#include <random>
#include <set>

namespace spikescope {
namespace {

TimelinePtr planOf(const std::map<std::string, std::string>& values) {
    Controls controls;
    controls.model = "flux1";
    controls.width = controls.height = 512;
    for (const auto& [control, value] : values) EXPECT_TRUE(setControl(controls, control, value)) << control;
    auto job = makeJob(controls, std::monostate{});
    EXPECT_TRUE(job) << job.error().message;
    return std::make_shared<const Timeline>(planJob(*job));
}

// Labels of the vertical axis: whatever is shown and however low the chart is, they start at zero, differ, and none is
// cut.
TEST(Axis, labelsOfBytesAreDistinctAtEveryScale) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 5000; ++i) {
        const double most = std::exp2(std::uniform_real_distribution(0.0, 46.0)(random));
        const int steps = 1 + static_cast<int>(random() % 6);
        const ByteScale scale = byteScale(most, steps);
        const std::vector<ByteTick> ticks = byteTicks(scale);
        ASSERT_GE(ticks.size(), 2u) << most;
        ASSERT_LE(ticks.size(), static_cast<std::size_t>(steps) + 1) << most;
        EXPECT_EQ(ticks.front().text, QStringLiteral("0"));
        EXPECT_GE(ticks.back().bytes, most * (1.0 - 1e-9));
        std::set<QString> texts;
        for (const ByteTick& tick : ticks) {
            texts.insert(tick.text);
            // What the label says is where it stands.
            const double said = tick.text.section(QLatin1Char(' '), 0, 0).toDouble() * scale.unit;
            EXPECT_NEAR(said, tick.bytes, 1e-6 * std::max(1.0, tick.bytes)) << tick.text.toStdString();
        }
        EXPECT_EQ(texts.size(), ticks.size()) << most << " " << steps;
    }
}

// After every flip, undo and preset each label is painted beside its line of the grid.
TEST(Axis, labelsArePaintedAfterEveryFlip) {
    Desk desk("flux1", 512);
    TimelineChart& chart = desk.window.chart();
    const auto check = [&](const char* after) {
        drain();
        const QImage picture = chart.viewport()->grab().toImage();
        const QColor ground = chartColours().ground;
        for (const ByteTick& tick : chart.ticks()) {
            const int y = static_cast<int>(std::lround(chart.pixelOfBytes(tick.bytes)));
            bool ink = false;
            for (int row = y - 4; row <= y + 4; ++row)
                for (int x = 0; x < TimelineChart::leftMargin - 8; ++x)
                    ink = ink || (row >= 0 && row < picture.height() && picture.pixelColor(x, row) != ground);
            EXPECT_TRUE(ink) << after << ": " << tick.text.toStdString();
        }
        EXPECT_GE(chart.ticks().back().bytes, static_cast<double>(desk.workspace.plan()->peak().allocated)) << after;
    };
    const auto replanned = [&](auto change) {
        const TimelinePtr before = desk.workspace.plan();
        change();
        EXPECT_TRUE(wait([&] { return desk.workspace.plan() != before; }));
    };
    check("start");
    replanned([&] { desk.workspace.applyPreset("mlx-before"); });
    check("mlx-before");
    replanned([&] { desk.workspace.undoStack().undo(); });
    check("undo");
    replanned([&] { desk.workspace.setControl("conv", QStringLiteral("im2col")); });
    check("im2col");
    std::set<int> heights;
    for (const int height : {520, 620, 850, 1100}) {
        desk.window.resize(1300, height);
        check("resized");
        heights.insert(chart.height());
    }
    EXPECT_EQ(heights.size(), 4u);
}

// Protects: what is laid over a timeline takes none of its width, be it tiled, of another model or an encode.
TEST(Axis, overlaysTakeNoWidthOfTheShownLayers) {
    const std::vector<std::pair<const char*, TimelinePtr>> all{
        {"whole", planOf({})},
        {"tiles", planOf({{"tile", "256"}})},
        {"stripes", planOf({{"tile", "stripe:64"}})},
        {"sd15", planOf({{"model", "sd15"}})},
        {"taef1", planOf({{"model", "taef1"}})},
        {"encode", planOf({{"op", "encode"}})},
        {"im2col", planOf({{"conv", "im2col"}, {"lifetime", "stream"}})}};
    for (const auto& [shownName, shown] : all) {
        const ChartScene alone = makeScene({.axis = AxisKind::Layers, .shown = shown, .shownLabel = "x"});
        SceneParts parts{.axis = AxisKind::Layers, .shown = shown, .shownLabel = "x", .ghost = all[1].second};
        for (const auto& [name, timeline] : all)
            if (timeline != shown) parts.overlays.push_back({.run = 1, .label = name, .timeline = timeline});
        for (const bool byLayer : {true, false}) {
            parts.overlaysByLayer = byLayer;
            const ChartScene scene = makeScene(parts);
            EXPECT_EQ(scene.all, alone.all) << shownName;
            EXPECT_EQ(scene.shown.opBegins, alone.shown.opBegins) << shownName;
            // And no spike of theirs is lost, at any size.
            for (const OverlayCurve& overlay : scene.overlays)
                for (const std::size_t columns : {50u, 333u, 1200u}) {
                    double most = 0.0;
                    for (const QPointF& point : curvePoints(overlay.curve, scene.all, columns))
                        most = std::max(most, point.y());
                    EXPECT_EQ(most, static_cast<double>(overlay.curve.timeline->peak().allocated))
                        << overlay.label.toStdString() << " over " << shownName;
                }
        }
        // No layer of the shown one is squeezed: all are equally wide, tiles or not.
        std::map<std::string_view, double> widths;
        for (const LayerVisit& visit : layerVisits(shown->recording()))
            widths[visit.layer] += alone.shown.opEnds[visit.endOp - 1] - alone.shown.opBegins[visit.firstOp];
        for (const auto& [layer, width] : widths) EXPECT_NEAR(width, 1.0, 1e-9) << layer << " of " << shownName;
    }
}

// Protects: bar, sentence, line and tables speak of the workspace's cursor, whoever moved it and wherever the mouse is.
TEST(Cursor, isWhatEverythingSpeaksOf) {
    Desk desk("flux1", 256);
    TimelineChart& chart = desk.window.chart();
    auto* bar = desk.window.findChild<CursorBar*>();
    auto* sentence = desk.child<ElidedLabel>("explanation");
    TablesPanel& tables = desk.window.tables();
    tables.setCurrentIndex(TablesPanel::Layers);
    auto* layers = desk.child<QTableView>("table:Layers");
    const auto check = [&](const char* when) {
        drain();
        const std::uint32_t event = desk.workspace.cursor();
        const TimelinePtr timeline = desk.workspace.shown();
        const auto& items = bar->items();
        const auto allocated = std::ranges::find(items, QStringLiteral("allocated"), &ValueStrip::Item::name);
        ASSERT_NE(allocated, items.end());
        EXPECT_EQ(allocated->value, bytesText(timeline->allocated().value(event))) << when;
        EXPECT_EQ(sentence->fullText(), desk.workspace.explanation()) << when;
        // The marked row of Layers has the cursor's op.
        const QModelIndexList rows = layers->selectionModel()->selectedRows();
        ASSERT_EQ(rows.size(), 1) << when;
        const auto* model = dynamic_cast<const LayersModel*>(layers->model());
        const LayerRow& row = model->row(rows.front().row());
        const std::uint32_t op = std::min<std::uint32_t>(
            timeline->recording().events[event].op, static_cast<std::uint32_t>(timeline->recording().ops.size() - 1));
        EXPECT_LE(row.firstOp, op) << when;
        EXPECT_GE(row.lastOp, op) << when;
        EXPECT_TRUE(layers->viewport()->rect().intersects(layers->visualRect(rows.front()))) << when;
    };
    check("at the start");
    const QPoint at(static_cast<int>(chart.plotArea().left() + chart.plotArea().width() / 3),
                    static_cast<int>(chart.plotArea().center().y()));
    QTest::mouseMove(chart.viewport(), at + QPoint(20, 0));
    check("with the mouse elsewhere");
    QTest::mouseClick(chart.viewport(), Qt::LeftButton, {}, at);
    check("after a click that the mouse stays at");
    for (int i = 0; i < 5; ++i) QTest::keyClick(&chart, Qt::Key_Right);
    check("after keys with the mouse on the chart");
    desk.key(Qt::Key_P);
    tables.setCurrentIndex(TablesPanel::Layers);
    check("at the peak");
    desk.window.resize(1000, 600);
    check("in a smaller window");
    tables.setCurrentIndex(TablesPanel::Events);
    desk.workspace.setCursor(17);
    drain();
    auto* events = desk.child<QTableView>("table:Events");
    ASSERT_EQ(events->selectionModel()->selectedRows().size(), 1);
    EXPECT_EQ(dynamic_cast<const EventsModel*>(events->model())->row(events->currentIndex().row()).event, 17u);
}

// Protects: who reads a table elsewhere is left there while the cursor stays, as a run under way says again and again.
TEST(Cursor, thatStaysLeavesTablesAlone) {
    Desk desk("flux1", 256);
    desk.window.tables().setCurrentIndex(TablesPanel::Layers);
    drain();
    auto* layers = desk.child<QTableView>("table:Layers");
    QSignalSpy resets(layers->model(), &QAbstractItemModel::modelReset);
    do { // the plan for the device that was opened may come in between, with new rows
        resets.clear();
        layers->selectRow(0);
        layers->scrollToTop();
        Q_EMIT desk.workspace.cursorChanged();
        drain();
    } while (resets.count() > 0);
    EXPECT_EQ(layers->currentIndex().row(), 0);
    EXPECT_TRUE(layers->viewport()->rect().contains(layers->visualRect(layers->model()->index(0, 0)).center()));
    desk.workspace.setCursor(static_cast<std::uint32_t>(desk.workspace.shown()->eventCount() - 1));
    drain();
    EXPECT_NE(layers->currentIndex().row(), 0);
}

// A double click zooms to the range, whose first click must not clear it; keys make, zoom to and clear one.
TEST(Range, byMouseAndByKeyboard) {
    Desk desk;
    TimelineChart& chart = desk.window.chart();
    const int y = static_cast<int>(chart.plotArea().center().y());
    const auto left = static_cast<int>(chart.plotArea().left());
    QTest::mousePress(chart.viewport(), Qt::LeftButton, {}, QPoint(left + 100, y));
    QTest::mouseMove(chart.viewport(), QPoint(left + 200, y));
    QTest::mouseRelease(chart.viewport(), Qt::LeftButton, {}, QPoint(left + 200, y));
    ASSERT_TRUE(desk.workspace.selection());
    const Range range = *desk.workspace.selection();
    QTest::mouseClick(chart.viewport(), Qt::LeftButton, {}, QPoint(left + 150, y));
    EXPECT_EQ(desk.workspace.selection(), range);
    QTest::mouseDClick(chart.viewport(), Qt::LeftButton, {}, QPoint(left + 150, y));
    EXPECT_EQ(desk.workspace.view(), fitted(range, desk.workspace.scene().all));
    QTest::keyClick(&chart, Qt::Key_Escape);
    EXPECT_FALSE(desk.workspace.selection());
    desk.key(Qt::Key_F);

    QTest::keyClick(&chart, Qt::Key_Home);
    const auto& places = desk.workspace.scene().shown.events;
    for (int i = 0; i < 4; ++i) QTest::keyClick(&chart, Qt::Key_Right, Qt::ShiftModifier);
    ASSERT_TRUE(desk.workspace.selection());
    EXPECT_EQ(desk.workspace.selection()->begin, places[0]);
    EXPECT_EQ(desk.workspace.selection()->end, places[desk.workspace.cursor()]);
    EXPECT_GT(desk.workspace.selection()->length(), 0.0);
    const double end = desk.workspace.selection()->end;
    QTest::keyClick(&chart, Qt::Key_Left, Qt::ShiftModifier);
    EXPECT_LT(desk.workspace.selection()->end, end) << "the other way takes it back";
    QTest::keyClick(&chart, Qt::Key_End, Qt::ShiftModifier);
    EXPECT_EQ(desk.workspace.selection()->end, places.back());
    QTest::keyClick(&chart, Qt::Key_Left, Qt::ShiftModifier);
    const Range wanted = *desk.workspace.selection();
    QTest::keyClick(&chart, Qt::Key_Return);
    EXPECT_EQ(desk.workspace.view(), fitted(wanted, desk.workspace.scene().all));
    // A click beside the range clears it.
    QTest::keyClick(&chart, Qt::Key_Escape);
    desk.key(Qt::Key_F);
    desk.workspace.setSelection(Range{places.front(), (places.front() + places.back()) / 4});
    QTest::mouseClick(chart.viewport(), Qt::LeftButton, {},
                      QPoint(left + static_cast<int>(chart.plotArea().width() / 2), y));
    EXPECT_FALSE(desk.workspace.selection());
}

// While a run goes on its curve grows over the whole plan, whose peak stays where it was.
TEST(LiveRun, growsOverItsPlan) {
    Desk desk("flux1", 256);
    const Range all = desk.workspace.scene().all;
    const TimelinePtr plan = desk.workspace.plan();
    auto* notice = desk.window.findChild<NoticeBar*>();
    desk.window.welcome();
    ASSERT_TRUE(notice->isVisible());
    QAction* run = desk.window.findChild<QAction*>(QStringLiteral("run"));
    ASSERT_TRUE(run);
    run->trigger();
    EXPECT_FALSE(notice->isVisible()) << "what it says is over";
    ASSERT_TRUE(wait([&] { return desk.workspace.runState().done > 5; }));
    const ChartScene& scene = desk.workspace.scene();
    EXPECT_EQ(scene.axis, AxisKind::Layers);
    EXPECT_EQ(scene.all, all);
    ASSERT_TRUE(scene.whole);
    EXPECT_EQ(scene.whole->timeline, plan);
    ASSERT_TRUE(scene.ghost);
    EXPECT_EQ(scene.ghost->timeline, plan);
    EXPECT_LT(scene.shown.end, all.end);
    for (std::uint32_t event = 0; event < scene.shown.events.size(); ++event)
        ASSERT_EQ(ghostAt(scene, event), desk.workspace.shown()->allocated().value(event))
            << "plan and run are the same up to here, at the live end, too";
    // Tips of what is under the mouse do not hide how far it is.
    auto* text = desk.window.statusBar()->findChild<ElidedLabel*>();
    ASSERT_TRUE(text);
    EXPECT_TRUE(text->fullText().contains(QStringLiteral("op "))) << text->fullText().toStdString();
    QStatusTipEvent tip(QStringLiteral("Runs the decode"));
    QApplication::sendEvent(&desk.window, &tip);
    EXPECT_TRUE(text->isVisible());
    EXPECT_TRUE(desk.window.statusBar()->currentMessage().isEmpty());
    // Something moves between two reports.
    const std::uint32_t done = desk.workspace.runState().done;
    const double elapsed = desk.workspace.runState().elapsedMs;
    EXPECT_TRUE(wait([&] { return desk.workspace.runState().elapsedMs > elapsed; }, 2));
    EXPECT_GE(desk.workspace.runState().done, done);
    desk.workspace.stop();
    ASSERT_TRUE(wait([&] { return !desk.workspace.runState().running; }));
    EXPECT_FALSE(desk.workspace.scene().whole);
    EXPECT_EQ(desk.workspace.scene().axis, AxisKind::Time);
}

// The ops of a run are those of its plan, in whatever way they run: so it lies over it.
TEST(LiveRun, hasThePlansOps) {
    Desk desk("taesd", 64);
    ASSERT_TRUE(desk.workspace.setControl("overlap", QStringLiteral("8")));
    for (const auto& [control, value] : {std::pair("conv", "im2col"), std::pair("lifetime", "stream"),
                                         std::pair("tile", "32"), std::pair("tile", "stripe:16")}) {
        const TimelinePtr before = desk.workspace.plan();
        ASSERT_TRUE(desk.workspace.setControl(control, QString::fromUtf8(value)))
            << desk.workspace.controlError(control).toStdString();
        ASSERT_TRUE(wait([&] { return desk.workspace.plan() != before; }));
        ASSERT_TRUE(desk.run());
        const Placed plan = place(desk.workspace.plan(), AxisKind::Layers);
        const auto run = placeAsPartOf(desk.workspace.shown(), plan);
        ASSERT_TRUE(run) << control << " " << value;
        EXPECT_EQ(run->opEnds, plan.opEnds) << control << " " << value;
    }
}

// Nothing lies over anything else, and what is left is whole.
TEST(Layout, nothingOverlaps) {
    Desk desk("flux1", 512);
    auto* pane = desk.window.findChild<TimelinePane*>();
    const QString longText =
        QStringLiteral("A message of many words that needs several lines where the window is narrow. ").repeated(2);
    for (const bool message : {false, true})
        for (const QSize size :
             {QSize(764, 480), QSize(960, 540), QSize(1000, 650), QSize(1280, 800), QSize(1600, 1000)}) {
            if (message)
                pane->notices().show({.kind = Notice::Kind::Note, .text = longText});
            else
                pane->notices().hide();
            desk.window.resize(size);
            drain();
            // A part that is not all there, or lies over another one.
            int bottom = 0;
            std::vector<QWidget*> parts{&pane->notices(), &pane->chart(), pane->findChild<Minimap*>(),
                                        pane->findChild<CursorBar*>()};
            for (QWidget* part : parts) {
                if (part->isHidden()) continue;
                EXPECT_GE(part->y(), bottom) << part->metaObject()->className() << " at " << size.width();
                EXPECT_EQ(part->x(), 0);
                EXPECT_EQ(part->width(), pane->width());
                bottom = part->y() + part->height();
            }
            EXPECT_LE(bottom, pane->height()) << size.width() << "x" << size.height();
            EXPECT_GE(pane->chart().plotArea().height(), 20.0) << size.width() << "x" << size.height();
            EXPECT_LE(pane->chart().plotArea().bottom() + 20, pane->chart().height());
            EXPECT_LE(desk.window.statusBar()->geometry().bottom(), desk.window.height());
        }
}

TEST(Sentence, isCutWithAnEllipsisAndWholeInItsTip) {
    ElidedLabel label;
    const QString text = QStringLiteral("one two three four five six seven eight nine ten eleven twelve");
    label.resize(120, 2 * label.fontMetrics().lineSpacing());
    label.show();
    label.setFullText(text);
    drain();
    EXPECT_TRUE(label.text().endsWith(QChar(u'…'))) << label.text().toStdString();
    EXPECT_EQ(label.text().count(QLatin1Char('\n')), 1);
    EXPECT_EQ(label.toolTip(), text);
    for (const QString& line : label.text().split(QLatin1Char('\n')))
        EXPECT_LE(label.fontMetrics().horizontalAdvance(line), 120);
    label.resize(2000, label.height());
    drain();
    EXPECT_EQ(label.text(), text);
    EXPECT_TRUE(label.toolTip().isEmpty());
}

// Every curve has a name: categories that are there, lines, overlays; and no number of overlays pushes the chart away.
TEST(Legend, namesWhatIsDrawn) {
    Desk desk("flux1", 512);
    TimelineChart& chart = desk.window.chart();
    const auto kinds = [&](LegendEntry::Kind kind) {
        const auto entries = legendOf(desk.workspace.scene());
        return std::ranges::count(entries, kind, &LegendEntry::kind);
    };
    using Kind = LegendEntry::Kind;
    const auto entries = legendOf(desk.workspace.scene());
    for (const LegendEntry& entry : entries)
        if (entry.kind == Kind::Area) {
            bool held = false;
            const TimelinePtr shown = desk.workspace.shown();
            for (std::size_t i = 0; i < shown->eventCount(); ++i)
                held = held || shown->breakdown(i)[static_cast<std::size_t>(entry.category)] > 0;
            EXPECT_TRUE(held) << entry.text.toStdString();
        }
    EXPECT_GE(kinds(Kind::Area), 3);
    EXPECT_EQ(kinds(Kind::Reserved), 1);
    EXPECT_EQ(kinds(Kind::Plan), 0);
    ASSERT_TRUE(desk.workspace.setControl("budget", QStringLiteral("1")));
    ASSERT_TRUE(wait([&] { return kinds(Kind::Budget) == 1; }));
    const double height = chart.plotArea().height();
    for (int i = 0; i < 8; ++i)
        desk.workspace.runs().add({.id = 0,
                                   .label = QStringLiteral("plan: flux1 1024×1024 with a long name, number %1").arg(i),
                                   .timeline = planOf({{"ahead", std::to_string(i)}}),
                                   .picture = {},
                                   .moments = {},
                                   .input = {},
                                   .ticked = true});
    desk.workspace.show(desk.workspace.runs().idAt(0));
    drain();
    EXPECT_EQ(kinds(Kind::Overlay), 7);
    EXPECT_EQ(kinds(Kind::Plan), 1);
    EXPECT_GE(chart.plotArea().height(), height - 2 * ChartLegend::rowHeight - 4);
}

// Exports say what they show: title, configuration, legend.
TEST(Export, saysWhatItShows) {
    const TemporaryFolder folder;
    Desk desk("flux1", 256);
    ASSERT_TRUE(desk.workspace.setControl("conv", QStringLiteral("im2col")));
    ASSERT_TRUE(wait([&] { return desk.workspace.planBefore() != nullptr; }));
    const QStringList lines = configurationLines(desk.workspace.shown()->recording());
    EXPECT_EQ(lines,
              QStringList({QStringLiteral("flux1, decode of 256×256. Plan"), QStringLiteral("Controls: conv im2col")}));
    ASSERT_TRUE(desk.window.exportTo(MainWindow::Export::TimelineSvg, folder.path() + "/t.svg"));
    ASSERT_TRUE(desk.window.exportTo(MainWindow::Export::TimelinePng, folder.path() + "/t.png"));
    QFile svg(folder.path() + "/t.svg");
    ASSERT_TRUE(svg.open(QIODevice::ReadOnly));
    const QString text = QString::fromUtf8(svg.readAll());
    for (const char* wanted : {"flux1, decode of 256×256. Plan", "conv im2col", "weights", "activation", "reserved",
                               "layers, equally wide", "before conv im2col"})
        EXPECT_TRUE(text.contains(QString::fromUtf8(wanted))) << wanted;
    EXPECT_GE(QImage(folder.path() + "/t.png").width(), 1900);
    // A preset is named instead of its controls.
    const TimelinePtr before = desk.workspace.plan();
    ASSERT_TRUE(desk.workspace.applyPreset("mlx-before"));
    ASSERT_TRUE(wait([&] { return desk.workspace.plan() != before; }));
    EXPECT_EQ(configurationLines(desk.workspace.plan()->recording()).last(), QStringLiteral("Controls: mlx-before"));
}

// After any sequence of sizes the ground around the curves is of one colour, on the screen and in exports.
TEST(Ground, hasNoRemainsOfAnOldSize) {
    Desk desk("flux1", 256);
    TimelineChart& chart = desk.window.chart();
    for (const Theme theme : {Theme::Light, Theme::Dark}) {
        applyTheme(*qApp, theme);
        for (const QSize window : {QSize(1000, 650), QSize(1500, 950), QSize(960, 560), QSize(1300, 850)}) {
            desk.window.resize(window);
            drain();
            const QSize size = chart.viewport()->size();
            QImage exported(size, QImage::Format_RGB32);
            QPainter painter(&exported);
            chart.paintTo(painter, size);
            painter.end();
            desk.window.setFocus(); // whose frame would be at the edges
            for (const QImage& picture : {chart.viewport()->grab().toImage(), exported}) {
                // Left of the labels, right of the plot and below there is nothing but ground.
                for (int y = 4; y < size.height() - 4; ++y) {
                    ASSERT_EQ(picture.pixelColor(2, y), chartColours().ground) << y;
                    ASSERT_EQ(picture.pixelColor(size.width() - 3, y), chartColours().ground) << y;
                }
                for (int x = 4; x < size.width() - 4; ++x)
                    ASSERT_EQ(picture.pixelColor(x, size.height() - 4), chartColours().ground) << x;
            }
        }
    }
    applyTheme(*qApp, Theme::Light);
}

double luminance(const QColor& colour) {
    const auto linear = [](double c) { return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
    return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) + 0.0722 * linear(colour.blueF());
}
double contrast(const QColor& a, const QColor& b) {
    const double high = std::max(luminance(a), luminance(b)), low = std::min(luminance(a), luminance(b));
    return (high + 0.05) / (low + 0.05);
}

// Text is read in both themes, and a change of theme reaches everything at once.
TEST(Colours, followTheThemeAndAreRead) {
    Desk desk("flux1", 256);
    auto* bar = desk.window.findChild<CursorBar*>();
    auto* peak = desk.child<QLabel>("predictedPeak");
    auto* notice = desk.window.findChild<NoticeBar*>();
    notice->show({.kind = Notice::Kind::Error, .text = QStringLiteral("an error")});
    for (const Theme theme : {Theme::Light, Theme::Dark, Theme::Light}) {
        applyTheme(*qApp, theme);
        drain();
        const ChartColours& c = chartColours();
        const QPalette palette = QApplication::palette();
        const QColor window = palette.color(QPalette::Window);
        for (const QColor& ground : {c.ground, window, palette.color(QPalette::Base)})
            for (const QColor& text : {c.text, c.dimText, c.failure, c.better, palette.color(QPalette::PlaceholderText),
                                       palette.color(QPalette::Link)})
                EXPECT_GE(contrast(text, ground), 4.5)
                    << nameOf(theme).toStdString() << " " << text.name().toStdString() << " on "
                    << ground.name().toStdString();
        for (const QColor& ground : {c.bandEven, c.bandOdd}) EXPECT_GE(contrast(c.text, ground), 4.5);
        EXPECT_GE(contrast(palette.color(QPalette::HighlightedText), palette.color(QPalette::Highlight)), 4.5);
        EXPECT_GE(contrast(c.ink, window), 3.0);
        // What is kept was made anew.
        const auto reserved = std::ranges::find(bar->items(), QStringLiteral("reserved"), &ValueStrip::Item::name);
        ASSERT_NE(reserved, bar->items().end());
        EXPECT_EQ(reserved->line.color(), c.ink);
        EXPECT_TRUE(peak->text().contains(c.dimText.name())) << peak->text().toStdString();
        EXPECT_TRUE(notice->styleSheet().contains(c.failure.name())) << notice->styleSheet().toStdString();
        const QImage picture = desk.window.chart().viewport()->grab().toImage();
        EXPECT_EQ(picture.pixelColor(2, picture.height() - 4), c.ground);
    }
}

} // namespace
} // namespace spikescope
