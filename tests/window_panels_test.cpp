// The panels say what is so: predicted against measured, the picture's run, the list of runs, questions before what
// cannot be taken back, words for who cannot see.

#include "tests/support/desk.h"
#include "tests/support/recordings.h"

#include "app/engine/room.h"
#include "app/models/picture_effect.h"
#include "app/widgets/image_panel.h"
#include "app/widgets/picture_canvas.h"
#include "app/widgets/tables_panel.h"
#include "core/base/machine_memory.h"

#include <QAccessible>
#include <QAction>
#include <QComboBox>
#include <QLabel>
#include <QMenu>
#include <QMessageBox>
#include <QProcess>
#include <QPushButton>
#include <QScrollBar>
#include <QTableView>
#include <QTreeView>

#include <gtest/gtest.h>

namespace spikescope {
namespace {

struct PanelDesk : Desk {
    using Desk::Desk;

    QMessageBox* question(const char* name) {
        QMessageBox* box = nullptr;
        wait(
            [&] {
                box = child<QMessageBox>(name);
                return box && box->isVisible();
            },
            20);
        return box;
    }
    static QPushButton* button(const QMessageBox& box, const QString& text) {
        for (auto* each : box.findChildren<QPushButton*>())
            if (each->text().remove(u'&').startsWith(text)) return each;
        return nullptr;
    }
    bool planned() {
        return wait([&] { return workspace.plan()->recording().controls == controlValues(workspace.controls()); });
    }
    // The menu's entries that save the picture.
    std::vector<QAction*> pictureExports() {
        std::vector<QAction*> found;
        for (QMenu* menu : window.findChildren<QMenu*>())
            for (QAction* action : menu->actions())
                if (action->text().startsWith(QStringLiteral("Picture as PNG"))) found.push_back(action);
        return found;
    }
};

TEST(Gauge, aRunIsComparedWithItsOwnPrediction) {
    PanelDesk desk;
    ASSERT_TRUE(desk.run());
    auto* measured = desk.child<QLabel>("measured");
    const QString before = measured->accessibleDescription();
    EXPECT_TRUE(before.contains(QStringLiteral("as predicted for it, to the byte"))) << before.toStdString();
    EXPECT_FALSE(before.contains(QStringLiteral("other controls")));
    ASSERT_TRUE(desk.workspace.setControl("activations", QStringLiteral("fp32")));
    ASSERT_TRUE(desk.planned());
    const QString after = measured->accessibleDescription();
    EXPECT_TRUE(after.contains(QStringLiteral("other controls"))) << after.toStdString();
    EXPECT_TRUE(after.contains(bytesText(desk.workspace.shown()->peak().allocated)));
    EXPECT_FALSE(after.contains(bytesText(desk.workspace.plan()->peak().allocated)));
    // Advice says of what it speaks.
    desk.window.tables().setCurrentIndex(TablesPanel::AdviceTab);
    const auto notes = [&] {
        QStringList texts;
        for (const QLabel* label : desk.window.tables().currentWidget()->findChildren<QLabel*>())
            texts << label->text();
        return texts.join(u' ');
    };
    EXPECT_TRUE(notes().contains(QStringLiteral("not of what is shown"))) << notes().toStdString();
    desk.workspace.show(0);
    drain();
    EXPECT_FALSE(notes().contains(QStringLiteral("not of what is shown")));
}

TEST(ImagePanel, thePictureIsThatOfTheRunBesideIt) {
    const TemporaryFolder folder;
    PanelDesk desk;
    auto* about = desk.child<QLabel>("aboutPicture");
    ASSERT_EQ(desk.pictureExports().size(), 2u);
    const auto exportable = [&] {
        return std::ranges::all_of(desk.pictureExports(), [](const QAction* action) { return action->isEnabled(); });
    };
    EXPECT_FALSE(exportable());
    ASSERT_TRUE(desk.run());
    const int run = desk.workspace.shownRun();
    EXPECT_TRUE(about->text().startsWith(desk.workspace.runs().find(run)->label)) << about->text().toStdString();
    EXPECT_TRUE(exportable());
    // Neither a plan, kept or not, nor a recording of elsewhere has it.
    desk.workspace.show(0);
    EXPECT_TRUE(desk.window.image().current().isNull());
    EXPECT_FALSE(exportable());
    desk.workspace.keepPlan();
    desk.workspace.show(desk.workspace.runs().idAt(1));
    EXPECT_TRUE(desk.window.image().current().isNull());
    EXPECT_TRUE(desk.workspace.whyNoPicture().contains(QStringLiteral("is a plan")));
    desk.window.openPaths({QStringLiteral(SPIKESCOPE_TEST_DATA "/fuzz/corpus/pickle/p40")});
    ASSERT_TRUE(wait([&] { return desk.workspace.runs().rowCount() == 3; }));
    EXPECT_TRUE(desk.window.image().current().isNull());
    EXPECT_FALSE(about->text().contains(QStringLiteral("pixels")));
    EXPECT_TRUE(desk.workspace.whyNoPicture().contains(QStringLiteral("snapshot")));
    EXPECT_FALSE(desk.window.exportTo(MainWindow::Export::Png8, folder.path() + "/p.png"));
    desk.workspace.show(run);
    EXPECT_FALSE(desk.window.image().current().isNull());
}

// A picture of which no row is there is black, and no result.
TEST(ImagePanel, whatIsUnfinishedIsNoResult) {
    PanelDesk desk("flux1", 256);
    desk.key(Qt::Key_R, Qt::ControlModifier);
    ASSERT_TRUE(wait([&] { return desk.workspace.runState().done > 5; }));
    EXPECT_TRUE(desk.window.image().current().isNull());
    EXPECT_TRUE(desk.workspace.whyNoPicture().contains(QStringLiteral("under way")));
    EXPECT_TRUE(desk.child<QLabel>("aboutPicture")->text().isEmpty())
        << desk.child<QLabel>("aboutPicture")->text().toStdString();
    QSignalSpy finished(&desk.workspace, &Workspace::runFinished);
    desk.workspace.stop();
    ASSERT_TRUE(wait([&] { return finished.count() > 0; }));
    EXPECT_TRUE(desk.window.image().current().isNull());
    EXPECT_TRUE(desk.workspace.whyNoPicture().contains(QStringLiteral("stopped")))
        << desk.workspace.whyNoPicture().toStdString();
}

TEST(ImagePanel, rowsThatAreNotYetMadeAreNotBlack) {
    QImage half(64, 64, QImage::Format_RGB32);
    half.fill(Qt::black);
    PictureCanvas canvas;
    canvas.resize(256, 256);
    canvas.setImages(half, {}, {}, 32);
    const QImage seen = canvas.grab().toImage();
    EXPECT_EQ(qGray(seen.pixel(128, 60)), 0);
    EXPECT_GT(qGray(seen.pixel(20, 240)), 60);
    canvas.setImages(half, {}, {});
    EXPECT_EQ(qGray(canvas.grab().toImage().pixel(20, 240)), 0);
}

TEST(Room, isShortWhereAPlanTakesMoreThanThereIs) {
    Recording plan = smallRun();
    std::uint64_t reserved = 0;
    for (const Event& event : plan.events)
        if (event.space == deviceSpace) reserved = std::max(reserved, event.reserved);
    ASSERT_GT(reserved, 1u);
    const std::uint64_t plenty = std::uint64_t{1} << 60;
    EXPECT_FALSE(shortageOf(plan, {.device = reserved, .machine = plenty}));
    const auto device = shortageOf(plan, {.device = reserved - 1, .machine = plenty});
    ASSERT_TRUE(device);
    EXPECT_EQ(device->wanted() - device->available(), 1u);
    EXPECT_TRUE(device->sentence().find("the device's memory") != std::string::npos) << device->sentence();
    // In one memory with the machine, what lies beside it counts, too.
    Event& event = plan.events.emplace_back();
    event.space = hostSpace;
    event.allocated = 5;
    const auto shared = shortageOf(plan, {.device = plenty, .machine = 4, .shared = true});
    ASSERT_TRUE(shared);
    EXPECT_TRUE(shared->onMachine());
    EXPECT_GE(shared->wanted(), 5u);
    EXPECT_TRUE(shortageOf(plan, {.device = plenty, .machine = 4})) << "host memory of its own is short";
}

TEST(Room, aRunThatDoesNotFitIsAskedAbout) {
    PanelDesk desk;
    // On a CPU device, which has no memory of its own.
    const QString resident = QStringLiteral("text=%1").arg((availableMachineMemory() >> 30) + 4);
    ASSERT_TRUE(desk.workspace.setControl("resident", resident));
    ASSERT_TRUE(desk.planned());
    desk.key(Qt::Key_R, Qt::ControlModifier);
    QMessageBox* box = desk.question("askForRoom");
    ASSERT_NE(box, nullptr);
    EXPECT_TRUE(box->text().contains(QStringLiteral("GiB"))) << box->text().toStdString();
    EXPECT_FALSE(desk.workspace.runState().running);
    ASSERT_NE(PanelDesk::button(*box, QStringLiteral("Run anyway")), nullptr);
    ASSERT_NE(PanelDesk::button(*box, QStringLiteral("Fit into")), nullptr);
    box->button(QMessageBox::Cancel)->click();
    drain();
    EXPECT_FALSE(desk.workspace.runState().running);
    EXPECT_EQ(desk.workspace.runs().rowCount(), 0);
    // What is wanted all the same is begun.
    desk.key(Qt::Key_R, Qt::ControlModifier);
    box = desk.question("askForRoom");
    ASSERT_NE(box, nullptr);
    QSignalSpy finished(&desk.workspace, &Workspace::runFinished);
    PanelDesk::button(*box, QStringLiteral("Run anyway"))->click();
    ASSERT_TRUE(wait([&] { return finished.count() > 0; }));
    EXPECT_EQ(desk.workspace.runs().rowCount(), 1) << "whether the driver refused it or not";
    // Nobody is asked without a display.
    const TemporaryFolder folder;
    QProcess process;
    process.start(QStringLiteral(SPIKESCOPE_WINDOW_PROGRAM),
                  {"--grab", folder.path() + "/p.png", "--model", "taesd", "--size", "64x64", "--resident", resident,
                   "--device", "cpu"});
    ASSERT_TRUE(process.waitForFinished(60000));
    EXPECT_EQ(process.exitCode(), 1);
    EXPECT_TRUE(process.readAllStandardError().contains("planned to take"));
}

TEST(Closing, asksAboutRunsThatAreInNoFile) {
    const TemporaryFolder folder;
    PanelDesk desk;
    EXPECT_EQ(desk.window.windowTitle(), QStringLiteral("taesd 64×64[*] – Spikescope"));
    desk.workspace.showProblem(); // can be made again
    ASSERT_TRUE(wait([&] { return desk.workspace.runs().rowCount() == 3; }));
    EXPECT_FALSE(desk.window.isWindowModified());
    desk.workspace.keepPlan();
    EXPECT_TRUE(desk.window.isWindowModified());
    desk.window.close();
    QMessageBox* box = desk.question("askToSave");
    ASSERT_NE(box, nullptr);
    box->button(QMessageBox::Cancel)->click();
    drain();
    EXPECT_TRUE(desk.window.isVisible());
    // A name without a suffix gets it.
    desk.answerDialog(folder.path() + "/sess");
    desk.key(Qt::Key_S, Qt::ControlModifier);
    const QString path = folder.path() + QStringLiteral("/sess.spikescope");
    ASSERT_TRUE(wait([&] { return desk.workspace.session() == path; })) << desk.errors.join('\n').toStdString();
    EXPECT_TRUE(QFileInfo::exists(path));
    EXPECT_EQ(desk.window.windowTitle(), QStringLiteral("sess.spikescope[*] – Spikescope"));
    EXPECT_FALSE(desk.window.isWindowModified());
    // Changed again, and saved while closing.
    desk.workspace.runs().rename(desk.workspace.runs().idAt(3), QStringLiteral("mine"));
    EXPECT_TRUE(desk.window.isWindowModified());
    desk.window.close();
    box = desk.question("askToSave");
    ASSERT_NE(box, nullptr);
    box->button(QMessageBox::Save)->click();
    EXPECT_TRUE(wait([&] { return !desk.window.isVisible(); }));
    // It comes back as it was, with nothing to save.
    PanelDesk other;
    other.window.openPaths({path});
    ASSERT_TRUE(wait([&] { return other.workspace.runs().rowCount() == 4; }));
    drain();
    EXPECT_EQ(other.workspace.runs().entries()[3].label, QStringLiteral("mine"));
    EXPECT_EQ(other.window.windowTitle(), QStringLiteral("sess.spikescope[*] – Spikescope"));
    EXPECT_FALSE(other.window.isWindowModified());
    // Opening a session would cost what is here as much as closing does.
    other.workspace.keepPlan();
    other.window.openPaths({path});
    box = other.question("askToSave");
    ASSERT_NE(box, nullptr);
    box->button(QMessageBox::Cancel)->click();
    drain();
    EXPECT_EQ(other.workspace.runs().rowCount(), 5);
    other.window.openPaths({path});
    box = other.question("askToSave");
    ASSERT_NE(box, nullptr);
    box->button(QMessageBox::Discard)->click();
    EXPECT_TRUE(wait([&] { return other.workspace.runs().rowCount() == 4; }));
    drain();
    other.window.close();
    EXPECT_FALSE(other.window.isVisible());
}

TEST(RunsPanel, theSelectionIsWhatIsShown) {
    PanelDesk desk;
    for (const char* conv : {"direct", "im2col", "winograd"}) {
        ASSERT_TRUE(desk.workspace.setControl("conv", QString::fromUtf8(conv)));
        ASSERT_TRUE(desk.planned());
        desk.workspace.keepPlan();
    }
    RunsModel& runs = desk.workspace.runs();
    EXPECT_TRUE(runs.entries()[0].label.startsWith(QStringLiteral("plan: defaults"))) << "named by what differs";
    EXPECT_TRUE(runs.entries()[1].label.startsWith(QStringLiteral("plan: conv im2col")));
    auto* view = desk.child<QTreeView>("runs");
    const auto selected = [&] {
        const QModelIndexList rows = view->selectionModel()->selectedRows();
        return rows.isEmpty() ? 0 : runs.idAt(rows.front().row());
    };
    EXPECT_EQ(selected(), 0) << "the plan is shown";
    const auto at = [&](int row, int x) {
        const QRect cell = view->visualRect(runs.index(row, 0));
        return QPoint(x < 0 ? cell.right() - 5 : cell.left() + x, cell.center().y());
    };
    QTest::mouseClick(view->viewport(), Qt::LeftButton, {}, at(1, -1));
    EXPECT_EQ(desk.workspace.shownRun(), runs.idAt(1)) << "one click shows";
    EXPECT_EQ(selected(), runs.idAt(1));
    EXPECT_TRUE(runs.index(1, 0).data().toString().contains(QStringLiteral("▶")));
    // A tick overlays and shows nothing else.
    ASSERT_TRUE(runs.entries()[2].ticked);
    QTest::mouseClick(view->viewport(), Qt::LeftButton, {}, at(2, 10));
    EXPECT_FALSE(runs.entries()[2].ticked);
    EXPECT_EQ(desk.workspace.shownRun(), runs.idAt(1));
    EXPECT_EQ(selected(), runs.idAt(1));
    // Shown from elsewhere.
    desk.workspace.show(runs.idAt(0));
    EXPECT_EQ(selected(), runs.idAt(0));
    EXPECT_FALSE(runs.index(1, 0).data().toString().contains(QStringLiteral("▶")));
    desk.workspace.show(0);
    EXPECT_EQ(selected(), 0);
    // Narrowed and widened again, the names are there.
    for (const QSize size : {QSize(764, 700), QSize(1300, 850)}) {
        desk.window.resize(size);
        drain();
        EXPECT_GT(view->columnWidth(0), 110) << size.width();
    }
}

TEST(Tables, layersNeedNoScrollingAt1280) {
    PanelDesk desk("flux1", 1024);
    desk.window.resize(1280, 800);
    desk.window.tables().setCurrentIndex(TablesPanel::Layers);
    drain();
    auto* view = desk.child<QTableView>("table:Layers");
    ASSERT_GT(view->model()->rowCount(), 50);
    EXPECT_EQ(view->horizontalScrollBar()->maximum(), 0);
    EXPECT_GT(view->columnWidth(0), 100);
    // With times, too.
    PanelDesk timed("flux1", 64);
    timed.window.resize(1280, 800);
    timed.window.tables().setCurrentIndex(TablesPanel::Layers);
    ASSERT_TRUE(timed.run());
    drain();
    view = timed.child<QTableView>("table:Layers");
    EXPECT_EQ(view->horizontalScrollBar()->maximum(), 0);
    EXPECT_GT(view->columnWidth(layerTimeColumn), 60);
}

// What advice says of the picture: every control has been thought of, and what is said to be the same is the same.
TEST(PictureEffects, areWhatTheyAreSaidToBe) {
    Controls plain = defaultControls(), changed = plain;
    EXPECT_EQ(pictureEffect(plain, changed), PictureEffect::Same);
    ASSERT_TRUE(setControl(changed, "tile", "512"));
    EXPECT_EQ(pictureEffect(plain, changed), PictureEffect::Approximate);
    EXPECT_EQ(pictureEffect(changed, plain), PictureEffect::Exact);
    ASSERT_TRUE(setControl(changed, "tile", "stripe:1/4"));
    EXPECT_EQ(pictureEffect(plain, changed), PictureEffect::Rounding);
    ASSERT_TRUE(setControl(changed, "activations", "fp32"));
    EXPECT_EQ(pictureEffect(plain, changed), PictureEffect::Precision);

    PanelDesk desk("taef2", 32);
    ASSERT_TRUE(desk.run());
    const QImage first = desk.workspace.picture()->images.front();
    int same = 0;
    const Controls before = desk.workspace.controls();
    for (const ControlInfo& info : controlTable()) {
        if (effectOf(info.name) != ControlEffect::None) continue;
        for (const std::string_view value : info.flips) {
            Controls flipped = before;
            ASSERT_TRUE(setControl(flipped, info.name, value));
            if (!checkControls(flipped) || controlValues(flipped) == controlValues(before)) continue;
            ASSERT_EQ(pictureEffect(before, flipped), PictureEffect::Same);
            desk.workspace.restore(flipped, {});
            ASSERT_TRUE(desk.run());
            ASSERT_TRUE(desk.workspace.picture()) << info.name << " " << value;
            EXPECT_EQ(desk.workspace.picture()->images.front(), first) << info.name << " " << value;
            ++same;
        }
    }
    EXPECT_GT(same, 10);
}

// Screen readers get words: no markup, and no rows run into each other.
TEST(Accessibility, everyWidgetsTextIsPlain) {
    PanelDesk desk;
    ASSERT_TRUE(desk.run());
    desk.workspace.setControl("conv", QStringLiteral("magic"));
    drain();
    int texts = 0;
    for (QWidget* widget : desk.window.findChildren<QWidget*>()) {
        QAccessibleInterface* reader = QAccessible::queryAccessibleInterface(widget);
        if (!reader) continue;
        for (const QAccessible::Text kind : {QAccessible::Name, QAccessible::Description}) {
            const QString text = reader->text(kind);
            const std::string where = std::string(widget->metaObject()->className()) + " " +
                                      widget->objectName().toStdString() + ": " + text.toStdString();
            EXPECT_FALSE(text.contains(u'<')) << where;
            EXPECT_FALSE(text.contains(QStringLiteral("&nbsp"))) << where;
            texts += !text.isEmpty();
        }
    }
    EXPECT_GT(texts, 100);
    for (const ControlInfo& info : controlTable()) {
        const QString name = QString::fromUtf8(info.name.data(), static_cast<qsizetype>(info.name.size()));
        const auto* box = desk.window.findChild<QComboBox*>(QStringLiteral("control:") + name);
        const QString help = QString::fromUtf8(info.help.data(), static_cast<qsizetype>(info.help.size()));
        EXPECT_EQ(box->accessibleDescription(),
                  help + QStringLiteral(". Values: ") + QString::fromStdString(info.values));
    }
}

} // namespace
} // namespace spikescope
