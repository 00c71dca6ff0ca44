// spikescope: the window.

#include "app/cli/control_options.h"
#include "app/widgets/application.h"
#include "app/widgets/image_panel.h"
#include "app/widgets/main_window.h"
#include "app/widgets/tables_panel.h"
#include "app/widgets/theme.h"

#include "core/base/caught.h"
#include "core/base/streams.h"

#include <CLI/CLI.hpp>

#include <QApplication>
#include <QIcon>
#include <QImageReader>
#include <QSettings>
#include <QTimer>

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace spikescope {

namespace {

struct Options {
    cli::ControlOptions controls;
    std::vector<std::string> files;
    std::string grab, theme, tab, grabSize = "1600x1000";
    bool planOnly = false, problem = false, showTiles = false;
};

// What the last session left; what is not understood any more is left out and said.
Controls rememberedControls(QStringList& complaints) {
    Controls controls = defaultControls();
    QSettings settings;
    settings.beginGroup(QStringLiteral("controls"));
    for (const QString& key : settings.childKeys()) {
        const std::string value = settings.value(key).toString().toStdString();
        if (value.empty()) continue;
        Controls changed = controls;
        // A checkpoint that is gone is no reason to start with an error.
        if (key == QLatin1String("weights") && !value.starts_with("synthetic") && !std::filesystem::exists(value))
            continue;
        if (auto set = setControl(changed, key.toStdString(), value); !set)
            complaints << QString::fromStdString(set.error().message);
        else
            controls = changed;
    }
    if (auto checked = checkControls(controls); !checked) {
        complaints << QString::fromStdString(checked.error().message);
        controls = defaultControls();
    }
    return controls;
}

std::vector<std::string> tabNames() { return {"layers", "alive", "advice", "compare", "events", "log"}; }

// Renders the window off screen once all that was asked for is there, and leaves.
class Grabber : public QObject {
public:
    Grabber(MainWindow& window, Workspace& workspace, const Options& options)
        : QObject(&window)
        , m_window(window)
        , m_workspace(workspace)
        , m_options(options) {
        connect(&workspace, &Workspace::planChanged, this, &Grabber::look);
        connect(&workspace, &Workspace::adviceChanged, this, &Grabber::look);
        connect(&workspace, &Workspace::sceneChanged, this, &Grabber::look);
        connect(&workspace, &Workspace::deviceChanged, this, &Grabber::look);
        connect(&workspace, &Workspace::fileProgressed, this, [this](double fraction) {
            m_opened += fraction >= 1.0;
            look();
        });
        connect(&workspace, &Workspace::runFinished, this, [this] {
            m_ran = true;
            look();
        });
        // Nobody is there to answer.
        connect(&workspace, &Workspace::roomShort, this, [this](const Shortage& shortage) {
            printError("spikescope: {}\n", shortage.sentence());
            m_failed = true;
        });
        connect(&workspace, &Workspace::choiceNeeded, this, [this] {
            if (!m_workspace.awaitingChoice()) return;
            printError("spikescope: {}\n", m_workspace.awaitingChoice()->question);
            m_failed = true;
        });
        connect(&workspace, &Workspace::told, this, [this](const Notice& notice) {
            if (notice.kind != Notice::Kind::Error) return;
            printError("spikescope: {}\n", notice.text.toStdString());
            m_failed = m_failed || !m_options.problem; // which a failed run is the purpose of
            if (!m_workspace.plan()) QTimer::singleShot(0, qApp, [] { QCoreApplication::exit(1); });
        });
    }

private:
    void look() {
        if (!m_workspace.plan() || !m_workspace.advice().advice) return;
        if (!m_options.planOnly && !m_workspace.device().known && m_workspace.device().refusal.empty()) return;
        if (m_options.problem && m_workspace.runs().rowCount() == 0) return;
        if (m_opened < m_options.files.size()) return;
        if (!m_options.planOnly && !m_options.problem && m_options.files.empty()) {
            if (!m_started) {
                m_started = true;
                QTimer::singleShot(0, this, [this] { m_workspace.run(); });
            }
            if (!m_ran) return;
        }
        // Once more around the event loop, so that every widget has seen what it shows.
        QTimer::singleShot(50, this, [this] {
            if (m_done) return;
            m_done = true;
            if (m_options.showTiles) showTiles();
            const QPixmap picture = m_window.grab();
            const bool saved = picture.save(QString::fromStdString(m_options.grab), "PNG");
            if (!saved) printError("spikescope: file {} could not be written\n", m_options.grab);
            QCoreApplication::exit(saved && !m_failed ? 0 : 1);
        });
    }

    void showTiles() {
        m_window.image().tilesAction()->setChecked(true);
        if (const TimelinePtr timeline = m_workspace.pictureTimeline())
            m_workspace.selectPart(m_workspace.pictureRun(),
                                   static_cast<std::uint32_t>(timeline->recording().tiles.size() / 2));
    }

    MainWindow& m_window;
    Workspace& m_workspace;
    const Options& m_options;
    std::size_t m_opened = 0;
    bool m_started = false, m_ran = false, m_done = false, m_failed = false;
};

Result<void> checkGrab(const Options& options, const Controls& controls) {
    std::vector<NamedFile> files = options.controls.inputFiles(controls);
    for (const std::string& file : options.files) files.push_back({.name = "the file", .path = file});
    files.push_back({.name = "--grab", .path = options.grab, .role = NamedFile::Role::Output});
    return checkFilesApart(files);
}

int runWindow(QApplication& app, const Options& options) {
    const std::vector<std::string> names = tabNames();
    const bool grabbing = !options.grab.empty();
    applyTheme(app, themeFromName(options.theme.empty() ? QSettings().value(QStringLiteral("theme")).toString()
                                                        : QString::fromStdString(options.theme)));
    Engine engine;
    Workspace workspace(engine);
    MainWindow window(workspace, engine);
    QStringList complaints;
    Controls controls = options.controls.given() || grabbing ? Controls{} : rememberedControls(complaints);
    if (auto given = options.controls.controls(controls); given) {
        controls = *given;
    } else {
        printError("spikescope: {}\n", given.error().message);
        return 1;
    }
    if (auto apart = checkGrab(options, controls); !apart) {
        printError("spikescope: {}\n", apart.error().message);
        return 1;
    }
    const Controls defaults = defaultControls();
    if (controls.model.empty() && controls.syntheticSeed()) controls.model = defaults.model;
    if (controls.width == 0) {
        controls.width = defaults.width;
        controls.height = defaults.height;
    }
    if (auto checked = checkControls(controls); !checked) {
        printError("spikescope: {}\n", checked.error().message);
        return 1;
    }
    std::unique_ptr<Grabber> grabber;
    if (grabbing) {
        const auto cross = options.grabSize.find('x');
        window.resize(std::clamp(std::atoi(options.grabSize.c_str()), 200, 10000),
                      cross == std::string::npos
                          ? 1000
                          : std::clamp(std::atoi(options.grabSize.c_str() + cross + 1), 200, 10000));
        grabber = std::make_unique<Grabber>(window, workspace, options);
    } else {
        window.restoreSettings();
    }
    std::string preset = options.controls.preset;
    if (!options.controls.given() && !grabbing)
        preset = QSettings().value(QStringLiteral("preset")).toString().toStdString();
    workspace.restore(controls, {}, preset);
    // Once, and in pictures of a start.
    QSettings settings;
    if (options.files.empty() && !options.controls.given() &&
        (grabbing || !settings.value(QStringLiteral("welcomed")).toBool())) {
        window.welcome();
        if (!grabbing) settings.setValue(QStringLiteral("welcomed"), true);
    }
    for (const QString& complaint : complaints)
        workspace.tell(Notice::Kind::Warning, QStringLiteral("Settings: ") + complaint);
    window.show();
    // After the first picture is on the screen: a driver takes its time.
    if (!options.planOnly) QTimer::singleShot(0, &engine, [&] { engine.openDevice(workspace.controls().device); });
    QStringList files;
    for (const std::string& file : options.files) files << QString::fromStdString(file);
    window.openPaths(files);
    if (options.problem) workspace.showProblem();
    if (!options.tab.empty())
        window.tables().setCurrentIndex(static_cast<int>(std::ranges::find(names, options.tab) - names.begin()));
    return QApplication::exec();
}

int run(int argc, char** argv) {
    Options options;
    CLI::App parser{"Memory profiler for the decode step of diffusion VAEs: the window"};
    parser.set_version_flag("--version", SPIKESCOPE_VERSION);
    parser.add_option("files", options.files, "checkpoint, latents, picture, recording, session or PyTorch snapshot");
    options.controls.addTo(parser, true);
    parser.add_option("--grab", options.grab, "render the window off screen to FILE.png and leave")->group("Pictures");
    parser.add_option("--grab-size", options.grabSize, "its size in pixels, WxH")->group("Pictures");
    parser.add_flag("--plan-only", options.planOnly, "with --grab: no run, and no device")->group("Pictures");
    parser.add_flag("--problem", options.problem, "mlx-before, mlx-after and leanest, overlaid")->group("Pictures");
    parser.add_flag("--show-tiles", options.showTiles, "with --grab: the picture's tiles, one of them selected")
        ->group("Pictures");
    parser.add_option("--tab", options.tab, "the table in front")->check(CLI::IsMember(tabNames()))->group("Pictures");
    parser.add_option("--theme", options.theme, "light or dark, for this start")
        ->check(CLI::IsMember({"light", "dark", "system"}))
        ->group("Pictures");
    try {
        parser.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        std::ostringstream output, complaint;
        const int code = parser.exit(error, output, complaint);
        writeOutput(output.str());
        writeError(complaint.str());
        return code == 0 ? 0 : 1;
    }
    // Off screen means without a display too.
    if (!options.grab.empty() && qEnvironmentVariableIsEmpty("QT_QPA_PLATFORM"))
        qputenv("QT_QPA_PLATFORM", "offscreen");
    QCoreApplication::setOrganizationName(QStringLiteral("spikescope"));
    QCoreApplication::setApplicationName(QStringLiteral("spikescope"));
    QGuiApplication::setDesktopFileName(QStringLiteral("io.github.spikescope.Spikescope"));
    int qtArguments = 1; // what is left of them was read above
    Application app(qtArguments, argv);
    // A session's pictures may be of 16384×8192 pixels with 16 bits a channel.
    QImageReader::setAllocationLimit(1024);
    QGuiApplication::setWindowIcon(QIcon(QStringLiteral(":/spikescope.svg")));
    return runWindow(app, options);
}

} // namespace

} // namespace spikescope

int main(int argc, char** argv) {
    using namespace spikescope;
    prepareStreams();
    const Result<int> code = caught([&] { return Result<int>(run(argc, argv)); });
    if (!code) printError("spikescope: {}\n", code.error().message);
    return exitCodeAfterOutput(code ? *code : code.error().code == ErrorCode::OutOfHostMemory ? 2 : 1, "spikescope");
}
