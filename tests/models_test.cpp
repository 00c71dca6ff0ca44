// The window's models without widgets: tables, view maths, runs, sessions and the workspace with a real engine.

#include "tests/support/qt_support.h"
#include "tests/support/recordings.h"

#include "app/models/control_list.h"
#include "app/models/session_file.h"
#include "app/models/tile_layout.h"
#include "app/models/workspace.h"
#include "core/formats/write_report.h"
#include "core/job/job.h"
#include "core/program/presets.h"

#include <QAbstractItemModelTester>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace spikescope {
namespace {

Recording planned(const char* preset, std::uint64_t side = 256) {
    Controls controls;
    controls.model = "flux1";
    controls.width = controls.height = side;
    EXPECT_TRUE(applyPreset(controls, preset));
    auto job = makeJob(controls, std::monostate{});
    return planJob(*job);
}
TimelinePtr timelineOf(const char* preset) { return std::make_shared<const Timeline>(planned(preset)); }

template <class Row> void checkModel(RowsModel<Row>& model, std::vector<Row> rows) {
    const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
    const auto count = static_cast<int>(rows.size());
    model.setRows(rows);
    EXPECT_EQ(model.rowCount(), count);
    for (int column = 0; column < model.columnCount(); ++column) {
        EXPECT_FALSE(model.headerData(column, Qt::Horizontal, Qt::DisplayRole).toString().isEmpty());
        EXPECT_FALSE(model.headerData(column, Qt::Horizontal, Qt::ToolTipRole).toString().isEmpty());
        model.sort(column, Qt::DescendingOrder);
        model.sort(column, Qt::AscendingOrder);
        EXPECT_EQ(model.rowCount(), count);
    }
    if (count > 1) {
        const QPersistentModelIndex kept(model.index(0, 0));
        const QString text = kept.data().toString();
        model.sort(1, Qt::DescendingOrder);
        EXPECT_EQ(kept.data().toString(), text) << "a selection stays on its row when the order changes";
    }
    model.setFilter(QStringLiteral("no such text"));
    EXPECT_EQ(model.rowCount(), 0);
    model.setFilter({});
    EXPECT_EQ(model.rowCount(), count);
    // A header and a line for every row, all of the same width.
    const QStringList lines = QString::fromStdString(model.csv()).split(QStringLiteral("\r\n"), Qt::SkipEmptyParts);
    EXPECT_EQ(lines.size(), count + 1);
    model.setRows({});
}

TEST(Tables, behaveAsModels) {
    const TimelinePtr timeline = timelineOf("mlx-before");
    const Peak& peak = timeline->peak();
    LayersModel layers(layerColumns());
    checkModel(layers, timeline->layers());
    AliveModel alive(aliveColumns());
    checkModel(alive, aliveRows(*timeline, peak.eventIndex));
    EventsModel events(eventColumns());
    std::vector<EventRow> rows;
    for (std::uint32_t i = 0; i < timeline->eventCount(); ++i) rows.push_back({timeline.get(), i});
    checkModel(events, rows);
    Advice advice{.allocated = 10, .reserved = 20, .ms = 5.0, .fits = false, .flips = {}};
    advice.flips.push_back({.control = "conv",
                            .from = "im2col",
                            .to = "direct",
                            .allocated = 4,
                            .reserved = 6,
                            .layer = "x",
                            .ms = 7.0,
                            .fits = true});
    advice.flips.push_back({.control = "promote",
                            .from = "on",
                            .to = "off",
                            .allocated = 12,
                            .reserved = 30,
                            .layer = "y",
                            .ms = {},
                            .fits = false});
    AdviceModel checked(adviceColumns()), flips(adviceColumns());
    checkModel(checked, adviceRows(advice, defaultControls(), true));
    flips.setRows(adviceRows(advice, defaultControls(), true));
    EXPECT_EQ(flips.index(0, 0).data().toString(), QStringLiteral("conv direct"));
    EXPECT_EQ(flips.index(0, 1).data().toString(), QStringLiteral("−6 B"));
    EXPECT_EQ(flips.index(0, 3).data().toString(), QStringLiteral("+2.00 ms"));
    CompareModel compare(compareColumns({QStringLiteral("a"), QStringLiteral("b")}));
    checkModel(compare, compareRows({{QStringLiteral("a"), timeline}, {QStringLiteral("b"), timelineOf("leanest")}}));
}

TEST(Tables, aliveRowsSumToTheEvent) {
    const TimelinePtr timeline = timelineOf("pytorch-eager");
    std::uint64_t sum = 0;
    for (const AliveRow& row : aliveRows(*timeline, timeline->peak().eventIndex))
        if (row.space.isEmpty()) sum += row.bytes;
    EXPECT_EQ(sum, timeline->peak().allocated);
}

TEST(Tables, differencesHaveNoLimit) {
    EXPECT_EQ(differenceText(std::numeric_limits<std::int64_t>::min()), QStringLiteral("−8589934592.00 GiB"));
}

TEST(Runs, behaveAsAModel) {
    RunsModel runs;
    const QAbstractItemModelTester tester(&runs, QAbstractItemModelTester::FailureReportingMode::Fatal);
    const int a = runs.add({.label = "a", .timeline = timelineOf("mlx-before")});
    const int b = runs.add({.label = "b", .timeline = timelineOf("leanest")});
    runs.setBadges(a, b);
    EXPECT_TRUE(runs.index(0, 0).data(Qt::ToolTipRole).toString().contains(QStringLiteral("a")));
    EXPECT_TRUE(runs.index(1, 0).data(Qt::ToolTipRole).toString().contains(QStringLiteral("conv: im2col → direct")));
    EXPECT_TRUE(runs.setData(runs.index(1, 0), Qt::Checked, Qt::CheckStateRole));
    EXPECT_TRUE(runs.find(b)->ticked);
    EXPECT_TRUE(runs.setData(runs.index(1, 0), QStringLiteral("new"), Qt::EditRole));
    EXPECT_FALSE(runs.setData(runs.index(1, 0), QStringLiteral("  "), Qt::EditRole));
    EXPECT_EQ(runs.find(b)->label, QStringLiteral("new"));
    runs.remove(a);
    EXPECT_EQ(runs.badgeA(), 0);
    EXPECT_EQ(runs.rowOf(b), 0);
    EXPECT_GT(runs.add({.label = "c", .timeline = timelineOf("leanest")}), b) << "ids are never used again";
    runs.clear();
}

TEST(View, zoomKeepsThePointUnderTheMouse) {
    const Range all{0, 1000};
    const Range view = zoomed({100, 500}, all, 200, 0.5);
    EXPECT_DOUBLE_EQ(view.length(), 200);
    EXPECT_DOUBLE_EQ((200 - view.begin) / view.length(), 0.25);
    EXPECT_EQ(zoomed({100, 500}, all, 200, 100.0), all);
    EXPECT_GE(zoomed({100, 500}, all, 200, 1e-12).length(), 1e-6 * 1000 * 0.999);
    EXPECT_EQ(panned({900, 1000}, all, 50), (Range{900, 1000}));
    EXPECT_EQ(showing({0, 100}, all, 50), (Range{0, 100}));
    EXPECT_TRUE(showing({0, 100}, all, 990).contains(990));
}

TEST(View, scalesBeginAtZeroInBinaryUnits) {
    for (double bytes : {0.0, 1.0, 1000.0, 3e6, 1.9e8, 8.153726976e9, 3.78e11, 2e13}) {
        const ByteScale scale = byteScale(bytes);
        EXPECT_GE(scale.top * scale.unit, bytes * 0.999999);
        EXPECT_LE(scale.top / scale.step, 8.01) << bytes;
        EXPECT_NEAR(scale.top / scale.step, std::round(scale.top / scale.step), 1e-9);
    }
    EXPECT_EQ(byteScale(378e9).unitName, QStringLiteral("GiB"));
    EXPECT_EQ(byteScale(378e9).step, 64.0);
    EXPECT_EQ(timeLabel(12.5e6, 1e5), QStringLiteral("12.5 ms"));
    EXPECT_EQ(timeLabel(2.5e9, 5e8), QStringLiteral("2.5 s"));
}

TEST(Scene, stackedPartsSumToTheCurveInEveryColumn) {
    const TimelinePtr timeline = timelineOf("mlx-after");
    const ChartScene scene =
        makeScene({.axis = AxisKind::Layers, .shown = timeline, .shownLabel = "x", .ghost = timelineOf("leanest")});
    for (const Range view : {scene.all, zoomed(scene.all, scene.all, scene.all.end * 0.7, 0.05)}) {
        const StackedPoints stacked = stackedPoints(scene.shown, view, 500);
        EXPECT_EQ(stacked.bounds.back(),
                  curvePoints(scene.shown.events, timeline->allocated(), scene.shown.end, view, 500));
        for (std::size_t i = 1; i < categoryCount; ++i) {
            double below = 0, above = 0;
            for (const QPointF& point : stacked.bounds[i - 1]) below = std::max(below, point.y());
            for (const QPointF& point : stacked.bounds[i]) above = std::max(above, point.y());
            EXPECT_LE(below, above);
        }
    }
    double highest = 0;
    const StackedPoints coarse = stackedPoints(scene.shown, scene.all, 300);
    for (const QPointF& point : coarse.bounds.back()) highest = std::max(highest, point.y());
    EXPECT_EQ(highest, static_cast<double>(timeline->peak().allocated));
}

TEST(Controls, everyControlIsInThePanelOnce) {
    std::vector<std::string> names;
    for (const ControlGroup& group : controlGroups())
        for (const ControlEntry& entry : group.entries) {
            names.push_back(entry.name);
            // Whatever is offered is allowed.
            for (const QString& choice : entry.choices) {
                Controls controls;
                EXPECT_TRUE(setControl(controls, entry.name, choice.toStdString()))
                    << entry.name << " " << choice.toStdString();
            }
        }
    std::ranges::sort(names);
    EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
    EXPECT_EQ(names.size(), controlTable().size());
    for (const ControlInfo& info : controlTable()) EXPECT_FALSE(info.group.empty()) << info.name;
}

// --- workspace

struct Desk {
    Engine engine;
    Workspace workspace{engine};
    QStringList errors;
    Desk() {
        QObject::connect(&workspace, &Workspace::told, &workspace, [this](const Notice& notice) {
            if (notice.kind == Notice::Kind::Error) errors << notice.text;
        });
        Controls controls;
        controls.model = "flux1";
        controls.width = controls.height = 256;
        workspace.restore(controls, {});
        wait([&] { return workspace.plan() != nullptr; });
    }
    void flip(const char* control, const char* value) {
        const TimelinePtr before = workspace.plan();
        ASSERT_TRUE(workspace.setControl(control, QString::fromUtf8(value)));
        ASSERT_TRUE(wait([&] { return workspace.plan() != before; }));
    }
};

TEST(Workspace, aFlipMovesThePlanAndUndoTakesItBack) {
    Desk desk;
    const std::uint64_t first = desk.workspace.plan()->peak().allocated;
    desk.flip("conv", "im2col");
    const std::uint64_t second = desk.workspace.plan()->peak().allocated;
    EXPECT_GT(second, first);
    EXPECT_EQ(desk.workspace.planBefore()->peak().allocated, first);
    EXPECT_EQ(desk.workspace.lastFlip(), QStringLiteral("conv im2col"));
    desk.workspace.undoStack().undo();
    ASSERT_TRUE(wait([&] { return desk.workspace.plan()->peak().allocated == first; }));
    desk.workspace.undoStack().redo();
    ASSERT_TRUE(wait([&] { return desk.workspace.plan()->peak().allocated == second; }));
}

TEST(Workspace, whatIsRefusedIsSaidAtTheControl) {
    Desk desk;
    EXPECT_FALSE(desk.workspace.setControl("conv", QStringLiteral("magic")));
    EXPECT_TRUE(desk.workspace.controlError("conv").contains(QStringLiteral("magic")));
    EXPECT_FALSE(desk.workspace.setControl("enforce", QStringLiteral("on"))) << "without a budget";
    EXPECT_EQ(desk.workspace.controlText("conv"), QStringLiteral("direct"));
    EXPECT_TRUE(desk.workspace.setControl("conv", QStringLiteral("direct")));
    EXPECT_TRUE(desk.workspace.controlError("conv").isEmpty());
    // What only the graph can refuse comes later, and to the same place.
    EXPECT_TRUE(desk.workspace.setControl("size", QStringLiteral("250x250")));
    ASSERT_TRUE(wait([&] { return !desk.workspace.controlError("size").isEmpty(); }));
    EXPECT_FALSE(desk.errors.isEmpty());
}

TEST(Workspace, everyPresetIsRecognised) {
    Desk desk;
    for (const Preset& preset : presets()) {
        ASSERT_TRUE(desk.workspace.applyPreset(std::string(preset.name)));
        Controls same;
        ASSERT_TRUE(applyPreset(same, preset.name));
        Controls shown;
        ASSERT_TRUE(applyPreset(shown, desk.workspace.preset().toStdString())) << preset.name;
        EXPECT_EQ(controlValues(shown), controlValues(same)) << preset.name;
    }
}

TEST(Workspace, adviceAppliesAndTheSentenceNamesIt) {
    Desk desk;
    desk.flip("conv", "im2col");
    desk.workspace.jumpToPeak();
    ASSERT_TRUE(wait([&] {
        return desk.workspace.advice().advice && desk.workspace.explanation().contains(QStringLiteral("helps most"));
    }));
    const Flip best = desk.workspace.advice().advice->flips.front();
    ASSERT_TRUE(desk.workspace.setControl(best.control, QString::fromStdString(best.to)));
    ASSERT_TRUE(wait([&] { return desk.workspace.plan()->peak().allocated == best.allocated; }))
        << "a flip does what advice said, to the byte";
}

TEST(Workspace, fitSetsTheControlsAndSaysWhatItGaveUp) {
    Desk desk;
    QStringList told;
    QObject::connect(&desk.workspace, &Workspace::told, &desk.workspace,
                     [&](const Notice& notice) { told << notice.text; });
    const auto fit = [&](const char* budget, FitWish wish) {
        desk.workspace.setControl("budget", QString::fromUtf8(budget));
        told.clear();
        desk.workspace.fitIntoRoom(wish);
        EXPECT_TRUE(desk.workspace.fitting());
        EXPECT_TRUE(wait([&] { return !desk.workspace.fitting(); }));
        return told.join(QLatin1Char(' '));
    };
    desk.flip("conv", "im2col");
    desk.flip("activations", "fp32");
    const auto before = controlValues(desk.workspace.controls());
    // In fp32 the weights are 189 MiB.
    const QString exact = fit("0.25", {});
    EXPECT_TRUE(exact.contains(QStringLiteral("Fits into 256.00 MiB"))) << exact.toStdString();
    EXPECT_TRUE(exact.contains(QStringLiteral("Nothing of the picture is given up"))) << exact.toStdString();
    EXPECT_EQ(desk.workspace.controls().activations, DType::F32);
    ASSERT_TRUE(wait([&] { return desk.workspace.plan()->peak().reserved <= (std::uint64_t{256} << 20); }));
    EXPECT_EQ(desk.workspace.controls().budgetBytes, std::uint64_t{256} << 20);
    EXPECT_TRUE(fit("0.25", {}).contains(QStringLiteral("Nothing changed")));
    // Undone in one step.
    desk.workspace.undoStack().undo();
    auto undone = controlValues(desk.workspace.controls());
    std::erase_if(undone, [](const auto& value) { return value.first == "budget"; });
    auto expected = before;
    std::erase_if(expected, [](const auto& value) { return value.first == "budget"; });
    EXPECT_EQ(undone, expected);
    // Without its weights nothing runs; with fewer bits they fit.
    const QString nothing = fit("0.125", {.approximate = true});
    EXPECT_TRUE(nothing.contains(QStringLiteral("Nothing fits into 128.00 MiB: the weights alone are 189.00 MiB")))
        << nothing.toStdString();
    EXPECT_TRUE(nothing.contains(QStringLiteral("It fits with “fewer bits” ticked"))) << nothing.toStdString();
    EXPECT_EQ(desk.workspace.controls().activations, DType::F32);
    const QString fewer = fit("0.125", {.dtype = true});
    EXPECT_TRUE(fewer.contains(QStringLiteral("Given up: bits of activations or weights"))) << fewer.toStdString();
    EXPECT_EQ(desk.errors.size(), 1) << desk.errors.join('\n').toStdString();
    EXPECT_NE(desk.workspace.controls().weightType(), DType::F32);
    // A search is for the controls that it began with.
    told.clear();
    desk.workspace.fitIntoRoom({});
    desk.workspace.setControl("budget", QStringLiteral("0.5"));
    EXPECT_FALSE(desk.workspace.fitting());
    desk.workspace.fitIntoRoom({});
    desk.workspace.cancelFitting();
    EXPECT_FALSE(desk.workspace.fitting());
    const auto left = controlValues(desk.workspace.controls());
    drain();
    EXPECT_TRUE(told.isEmpty()) << told.join('\n').toStdString();
    EXPECT_EQ(controlValues(desk.workspace.controls()), left);
}

TEST(Workspace, theProblemIsThreePlansOverlaid) {
    Desk desk;
    for (int twice = 0; twice < 2; ++twice) {
        desk.workspace.showProblem();
        ASSERT_TRUE(
            wait([&] { return desk.workspace.scene().overlays.size() == 2 && desk.workspace.runs().rowCount() == 3; }));
        drain();
    }
    EXPECT_EQ(desk.workspace.runs().rowCount(), 3) << "asked twice, it is there once";
    EXPECT_TRUE(desk.workspace.scene().shownLabel.startsWith(QStringLiteral("mlx-before")));
    EXPECT_GT(desk.workspace.shown()->peak().allocated,
              desk.workspace.scene().overlays[1].curve.timeline->peak().allocated);
    EXPECT_TRUE(desk.workspace.summary().contains(QStringLiteral("Overlaid")));
}

TEST(Workspace, zoomIsNotResetByNewDataAndCanBeUndone) {
    Desk desk;
    const Range all = desk.workspace.scene().all;
    desk.workspace.setView(zoomed(all, all, all.end / 2, 0.1));
    const Range view = desk.workspace.view();
    desk.flip("norm", "separate");
    EXPECT_NEAR(desk.workspace.view().length(), view.length(), 1e-9);
    desk.workspace.undoStack().undo(); // the flip
    desk.workspace.undoStack().undo(); // the zoom
    EXPECT_EQ(desk.workspace.view(), desk.workspace.scene().all);
}

TEST(Workspace, cursorAndMarkers) {
    Desk desk;
    Workspace& w = desk.workspace;
    EXPECT_EQ(w.cursor(), w.plan()->peak().eventIndex) << "it begins at the peak";
    w.setCursor(0);
    w.stepCursor(false);
    EXPECT_EQ(w.cursor(), 0u);
    w.stepCursor(true);
    EXPECT_EQ(w.cursor(), 1u);
    w.toggleMarker();
    ASSERT_EQ(w.markers().size(), 1u);
    w.renameMarker(1, QStringLiteral("here"));
    EXPECT_EQ(w.markers().front().text, QStringLiteral("here"));
    w.undoStack().undo();
    w.undoStack().undo();
    EXPECT_TRUE(w.markers().empty());
    w.setCursor(1'000'000);
    EXPECT_EQ(w.cursor(), 1u) << "beyond the end nothing happens";
    w.jumpToPeak();
    EXPECT_EQ(w.cursor(), w.plan()->peak().eventIndex);
    EXPECT_TRUE(w.explanation().startsWith(QStringLiteral("The peak.")));
}

// --- sessions and files

SessionData someSession() {
    SessionData session;
    session.controls.model = "flux1";
    session.controls.width = session.controls.height = 256;
    session.input.path = "/tmp/latents.safetensors";
    session.input.key = "x";
    QImage image(16, 8, QImage::Format_RGBX64);
    image.fill(QColor::fromRgbF(0.1f, 0.5f, 0.9f));
    auto picture = std::make_shared<DecodedPictures>();
    picture->images.push_back(image);
    session.runs.push_back({.id = 1,
                            .label = "one, “quoted”\n",
                            .timeline = timelineOf("mlx-before"),
                            .picture = picture,
                            .ticked = true});
    session.runs.push_back({.id = 2, .label = "two", .timeline = timelineOf("leanest")});
    session.shown = 2;
    session.badgeA = 1;
    session.axis = AxisKind::Ops;
    session.overlaysByLayer = false;
    session.view = {10.5, 20.25};
    session.cursor = 17;
    session.markers = {{.event = 3, .text = "m"}};
    session.geometry = QByteArray("\0\1\2", 3);
    session.layout = "layout";
    return session;
}

TEST(Session, comesBackWhole) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.spikescope");
    const SessionData session = someSession();
    ASSERT_TRUE(saveSession(session, path));
    const auto read = readSession(path);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(controlValues(read->controls), controlValues(session.controls));
    EXPECT_EQ(read->input, session.input);
    ASSERT_EQ(read->runs.size(), 2u);
    expectEqual(read->runs[0].timeline->recording(), session.runs[0].timeline->recording());
    EXPECT_EQ(read->runs[0].label, session.runs[0].label);
    EXPECT_TRUE(read->runs[0].ticked);
    ASSERT_TRUE(read->runs[0].picture);
    EXPECT_EQ(read->runs[0].picture->images[0], session.runs[0].picture->images[0]) << "16 bits, to the last one";
    EXPECT_FALSE(read->runs[1].picture);
    EXPECT_EQ(std::tuple(read->shown, read->badgeA, read->badgeB, read->axis, read->overlaysByLayer, read->cursor),
              std::tuple(2, 1, 0, AxisKind::Ops, false, 17u));
    EXPECT_EQ(read->view, session.view);
    EXPECT_EQ(read->markers, session.markers);
    EXPECT_EQ(read->geometry, session.geometry);
    EXPECT_EQ(read->layout, session.layout);
    int calls = 0;
    const auto cancelled = readSession(path, [&](double part) { return part >= 0 && ++calls < 1; });
    ASSERT_FALSE(cancelled);
    EXPECT_EQ(cancelled.error().code, ErrorCode::Cancelled);
}

