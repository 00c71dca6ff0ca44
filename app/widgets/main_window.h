#pragma once
// The window: docks around the timeline, and every action with its key.

#include "app/models/workspace.h"

#include <QMainWindow>

class QLabel;
class QMenu;
class QProgressBar;
class QComboBox;
class QToolButton;

namespace spikescope {

class ControlsPanel;
class ElidedLabel;
struct Exporter;
class FitBar;
class ImagePanel;
class NoticeBar;
class TablesPanel;
class TimelineChart;

class MainWindow final : public QMainWindow {
    Q_OBJECT
public:
    MainWindow(Workspace& workspace, Engine& engine, QWidget* parent = nullptr);

    // Geometry, docks, theme and last choices from the settings; what is damaged there costs a message.
    void restoreSettings();
    void saveSettings();

    void welcome(); // what to do next, for a start without any file

    // What only the window can export; recordings go by core/formats.
    enum class Export : std::uint8_t { TimelinePng, TimelineSvg, Png8, Png16, Latents };
    // Of what is shown; says in the window what came of it.
    bool exportTo(Export what, const QString& path);
    bool exportTo(const Exporter& exporter, const QString& path);
    // `saved` is called when the file is there.
    void saveSession(const QString& path, std::function<void()> saved = {});
    void openSession(const QString& path);
    void openPaths(const QStringList& paths);

    TimelineChart& chart() { return *m_chart; }
    TablesPanel& tables() { return *m_tables; }
    ImagePanel& image() { return *m_image; }

protected:
    void closeEvent(QCloseEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;
    bool event(QEvent* event) override;

private:
    void makeActions();
    void makeDocks();
    void makeStatusBar();
    QAction* action(const QString& text, const QString& tip, const QKeySequence& key, std::function<void()> call);
    void refreshRunState();
    void refreshDevice();
    void refreshAxis();
    void refreshTitle();
    void refreshPreset();
    void refreshPictureExports();
    void askForRoom(const Shortage& shortage);
    // Before runs that are in no file would be lost by this; `then` is called unless it is to be left.
    void askToSave(std::function<void()> then);
    void readSession(const QString& path);
    bool chooseAndSaveSession(std::function<void()> saved);
    void setTheme(int theme);
    void fillExportMenu(QMenu& menu);
    void fillRecentMenu(QMenu& menu);
    void rememberFile(const QString& path);
    void openDialog();
    bool say(const Result<void>& saved, const QString& path); // what came of saving this file
    void showNotice(const Notice& notice);
    // Empty where the user gave none; with the suggestion's suffix where the name has none.
    QString saveName(const QString& title, const QString& suggestion, const QString& filter);

    Workspace& m_workspace;
    Engine& m_engine;
    TimelineChart* m_chart = nullptr;
    TablesPanel* m_tables = nullptr;
    ImagePanel* m_image = nullptr;
    ControlsPanel* m_controls = nullptr;
    FitBar* m_fit = nullptr;
    NoticeBar* m_notices = nullptr;
    QAction* m_run = nullptr;
    QComboBox* m_axis = nullptr;
    QComboBox* m_align = nullptr;
    QComboBox* m_preset = nullptr;
    QList<QAction*> m_pictureExports, m_latentExports;
    Notice m_passing;       // note in the status bar
    bool m_closing = false; // what is not saved was asked about
    QLabel* m_device = nullptr;
    QLabel* m_heap = nullptr;
    QLabel* m_events = nullptr;
    ElidedLabel* m_progressText = nullptr;
    QProgressBar* m_progress = nullptr;
    QString m_folder; // of the last file dialog
};

} // namespace spikescope
