// What the window reads and writes: files, exports, sessions, settings.

#include "app/widgets/main_window.h"

#include "app/models/session_file.h"
#include "app/widgets/image_panel.h"
#include "app/widgets/timeline_chart.h"
#include "core/base/text.h"
#include "core/formats/formats.h"
#include "core/tensors/tensor_file.h"

#include <QDragEnterEvent>
#include <QDropEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QMenu>
#include <QMimeData>
#include <QPainter>
#include <QSettings>
#include <QSplitter>
#include <QSvgGenerator>

namespace spikescope {

namespace {

constexpr int layoutVersion = 1; // of docks and toolbars

struct Drawing {
    MainWindow::Export what;
    const char* title;
    const char* suggestion;
    const char* filter;
};
constexpr std::array timelineDrawings{
    Drawing{MainWindow::Export::TimelinePng, "Timeline as PNG", "timeline.png", "PNG (*.png)"},
    Drawing{MainWindow::Export::TimelineSvg, "Timeline as SVG", "timeline.svg", "SVG (*.svg)"}};
constexpr std::array pictures{
    Drawing{MainWindow::Export::Png8, "Picture as PNG, 8 bits", "picture.png", "PNG (*.png)"},
    Drawing{MainWindow::Export::Png16, "Picture as PNG, 16 bits", "picture.png", "PNG (*.png)"},
    Drawing{MainWindow::Export::Latents, "Latents of an encode", "latents.safetensors", "Safetensors (*.safetensors)"}};

QString utf8(std::string_view text) { return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size())); }

// Of the Open dialog: all there is in one, then each kind of file.
QString openFilters() {
    QStringList tensorPatterns;
    for (const std::string_view suffix : tensorFileSuffixes) tensorPatterns << QLatin1Char('*') + utf8(suffix);
    const QString tensors = tensorPatterns.join(QLatin1Char(' ')),
                  imagePatterns = QStringLiteral("*.png *.jpg *.jpeg *.webp");
    QStringList all{tensors, imagePatterns, QStringLiteral("config.json *.index.json *.spikescope")},
        kinds{QStringLiteral("Checkpoint or latents (%1)").arg(tensors),
              QStringLiteral("Picture to encode (%1)").arg(imagePatterns), QStringLiteral("Session (*.spikescope)")};
    for (const Importer* importer : importers) {
        all << utf8(importer->patterns);
        kinds << QStringLiteral("%1 (%2)").arg(utf8(importer->title), utf8(importer->patterns));
    }
    kinds.prepend(QStringLiteral("Everything (%1)").arg(all.join(QLatin1Char(' '))));
    kinds << QStringLiteral("All files (*)");
    return kinds.join(QStringLiteral(";;"));
}

} // namespace

void MainWindow::fillExportMenu(QMenu& menu) {
    const auto add = [&](const QString& title, const QString& suggestion, const QString& filter, auto exportIt) {
        connect(menu.addAction(title + QChar(u'…')), &QAction::triggered, this, [=, this] {
            const QString path = saveName(title, suggestion, filter);
            if (!path.isEmpty()) exportIt(path);
        });
    };
    const auto addDrawings = [&](const auto& drawings) {
        for (const Drawing& drawing : drawings)
            add(QString::fromUtf8(drawing.title), QString::fromUtf8(drawing.suggestion),
                QString::fromUtf8(drawing.filter),
                [this, what = drawing.what](const QString& path) { exportTo(what, path); });
    };
    addDrawings(timelineDrawings);
    for (const Exporter* exporter : exporters)
        add(utf8(exporter->title), utf8(exporter->name) + utf8(exporter->suffix),
            QStringLiteral("%1 (*%2)").arg(utf8(exporter->title), utf8(exporter->suffix)),
            [this, exporter](const QString& path) { exportTo(*exporter, path); });
    const qsizetype before = menu.actions().size();
    addDrawings(pictures);
    for (qsizetype i = before; i < menu.actions().size(); ++i)
        (pictures[static_cast<std::size_t>(i - before)].what == Export::Latents ? m_latentExports : m_pictureExports)
            << menu.actions()[i];
    menu.actions().front()->setShortcut(Qt::CTRL | Qt::Key_E);
}

void MainWindow::refreshPictureExports() {
    for (QAction* each : m_pictureExports) each->setEnabled(!m_image->current().isNull());
    const RunEntry* entry = m_workspace.runs().find(m_workspace.shownRun());
    for (QAction* each : m_latentExports) each->setEnabled(entry && entry->moments);
}

void MainWindow::openDialog() {
    openPaths(QFileDialog::getOpenFileNames(this, QStringLiteral("Open"), m_folder, openFilters()));
}

void MainWindow::openPaths(const QStringList& paths) {
    for (const QString& path : paths) {
        m_folder = QFileInfo(path).absolutePath();
        rememberFile(QFileInfo(path).absoluteFilePath());
        m_workspace.open(path);
    }
}