TEST(Session, everyDamageIsRefusedOrHarmless) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.spikescope"), broken = folder.file("b.spikescope");
    SessionData session = someSession();
    session.runs.resize(1);
    session.runs[0].timeline = std::make_shared<const Timeline>(smallRun());
    ASSERT_TRUE(saveSession(session, path));
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto tryText = [&](const std::string& damaged) {
        std::ofstream(broken, std::ios::binary) << damaged;
        const auto read = readSession(broken);
        if (!read) {
            EXPECT_TRUE(read.error().code == ErrorCode::BadInput) << read.error().message;
        }
        return read.has_value();
    };
    for (std::size_t cut = 0; cut + 1 < text.size(); cut += 1 + cut / 40)
        EXPECT_FALSE(tryText(text.substr(0, cut))) << cut;
    std::mt19937 random(9);
    for (int i = 0; i < 400; ++i) {
        std::string damaged = text;
        for (int k = 0; k < 3; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
        (void)tryText(damaged);
    }
    EXPECT_FALSE(tryText(R"({"schema":"spikescope.session/1","runs":18446744073709551615})"
                         "\n"));
    EXPECT_FALSE(tryText(R"({"schema":"spikescope.session/1","controls":{"conv":"magic"}})"
                         "\n"));
    EXPECT_FALSE(tryText(R"({"schema":"spikescope.session/2"})"
                         "\n"));
    EXPECT_FALSE(tryText(std::string(100000, '[') + "\n"));
    EXPECT_TRUE(
        tryText(R"({"schema":"spikescope.session/1","shown":77,"a":-3,"view":[1e999,2],"cursor":"x","markers":[3]})"
                "\n") ||
        true); // 1e999 may be refused by the parser: either is fine, a crash is not
}

