#include "app/models/workspace.h"

#include "app/models/configurations.h"
#include "core/base/text.h"

#include <QFileInfo>
#include <QUndoCommand>

#include <algorithm>

namespace spikescope {

class ControlsCommand final : public QUndoCommand {
public:
    ControlsCommand(Workspace& workspace, Setting after, const QString& text)
        : QUndoCommand(text)
        , m_workspace(workspace)
        , m_before(workspace.setting())
        , m_after(std::move(after)) {}
    void undo() override {
        setObsolete(m_workspace.m_takingBack);
        go(m_before, QStringLiteral("undo ") + text());
    }
    void redo() override { go(m_after, text()); }
    const Setting& after() const { return m_after; }

private:
    void go(const Setting& setting, const QString& text) {
        m_workspace.m_pendingFlip = m_workspace.m_takingBack ? QString() : text;
        m_workspace.set(setting);
    }

    Workspace& m_workspace;
    Setting m_before, m_after;
};

Workspace::Workspace(Engine& engine, QObject* parent)
    : QObject(parent)
    , m_engine(engine) {
    m_controls = defaultControls();
    m_adviceSoon.setSingleShot(true);
    m_adviceSoon.setInterval(120);
    connect(&m_adviceSoon, &QTimer::timeout, this,
            [this] { m_adviceRequest = m_engine.advise(m_controls, availableBytes()); });
    m_runClock.setInterval(250);
    connect(&m_runClock, &QTimer::timeout, this, &Workspace::tickRun);
    connect(&engine, &Engine::planned, this, &Workspace::onPlanned);
    connect(&engine, &Engine::plannedAll, this, &Workspace::onPlannedAll);
    connect(&engine, &Engine::deviceChanged, this, &Workspace::onDevice);
    connect(&engine, &Engine::fitted, this, &Workspace::onFitted);
    connect(&engine, &Engine::runProgressed, this, &Workspace::onProgress);
    connect(&engine, &Engine::runFinished, this, &Workspace::onFinished);
    connect(&engine, &Engine::fileOpened, this, &Workspace::onOpened);
    connect(&engine, &Engine::fileProgress, this, &Workspace::fileProgressed);
    connect(&engine, &Engine::advised, this, [this](const AdviceResult& result) {
        if (result.request != m_adviceRequest) return;
        if (result.error) tell(Notice::Kind::Error, QString::fromStdString(result.error->message));
        m_advice = result;
        Q_EMIT adviceChanged();
    });
    connect(&engine, &Engine::ratesProgressed, this, [this](std::size_t done, std::size_t total) {
        if (!m_measuring) return;
        m_measuring = Measuring{.done = done, .total = total};
        Q_EMIT adviceChanged();
    });
    connect(&engine, &Engine::ratesMeasured, this, [this](const RatesResult& result) {
        m_measuring.reset();
        m_ratesLeft = result.left;
        if (!result.failure.empty())
            tell(Notice::Kind::Warning, QStringLiteral("Times were not measured: ") + textOf(result.failure));
        if (!result.note.empty()) tell(Notice::Kind::Warning, QStringLiteral("Times: ") + textOf(result.note));
        m_adviceRequest = m_engine.advise(m_controls, availableBytes());
        Q_EMIT adviceChanged();
    });
    connect(&engine, &Engine::failed, this, [this](const QString& sentence) { tell(Notice::Kind::Error, sentence); });
    connect(&m_runs, &RunsModel::overlaysChanged, this, [this] { rebuildScene(false); });
    connect(&m_runs, &RunsModel::revised, this, &Workspace::savedChanged);
}

// --- controls

QString Workspace::controlText(const std::string& control) const {
    const auto value = controlValue(m_controls, control);
    return value ? QString::fromStdString(*value) : QString();
}

QString Workspace::controlError(const std::string& control) const {
    const auto found = m_controlErrors.find(control);
    return found == m_controlErrors.end() ? QString() : found->second;
}

bool Workspace::setControl(const std::string& control, const QString& value) {
    beginUserAction();
    Controls changed = m_controls;
    Result<void> result = spikescope::setControl(changed, control, value.trimmed().toStdString());
    if (result) result = checkControls(changed);
    if (!result) {
        refuse(control, result.error().message);
        Q_EMIT controlsChanged();
        return false;
    }
    const bool wrong = m_controlErrors.erase(control) > 0;
    if (controlValues(changed) == controlValues(m_controls)) {
        if (wrong) Q_EMIT controlsChanged();
        return true;
    }
    Setting next{.controls = changed, .input = m_input, .preset = m_preset};
    // Latents of a file have their own size, and are not what an encoder takes.
    const bool sizeOrOp = control == "size" || control == "op" || control == "batch";
    const std::string aside = sizeOrOp ? m_input.path : std::string();
    if (!aside.empty()) next.input = {.seed = m_input.seed, .path = {}, .key = {}};
    const QString now = textOf(*controlValue(changed, control)); // 512x512, whatever was typed
    change(next, textOf(control) + QLatin1Char(' ') + now);
    if (!aside.empty())
        tell(Notice::Kind::Note,
             QStringLiteral("%1 is put aside: it does not go with %2 %3; synthetic latents take its place")
                 .arg(QFileInfo(textOf(aside)).fileName(), textOf(control), now));
    return true;
}

bool Workspace::applyPreset(const std::string& wanted) {
    beginUserAction();
    const auto made = withConfiguration(m_controls, wanted);
    if (!made) {
        tell(Notice::Kind::Error, textOf(made.error().message));
        return false;
    }
    change({.controls = *made, .input = m_input, .preset = wanted},
           wanted == defaultsName ? QStringLiteral("defaults") : QStringLiteral("preset ") + textOf(wanted));
    return true;
}

QString Workspace::preset() const { return configurationOf(m_controls, m_preset); }

void Workspace::useSyntheticLatents() {
    if (m_input.path.empty()) return;
    change({.controls = m_controls, .input = {.seed = m_input.seed, .path = {}, .key = {}}, .preset = m_preset},
           QStringLiteral("synthetic latents"));
}

void Workspace::change(const Setting& setting, const QString& text) {
    m_undo.push(new ControlsCommand(*this, setting, text));
}

void Workspace::beginUserAction() {
    ++m_userActions;
    Q_EMIT done();
}

void Workspace::set(const Setting& setting) {
    const bool otherDevice = setting.controls.device != m_controls.device;
    m_controls = setting.controls;
    m_input = setting.input;
    m_preset = setting.preset;
    cancelFitting(); // it was for what was there before
    if (!m_takingBack) {
        m_controlErrors.clear();
        beginUserAction();
    }
    Q_EMIT controlsChanged();
    if (otherDevice) m_engine.openDevice(m_controls.device);
    replan();
}

void Workspace::restore(const Controls& controls, const InputSource& input, const std::string& preset) {
    m_undo.clear();
    m_planBefore = nullptr;
    m_pendingFlip.clear();
    m_planned.reset();
    set({.controls = controls, .input = input, .preset = preset});
}

void Workspace::restoreSession(const SessionData& session) {
    m_runs.clear();
    std::vector<int> ids{0};
    for (const RunEntry& run : session.runs) ids.push_back(m_runs.add(run));
    const auto idOf = [&](int place) { return ids[static_cast<std::size_t>(place)]; };
    m_runs.setBadges(idOf(session.badgeA), idOf(session.badgeB));
    m_axis = session.axis;
    m_axisChosen = true;
    m_overlaysByLayer = session.overlaysByLayer;
    restore(session.controls, session.input, session.preset);
    m_shownRun = -1; // show() then sees a change
    show(idOf(session.shown));
    setMarkers(session.markers);
    // A plan is not yet there; it is shown whole when it comes.
    if (!shown() || session.shown == 0) return;
    m_view = fitted(session.view, m_scene.all);
    m_fit = m_view == m_scene.all;
    setCursor(session.cursor);
    Q_EMIT viewChanged();
}

// --- plan, advice, device

void Workspace::replan() {
    m_planRequest = m_engine.plan(m_controls);
    m_adviceSoon.start();
}

void Workspace::onPlanned(const PlanResult& result) {
    if (result.request != m_planRequest) return;
    if (result.error) {
        takeBack(*result.error);
        return;
    }
    for (const std::string& note : result.notes) tell(Notice::Kind::Note, QString::fromStdString(note));
    m_planBefore = m_pendingFlip.isEmpty() ? m_planBefore : m_plan;
    m_lastFlip = m_pendingFlip.isEmpty() ? m_lastFlip : m_pendingFlip;
    m_pendingFlip.clear();
    m_plan = result.timeline;
    m_controls.model = result.controls.model;
    m_controls.width = result.controls.width;
    m_controls.height = result.controls.height;
    m_planned = setting();
    if (m_runState.running && !m_runPlan && controlValues(m_controls) == controlValues(m_runControls))
        m_runPlan = m_plan;
    Q_EMIT controlsChanged();
    rebuildScene(false);
    Q_EMIT planChanged();
}

// What cannot be planned is refused like a value that is none: what was there before stays in force, and the reason
// stands beside the control.
void Workspace::takeBack(const Error& error) {
    const QString message = textOf(error.message);
    // "size: …" belongs beside the control of that name.
    std::string word = error.message.substr(0, error.message.find_first_of(": "));
    if (word == "file") word = "weights";
    tell(Notice::Kind::Error, message);
    const int last = m_undo.index() - 1;
    const auto* command = last < 0 ? nullptr : dynamic_cast<const ControlsCommand*>(m_undo.command(last));
    m_takingBack = true;
    if (command && controlValues(command->after().controls) == controlValues(m_controls))
        m_undo.undo();
    else if (m_planned && controlValues(m_planned->controls) != controlValues(m_controls))
        set(*m_planned);
    else if (!m_planned && !m_controls.syntheticSeed()) { // at a start, of a checkpoint that is gone or another one
        Setting synthetic = setting();
        synthetic.controls.weights = Controls().weights;
        set(synthetic);
    }
    m_takingBack = false;
    if (controlText(word).isNull()) return;
    refuse(word, error.message);
    Q_EMIT controlsChanged();
}

void Workspace::refuse(const std::string& control, const std::string& reason) {
    m_controlErrors[control] = QStringLiteral("%1. It stays %2.").arg(textOf(reason), controlText(control));
}

void Workspace::onDevice(const DeviceSummary& device) {
    const bool first = !m_device.known;
    m_device = device;
    if (!device.refusal.empty()) tell(Notice::Kind::Error, QString::fromStdString(device.refusal));
    Q_EMIT deviceChanged();
    // The device's block sizes go into the plan, and its rates into the advice.
    if (first || !m_runState.running) replan();
}

std::optional<std::uint64_t> Workspace::availableBytes() const {
    if (m_controls.budgetBytes) return m_controls.budgetBytes;
    if (m_device.known) return m_device.freeBytes;
    return std::nullopt;
}

void Workspace::measureRates() {
    if (m_measuring) return;
    m_measuring = Measuring{};
    Q_EMIT adviceChanged();
    m_engine.measureRates(m_controls, m_advice.timed && m_ratesLeft == 0);
}

void Workspace::stopMeasuring() { m_engine.cancelMeasuring(); }

// --- runs

namespace {

// What tells it from others first: lists are narrow.
QString labelOf(const Controls& controls) {
    return QStringLiteral("%1 · %2 %3×%4")
        .arg(describe(controls), textOf(controls.model))
        .arg(controls.width)
        .arg(controls.height);
}

} // namespace

void Workspace::run(Engine::Room room) {
    if (m_runState.running) return;
    beginUserAction();
    if (m_controls.op == VaeTask::Encode && m_input.path.empty()) {
        tell(Notice::Kind::Error, QStringLiteral("An encode needs a picture: open one first (PNG, JPEG or WebP)"));
        return;
    }
    m_runState = {.running = true, .done = 0, .total = 0, .layer = {}, .elapsedMs = 0.0, .leftMs = {}};
    m_shownBeforeRun = m_shownRun;
    m_live = nullptr;
    m_livePicture = nullptr;
    m_runControls = m_controls;
    m_runInput = m_input;
    const bool planned = m_plan && m_plan->recording().controls == controlValues(m_controls);
    m_runPlan = planned ? m_plan : nullptr;
    m_elapsedAtProgress = 0.0;
    m_leftAtProgress.reset();
    m_sinceProgress.start();
    m_runClock.start();
    Q_EMIT runStateChanged();
    m_engine.run(m_controls, m_input, room);
}

void Workspace::stop() { m_engine.stop(); }

void Workspace::onProgress(const RunProgress& progress) {
    if (!m_runState.running) return;
    const bool first = !m_live;
    m_live = progress.timeline;
    m_runState.done = progress.done;
    m_runState.total = progress.total;
    m_runState.layer = textOf(progress.layer);
    m_runState.elapsedMs = m_elapsedAtProgress = progress.elapsedMs;
    m_runState.leftMs = m_leftAtProgress = progress.leftMs;
    m_sinceProgress.restart();
    if (first) m_runs.setShown(0);
    const bool newRows = progress.picture && (!m_livePicture || m_livePicture->rows != progress.picture->rows);
    m_livePicture = progress.picture;
    rebuildScene(first);
    if (first) Q_EMIT shownChanged();
    Q_EMIT runStateChanged();
    if (newRows) Q_EMIT pictureChanged();
}

void Workspace::tickRun() {
    const auto since = static_cast<double>(m_sinceProgress.elapsed());
    m_runState.elapsedMs = m_elapsedAtProgress + since;
    // What should be over by now and is not: nobody knows how much is left.
    m_runState.leftMs =
        m_leftAtProgress && *m_leftAtProgress > since ? std::optional(*m_leftAtProgress - since) : std::nullopt;
    Q_EMIT runStateChanged();
}

void Workspace::onFinished(const RunResult& result) {
    m_runClock.stop();
    m_runState.running = false;
    m_live = nullptr;
    m_runPlan = nullptr;
    m_livePicture = nullptr;
    for (const std::string& note : result.notes) tell(Notice::Kind::Note, QString::fromStdString(note));
    int id = 0;
    const bool cancelled = result.error && result.error->code == ErrorCode::Cancelled;
    // Also what failed before its first event has something to show: what was wanted, and what there was.
    if (result.timeline && (result.timeline->eventCount() > 0 || result.timeline->recording().failure)) {
        id = m_runs.add({.id = 0,
                         .label = labelOf(result.controls),
                         .timeline = result.timeline,
                         .picture = result.picture,
                         .moments = result.moments,
                         .input = m_runInput,
                         .ticked = false});
        // The two newest are what one wants to compare.
        m_runs.setBadges(m_runs.badgeB()   ? m_runs.badgeB()
                         : m_runs.badgeA() ? m_runs.badgeA()
                                           : id,
                         m_runs.badgeA() ? id : 0);
    }
    m_shownRun = -1; // show() then sees a change
    show(id ? id : m_shownBeforeRun);
    if (result.shortage) {
        Q_EMIT roomShort(*result.shortage);
    } else if (result.error) {
        QString text = QString::fromStdString(result.error->message);
        if (const auto& failure = result.timeline ? result.timeline->recording().failure : std::optional<Failure>();
            failure && failure->code == ErrorCode::OutOfDeviceMemory) {
            QStringList fits;
            for (const std::string& flip : failure->fits) fits << textOf(flip);
            text += fits.isEmpty() ? QStringLiteral(". No single change of a control makes it fit")
                                   : QStringLiteral(". It fits with any one of: ") + fits.join(QStringLiteral(", "));
        }
        tell(cancelled ? Notice::Kind::Note : Notice::Kind::Error,
             cancelled ? QStringLiteral("Stopped; everything is freed, and the recording up to there is kept") : text);
    } else if (const Recording& recording = result.timeline->recording(); recording.predicted) {
        const Peak& peak = result.timeline->peak();
        if (recording.predicted->first != peak.allocated ||
            (recording.refusals == 0 && recording.predicted->second != peak.reserved))
            tell(Notice::Kind::Error, QStringLiteral("Predicted and measured differ: allocated %1 B and %2 B, reserved "
                                                     "%3 B and %4 B. This is a bug: please keep the report")
                                          .arg(recording.predicted->first)
                                          .arg(peak.allocated)
                                          .arg(recording.predicted->second)
                                          .arg(peak.reserved));
    }
    Q_EMIT runStateChanged();
    Q_EMIT pictureChanged();
    Q_EMIT runFinished(id);
    m_engine.openDevice(m_controls.device); // what is free now
}

void Workspace::keepPlan() {
    if (!m_plan) return;
    m_runs.add({.id = 0,
                .label = QStringLiteral("plan: ") + labelOf(m_controls),
                .timeline = m_plan,
                .picture = {},
                .moments = {},
                .input = {},
                .ticked = true});
}

void Workspace::showProblem() {
    beginUserAction();
    std::vector<std::pair<std::string, Controls>> wanted;
    for (const char* preset : {"mlx-before", "mlx-after", "leanest"}) {
        const auto controls = withConfiguration(m_controls, preset);
        if (controls) wanted.emplace_back(preset, *controls);
    }
    m_engine.planAll(std::move(wanted));
}

void Workspace::onPlannedAll(const std::vector<std::pair<std::string, PlanResult>>& results) {
    std::vector<int> ids;
    for (const auto& [label, result] : results) {
        if (result.error) {
            tell(Notice::Kind::Error, QStringLiteral("%1: %2").arg(QString::fromStdString(label),
                                                                   QString::fromStdString(result.error->message)));
            continue;
        }
        const QString text = QStringLiteral("%1 %2×%3")
                                 .arg(QString::fromStdString(label))
                                 .arg(result.controls.width)
                                 .arg(result.controls.height);
        // The same question asked twice has one answer.
        for (const RunEntry& entry : std::vector(m_runs.entries()))
            if (entry.label == text && entry.timeline->recording().kind == RecordingKind::Plan) m_runs.remove(entry.id);
        ids.push_back(m_runs.add({.id = 0,
                                  .label = text,
                                  .timeline = result.timeline,
                                  .picture = {},
                                  .moments = {},
                                  .input = {},
                                  .ticked = true,
                                  .isPreset = true}));
    }
    if (ids.empty()) return;
    m_runs.setBadges(ids.front(), ids.back());
    show(ids.front());
    QStringList words;
    for (const auto& [label, result] : results)
        for (const Configuration& known : configurations())
            if (known.name == textOf(label)) words << QStringLiteral("%1 is %2").arg(known.name, known.help);
    tell(Notice::Kind::Answer,
         QStringLiteral("Three plans of one decode, overlaid: %1. Their peaks stand side by side in "
                        "the table Compare.")
             .arg(words.join(QStringLiteral("; "))));
}

void Workspace::show(int run) {
    if (run != 0 && !m_runs.find(run)) run = 0;
    if (run == m_shownRun) return;
    m_shownRun = run;
    m_runs.setShown(m_live ? 0 : run); // a run under way is what is shown
    rebuildScene(true);
    Q_EMIT pictureChanged();
    Q_EMIT shownChanged();
}

bool Workspace::showsOtherControls() const {
    const TimelinePtr timeline = shown();
    return timeline && m_plan && timeline->recording().controls != m_plan->recording().controls;
}

void Workspace::useControlsOf(int run) {
    const RunEntry* entry = m_runs.find(run);
    if (!entry) return;
    Controls changed;
    for (const auto& [control, value] : entry->timeline->recording().controls)
        if (!value.empty())
            (void)spikescope::setControl(changed, control, value); // reports may come from other versions
    if (checkControls(changed))
        change({.controls = changed, .input = entry->input.value_or(m_input), .preset = m_preset},
               QStringLiteral("controls of ") + entry->label);
}

void Workspace::removeRun(int run) {
    if (m_shownRun == run) show(0);
    m_runs.remove(run);
}

int Workspace::pictureRun() const {
    if (m_live) return 0;
    const RunEntry* entry = m_runs.find(m_shownRun);
    return entry && entry->picture ? entry->id : 0;
}

PicturePtr Workspace::picture() const {
    if (m_live) return m_livePicture;
    const RunEntry* entry = m_runs.find(m_shownRun);
    return entry ? entry->picture : nullptr;
}

TimelinePtr Workspace::pictureTimeline() const { return picture() ? shown() : nullptr; }

QString Workspace::whyNoPicture() const {
    const TimelinePtr timeline = shown();
    const RunEntry* entry = m_live ? nullptr : m_runs.find(m_shownRun);
    if (m_live) return QStringLiteral("The run is under way: no row of its picture is there yet");
    if (!entry || !timeline)
        return m_controls.op == VaeTask::Encode
                   ? QStringLiteral(
                         "A plan has no picture, and an encode makes latents. Press Run: the Export menu then "
                         "saves them")
                   : QStringLiteral("A plan has no picture. Press Run: the decoded picture appears here");
    const QString named = QStringLiteral("“%1” ").arg(entry->label);
    const Recording& recording = timeline->recording();
    if (entry->moments)
        return named +
               QStringLiteral("encoded a picture to latents of %1×%2 with %3 channels, which the Export menu saves")
                   .arg(entry->moments->w)
                   .arg(entry->moments->h)
                   .arg(entry->moments->c);
    if (recording.kind == RecordingKind::Plan) return named + QStringLiteral("is a plan, which has no picture");
    if (recording.kind == RecordingKind::Replay)
        return named + QStringLiteral("is replayed from a snapshot, which has no picture");
    if (recording.failure && recording.failure->code == ErrorCode::Cancelled)
        return named + QStringLiteral("was stopped before its picture was whole");
    if (recording.failure) return named + QStringLiteral("failed before its picture was whole");
    return named + QStringLiteral("has no picture in its file");
}

} // namespace spikescope