void MainWindow::rememberFile(const QString& path) {
    constexpr qsizetype most = 10;
    QSettings settings;
    QStringList files = settings.value(QStringLiteral("recent")).toStringList();
    files.removeAll(path);
    files.prepend(path);
    settings.setValue(QStringLiteral("recent"), files.mid(0, most));
}

void MainWindow::fillRecentMenu(QMenu& menu) {
    menu.clear();
    for (const QString& path : QSettings().value(QStringLiteral("recent")).toStringList()) {
        if (!QFileInfo::exists(path)) continue;
        connect(menu.addAction(QFileInfo(path).fileName()), &QAction::triggered, this,
                [this, path] { openPaths({path}); });
        menu.actions().back()->setStatusTip(path);
    }
    if (menu.isEmpty()) menu.addAction(QStringLiteral("Nothing yet"))->setEnabled(false);
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
    if (event->mimeData()->hasUrls()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
    QStringList paths;
    for (const QUrl& url : event->mimeData()->urls())
        if (url.isLocalFile()) paths << url.toLocalFile();
    event->acceptProposedAction();
    openPaths(paths);
}

QString MainWindow::saveName(const QString& title, const QString& suggestion, const QString& filter) {
    QFileDialog dialog(this, title, m_folder, filter);
    dialog.setAcceptMode(QFileDialog::AcceptSave);
    dialog.setDefaultSuffix(QFileInfo(suggestion).suffix()); // before it asks whether a file may be replaced
    dialog.selectFile(suggestion);
    if (dialog.exec() != QDialog::Accepted || dialog.selectedFiles().isEmpty()) return {};
    const QString path = dialog.selectedFiles().front();
    m_folder = QFileInfo(path).absolutePath();
    return path;
}

bool MainWindow::say(const Result<void>& saved, const QString& path) {
    if (saved)
        m_workspace.tell(Notice::Kind::Note, QStringLiteral("Saved ") + path);
    else
        m_workspace.tell(Notice::Kind::Error, QString::fromStdString(saved.error().message));
    return saved.has_value();
}

bool MainWindow::exportTo(Export what, const QString& path) {
    const std::string file = path.toStdString();
    const TimelinePtr timeline = m_workspace.shown();
    // Also called when this function has long returned.
    const auto said = [this, path](const Result<void>& result) { return say(result, path); };
    if (const Result<void> apart = m_workspace.checkExport(path); !apart) return said(apart);
    const auto nothing = [&](const char* text) { return said(fail(ErrorCode::BadUsage, "{}", text)); };
    // On the thread for files: a large picture takes a moment.
    const auto inBackground = [&](std::function<Result<void>()> work) {
        m_engine.background(std::move(work), [said](const Result<void>& result) { said(result); });
        return true;
    };
    // As on the screen, but never so small that its title and legend leave no room.
    const QSize drawn = m_chart->viewport()->size().expandedTo({960, 540});
    switch (what) {
    case Export::TimelinePng: {
        if (!timeline) return nothing("There is no timeline to save");
        // Twice as many pixels: for papers and tickets.
        QImage image(drawn * 2, QImage::Format_RGB32);
        image.setDevicePixelRatio(2.0);
        QPainter painter(&image);
        m_chart->paintTo(painter, drawn);
        painter.end();
        return said(image.save(path, "PNG") ? Result<void>()
                                            : fail(ErrorCode::Io, "file {} could not be written", quote(file)));
    }
    case Export::TimelineSvg: {
        if (!timeline) return nothing("There is no timeline to save");
        QSvgGenerator svg;
        svg.setFileName(path);
        svg.setSize(drawn);
        svg.setViewBox(QRect(QPoint(), drawn));
        svg.setTitle(m_workspace.scene().shownLabel);
        svg.setDescription(m_workspace.summary());
        QPainter painter;
        if (!painter.begin(&svg)) return said(fail(ErrorCode::Io, "file {} could not be written", quote(file)));
        m_chart->paintTo(painter, drawn);
        return said(painter.end() ? Result<void>() : fail(ErrorCode::Io, "file {} could not be written", quote(file)));
    }
    case Export::Png8:
    case Export::Png16: {
        const QImage image = m_image->current();
        if (image.isNull()) return nothing("There is no picture to save: none is shown");
        return inBackground([=] { return savePng(image, file, what == Export::Png8 ? 8 : 16); });
    }
    case Export::Latents: {
        const RunEntry* entry = m_workspace.runs().find(m_workspace.shownRun());
        if (!entry || !entry->moments) return nothing("There are no latents yet: run an encode and show it");
        return inBackground([=, moments = entry->moments] { return saveMoments(*moments, file); });
    }
    }
    return false;
}

bool MainWindow::exportTo(const Exporter& exporter, const QString& path) {
    const TimelinePtr timeline = m_workspace.shown();
    Result<void> allowed = m_workspace.checkExport(path);
    if (allowed && !timeline) allowed = fail(ErrorCode::BadUsage, "There is no timeline to save");
    if (!allowed) return say(allowed, path);
    // On the thread for files: a million events take a moment.
    m_engine.background(
        [timeline, &exporter, file = path.toStdString()] { return exporter.write(timeline->recording(), file); },
        [this, path](const Result<void>& written) { say(written, path); });
    return true;
}

void MainWindow::saveSession(const QString& path, std::function<void()> saved) {
    if (const Result<void> apart = m_workspace.checkExport(path, true); !apart) {
        say(apart, path);
        return;
    }
    SessionData session{.controls = m_workspace.controls(),
                        .input = m_workspace.input(),
                        .preset = m_workspace.chosenPreset(),
                        .runs = m_workspace.runs().entries(),
                        .axis = m_workspace.axis(),
                        .overlaysByLayer = m_workspace.overlaysByLayer(),
                        .view = m_workspace.view(),
                        .cursor = m_workspace.cursor(),
                        .markers = m_workspace.markers(),
                        .geometry = saveGeometry(),
                        .layout = saveState(layoutVersion)};
    const auto place = [&](int id) { return m_workspace.runs().rowOf(id) + 1; };
    session.shown = place(m_workspace.shownRun());
    session.badgeA = place(m_workspace.runs().badgeA());
    session.badgeB = place(m_workspace.runs().badgeB());
    m_engine.background(
        [session = std::move(session), path] { return spikescope::saveSession(session, path.toStdString()); },
        [this, path, saved = std::move(saved), runs = m_workspace.runs().revision()](const Result<void>& result) {
            if (result) m_workspace.setSession(path, runs);
            say(result, path);
            if (result && saved) saved();
        });
}

void MainWindow::openSession(const QString& path) {
    // It takes the place of all that is here.
    if (m_workspace.unsaved())
        askToSave([this, path] { readSession(path); });
    else
        readSession(path);
}

void MainWindow::readSession(const QString& path) {
    const auto read = std::make_shared<SessionData>();
    m_engine.background(
        [read, path]() -> Result<void> {
            TRY(*read, spikescope::readSession(path.toStdString()));
            return {};
        },
        [this, read, path](const Result<void>& result) {
            if (!result) {
                m_workspace.tell(Notice::Kind::Error, QString::fromStdString(result.error().message));
                return;
            }
            m_workspace.restoreSession(*read);
            m_workspace.setSession(path, m_workspace.runs().revision());
            if (!read->geometry.isEmpty()) restoreGeometry(read->geometry);
            if (!read->layout.isEmpty()) restoreState(read->layout, layoutVersion);
        });
}

// --- settings

void MainWindow::restoreSettings() {
    QSettings settings;
    if (settings.status() != QSettings::NoError)
        m_workspace.tell({.kind = Notice::Kind::Warning,
                          .text = QStringLiteral("The settings in %1 are damaged; everything has its default")
                                      .arg(settings.fileName())});
    const QByteArray geometry = settings.value(QStringLiteral("geometry")).toByteArray(),
                     layout = settings.value(QStringLiteral("layout")).toByteArray();
    if (!geometry.isEmpty() && !restoreGeometry(geometry))
        m_workspace.tell({.kind = Notice::Kind::Warning,
                          .text = QStringLiteral("The window's place in the settings is damaged; it has its default")});
    if (!layout.isEmpty() && !restoreState(layout, layoutVersion))
        m_workspace.tell(
            {.kind = Notice::Kind::Warning,
             .text = QStringLiteral("The window's layout in the settings is damaged; it has its default")});
    if (auto* split = findChild<QSplitter*>(QStringLiteral("split")))
        split->restoreState(settings.value(QStringLiteral("split")).toByteArray());
    m_folder = settings.value(QStringLiteral("folder")).toString();
}

void MainWindow::saveSettings() {
    QSettings settings;
    settings.setValue(QStringLiteral("geometry"), saveGeometry());
    settings.setValue(QStringLiteral("layout"), saveState(layoutVersion));
    if (auto* split = findChild<QSplitter*>(QStringLiteral("split")))
        settings.setValue(QStringLiteral("split"), split->saveState());
    settings.setValue(QStringLiteral("folder"), m_folder);
    settings.beginGroup(QStringLiteral("controls"));
    settings.remove(QString());
    for (const auto& [control, value] : controlValues(m_workspace.controls()))
        settings.setValue(QString::fromStdString(control), QString::fromStdString(value));
    settings.endGroup();
    settings.setValue(QStringLiteral("preset"), QString::fromStdString(m_workspace.chosenPreset()));
    settings.setValue(QStringLiteral("input"), QString::fromStdString(m_workspace.input().path));
}

} // namespace spikescope
