#include "app/widgets/main_window.h"

#include "app/models/configurations.h"
#include "app/widgets/application.h"
#include "app/widgets/controls_panel.h"
#include "app/widgets/elided_label.h"
#include "app/widgets/fit_bar.h"
#include "app/widgets/help.h"
#include "app/widgets/image_panel.h"
#include "app/widgets/notice_bar.h"
#include "app/widgets/peak_gauge.h"
#include "app/widgets/runs_panel.h"
#include "app/widgets/tables_panel.h"
#include "app/widgets/theme.h"
#include "app/widgets/timeline_chart.h"
#include "app/widgets/timeline_pane.h"
#include "app/widgets/undo_keys.h"
#include "core/base/text.h"
#include "core/program/presets.h"

#include <QAccessible>
#include <QActionGroup>
#include <QApplication>
#include <QComboBox>
#include <QDockWidget>
#include <QFileInfo>
#include <QLabel>
#include <QMenuBar>
#include <QProgressBar>
#include <QSettings>
#include <QSplitter>
#include <QStandardItemModel>
#include <QStatusBar>
#include <QToolBar>
#include <QToolButton>
#include <QVBoxLayout>

namespace spikescope {

namespace {

QString duration(double ms) { return QString::fromStdString(formatDuration(ms)); }

} // namespace

MainWindow::MainWindow(Workspace& workspace, Engine& engine, QWidget* parent)
    : QMainWindow(parent)
    , m_workspace(workspace)
    , m_engine(engine) {
    setAccessibleName(QStringLiteral("Spikescope"));
    setAcceptDrops(true);
    setDockNestingEnabled(true);
    resize(1400, 900);

    auto* top = new TimelinePane(workspace, this);
    m_chart = &top->chart();
    m_notices = &top->notices();
    m_tables = new TablesPanel(workspace, this);
    auto* split = new QSplitter(Qt::Vertical, this);
    split->setObjectName(QStringLiteral("split"));
    split->addWidget(top);
    split->addWidget(m_tables);
    split->setStretchFactor(0, 3);
    split->setStretchFactor(1, 2);
    split->setChildrenCollapsible(false);
    setCentralWidget(split);

    makeDocks();
    makeActions();
    makeStatusBar();

    connect(m_chart, &TimelineChart::hovered, m_image, &ImagePanel::showHover);
    if (auto* application = qobject_cast<Application*>(qApp))
        connect(application, &Application::failed, this,
                [this](const QString& sentence) { m_workspace.tell(Notice::Kind::Error, sentence); });
    connect(&workspace, &Workspace::told, this, &MainWindow::showNotice);
    connect(&workspace, &Workspace::runStateChanged, this, &MainWindow::refreshRunState);
    connect(&workspace, &Workspace::deviceChanged, this, &MainWindow::refreshDevice);
    connect(&workspace, &Workspace::sceneChanged, this, &MainWindow::refreshAxis);
    connect(&workspace, &Workspace::choiceNeeded, this, [this] {
        if (m_workspace.awaitingChoice()) m_notices->ask();
    });
    connect(&workspace, &Workspace::sessionOpened, this, &MainWindow::openSession);
    connect(&workspace, &Workspace::fileProgressed, this, [this](double fraction) {
        if (m_workspace.runState().running) return;
        m_progress->setVisible(fraction < 1.0);
        m_progress->setRange(0, 100);
        m_progress->setValue(static_cast<int>(100 * fraction));
        m_progressText->setFullText(fraction < 1.0 ? QStringLiteral("Opening; Esc cancels") : QString());
    });
    connect(&workspace, &Workspace::controlsChanged, this, &MainWindow::refreshPreset);
    connect(&workspace, &Workspace::controlsChanged, this, &MainWindow::refreshTitle);
    connect(&workspace, &Workspace::savedChanged, this, &MainWindow::refreshTitle);
    connect(&workspace, &Workspace::roomShort, this, &MainWindow::askForRoom);
    connect(&workspace, &Workspace::done, this, [this] {
        if (!m_workspace.holds(m_passing)) statusBar()->clearMessage();
    });
    connect(m_image, &ImagePanel::currentChanged, this, &MainWindow::refreshPictureExports);
    refreshPreset();
    refreshTitle();
    refreshPictureExports();
    // What a screen reader says of the chart when the cursor moves.
    connect(&workspace, &Workspace::cursorChanged, this, [this] {
        m_chart->setAccessibleDescription(m_workspace.summary() + QLatin1Char(' ') + m_workspace.explanation());
        QAccessibleEvent event(m_chart, QAccessible::DescriptionChanged);
        QAccessible::updateAccessibility(&event);
    });
    (new UndoKeys(this))->watchAll(*this);
    m_chart->setFocus();
}

QAction* MainWindow::action(const QString& text, const QString& tip, const QKeySequence& key,
                            std::function<void()> call) {
    auto* made = new QAction(text, this);
    made->setShortcut(key);
    made->setToolTip(key.isEmpty() ? tip : QStringLiteral("%1 (%2)").arg(tip, key.toString(QKeySequence::NativeText)));
    made->setStatusTip(tip);
    // What was typed counts, whichever key comes next.
    connect(made, &QAction::triggered, this, [this, call = std::move(call)] {
        m_controls->commit();
        call();
    });
    addAction(made);
    return made;
}

void MainWindow::makeActions() {
    QAction* open = action(
        QStringLiteral("&Open…"),
        QStringLiteral(
            "A checkpoint, latents, a picture, a recording, a session or a PyTorch snapshot; or drop it on the window"),
        QKeySequence::Open, [this] { openDialog(); });
    m_run = action(QStringLiteral("▶ Run"), QStringLiteral("Runs the decode with the controls as they stand"),
                   Qt::CTRL | Qt::Key_R, [this] {
                       if (m_workspace.runState().running)
                           m_workspace.stop();
                       else
                           m_workspace.run();
                   });
    m_run->setObjectName(QStringLiteral("run"));
    QAction* peak =
        action(QStringLiteral("Jump to &peak"),
               QStringLiteral("Puts the cursor on the peak and lists what is alive there"), Qt::Key_P, [this] {
                   m_workspace.jumpToPeak();
                   m_tables->setCurrentIndex(TablesPanel::Alive);
               });
    QAction* fit = action(QStringLiteral("Show &everything"), QStringLiteral("Zooms out to the whole timeline"),
                          Qt::Key_F, [this] { m_workspace.fit(); });
    QAction* marker = action(QStringLiteral("&Marker"), QStringLiteral("Sets or removes a marker at the cursor"),
                             Qt::Key_M, [this] { m_workspace.toggleMarker(); });
    QAction* problem = action(QStringLiteral("Show me the problem"),
                              QStringLiteral("Overlays mlx-before, mlx-after and leanest, planned at the current size"),
                              Qt::CTRL | Qt::Key_B, [this] { m_workspace.showProblem(); });
    problem->setObjectName(QStringLiteral("problem"));
    QAction* fitBudget =
        action(QStringLiteral("Fit into the &budget"),
               QStringLiteral("Sets the controls to the fastest ones that fit, with what may be given up as ticked"),
               Qt::CTRL | Qt::SHIFT | Qt::Key_F, [this] { m_fit->press(); });
    QAction* find =
        action(QStringLiteral("&Find in the table"), QStringLiteral("Goes to the filter of the table in front"),
               QKeySequence::Find, [this] { m_tables->focusFilter(); });
    QAction* defaults = action(QStringLiteral("&Defaults"),
                               QStringLiteral("Sets every control but model, size and budget to its default"), {},
                               [this] { m_workspace.applyPreset(defaultsName); });
    defaults->setObjectName(QStringLiteral("defaults"));
    QAction* compare = action(QStringLiteral("&Compare"), QStringLiteral("The table of ticked runs side by side"),
                              Qt::CTRL | Qt::Key_D, [this] { m_tables->setCurrentIndex(TablesPanel::Compare); });
    QAction* keys =
        action(QStringLiteral("&Keys"), QStringLiteral("All keys"), Qt::Key_Question, [this] { help::showKeys(this); });
    QAction* glossary = action(QStringLiteral("&Glossary"), QStringLiteral("What the words mean"), {},
                               [this] { help::showGlossary(this); });
    QAction* escape = action(QStringLiteral("Cancel opening"), QStringLiteral("Stops reading a file"), {},
                             [this] { m_engine.cancelOpening(); });
    QAction* save = action(QStringLiteral("&Save session…"),
                           QStringLiteral("Everything: runs, pictures, overlays, markers, layout"), QKeySequence::Save,
                           [this] { chooseAndSaveSession({}); });
    QAction* quit = action(QStringLiteral("&Quit"), QStringLiteral("Stops a run, frees everything and leaves"),
                           QKeySequence::Quit, [this] { close(); });
    QAction* undo = m_workspace.undoStack().createUndoAction(this, QStringLiteral("Undo"));
    QAction* redo = m_workspace.undoStack().createRedoAction(this, QStringLiteral("Redo"));
    undo->setShortcut(QKeySequence::Undo);
    redo->setShortcuts({Qt::CTRL | Qt::SHIFT | Qt::Key_Z, Qt::CTRL | Qt::Key_Y});

    auto* exportMenu = new QMenu(QStringLiteral("&Export"), this);
    fillExportMenu(*exportMenu);

    QMenu* file = menuBar()->addMenu(QStringLiteral("&File"));
    file->addAction(open);
    QMenu* recent = file->addMenu(QStringLiteral("Open &recent"));
    connect(recent, &QMenu::aboutToShow, this, [this, recent] { fillRecentMenu(*recent); });
    file->addAction(save);
    file->addMenu(exportMenu);
    file->addSeparator();
    file->addActions({escape, quit});
    QMenu* edit = menuBar()->addMenu(QStringLiteral("&Edit"));
    edit->addActions({undo, redo, find});
    QMenu* runMenu = menuBar()->addMenu(QStringLiteral("&Run"));
    runMenu->addActions({m_run, problem, fitBudget});
    runMenu->addSeparator();
    runMenu->addAction(defaults);
    for (const Preset& preset : presets()) {
        QAction* apply = runMenu->addAction(QStringLiteral("Preset %1").arg(QString::fromUtf8(preset.name.data())));
        apply->setStatusTip(QString::fromUtf8(preset.help.data()));
        connect(apply, &QAction::triggered, this,
                [this, name = std::string(preset.name)] { m_workspace.applyPreset(name); });
    }
    QMenu* view = menuBar()->addMenu(QStringLiteral("&View"));
    view->addActions({peak, fit, marker, compare, m_image->tilesAction()});
    view->addSeparator();
    for (QDockWidget* dock : findChildren<QDockWidget*>()) view->addAction(dock->toggleViewAction());
    view->addSeparator();
    auto* themes = new QActionGroup(this);
    for (const Theme theme : {Theme::System, Theme::Light, Theme::Dark}) {
        QAction* choose = view->addAction(QStringLiteral("Colours: %1").arg(nameOf(theme)));
        choose->setCheckable(true);
        choose->setData(static_cast<int>(theme));
        choose->setChecked(theme == themeFromName(QSettings().value(QStringLiteral("theme")).toString()));
        themes->addAction(choose);
        connect(choose, &QAction::triggered, this, [this, theme] { setTheme(static_cast<int>(theme)); });
    }
    QMenu* help = menuBar()->addMenu(QStringLiteral("&Help"));
    help->addActions({keys, glossary});

    auto* bar = addToolBar(QStringLiteral("Main"));
    bar->setObjectName(QStringLiteral("toolbar"));
    bar->setMovable(false);
    bar->setToolButtonStyle(Qt::ToolButtonTextOnly);
    bar->addAction(open);
    bar->addAction(m_run);
    bar->addSeparator();
    m_preset = new QComboBox(bar);
    m_preset->setAccessibleName(QStringLiteral("Preset"));
    m_preset->setObjectName(QStringLiteral("preset"));
    for (const Configuration& known : configurations()) {
        m_preset->addItem(known.name, known.name);
        m_preset->setItemData(m_preset->count() - 1, known.help, Qt::ToolTipRole);
    }
    // Says that none is in force; nobody chooses it.
    m_preset->addItem(QStringLiteral("no preset"));
    if (auto* items = qobject_cast<QStandardItemModel*>(m_preset->model()))
        items->item(m_preset->count() - 1)->setFlags(Qt::NoItemFlags);
    connect(m_preset, &QComboBox::activated, this, [this](int index) {
        m_workspace.applyPreset(m_preset->itemData(index).toString().toStdString());
        refreshPreset();
    });
    auto* presetName = new QLabel(QStringLiteral("Preset "), bar);
    presetName->setBuddy(m_preset);
    bar->addWidget(presetName);
    bar->addWidget(m_preset);
    bar->addAction(problem);
    bar->addSeparator();
    bar->addAction(peak);
    bar->addAction(compare);
    auto* exportButton = new QToolButton(bar);
    exportButton->setText(QStringLiteral("Export"));
    exportButton->setMenu(exportMenu);
    exportButton->setPopupMode(QToolButton::InstantPopup);
    exportButton->setToolTip(QStringLiteral("Timeline, tables, recording or picture as files"));
    bar->addWidget(exportButton);
    auto* space = new QWidget(bar);
    space->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
    bar->addWidget(space);
    m_axis = new QComboBox(bar);
    m_axis->addItems({QStringLiteral("Axis: time"), QStringLiteral("Axis: ops"), QStringLiteral("Axis: layers")});
    m_axis->setAccessibleName(QStringLiteral("Horizontal axis"));
    m_axis->setToolTip(QStringLiteral("Device time (of runs alone), op number, or layers, each as wide as the other"));
    connect(m_axis, &QComboBox::activated, this,
            [this](int index) { m_workspace.setAxis(static_cast<AxisKind>(index)); });
    m_align = new QComboBox(bar);
    m_align->addItems({QStringLiteral("Overlays: by layer"), QStringLiteral("Overlays: by time")});
    m_align->setAccessibleName(QStringLiteral("How overlays are aligned"));
    m_align->setToolTip(QStringLiteral("By layer: layers of one name lie above each other, and of one that runs "
                                       "several times the largest value is drawn. "
                                       "By time: each run by its own clock, or op number."));
    connect(m_align, &QComboBox::activated, this, [this](int index) { m_workspace.setOverlaysByLayer(index == 0); });
    bar->addWidget(m_axis);
    bar->addWidget(m_align);
    for (QAction* each : bar->actions())
        if (auto* button = qobject_cast<QToolButton*>(bar->widgetForAction(each))) button->setFocusPolicy(Qt::TabFocus);
}

void MainWindow::makeDocks() {
    const auto dock = [&](const QString& name, const QString& title, QWidget* content, Qt::DockWidgetArea area) {
        auto* made = new QDockWidget(title, this);
        made->setObjectName(name);
        made->setWidget(content);
        addDockWidget(area, made);
        return made;
    };
    auto* left = new QWidget(this);
    auto* column = new QVBoxLayout(left);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    m_controls = new ControlsPanel(m_workspace, left);
    column->addWidget(m_controls, 1);
    column->addWidget(new PeakGauge(m_workspace, left));
    m_fit = new FitBar(m_workspace, left);
    column->addWidget(m_fit);
    dock(QStringLiteral("controls"), QStringLiteral("Controls"), left, Qt::LeftDockWidgetArea);
    m_image = new ImagePanel(m_workspace, m_engine, this);
    QDockWidget* image = dock(QStringLiteral("image"), QStringLiteral("Image"), m_image, Qt::RightDockWidgetArea);
    QDockWidget* runs =
        dock(QStringLiteral("runs"), QStringLiteral("Runs"), new RunsPanel(m_workspace, this), Qt::RightDockWidgetArea);
    resizeDocks({image, runs}, {520, 320}, Qt::Vertical);
    resizeDocks({image}, {330}, Qt::Horizontal);
}

void MainWindow::makeStatusBar() {
    const auto label = [&](const QString& name, const QString& tip) {
        auto* made = new QLabel(this);
        made->setAccessibleName(name);
        made->setToolTip(tip);
        return made;
    };
    m_progress = new QProgressBar(this);
    m_progress->setMaximumWidth(220);
    m_progress->setTextVisible(false);
    m_progress->setAccessibleName(QStringLiteral("Progress"));
    m_progress->hide();
    m_progressText = new ElidedLabel(this);
    m_progressText->setAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    m_progressText->setAccessibleName(QStringLiteral("What is going on"));
    m_device = label(QStringLiteral("Device"), QStringLiteral("The Vulkan device that runs, and its driver"));
    m_heap = label(QStringLiteral("Memory of the device"),
                   QStringLiteral("Free of the device's own memory; what “fits” means unless a budget is set"));
    m_events = label(QStringLiteral("Events"),
                     QStringLiteral("Events of what is shown. None is ever dropped: every allocation is recorded."));
    statusBar()->addWidget(m_progress);
    statusBar()->addWidget(m_progressText, 1);
    for (QLabel* each : {m_events, m_heap, m_device}) statusBar()->addPermanentWidget(each);
    m_device->setText(QStringLiteral("Looking for a device …"));
}

void MainWindow::refreshRunState() {
    const RunState& state = m_workspace.runState();
    m_run->setText(state.running ? QStringLiteral("■ Stop") : QStringLiteral("▶ Run"));
    m_progress->setVisible(state.running);
    if (!state.running) {
        m_progressText->setFullText({});
        return;
    }
    statusBar()->clearMessage();
    m_progress->setRange(0, static_cast<int>(state.total));
    m_progress->setValue(static_cast<int>(state.done));
    // What matters most comes first: the rest may be cut.
    QStringList parts;
    if (state.leftMs) parts << QStringLiteral("about %1 left").arg(duration(*state.leftMs));
    parts << QStringLiteral("running for %1").arg(duration(state.elapsedMs));
    if (state.total > 0) parts << QStringLiteral("op %1 of %2").arg(state.done).arg(state.total) << state.layer;
    m_progressText->setFullText(parts.join(QStringLiteral(", ")));
}

void MainWindow::refreshDevice() {
    const DeviceSummary& device = m_workspace.device();
    if (!device.known) {
        m_device->setText(QStringLiteral("No device: plans only"));
        m_device->setToolTip(plainTip(QString::fromStdString(device.refusal)));
        return;
    }
    const QString name = textOf(device.name);
    m_device->setText(fontMetrics().elidedText(name, Qt::ElideRight, 260));
    m_device->setToolTip(plainTip(QStringLiteral("%1, driver %2").arg(name, textOf(device.driver))));
    m_heap->setText(QStringLiteral("%1 of %2 free").arg(bytesText(device.freeBytes), bytesText(device.heapBytes)));
}

void MainWindow::refreshAxis() {
    const ChartScene& scene = m_workspace.scene();
    m_axis->setCurrentIndex(static_cast<int>(scene.axis));
    m_align->setCurrentIndex(m_workspace.overlaysByLayer() ? 0 : 1);
    if (scene.shown.timeline)
        m_events->setText(
            QStringLiteral("%1: %L2 events, 0 dropped").arg(scene.shownLabel).arg(scene.shown.events.size()));
}

void MainWindow::showNotice(const Notice& notice) {
    m_tables->log(notice);
    // A note is no reason to cover anything, least of all how far a run is.
    if (notice.kind != Notice::Kind::Note) {
        m_notices->show(notice);
    } else if (!m_workspace.runState().running) {
        m_passing = notice;
        statusBar()->showMessage(notice.text, 8000);
    }
}

void MainWindow::setTheme(int theme) {
    QSettings().setValue(QStringLiteral("theme"), nameOf(static_cast<Theme>(theme)));
    applyTheme(*qApp, static_cast<Theme>(theme));
}

bool MainWindow::event(QEvent* event) {
    // The tip of what is under the mouse would hide progress and time left.
    if (event->type() == QEvent::StatusTip && m_workspace.runState().running) return true;
    return QMainWindow::event(event);
}

void MainWindow::refreshPreset() {
    const QString preset = m_workspace.preset();
    const int index = preset.isEmpty() ? m_preset->count() - 1 : m_preset->findData(preset);
    m_preset->setCurrentIndex(index);
    const QString about = preset.isEmpty() ? QStringLiteral("The controls are those of no preset")
                                           : m_preset->itemData(index, Qt::ToolTipRole).toString();
    m_preset->setToolTip(
        plainTip(about + QStringLiteral("\nA preset sets the controls to a known configuration; model, "
                                        "size, weights, budget and device stay")));
    m_preset->setAccessibleDescription(about);
}

void MainWindow::refreshTitle() {
    const Controls& controls = m_workspace.controls();
    const QString session = QFileInfo(m_workspace.session()).fileName();
    const QString what =
        !session.isEmpty() ? session
        : controls.model.empty()
            ? QString()
            : QStringLiteral("%1 %2×%3").arg(textOf(controls.model)).arg(controls.width).arg(controls.height);
    setWindowTitle(what.isEmpty() ? QStringLiteral("Spikescope") : what + QStringLiteral("[*] – Spikescope"));
    setWindowModified(!what.isEmpty() && m_workspace.unsaved());
}

void MainWindow::welcome() {
    m_notices->show(
        {.kind = Notice::Kind::Note,
         .text = QStringLiteral(
             "This is a decode as it would run with the controls on the left: a plan, nothing has been allocated. "
             "Change "
             "a control and watch the spike move, press “Show me the problem”, or Run. Drop a checkpoint, latents or a "
             "PyTorch snapshot here to see your own."),
         .userActions = m_workspace.userActions()});
}

} // namespace spikescope
