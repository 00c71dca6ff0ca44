// The real window, driven as a person would: keys, mouse, drops; and what must never cost a start. Off screen, and the
// group Picture also on a real X server (see CMakeLists.txt).

#include "tests/support/desk.h"
#include "tests/support/recordings.h"

#include "app/engine/worker.h"
#include "app/widgets/help.h"
#include "app/widgets/tables_panel.h"
#include "app/widgets/theme.h"
#include "app/widgets/timeline_chart.h"
#include "core/formats/formats.h"
#include "core/formats/read_report.h"
#include "core/formats/write_report.h"
#include "core/tensors/safetensors_writer.h"
#include "core/tensors/tensor_file.h"

#include <QAbstractButton>
#include <QApplication>
#include <QComboBox>
#include <QDialog>
#include <QFileDialog>
#include <QHeaderView>
#include <QLabel>
#include <QMimeData>
#include <QProcess>
#include <QPushButton>
#include <QScreen>
#include <QSettings>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTableView>
#include <QTest>
#include <QTextDocumentFragment>
#include <QTimer>
#include <QTreeView>

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <new>

namespace spikescope {
namespace {

void writeLatents(const std::string& path, int side) {
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4, " + std::to_string(side) + ", " +
                         std::to_string(side) + "), }";
    header.resize(118, ' ');
    header += '\n';
    std::ofstream file(path, std::ios::binary);
    file << std::string("\x93NUMPY\x01\x00", 8) << static_cast<char>(header.size()) << '\0' << header;
    for (int i = 0; i < 4 * side * side; ++i) {
        const float value = static_cast<float>(i % 7) / 7.0f - 0.5f;
        file.write(reinterpret_cast<const char*>(&value), 4);
    }
}

// open → flip → run → jump to peak → export, without touching the mouse.
TEST(Window, theFullPathByKeyboard) {
    const TemporaryFolder folder;
    writeLatents(folder.file("latents.npy"), 8);
    Desk desk;
    // Open.
    desk.answerDialog(folder.path() + "/latents.npy");
    desk.key(Qt::Key_O, Qt::ControlModifier);
    ASSERT_TRUE(wait([&] { return desk.workspace.input().path == folder.file("latents.npy"); }))
        << desk.errors.join('\n').toStdString();
    // Flip, in the panel.
    auto* norm = desk.child<QComboBox>("control:norm");
    norm->setFocus();
    const TimelinePtr before = desk.workspace.plan();
    QTest::keyClick(norm, Qt::Key_Down);
    ASSERT_TRUE(wait([&] {
        return desk.workspace.controlText("norm") == QStringLiteral("separate") && desk.workspace.plan() != before;
    }));
    // Run.
    desk.window.chart().setFocus();
    ASSERT_TRUE(desk.run());
    ASSERT_TRUE(desk.errors.isEmpty()) << desk.errors.join('\n').toStdString();
    const Recording& recording = desk.workspace.shown()->recording();
    EXPECT_EQ(recording.kind, RecordingKind::Run);
    ASSERT_TRUE(recording.predicted);
    EXPECT_EQ(recording.predicted->first, desk.workspace.shown()->peak().allocated)
        << "predicted and measured stand side by side, and are equal";
    ASSERT_TRUE(desk.workspace.picture());
    EXPECT_EQ(desk.workspace.picture()->images.front().size(), QSize(64, 64));
    // Step away and jump to the peak.
    QTest::keyClick(&desk.window.chart(), Qt::Key_Home);
    QTest::keyClick(&desk.window.chart(), Qt::Key_Right);
    EXPECT_EQ(desk.workspace.cursor(), 1u);
    desk.key(Qt::Key_P);
    EXPECT_EQ(desk.workspace.cursor(), desk.workspace.shown()->peak().eventIndex);
    EXPECT_EQ(desk.window.tables().currentIndex(), TablesPanel::Alive);
    EXPECT_GT(desk.window.tables().currentModel()->rowCount(), 0);
    EXPECT_TRUE(desk.child<QLabel>("explanation")->text().startsWith(QStringLiteral("The peak.")));
    // Export.
    desk.answerDialog(folder.path() + "/timeline.png");
    desk.key(Qt::Key_E, Qt::ControlModifier);
    ASSERT_TRUE(wait([&] { return QFileInfo::exists(folder.path() + "/timeline.png"); }));
    EXPECT_FALSE(QImage(folder.path() + "/timeline.png").isNull());
    // Undo the flip.
    desk.key(Qt::Key_Z, Qt::ControlModifier);
    EXPECT_TRUE(wait([&] { return desk.workspace.controlText("norm") == QStringLiteral("fused"); }));
}

TEST(Window, aDropOpensAndAPictureIsEncoded) {
    const TemporaryFolder folder;
    QImage picture(64, 64, QImage::Format_RGB32);
    picture.fill(Qt::darkCyan);
    ASSERT_TRUE(picture.save(folder.path() + "/in.png"));
    Desk desk;
    QMimeData mime;
    mime.setUrls({QUrl::fromLocalFile(folder.path() + "/in.png")});
    QDragEnterEvent enter(QPoint(300, 300), Qt::CopyAction, &mime, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(&desk.window, &enter);
    EXPECT_TRUE(enter.isAccepted());
    QDropEvent drop(QPointF(300, 300), Qt::CopyAction, &mime, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(&desk.window, &drop);
    ASSERT_TRUE(wait([&] { return desk.workspace.controls().op == VaeTask::Encode; }))
        << desk.errors.join('\n').toStdString();
    ASSERT_TRUE(desk.run());
    ASSERT_TRUE(desk.errors.isEmpty()) << desk.errors.join('\n').toStdString();
    ASSERT_TRUE(desk.window.exportTo(MainWindow::Export::Latents, folder.path() + "/latents.safetensors"));
    ASSERT_TRUE(wait([&] { return QFileInfo::exists(folder.path() + "/latents.safetensors"); }));
    const auto mean = readTensorFile(folder.file("latents.safetensors"), "mean");
    ASSERT_TRUE(mean) << mean.error().message;
    EXPECT_EQ(mean->shape, (std::vector<std::uint64_t>{1, 4, 8, 8}));
}

TEST(Window, namesOutOfFilesAreNoMarkup) {
    Desk desk;
    for (const QLabel* label : desk.window.findChildren<QLabel*>())
        EXPECT_NE(label->textFormat(), Qt::AutoText) << label->text().toStdString();
    const QString name = QStringLiteral("<b>bold</b><img src='x.png'>");
    EXPECT_EQ(QTextDocumentFragment::fromHtml(plainTip(name)).toPlainText(), name);
    EXPECT_EQ(plainTip(QStringLiteral("a < b")), QStringLiteral("a < b"));
}

// What a file leaves open is asked for in the bar: how a picture is made to fit, and which tensor is meant.
TEST(Window, whatAFileLeavesOpenIsAsked) {
    Desk desk;
    const TemporaryFolder folder;
    const QString picture = folder.path() + QStringLiteral("/odd.png");
    QImage image(50, 37, QImage::Format_RGB888);
    image.fill(Qt::green);
    ASSERT_TRUE(image.save(picture));
    desk.window.openPaths({picture});
    auto* choices = desk.child<QComboBox>("choices");
    ASSERT_TRUE(wait([&] { return choices->isVisible(); }));
    ASSERT_EQ(choices->count(), 3);
    EXPECT_EQ(choices->itemText(0), QStringLiteral("crop to 48x32"));
    EXPECT_EQ(choices->itemText(1), QStringLiteral("pad to 56x40"));
    choices->setCurrentIndex(1);
    desk.child<QPushButton>("useChoice")->click();
    ASSERT_TRUE(wait([&] { return desk.workspace.controls().width == 56; }));
    EXPECT_EQ(desk.workspace.controls().height, 40u);
    EXPECT_EQ(desk.workspace.controls().op, VaeTask::Encode);
    EXPECT_FALSE(choices->isVisible() && !desk.workspace.awaitingChoice());
    EXPECT_TRUE(desk.run());
    EXPECT_EQ(desk.errors, QStringList());

    const std::string latents = folder.path().toStdString() + "/two.safetensors";
    auto writer =
        SafetensorsWriter::create(latents, {{.name = "first", .dtype = DType::F32, .shape = {1, 4, 2, 3}},
                                            {.name = "<b>second</b>", .dtype = DType::F32, .shape = {1, 4, 4, 5}}});
    ASSERT_TRUE(writer);
    const std::vector<float> zeros(80);
    ASSERT_TRUE(writer->write(0, 0, std::as_bytes(std::span(zeros).first(24))));
    ASSERT_TRUE(writer->write(1, 0, std::as_bytes(std::span(zeros))));
    ASSERT_TRUE(writer->commit());
    desk.window.openPaths({QString::fromStdString(latents)});
    ASSERT_TRUE(wait([&] { return choices->isVisible() && choices->count() == 2; }));
    choices->setCurrentIndex(choices->findText(QStringLiteral("<b>second</b>"), Qt::MatchContains));
    desk.child<QPushButton>("useChoice")->click();
    ASSERT_TRUE(wait([&] { return desk.workspace.controls().width == 40; }));
    EXPECT_EQ(desk.workspace.controls().height, 32u);
    EXPECT_EQ(desk.workspace.controls().op, VaeTask::Decode);
    EXPECT_EQ(desk.errors, QStringList());
}

TEST(Window, everythingCanBeExported) {
    const TemporaryFolder folder;
    Desk desk;
    ASSERT_TRUE(desk.run());
    using E = MainWindow::Export;
    const std::vector<std::pair<E, QString>> files{
        {E::TimelinePng, "t.png"}, {E::TimelineSvg, "t.svg"}, {E::Png8, "p8.png"}, {E::Png16, "p16.png"}};
    for (const Exporter* exporter : exporters)
        EXPECT_TRUE(
            desk.window.exportTo(*exporter, folder.path() + "/" + QString::fromStdString(std::string(exporter->name))));
    for (const auto& [what, file] : files)
        EXPECT_TRUE(desk.window.exportTo(what, folder.path() + "/" + file)) << file.toStdString();
    ASSERT_TRUE(wait([&] { return QFileInfo::exists(folder.path() + "/p16.png"); }));
    EXPECT_EQ(QImage(folder.path() + "/p8.png").depth(), 32);
    EXPECT_EQ(QImage(folder.path() + "/p16.png").depth(), 64);
    const auto report = readReport(folder.file("report"));
    ASSERT_TRUE(report);
    expectEqual(*report, desk.workspace.shown()->recording());
    QFile svg(folder.path() + "/t.svg");
    ASSERT_TRUE(svg.open(QIODevice::ReadOnly));
    const QByteArray text = svg.readAll();
    EXPECT_TRUE(text.contains("<svg"));
    EXPECT_TRUE(text.contains("Peak ")) << "the words for who cannot see it";
    EXPECT_FALSE(desk.window.exportTo(E::Latents, folder.path() + "/none.safetensors")) << "a decode made none";
    for (const Exporter* exporter : exporters)
        EXPECT_TRUE(QFileInfo::exists(folder.path() + "/" + QString::fromStdString(std::string(exporter->name))));
    EXPECT_TRUE(desk.window.exportTo(reportExporter, folder.path() + "/no/such/folder/r.json"));
    EXPECT_TRUE(wait([&] { return !desk.errors.isEmpty() && desk.errors.last().contains(QStringLiteral("folder")); }))
        << "an error is said";
    EXPECT_TRUE(desk.child<QWidget>("notice")->isVisible());
}

// No export replaces a file that is open: it costs a notice and touches nothing.
TEST(Window, exportsNeverReplaceWhatIsOpen) {
    const TemporaryFolder folder;
    writeLatents(folder.file("latents.npy"), 8);
    ASSERT_TRUE(writeText(folder.file("run.json"), reportJson(smallRun())));
    Desk desk;
    desk.window.openPaths({folder.path() + "/latents.npy", folder.path() + "/run.json"});
    ASSERT_TRUE(wait([&] { return desk.workspace.runs().rowCount() == 1; })) << desk.errors.join('\n').toStdString();
    ASSERT_TRUE(desk.run());
    desk.window.saveSession(folder.path() + "/a.spikescope");
    ASSERT_TRUE(wait([&] { return QFileInfo::exists(folder.path() + "/a.spikescope"); }));
    drain();
    ASSERT_TRUE(desk.errors.isEmpty()) << desk.errors.join('\n').toStdString();
    std::filesystem::create_hard_link(folder.file("latents.npy"), folder.file("hard.png"));
    std::filesystem::create_symlink("run.json", folder.file("soft.csv"));
    const auto contentOf = [&](const QString& name) {
        QFile file(folder.path() + "/" + name);
        EXPECT_TRUE(file.open(QIODevice::ReadOnly));
        return file.readAll();
    };
    using E = MainWindow::Export;
    for (const char* name : {"latents.npy", "run.json", "a.spikescope", "hard.png", "soft.csv"}) {
        const QByteArray before = contentOf(QString::fromUtf8(name));
        const auto refused = [&](const auto& what) {
            desk.errors.clear();
            EXPECT_FALSE(desk.window.exportTo(what, folder.path() + "/" + name)) << name;
            ASSERT_EQ(desk.errors.size(), 1) << name;
            EXPECT_TRUE(desk.errors.front().contains(QString::fromUtf8(name))) << desk.errors.front().toStdString();
        };
        for (const E what : {E::TimelinePng, E::TimelineSvg, E::Png8, E::Png16}) refused(what);
        for (const Exporter* exporter : exporters) refused(*exporter);
        drain();
        EXPECT_EQ(contentOf(QString::fromUtf8(name)), before) << name;
    }
    // A session goes over itself, which is what saving means, and over nothing else that is open.
    const QByteArray latents = contentOf(QStringLiteral("latents.npy"));
    desk.errors.clear();
    desk.window.saveSession(folder.path() + "/latents.npy");
    EXPECT_EQ(desk.errors.size(), 1);
    const QByteArray session = contentOf(QStringLiteral("a.spikescope"));
    desk.workspace.keepPlan();
    desk.window.saveSession(folder.path() + "/a.spikescope");
    EXPECT_TRUE(wait([&] { return contentOf(QStringLiteral("a.spikescope")) != session; }));
    EXPECT_EQ(desk.errors.size(), 1);
    EXPECT_EQ(contentOf(QStringLiteral("latents.npy")), latents);
    // What is open no more may go.
    const int opened = desk.workspace.runs().idAt(0);
    desk.workspace.removeRun(opened);
    EXPECT_TRUE(desk.window.exportTo(reportExporter, folder.path() + "/run.json"));
    drain();
    EXPECT_EQ(desk.errors.size(), 1);
}

class Thrower : public QObject {
public:
    bool event(QEvent*) override { throw std::bad_alloc(); }
};

// What is thrown in an event, in a job or by a whole thread's work is said; the window and the thread go on.
TEST(Window, whatIsThrownCostsANotice) {
    Desk desk;
    Thrower thrower;
    QCoreApplication::postEvent(&thrower, new QEvent(QEvent::User));
    drain();
    ASSERT_EQ(desk.errors.size(), 1);
    EXPECT_TRUE(desk.errors.front().contains(QStringLiteral("out of host memory")));
    EXPECT_TRUE(desk.child<QWidget>("notice")->isVisible());

    std::optional<Result<void>> thrown, after;
    desk.engine.background([]() -> Result<void> { throw std::runtime_error("the text"); },
                           [&](const Result<void>& result) { thrown = result; });
    desk.engine.background([]() -> Result<void> { return {}; }, [&](const Result<void>& result) { after = result; });
    ASSERT_TRUE(wait([&] { return after.has_value(); }));
    ASSERT_TRUE(thrown && !*thrown);
    EXPECT_EQ(thrown->error().message, "the text");
    EXPECT_TRUE(*after);

    std::promise<std::string> heard;
    std::promise<int> next;
    Worker worker([&](const Error& error) { heard.set_value(error.message); });
    worker.add([] { throw std::runtime_error("a job"); });
    worker.add([&] { next.set_value(7); });
    EXPECT_EQ(heard.get_future().get(), "a job");
    EXPECT_EQ(next.get_future().get(), 7);
}

// A plan of more events than memory holds.
TEST(Window, aPlanThatMemoryDoesNotHoldCostsANotice) {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "the sanitizer reserves more addresses than the limit below";
#endif
    Desk desk;
    ASSERT_TRUE(wait([&] { return desk.workspace.device().known; })); // drivers do not survive the limit
    rlimit before = {};
    ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
    std::ifstream sizes("/proc/self/statm");
    rlim_t pages = 0;
    sizes >> pages;
    const rlimit tight{pages * 4096 + (rlim_t{150} << 20), before.rlim_max};
    Controls controls;
    // Just few enough ops for a plan of every event, which takes about twice as much as the limit leaves.
    controls.model = "taesd";
    controls.device = "cpu";
    controls.width = controls.height = 8192;
    ASSERT_TRUE(setControl(controls, "tile", "120"));
    ASSERT_TRUE(setControl(controls, "overlap", "16"));
    bool planned = false, advised = false;
    QObject::connect(&desk.engine, &Engine::planned, &desk.window,
                     [&](const PlanResult& result) { planned |= result.controls.width == 8192; });
    QObject::connect(&desk.engine, &Engine::advised, &desk.window,
                     [&](const AdviceResult& result) { advised |= result.controls.width == 8192; });
    ASSERT_EQ(setrlimit(RLIMIT_AS, &tight), 0);
    desk.workspace.restore(controls, {});
    const bool answered = wait([&] { return planned && advised; });
    ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
    EXPECT_TRUE(answered);
    EXPECT_FALSE(desk.errors.isEmpty());
    for (const QString& error : desk.errors)
        EXPECT_TRUE(error.contains(QStringLiteral("out of host memory"))) << error.toStdString();
    const TimelinePtr plan = desk.workspace.plan();
    controls.tile = {};
    controls.width = controls.height = 64;
    desk.workspace.restore(controls, {});
    EXPECT_TRUE(wait([&] { return desk.workspace.plan() != plan; })) << "the next plan is made";
}

TEST(Window, outOfMemoryStandsOnTheTimelineWithWhatFits) {
    Desk desk;
    ASSERT_TRUE(desk.workspace.setControl("budget", QStringLiteral("0.001")));
    ASSERT_TRUE(desk.workspace.setControl("enforce", QStringLiteral("on")));
    // The arena fails with its one block, a stream in the midst of things.
    for (const char* lifetime : {"planned", "stream"}) {
        ASSERT_TRUE(desk.workspace.setControl("lifetime", QString::fromUtf8(lifetime)));
        drain();
        desk.errors.clear();
        ASSERT_TRUE(desk.run());
        const auto& failure = desk.workspace.shown()->recording().failure;
        ASSERT_TRUE(failure) << lifetime;
        EXPECT_EQ(failure->code, ErrorCode::OutOfDeviceMemory);
        EXPECT_FALSE(failure->layer.empty());
        EXPECT_FALSE(desk.errors.isEmpty());
        EXPECT_TRUE(desk.child<QWidget>("notice")->isVisible());
        EXPECT_FALSE(desk.workspace.runState().running);
        EXPECT_FALSE(desk.window.chart().viewport()->grab().isNull());
    }
    // And afterwards all is well again.
    ASSERT_TRUE(desk.workspace.setControl("enforce", QStringLiteral("off")));
    ASSERT_TRUE(desk.run());
    EXPECT_FALSE(desk.workspace.shown()->recording().failure);
}

TEST(Window, stopKeepsTheRecordingSoFar) {
    Desk desk("flux1", 256);
    desk.key(Qt::Key_R, Qt::ControlModifier);
    EXPECT_TRUE(desk.workspace.runState().running);
    ASSERT_TRUE(wait([&] { return desk.workspace.runState().done > 5; }));
    QSignalSpy finished(&desk.workspace, &Workspace::runFinished);
    desk.key(Qt::Key_R, Qt::ControlModifier);
    ASSERT_TRUE(wait([&] { return finished.count() > 0; }));
    ASSERT_TRUE(desk.workspace.shown()->recording().failure);
    EXPECT_EQ(desk.workspace.shown()->recording().failure->code, ErrorCode::Cancelled);
    const auto& events = desk.workspace.shown()->recording().events;
    EXPECT_EQ(events.back().allocated, 0u) << "everything is freed";
    EXPECT_EQ(events.back().reserved, 0u);
    EXPECT_TRUE(desk.errors.isEmpty());
}

TEST(Window, sessionsBringEverythingBack) {
    const TemporaryFolder folder;
    const QString path = folder.path() + "/a.spikescope";
    QImage picture;
    Range view;
    {
        Desk desk;
        ASSERT_TRUE(desk.run());
        desk.workspace.keepPlan();
        const Range all = desk.workspace.scene().all;
        desk.workspace.setView(zoomed(all, all, all.end / 2, 0.3));
        view = desk.workspace.view();
        desk.workspace.setCursor(7);
        desk.key(Qt::Key_M);
        picture = desk.workspace.picture()->images.front();
        desk.window.saveSession(path);
        ASSERT_TRUE(wait([&] { return QFileInfo::exists(path); }));
    }
    Desk desk("flux1", 256);
    desk.window.openPaths({path});
    ASSERT_TRUE(wait([&] { return desk.workspace.runs().rowCount() == 2; })) << desk.errors.join('\n').toStdString();
    drain();
    EXPECT_EQ(desk.workspace.controls().model, "taesd");
    EXPECT_EQ(desk.workspace.scene().overlays.size(), 1u);
    EXPECT_EQ(desk.workspace.picture()->images.front(), picture);
    EXPECT_EQ(desk.workspace.markers().size(), 1u);
    EXPECT_EQ(desk.workspace.cursor(), 7u);
    EXPECT_NEAR(desk.workspace.view().begin, view.begin, 1.0);
    EXPECT_NEAR(desk.workspace.view().end, view.end, 1.0);
}

// A snapshot's stacks stand in "Alive now", a recording opens without a device.
TEST(Window, snapshotsAndRecordingsAreShown) {
    const TemporaryFolder folder;
    Desk desk;
    desk.window.openPaths({QStringLiteral(SPIKESCOPE_TEST_DATA "/fuzz/corpus/pickle/p40")});
    ASSERT_TRUE(wait([&] { return desk.workspace.runs().rowCount() == 1; })) << desk.errors.join('\n').toStdString();
    EXPECT_EQ(desk.workspace.shown()->recording().kind, RecordingKind::Replay);
    EXPECT_FALSE(desk.workspace.scene().ghost) << "controls say nothing about other people's code";
    Recording run = smallRun();
    ASSERT_TRUE(writeText(folder.file("run.json"), reportJson(run)));
    desk.window.openPaths({folder.path() + "/run.json"});
    ASSERT_TRUE(wait([&] { return desk.workspace.runs().rowCount() == 2; })) << desk.errors.join('\n').toStdString();
    expectEqual(desk.workspace.shown()->recording(), run);
}

// Every kind of damaged file: a message, and the window goes on.
TEST(Window, damagedFilesCostAMessage) {
    const TemporaryFolder folder;
    Desk desk;
    QStringList files;
    for (const auto& place : std::filesystem::recursive_directory_iterator(SPIKESCOPE_TEST_DATA "/fuzz/corpus"))
        if (place.is_regular_file()) files << QString::fromStdString(place.path().string());
    int number = 0;
    for (const char* content :
         {"", "{", "{\"schema\":\"spikescope.run/1\"}", "{\"schema\":\"spikescope.session/1\",\"runs\":3}\n",
          "{\"schema\":\"spikescope.session/9", "\x89PNG\r\n\x1a\n", "\x93NUMPY", "\x80\x04", "PK"})
        for (const char* suffix : {"json", "spikescope", "png", "npy", "pickle", "safetensors", "txt"}) {
            const std::string path = folder.file(fmt::format("{}.{}", number++, suffix).c_str());
            std::ofstream(path, std::ios::binary) << content;
            files << QString::fromStdString(path);
        }
    files << folder.path() << folder.path() + "/missing.json";
    int done = 0;
    QObject::connect(&desk.engine, &Engine::fileOpened, &desk.window, [&] { ++done; });
    desk.window.openPaths(files);
    ASSERT_TRUE(wait([&] { return done == files.size(); }));
    drain();
    EXPECT_GT(desk.errors.size(), 60);
    EXPECT_TRUE(desk.workspace.plan());
    desk.workspace.setControl("conv", QStringLiteral("im2col"));
    EXPECT_TRUE(wait([&] { return desk.workspace.controlText("conv") == QStringLiteral("im2col"); }));
}

TEST(Window, damagedSettingsCostAMessage) {
    QSettings settings;
    settings.setValue(QStringLiteral("geometry"), QByteArray("nonsense"));
    settings.setValue(QStringLiteral("layout"), QByteArray("more nonsense"));
    settings.setValue(QStringLiteral("split"), 17);
    settings.sync();
    Desk desk;
    int warnings = 0;
    QObject::connect(&desk.workspace, &Workspace::told, &desk.window,
                     [&](const Notice& notice) { warnings += notice.kind == Notice::Kind::Warning; });
    desk.window.restoreSettings();
    EXPECT_EQ(warnings, 2);
    desk.window.saveSettings();
    warnings = 0;
    desk.window.restoreSettings();
    EXPECT_EQ(warnings, 0) << "what was saved is whole again";
}

// The program itself: with settings that are no settings at all, with a broken session, and without a display.
TEST(Program, startsWhateverItFinds) {
    const TemporaryFolder folder;
    const auto start = [&](const QStringList& arguments, const QByteArray& settings) {
        QDir().mkpath(folder.path() + "/spikescope");
        QFile file(folder.path() + "/spikescope/spikescope.conf");
        EXPECT_TRUE(file.open(QIODevice::WriteOnly));
        file.write(settings);
        file.close();
        QProcess process;
        QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
        environment.insert(QStringLiteral("XDG_CONFIG_HOME"), folder.path());
        environment.remove(QStringLiteral("DISPLAY"));
        environment.remove(QStringLiteral("QT_QPA_PLATFORM"));
        process.setProcessEnvironment(environment);
        process.start(QStringLiteral(SPIKESCOPE_WINDOW_PROGRAM), arguments);
        EXPECT_TRUE(process.waitForFinished(60000));
        return process.exitStatus() == QProcess::NormalExit ? process.exitCode() : -1;
    };
    const QString picture = folder.path() + "/window.png";
    EXPECT_EQ(start({"--grab", picture, "--plan-only"},
                    "[General]\ngeometry=@ByteArray(\\x1)\n[controls]\nconv=magic\nsize=1x1x1\n"),
              0);
    EXPECT_EQ(QImage(picture).size(), QSize(1600, 1000));
    EXPECT_EQ(start({"--grab", picture, "--plan-only", "--grab-size", "900x700", "--preset", "mlx-before"},
                    QByteArray(4096, '\xff')),
              0);
    EXPECT_EQ(QImage(picture).size(), QSize(900, 700));
    std::ofstream(folder.file("broken.spikescope")) << "{\"schema\":\"spikescope.session/1\",\"runs\":9}\n";
    EXPECT_EQ(start({"--grab", picture, "--plan-only", QString::fromStdString(folder.file("broken.spikescope"))}, {}),
              1)
        << "what it was given does not open";
    EXPECT_EQ(start({"--grab", picture, "--plan-only", "--conv", "magic"}, {}), 1)
        << "a wrong option is said and refused";
    EXPECT_EQ(start({"--grab", folder.path() + "/no/such/folder.png", "--plan-only"}, {}), 1);
    const QString broken = QString::fromStdString(folder.file("broken.spikescope"));
    EXPECT_EQ(start({"--grab", broken, "--plan-only", broken}, {}), 1) << "the picture must not replace the session";
    EXPECT_LT(QFileInfo(broken).size(), 100);
    QProcess version;
    version.setStandardOutputFile(QStringLiteral("/dev/full"));
    version.start(QStringLiteral(SPIKESCOPE_WINDOW_PROGRAM), {"--version"});
    EXPECT_TRUE(version.waitForFinished(60000));
    EXPECT_EQ(version.exitCode(), 1);
    EXPECT_TRUE(version.readAllStandardError().contains("cannot write to standard output"));
    // A choice that a file leaves to the user has nobody to make it.
    const QString odd = folder.path() + "/odd.png";
    QImage image(50, 37, QImage::Format_RGB888);
    image.fill(Qt::green);
    ASSERT_TRUE(image.save(odd));
    EXPECT_EQ(start({"--grab", picture, "--plan-only", odd}, {}), 1);
}

TEST(Accessibility, everyWidgetHasAName) {
    Desk desk;
    desk.workspace.keepPlan();
    drain();
    for (const QWidget* widget : desk.window.findChildren<QWidget*>()) {
        const bool interactive = qobject_cast<const QComboBox*>(widget) ||
                                 qobject_cast<const QAbstractItemView*>(widget) ||
                                 qobject_cast<const QLineEdit*>(widget) || qobject_cast<const QSpinBox*>(widget) ||
                                 qobject_cast<const QAbstractButton*>(widget);
        // Parts of other widgets are named by these.
        const bool part = qobject_cast<const QComboBox*>(widget->parentWidget()) ||
                          qobject_cast<const QSpinBox*>(widget->parentWidget()) ||
                          qobject_cast<const QLineEdit*>(widget->parentWidget()) ||
                          QByteArray(widget->metaObject()->className()).startsWith("QCombo") ||
                          qobject_cast<const QHeaderView*>(widget) ||
                          QByteArray(widget->metaObject()->className()).startsWith("QDockWidget") ||
                          QByteArray(widget->metaObject()->className()).contains("Corner") ||
                          QByteArray(widget->metaObject()->className()).contains("Extension") ||
                          widget->objectName().startsWith(QLatin1String("qt_")) ||
                          widget->objectName().startsWith(QLatin1String("Scroll")) ||
                          qobject_cast<const QTabBar*>(widget->parentWidget());
        if (!interactive || part) continue;
        const auto* button = qobject_cast<const QAbstractButton*>(widget);
        EXPECT_FALSE(widget->accessibleName().isEmpty() && (!button || button->text().isEmpty()))
            << widget->metaObject()->className() << " " << widget->objectName().toStdString() << " in "
            << widget->parentWidget()->metaObject()->className();
    }
    EXPECT_TRUE(desk.window.chart().accessibleDescription().contains(QStringLiteral("Peak ")))
        << "the timeline in words";
}

// Mouse: what is seen is what is hit, and zooming keeps it.
// Protects: that window and documents have one glossary, which the program carries with it.
TEST(Help, theGlossaryIsThatOfTheDocuments) {
    QWidget parent;
    help::showGlossary(&parent);
    const auto* dialog = parent.findChild<QDialog*>();
    ASSERT_NE(dialog, nullptr);
    const QString text = dialog->findChild<QLabel*>()->text();
    for (const char* word : {"allocated", "materialized", "split-K", "MiB, GiB"})
        EXPECT_TRUE(text.contains(QStringLiteral("<b>%1</b>").arg(QLatin1String(word)))) << word;
    EXPECT_GE(text.count(QStringLiteral("<tr>")), 30);
}

TEST(Mouse, clickSelectsAndWheelZooms) {
    Desk desk;
    TimelineChart& chart = desk.window.chart();
    const Placed& placed = desk.workspace.scene().shown;
    const std::uint32_t peak = desk.workspace.shown()->peak().eventIndex;
    const QPoint at(static_cast<int>(chart.pixelAt(placed.events[peak]) + 0.5),
                    static_cast<int>(chart.plotArea().center().y()));
    desk.workspace.setCursor(0);
    QTest::mouseClick(chart.viewport(), Qt::LeftButton, {}, at);
    EXPECT_EQ(desk.workspace.cursor(), peak) << "a click into the peak's column finds the peak";
    const double under = chart.xAt(at.x());
    QWheelEvent wheel(at, chart.viewport()->mapToGlobal(at), {}, QPoint(0, 480), Qt::NoButton, Qt::NoModifier,
                      Qt::NoScrollPhase, false);
    QApplication::sendEvent(chart.viewport(), &wheel);
    EXPECT_LT(desk.workspace.view().length(), desk.workspace.scene().all.length());
    EXPECT_NEAR(chart.xAt(at.x()), under, 1e-6 * desk.workspace.scene().all.length());
    desk.key(Qt::Key_F);
    EXPECT_EQ(desk.workspace.view(), desk.workspace.scene().all);
    // A drag selects, the tables follow.
    QTest::mousePress(chart.viewport(), Qt::LeftButton, {}, QPoint(200, 200));
    QTest::mouseMove(chart.viewport(), QPoint(260, 200));
    QTest::mouseRelease(chart.viewport(), Qt::LeftButton, {}, QPoint(260, 200));
    ASSERT_TRUE(desk.workspace.selection());
    EXPECT_NEAR(desk.workspace.selection()->begin, chart.xAt(200), 1e-9);
    desk.window.tables().setCurrentIndex(TablesPanel::Layers);
    EXPECT_LT(desk.window.tables().currentModel()->rowCount(),
              static_cast<int>(desk.workspace.shown()->layers().size()));
    QTest::keyClick(&chart, Qt::Key_Escape);
    EXPECT_FALSE(desk.workspace.selection());
    EXPECT_EQ(desk.window.tables().currentModel()->rowCount(),
              static_cast<int>(desk.workspace.shown()->layers().size()));
}

TEST(Mouse, aClickOnAFlipAppliesItAndUndoTakesItBack) {
    Desk desk;
    ASSERT_TRUE(desk.workspace.setControl("layout-copies", QStringLiteral("on")));
    desk.window.tables().setCurrentIndex(TablesPanel::AdviceTab);
    auto* view = desk.child<QTableView>("table:Advice");
    ASSERT_TRUE(wait([&] { return desk.workspace.advice().advice && view->model()->rowCount() > 3; }));
    drain();
    const TimelinePtr before = desk.workspace.plan();
    const Flip best = desk.workspace.advice().advice->flips.front();
    QTest::mouseClick(view->viewport(), Qt::LeftButton, {}, view->visualRect(view->model()->index(0, 0)).center());
    ASSERT_TRUE(wait([&] { return desk.workspace.plan() != before; }));
    EXPECT_EQ(desk.workspace.controlText(best.control), QString::fromStdString(best.to));
    EXPECT_EQ(desk.workspace.plan()->peak().allocated, best.allocated);
    desk.key(Qt::Key_Z, Qt::ControlModifier);
    EXPECT_EQ(desk.workspace.controlText(best.control), QString::fromStdString(best.from));
}

// The picture on the screen holds the peak: its pixel column is filled to the peak's height, at every size and in both
// themes.
TEST(Picture, holdsThePeaksPixelColumn) {
    Desk desk("flux1", 512);
    ASSERT_TRUE(desk.workspace.applyPreset("mlx-after"));
    ASSERT_TRUE(wait([&] { return desk.workspace.planBefore() != nullptr; }));
    for (const Theme theme : {Theme::Light, Theme::Dark})
        for (const QSize size : {QSize(1300, 850), QSize(1000, 700)}) {
            applyTheme(*qApp, theme);
            desk.window.resize(size);
            drain();
            TimelineChart& chart = desk.window.chart();
            desk.workspace.setCursor(0); // its line would stand on the peak
            drain();
            const Peak& peak = desk.workspace.shown()->peak();
            QImage picture;
            if (QGuiApplication::platformName() == QLatin1String("xcb"))
                picture = desk.window.screen()->grabWindow(0).toImage().copy(
                    QRect(chart.viewport()->mapToGlobal(QPoint()), chart.viewport()->size()));
            else
                picture = chart.viewport()->grab().toImage();
            ASSERT_FALSE(picture.isNull());
            const int x = static_cast<int>(
                std::floor(chart.pixelAt(desk.workspace.scene().shown.events[peak.eventIndex]) + 0.01));
            const int top = static_cast<int>(chart.pixelOfBytes(static_cast<double>(peak.allocated)));
            const QRgb ground = chartColours().plot.rgb();
            // Just under the peak there is a category's colour; the scale's own colours stand above.
            const auto filled = [&](int px, int py) {
                const QColor colour = picture.pixelColor(px, py);
                return colour.hsvSaturation() > 90 && colour.rgb() != ground;
            };
            EXPECT_TRUE(filled(x, top + 4))
                << x << " " << top << " " << picture.pixelColor(x, top + 4).name().toStdString();
            int highest = picture.height();
            for (int y = static_cast<int>(chart.plotArea().top()); y < picture.height(); ++y)
                if (filled(x, y)) {
                    highest = y;
                    break;
                }
            EXPECT_NEAR(highest, top, 3) << "and nothing of the stack above it";
        }
    applyTheme(*qApp, Theme::Light);
}

} // namespace
} // namespace spikescope