TEST(Pictures, differences) {
    QImage a(4, 2, QImage::Format_RGBX64);
    a.fill(Qt::black);
    QImage b = a;
    const auto same = differenceOf(a, b);
    ASSERT_TRUE(same);
    EXPECT_TRUE(std::isinf(same->psnr));
    EXPECT_EQ(same->largest, 0.0);
    reinterpret_cast<QRgba64*>(b.scanLine(1))[2] = QRgba64::fromRgba64(0, 65535, 0, 65535);
    const auto other = differenceOf(a, b);
    ASSERT_TRUE(other);
    EXPECT_NEAR(other->psnr, 10 * std::log10(24.0), 1e-9) << "one of 24 values is off by 1";
    EXPECT_EQ(other->largest, 1.0);
    EXPECT_NE(other->heat.pixel(2, 1), other->heat.pixel(0, 0));
    EXPECT_FALSE(differenceOf(a, QImage(5, 2, QImage::Format_RGBX64)));
}

TEST(Pictures, differencesAtTileEdgesStandBesideThoseElsewhere) {
    QImage a(256, 4, QImage::Format_RGBX64);
    a.fill(Qt::black);
    QImage b = a;
    // One of 255 everywhere, ten at the seam between the columns 127 and 128.
    for (int y = 0; y < b.height(); ++y)
        for (int x = 0; x < b.width(); ++x) {
            const quint16 error = x == 127 || x == 128 ? 2570 : 257;
            reinterpret_cast<QRgba64*>(b.scanLine(y))[x] = QRgba64::fromRgba64(error, error, error, 65535);
        }
    const auto seams = differenceOf(a, b, {.x = {128}, .y = {}});
    ASSERT_TRUE(seams);
    ASSERT_TRUE(seams->atEdges);
    EXPECT_EQ(seams->atEdges->nearPixels, 2u);
    EXPECT_NEAR(255 * seams->atEdges->near, std::sqrt((100.0 + 1.0) / 2), 1e-4) << "of four columns two";
    EXPECT_EQ(seams->atEdges->farPixels, 64u);
    EXPECT_NEAR(255 * seams->atEdges->far, 1.0, 1e-4);
    EXPECT_FALSE(differenceOf(a, b)->atEdges) << "of pictures in one piece";
}

