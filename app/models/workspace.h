#pragma once
// What the window shows and what its user may do, without widgets: controls and their undo, the plan, runs, cursor,
// zoom and markers. The window draws this and calls it; the engine does the work.

#include "app/engine/engine.h"
#include "app/models/chart_scene.h"
#include "app/models/runs_model.h"
#include "app/models/session_file.h"
#include "app/models/tables.h"
#include "core/base/file_identity.h"

#include <QElapsedTimer>
#include <QTimer>
#include <QUndoStack>

namespace spikescope {

// Something to tell: next to the timeline, and in the log.
struct Notice {
    enum class Kind : std::uint8_t {
        Note,   // in passing
        Answer, // to what was asked for
        Warning,
        Error,
    };
    Kind kind = Kind::Note;
    QString text;
    // The user's actions up to then; it is withdrawn at the next one. Nothing: it stays until it is closed.
    std::optional<std::uint64_t> userActions = std::nullopt;
};

// What is set: all of it is undone together.
struct Setting {
    Controls controls;
    InputSource input;
    std::string preset; // chosen last; its name counts where several have the same values
};

struct RunState {
    bool running = false;
    std::uint32_t done = 0, total = 0;
    QString layer;
    double elapsedMs = 0.0;
    std::optional<double> leftMs;
};

class Workspace : public QObject {
    Q_OBJECT
public:
    explicit Workspace(Engine& engine, QObject* parent = nullptr);

    // --- controls
    const Controls& controls() const { return m_controls; }
    QString controlText(const std::string& control) const;
    // What was wrong with the value last tried; empty: nothing.
    QString controlError(const std::string& control) const;
    bool setControl(const std::string& control, const QString& value); // undoable
    // A preset or the defaults, undoable; see withConfiguration().
    bool applyPreset(const std::string& preset);
    QString preset() const; // whose values the controls have; empty: nobody's
    const std::string& chosenPreset() const { return m_preset; }
    const InputSource& input() const { return m_input; }
    void useSyntheticLatents(); // undoable
    QUndoStack& undoStack() { return m_undo; }
    // At a start, from settings or the command line: without undo.
    void restore(const Controls& controls, const InputSource& input, const std::string& preset = {});
    // In place of all that is here.
    void restoreSession(const SessionData& session);

    // --- plan, advice, device
    TimelinePtr plan() const { return m_plan; }
    // Before the last flip, for the difference; null when there is none.
    TimelinePtr planBefore() const { return m_planBefore; }
    const QString& lastFlip() const { return m_lastFlip; }
    const AdviceResult& advice() const { return m_advice; }
    const DeviceSummary& device() const { return m_device; }
    // What "fits" means, bytes; nothing while it is unknown.
    std::optional<std::uint64_t> availableBytes() const;
    void measureRates(); // of what is not known yet; of everything again where all is
    void stopMeasuring();
    struct Measuring {
        std::size_t done = 0, total = 0; // calls
    };
    const std::optional<Measuring>& measuringRates() const { return m_measuring; }
    // Sets the controls to the fastest that fit into the available bytes, or into so many, undoably, and says what that
    // gives up.
    void fitIntoRoom(FitWish wish, std::optional<std::uint64_t> bytes = std::nullopt);
    void cancelFitting();
    bool fitting() const { return m_fitRequest != 0; }

    // --- runs
    RunsModel& runs() { return m_runs; }
    void run(Engine::Room room = Engine::Room::Check);
    void stop();
    const RunState& runState() const { return m_runState; }
    void keepPlan();
    void showProblem(); // mlx-before, mlx-after and leanest, planned and overlaid
    void show(int run); // 0: the plan of the controls as they stand
    int shownRun() const { return m_shownRun; }
    // What is shown is of other controls than those that are set, or of somebody else's program.
    bool showsOtherControls() const;
    void useControlsOf(int run);
    void removeRun(int run);

    // --- files
    void open(const QString& path);
    void choose(std::size_t choice); // of the file last opened that has choices
    const std::optional<OpenedFile>& awaitingChoice() const { return m_awaitingChoice; }
    // That is open, with the runs as they were at this revision.
    void setSession(const QString& path, std::uint64_t revision);
    QString session() const { return QString::fromStdString(m_session); } // empty: none
    bool unsaved() const; // runs that were made here and are in no session
    // BadUsage when writing this file would replace one that is open here; a session may replace its own.
    Result<void> checkExport(const QString& path, bool session = false) const;

