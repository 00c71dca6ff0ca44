// What a box shows is what is in force, whatever was done before.

#include "tests/support/desk.h"

#include "app/models/configurations.h"
#include "app/widgets/timeline_chart.h"
#include "core/program/presets.h"

#include <QAction>
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QSettings>
#include <QStatusBar>
#include <QToolButton>

#include <gtest/gtest.h>

#include <random>

namespace spikescope {
namespace {

struct StateDesk : Desk {
    using Desk::Desk;

    QComboBox* box(std::string_view control) {
        return window.findChild<QComboBox*>(QStringLiteral("control:") +
                                            QString::fromUtf8(control.data(), static_cast<qsizetype>(control.size())));
    }
    void type(QComboBox* box, const QString& text, bool enter = true) {
        box->setFocus();
        box->lineEdit()->selectAll();
        QTest::keyClicks(box, text);
        if (text.isEmpty()) QTest::keyClick(box, Qt::Key_Delete);
        if (enter) QTest::keyClick(box, Qt::Key_Return);
    }
    // As a click on it in the list.
    void choose(QComboBox* box, int index) {
        box->setCurrentIndex(index);
        Q_EMIT box->activated(index);
        Q_EMIT box->textActivated(box->itemText(index));
    }
    QString presetText() { return child<QComboBox>("preset")->currentText(); }
    bool planned() {
        return wait([&] {
            return workspace.plan() && workspace.plan()->recording().controls == controlValues(workspace.controls());
        });
    }
    // Every box, and the preset's.
    void expectTrue(const std::string& after) {
        for (const auto& [control, value] : controlValues(workspace.controls()))
            ASSERT_EQ(box(control)->currentText().toStdString(), value) << control << " after " << after;
        const QString preset = workspace.preset();
        ASSERT_EQ(presetText(), preset.isEmpty() ? QStringLiteral("no preset") : preset) << "after " << after;
        if (preset.isEmpty()) return;
        const auto made = withConfiguration(workspace.controls(), preset.toStdString());
        ASSERT_TRUE(made);
        ASSERT_EQ(controlValues(*made), controlValues(workspace.controls())) << "after " << after;
    }
};

// Values that a control takes, that it does not, and that only the plan refuses.
QStringList typedValues(std::string_view control) {
    const auto list = [](const char* values) { return QString::fromUtf8(values).split(u'|'); };
    if (control == "size") return list("64x64|128 x 64|72x72|100x100|1x1|0x0|abc");
    if (control == "weights") return list("synthetic:3|synthetic|synthetic:x|/no/such/file.safetensors");
    if (control == "device") return list("cpu");
    if (control == "batch" || control == "repeat") return list("1|2|3|0|-1|x");
    if (control == "evaluate") return list("ops:7|bytes:1000|ops:3,bytes:99|ops:0|sometimes");
    if (control == "ahead") return list("0|3|1024|1025|x");
    if (control == "conv") return list("direct|im2col:3|im2col:0|magic");
    if (control == "resident") return list("0|text=0.3|text=0.1,transformer=0.7|texts=1|text=");
    if (control == "tile") return list("off|32|96|64x32|stripe:16|stripe:20|stripe:1/3|stripe:1/65|33|8");
    if (control == "overlap") return list("0|8|24|7|70000");
    if (control == "allocator") return list("auto|direct|cache-limit:0.3|cache-limit:x");
    if (control == "budget") return list("0.3|0.1|device|512MiB|7.7|0|x");
    return {};
}

// The property. Flips, typed values, presets, undo, redo, Fit, sessions, runs and their controls in any order: after
// each step every box shows the value in force, and when the plan has come it is of these values.
TEST(WindowState, everyBoxShowsWhatIsInForce) {
    const TemporaryFolder folder;
    StateDesk desk;
    ASSERT_TRUE(wait([&] { return desk.workspace.device().known; }));
    std::mt19937 random(20);
    const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random() % end); };
    int refused = 0, sessions = 0, fits = 0, runs = 0;
    for (int step = 0; step < 260; ++step) {
        const ControlInfo& info = controlTable()[below(controlTable().size())];
        const std::string name(info.name);
        QComboBox* box = desk.box(info.name);
        ASSERT_NE(box, nullptr) << name;
        std::string what;
        const std::size_t kind = below(20);
        if (kind < 6 && info.name != "size" && info.name != "device") {
            const int index = static_cast<int>(below(static_cast<std::size_t>(box->count())));
            what = name + " chosen " + box->itemText(index).toStdString();
            desk.choose(box, index);
        } else if (kind < 13 && box->isEditable()) {
            const QStringList values = typedValues(info.name);
            ASSERT_FALSE(values.isEmpty()) << name << " takes typing";
            const QString value = values[static_cast<qsizetype>(below(static_cast<std::size_t>(values.size())))];
            what = name + " typed " + value.toStdString();
            const bool enter = below(2) == 0;
            desk.type(box, value, enter);
            if (!enter) desk.window.chart().setFocus(); // leaving the field takes what was typed
            refused += !desk.workspace.controlError(name).isEmpty();
        } else if (kind < 15) {
            const int index = static_cast<int>(below(configurations().size()));
            what = "preset " + configurations()[static_cast<std::size_t>(index)].name.toStdString();
            auto* preset = desk.child<QComboBox>("preset");
            desk.choose(preset, index);
            EXPECT_EQ(desk.workspace.preset(), configurations()[static_cast<std::size_t>(index)].name);
        } else if (kind < 17) {
            what = "undo";
            desk.key(Qt::Key_Z, Qt::ControlModifier);
        } else if (kind == 17) {
            what = "redo";
            desk.key(Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
        } else if (kind == 18 && fits < 4 && desk.workspace.availableBytes()) {
            what = "fit";
            ++fits;
            ASSERT_TRUE(desk.planned()) << what;
            desk.key(Qt::Key_F, Qt::ControlModifier | Qt::ShiftModifier);
            ASSERT_TRUE(wait([&] { return !desk.workspace.fitting(); }));
        } else if (kind == 19 && sessions < 4) {
            what = "session";
            ++sessions;
            ASSERT_TRUE(desk.planned()) << what;
            desk.workspace.keepPlan();
            const QString path = folder.path() + QStringLiteral("/%1.spikescope").arg(sessions);
            const auto before = controlValues(desk.workspace.controls());
            const QString preset = desk.workspace.preset();
            desk.window.saveSession(path);
            ASSERT_TRUE(wait([&] { return desk.workspace.session() == path && !desk.workspace.unsaved(); }));
            desk.workspace.applyPreset("comfyui-tiled");
            const int last = desk.workspace.runs().entries().back().id;
            desk.window.openPaths({path});
            // Its runs have other ids.
            ASSERT_TRUE(wait([&] { return desk.workspace.runs().entries().back().id != last; }));
            ASSERT_TRUE(desk.planned()) << what;
            ASSERT_EQ(controlValues(desk.workspace.controls()), before) << what;
            EXPECT_EQ(desk.workspace.preset(), preset);
        } else if (kind == 19 && desk.workspace.runs().rowCount() > 0) {
            what = "controls of a run";
            desk.workspace.useControlsOf(desk.workspace.runs().idAt(0));
        } else if (kind == 18 && runs < 2 && desk.workspace.controls().model.starts_with("tae") &&
                   desk.workspace.controls().op == VaeTask::Decode) {
            what = "run";
            ++runs;
            ASSERT_TRUE(desk.planned());
            ASSERT_TRUE(desk.run());
        }
        ASSERT_NO_FATAL_FAILURE(desk.expectTrue(what));
        if (below(3) != 0) continue; // flips come faster than plans
        ASSERT_TRUE(desk.planned()) << "after " << what;
        ASSERT_NO_FATAL_FAILURE(desk.expectTrue(what + ", planned"));
    }
    ASSERT_TRUE(desk.planned());
    ASSERT_NO_FATAL_FAILURE(desk.expectTrue("everything"));
    EXPECT_GT(refused, 5);
    EXPECT_GT(sessions, 1);
    EXPECT_GT(fits, 1);
}

// Protects: that no value of a list is made of a value that was typed, and that what was typed stays.
TEST(WindowState, numbersStayAsTheyWereTyped) {
    const TemporaryFolder folder;
    StateDesk desk;
    const std::vector<std::tuple<const char*, const char*, const char*>> typed{
        {"budget", "0.3", "0.3"},
        {"budget", "1", "1"},
        {"batch", "3", "3"},
        {"size", "128 x 64", "128x64"},
        {"size", " 64 x 64 ", "64x64"},
        {"tile", "96", "96"},
        {"resident", "text=0.1", "text=0.1"},
        {"allocator", "cache-limit:0.7", "cache-limit:0.7"}};
    ASSERT_TRUE(desk.workspace.setControl("lifetime", QStringLiteral("stream")));
    for (const auto& [control, text, shown] : typed) {
        desk.type(desk.box(control), QString::fromUtf8(text));
        EXPECT_EQ(desk.box(control)->currentText(), QString::fromUtf8(shown));
        EXPECT_EQ(desk.workspace.controlText(control), QString::fromUtf8(shown));
    }
    desk.type(desk.box("budget"), QStringLiteral("0.3"));
    ASSERT_TRUE(desk.planned());
    const QString path = folder.path() + QStringLiteral("/a.spikescope");
    desk.window.saveSession(path);
    ASSERT_TRUE(wait([&] { return QFileInfo::exists(path); }));
    QFile file(path);
    ASSERT_TRUE(file.open(QIODevice::ReadOnly));
    EXPECT_TRUE(file.readLine().contains("\"budget\":\"0.3\""));
    desk.window.saveSettings();
    EXPECT_EQ(QSettings().value(QStringLiteral("controls/budget")).toString(), QStringLiteral("0.3"));
    QSettings().clear();
}

TEST(WindowState, whatIsRefusedIsNamedAndLeavesTheBoxAlone) {
    StateDesk desk;
    desk.type(desk.box("conv"), QStringLiteral("magic"));
    EXPECT_EQ(desk.box("conv")->currentText(), QStringLiteral("direct"));
    auto* error = desk.child<QLabel>("error:conv");
    EXPECT_TRUE(error->isVisible());
    EXPECT_TRUE(error->accessibleDescription().contains(QStringLiteral("magic")));
    desk.type(desk.box("conv"), QStringLiteral("im2col"));
    EXPECT_FALSE(error->isVisible());
    // What only the plan refuses is taken back when it says so, and is nothing to be undone.
    ASSERT_TRUE(desk.planned());
    const TimelinePtr plan = desk.workspace.plan();
    const int undoable = desk.workspace.undoStack().count();
    desk.type(desk.box("size"), QStringLiteral("100x100"));
    ASSERT_TRUE(wait([&] { return !desk.workspace.controlError("size").isEmpty(); }));
    EXPECT_EQ(desk.box("size")->currentText(), QStringLiteral("64x64"));
    EXPECT_EQ(desk.workspace.undoStack().count(), undoable);
    EXPECT_TRUE(desk.child<QWidget>("notice")->isVisible());
    ASSERT_TRUE(desk.planned());
    EXPECT_FALSE(desk.workspace.controlError("size").isEmpty()) << "it stands until something else is done";
    // And what was said of it goes when something else is done.
    desk.type(desk.box("size"), QStringLiteral("128x128"));
    EXPECT_FALSE(desk.child<QWidget>("notice")->isVisible());
    ASSERT_TRUE(desk.planned());
    EXPECT_TRUE(desk.workspace.controlError("size").isEmpty());
    EXPECT_EQ(desk.workspace.plan()->recording().controls, controlValues(desk.workspace.controls()));
}

TEST(WindowState, undoIsTheWindowsWhateverHasTheFocus) {
    StateDesk desk;
    for (const char* control : {"size", "batch", "conv", "allocator", "budget"}) {
        QComboBox* box = desk.box(control);
        const QString before = box->currentText();
        desk.type(box, QString::fromUtf8(control == std::string_view("size")        ? "128x128"
                                         : control == std::string_view("conv")      ? "im2col:7"
                                         : control == std::string_view("allocator") ? "direct"
                                                                                    : "2"));
        ASSERT_NE(box->currentText(), before);
        ASSERT_TRUE(box->hasFocus());
        QTest::keyClick(box, Qt::Key_Z, Qt::ControlModifier);
        EXPECT_EQ(box->currentText(), before) << control;
        QTest::keyClick(box, Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
        EXPECT_NE(box->currentText(), before) << control;
        QTest::keyClick(box, Qt::Key_Z, Qt::ControlModifier);
    }
    // What is being typed comes first.
    desk.workspace.setControl("norm", QStringLiteral("separate"));
    QComboBox* size = desk.box("size");
    desk.type(size, QStringLiteral("9"), false);
    ASSERT_EQ(size->currentText(), QStringLiteral("9"));
    QTest::keyClick(size, Qt::Key_Z, Qt::ControlModifier);
    EXPECT_EQ(size->currentText(), QStringLiteral("64x64"));
    EXPECT_EQ(desk.workspace.controlText("norm"), QStringLiteral("separate"));
    QTest::keyClick(size, Qt::Key_Z, Qt::ControlModifier);
    EXPECT_EQ(desk.workspace.controlText("norm"), QStringLiteral("fused"));
    // Also from the filter of a table, and what was typed counts when another key comes.
    desk.workspace.setControl("norm", QStringLiteral("separate"));
    desk.key(Qt::Key_F, Qt::ControlModifier);
    auto* filter = qobject_cast<QLineEdit*>(QApplication::focusWidget());
    ASSERT_NE(filter, nullptr) << "Ctrl+F finds";
    QTest::keyClick(filter, Qt::Key_Z, Qt::ControlModifier);
    EXPECT_EQ(desk.workspace.controlText("norm"), QStringLiteral("fused"));
    desk.type(size, QStringLiteral("72x72"), false);
    QTest::keyClick(size, Qt::Key_D, Qt::ControlModifier);
    EXPECT_EQ(desk.workspace.controlText("size"), QStringLiteral("72x72"));
}

TEST(WindowState, presetsAreNamedAsTheyWereChosen) {
    StateDesk desk;
    EXPECT_EQ(desk.presetText(), QStringLiteral("defaults"));
    for (const char* preset : {"invokeai-tiled", "diffusers-tiled"}) {
        ASSERT_TRUE(desk.workspace.applyPreset(preset));
        EXPECT_EQ(desk.presetText(), QString::fromUtf8(preset));
    }
    desk.workspace.undoStack().undo();
    EXPECT_EQ(desk.presetText(), QStringLiteral("invokeai-tiled"));
    desk.workspace.setControl("hold", QStringLiteral("off"));
    EXPECT_EQ(desk.presetText(), QStringLiteral("no preset"));
    desk.child<QAction>("defaults")->trigger();
    EXPECT_EQ(desk.presetText(), QStringLiteral("defaults"));
    EXPECT_EQ(changedControls(defaultControls(), desk.workspace.controls()), QStringList());
    auto* box = desk.child<QComboBox>("preset");
    for (int i = 0; i + 1 < box->count(); ++i)
        EXPECT_FALSE(box->itemData(i, Qt::ToolTipRole).toString().isEmpty()) << box->itemText(i).toStdString();
}

// Protects: that a note on controls goes with them.
TEST(WindowState, notesGoWithTheirCause) {
    StateDesk desk;
    ASSERT_TRUE(desk.workspace.applyPreset("invokeai-tiled"));
    ASSERT_TRUE(wait([&] { return desk.window.statusBar()->currentMessage().contains(QStringLiteral("made whole")); }));
    desk.key(Qt::Key_Z, Qt::ControlModifier);
    EXPECT_EQ(desk.window.statusBar()->currentMessage(), QString());
    ASSERT_TRUE(desk.planned());
    EXPECT_EQ(desk.window.statusBar()->currentMessage(), QString());
    desk.window.welcome();
    EXPECT_TRUE(desk.child<QWidget>("notice")->isVisible());
    desk.workspace.run();
    EXPECT_FALSE(desk.child<QWidget>("notice")->isVisible()) << "something is allocated now";
    ASSERT_TRUE(wait([&] { return !desk.workspace.runState().running; }));
}

TEST(WindowState, latentsInUseAreNamedAndCanBePutAside) {
    const TemporaryFolder folder;
    const QString path = folder.path() + QStringLiteral("/z.npy");
    {
        std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4, 8, 8), }";
        header.resize(118, ' ');
        header += '\n';
        QFile file(path);
        ASSERT_TRUE(file.open(QIODevice::WriteOnly));
        file.write(QByteArray("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' +
                   QByteArray::fromStdString(header) + QByteArray(4 * 256, '\0'));
    }
    StateDesk desk;
    auto* input = desk.child<QLabel>("input");
    EXPECT_EQ(input->text(), QStringLiteral("synthetic, seed 7"));
    desk.window.openPaths({path});
    ASSERT_TRUE(wait([&] { return input->text() == QStringLiteral("z.npy"); })) << desk.errors.join('\n').toStdString();
    desk.child<QToolButton>("syntheticInput")->click();
    EXPECT_EQ(input->text(), QStringLiteral("synthetic, seed 7"));
    desk.key(Qt::Key_Z, Qt::ControlModifier);
    EXPECT_EQ(input->text(), QStringLiteral("z.npy"));
}

} // namespace
} // namespace spikescope