TEST(TileLayout, hasTheTilesOfTheLastRunAndWhereTheyOverlap) {
    Recording recording;
    // Two pictures of two tiles of 20 × 10 that share 8 columns, made twice.
    for (std::uint32_t op = 0; op < 8; ++op)
        recording.tiles.push_back(
            {.area = {.frame = op / 2 % 2, .x = op % 2 * 12, .width = 20, .height = 10}, .firstOp = op, .lastOp = op});
    for (const std::uint32_t picture : {0u, 1u}) {
        const TileLayout layout = tileLayout(recording, picture);
        ASSERT_EQ(layout.tiles.size(), 2u);
        EXPECT_EQ(layout.tiles[0].part, 4 + 2 * picture);
        EXPECT_EQ(layout.tiles[0].area, QRect(0, 0, 20, 10));
        EXPECT_EQ(layout.tiles[1].area, QRect(12, 0, 20, 10));
        EXPECT_EQ(layout.overlaps, std::vector{QRect(12, 0, 8, 10)});
        EXPECT_EQ(layout.edges.x, (std::vector<std::uint64_t>{12, 20}));
        EXPECT_TRUE(layout.edges.y.empty());
        const std::uint32_t left = layout.tiles[0].part, right = layout.tiles[1].part;
        EXPECT_EQ(layout.partAt({3, 3}, noIndex), left);
        EXPECT_EQ(layout.partAt({3, 3}, left), left) << "there is but one";
        EXPECT_EQ(layout.partAt({13, 3}, noIndex), left);
        EXPECT_EQ(layout.partAt({13, 3}, left), right) << "asked again, the other one";
        EXPECT_EQ(layout.partAt({13, 3}, right), left);
        EXPECT_EQ(layout.partAt({31, 9}, left), right);
        EXPECT_EQ(layout.partAt({32, 9}, left), noIndex);
        EXPECT_EQ(layout.tileOf(0), nullptr) << "of the first time";
    }
    // A second pass over everything is no overlap.
    recording.tiles = {{.area = {.width = 8, .height = 4}},
                       {.area = {.width = 4, .height = 4}, .firstOp = 1, .lastOp = 1},
                       {.area = {.x = 4, .width = 4, .height = 4}, .firstOp = 2, .lastOp = 2}};
    EXPECT_TRUE(tileLayout(recording, 0).overlaps.empty());
    EXPECT_EQ(tileLayout(recording, 0).edges.x, std::vector<std::uint64_t>{4});
    EXPECT_TRUE(tileLayout({}, 0).empty());
}

} // namespace
} // namespace spikescope