    // --- timeline
    const ChartScene& scene() const { return m_scene; }
    TimelinePtr shown() const { return m_scene.shown.timeline; }
    // Of what is shown; of the run under way as far as it is.
    PicturePtr picture() const;
    int pictureRun() const; // whose picture that is; 0: of the run under way, or there is none
    TimelinePtr pictureTimeline() const;
    QString whyNoPicture() const;
    AxisKind axis() const { return m_axis; }
    void setAxis(AxisKind axis);
    bool overlaysByLayer() const { return m_overlaysByLayer; }
    void setOverlaysByLayer(bool byLayer);
    Range view() const { return m_view; }
    void setView(Range view); // undoable; steps in quick succession are one
    void fit();
    std::uint32_t cursor() const { return m_cursor; } // event; noIndex: none
    void setCursor(std::uint32_t event);
    void stepCursor(bool forward);
    // Moves the cursor to the next place, or the last one, and selects all between it and where extending began.
    void extendSelection(bool forward, bool toEnd);
    void jumpToPeak();
    std::optional<Range> selection() const { return m_selection; }
    void setSelection(std::optional<Range> selection);
    // Shows the run and selects the ops of a part of its output, with the cursor on the highest of their events.
    void selectPart(int run, std::uint32_t part);
    std::uint32_t part() const; // the selected one, else that of the cursor; noIndex: none
    const std::vector<ChartMarker>& markers() const { return m_markers; }
    void toggleMarker(); // at the cursor; undoable
    void setMarkers(std::vector<ChartMarker> markers);
    void renameMarker(std::uint32_t event, const QString& text);
    // One sentence on the cursor's event, and at the peak what removes it.
    QString explanation() const;
    // The timeline in words, for screen readers.
    QString summary() const;

    void tell(const Notice& notice) { Q_EMIT told(notice); }
    // Of what was done last.
    void tell(Notice::Kind kind, const QString& text) {
        tell(Notice{.kind = kind, .text = text, .userActions = m_userActions});
    }
    std::uint64_t userActions() const { return m_userActions; } // so far
    // Whether its cause is still there.
    bool holds(const Notice& notice) const { return !notice.userActions || *notice.userActions == m_userActions; }

Q_SIGNALS:
    void controlsChanged();
    void planChanged();
    void adviceChanged();
    void deviceChanged();
    void fittingChanged();
    void sceneChanged(); // viewChanged() and cursorChanged() follow
    void viewChanged();
    void cursorChanged();
    void selectionChanged();
    void markersChanged();
    void runStateChanged();
    void roomShort(const spikescope::Shortage& shortage); // the run was not begun
    void runFinished(int run);                            // 0: nothing came of it
    void pictureChanged();
    void choiceNeeded();
    void sessionOpened(const QString& path);
    void fileProgressed(double fraction); // 1: done
    void told(const spikescope::Notice& notice);
    void shownChanged(); // another run, or the plan
    void savedChanged(); // session() or unsaved()
    void done();         // something by the user: notices on what was before have lost their cause

private:
    friend class ControlsCommand;
    friend class ViewCommand;
    friend class MarkersCommand;

    Setting setting() const { return {.controls = m_controls, .input = m_input, .preset = m_preset}; }
    void change(const Setting& setting, const QString& text);
    void set(const Setting& setting);
    void beginUserAction();
    void replan();
    void takeBack(const Error& error);
    void refuse(const std::string& control, const std::string& reason);
    void tickRun();
    void rebuildScene(bool newShown);
    void onPlanned(const PlanResult& result);
    void onPlannedAll(const std::vector<std::pair<std::string, PlanResult>>& results);
    void onDevice(const DeviceSummary& device);
    void onFitted(const FitResult& result);
    void onProgress(const RunProgress& progress);
    void onFinished(const RunResult& result);
    void onOpened(const OpenedFile& file);
    std::vector<NamedFile> openFiles() const;

    Engine& m_engine;
    Controls m_controls;
    InputSource m_input;
    std::string m_preset;
    std::map<std::string, QString> m_controlErrors;
    QUndoStack m_undo;
    std::optional<Setting> m_planned; // the last setting that there is a plan of
    bool m_takingBack = false;
    std::uint64_t m_userActions = 0;

    std::uint64_t m_planRequest = 0, m_adviceRequest = 0, m_fitRequest = 0;
    QTimer m_adviceSoon; // a flip's ghost comes first
    TimelinePtr m_plan, m_planBefore;
    QString m_lastFlip, m_pendingFlip;
    AdviceResult m_advice;
    DeviceSummary m_device;
    std::optional<Measuring> m_measuring;
    std::size_t m_ratesLeft = 0; // calls that the last measurement left out

    RunsModel m_runs;
    RunState m_runState;
    QTimer m_runClock; // between two reports of a run, which a long op keeps apart
    QElapsedTimer m_sinceProgress;
    std::optional<double> m_leftAtProgress; // ms
    double m_elapsedAtProgress = 0.0;       // ms
    TimelinePtr m_live;
    TimelinePtr m_runPlan; // of the run under way; null until it is known
    PicturePtr m_livePicture;
    int m_shownRun = 0, m_shownBeforeRun = 0;
    Controls m_runControls; // of the run under way
    InputSource m_runInput;

    std::string m_session;         // its file; empty: none
    std::uint64_t m_savedRuns = 0; // their revision then
    std::vector<std::string> m_opening;
    InputSource m_openingInput;
    std::optional<OpenedFile> m_awaitingChoice;

    ChartScene m_scene;
    AxisKind m_axis = AxisKind::Layers;
    bool m_axisChosen = false; // by the user; else time for runs and layers for plans
    bool m_overlaysByLayer = true;
    Range m_view;
    bool m_fit = true;
    std::uint32_t m_cursor = noIndex;
    bool m_cursorAtPeak = true; // follows the peak until it is put elsewhere
    std::optional<Range> m_selection;
    std::uint32_t m_rangeAnchor = noIndex; // event where extending the selection began
    std::uint32_t m_part = noIndex;        // whose ops are selected
    std::vector<ChartMarker> m_markers;
};

} // namespace spikescope
