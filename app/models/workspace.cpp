#include "app/models/workspace.h"

#include "core/base/text.h"
#include "core/program/presets.h"

#include <QDateTime>
#include <QFileInfo>
#include <QUndoCommand>

#include <algorithm>

namespace spikescope {

namespace {

QString fileName(const std::string& path) { return QFileInfo(QString::fromStdString(path)).fileName(); }

} // namespace

class ControlsCommand final : public QUndoCommand {
public:
    ControlsCommand(Workspace& workspace, Controls controls, InputSource input, const QString& text)
        : QUndoCommand(text)
        , m_workspace(workspace)
        , m_before{workspace.m_controls, workspace.m_input}
        , m_after{std::move(controls), std::move(input)} {}
    void undo() override { go(m_before, QStringLiteral("undo ") + text()); }
    void redo() override { go(m_after, text()); }

private:
    using State = std::pair<Controls, InputSource>;
    void go(const State& state, const QString& text) {
        m_workspace.m_pendingFlip = text;
        m_workspace.set(state.first, state.second);
    }

    Workspace& m_workspace;
    State m_before, m_after;
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
    connect(&engine, &Engine::ratesMeasured, this, [this](const QString& failure) {
        m_measuring = false;
        if (!failure.isEmpty()) tell(Notice::Kind::Error, QStringLiteral("Rates were not measured: ") + failure);
        m_adviceRequest = m_engine.advise(m_controls, availableBytes());
        Q_EMIT adviceChanged();
    });
    connect(&engine, &Engine::failed, this, [this](const QString& sentence) { tell(Notice::Kind::Error, sentence); });
    connect(&m_runs, &RunsModel::overlaysChanged, this, [this] { rebuildScene(false); });
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
    Controls changed = m_controls;
    Result<void> result = spikescope::setControl(changed, control, value.trimmed().toStdString());
    if (result) result = checkControls(changed);
    if (!result) {
        m_controlErrors[control] = QString::fromStdString(result.error().message);
        Q_EMIT controlsChanged();
        return false;
    }
    const bool wrong = m_controlErrors.erase(control) > 0;
    if (controlValues(changed) == controlValues(m_controls)) {
        if (wrong) Q_EMIT controlsChanged();
        return true;
    }
    InputSource input = m_input;
    // Latents of a file have their own size, and are not what an encoder takes.
    const bool sizeOrOp = control == "size" || control == "op" || control == "batch";
    if (sizeOrOp && !input.path.empty()) {
        tell(Notice::Kind::Note,
             QStringLiteral("%1 is put aside: it does not go with %2 %3; synthetic latents take its place")
                 .arg(fileName(input.path), QString::fromStdString(control), value));
        input = {.seed = input.seed, .path = {}, .key = {}};
    }
    change(changed, input, QString::fromStdString(control) + QLatin1Char(' ') + value.trimmed());
    return true;
}

Controls Workspace::whatIsRun() const {
    Controls controls;
    controls.model = m_controls.model;
    controls.weights = m_controls.weights;
    controls.op = m_controls.op;
    controls.width = m_controls.width;
    controls.height = m_controls.height;
    controls.batch = m_controls.batch;
    controls.repeat = m_controls.repeat;
    return controls;
}

bool Workspace::applyPreset(const std::string& wanted) {
    Controls changed = whatIsRun();
    changed.device = m_controls.device;
    changed.budgetBytes = m_controls.budgetBytes;
    changed.enforce = m_controls.enforce;
    if (const Result<void> applied = spikescope::applyPreset(changed, wanted); !applied) {
        tell(Notice::Kind::Error, QString::fromStdString(applied.error().message));
        return false;
    }
    m_controlErrors.clear();
    change(changed, m_input, QStringLiteral("preset ") + QString::fromStdString(wanted));
    return true;
}

QString Workspace::preset() const {
    for (const Preset& known : presets()) {
        Controls same = m_controls;
        if (!spikescope::applyPreset(same, known.name)) return {};
        if (controlValues(same) == controlValues(m_controls)) return QString::fromUtf8(known.name.data());
    }
    return {};
}

void Workspace::change(const Controls& controls, const InputSource& input, const QString& text) {
    m_undo.push(new ControlsCommand(*this, controls, input, text));
}

void Workspace::set(const Controls& controls, const InputSource& input) {
    const bool otherDevice = controls.device != m_controls.device;
    m_controls = controls;
    m_input = input;
    cancelFitting(); // it was for what was there before
    Q_EMIT controlsChanged();
    if (otherDevice) m_engine.openDevice(m_controls.device);
    replan();
}

void Workspace::restore(const Controls& controls, const InputSource& input) {
    m_controlErrors.clear();
    m_undo.clear();
    m_planBefore = nullptr;
    m_pendingFlip.clear();
    set(controls, input);
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
    restore(session.controls, session.input);
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
        const QString message = QString::fromStdString(result.error->message);
        // "size: …" belongs beside the control of that name.
        const std::string word = result.error->message.substr(0, result.error->message.find_first_of(": "));
        if (!controlText(word).isNull() || word == "file") {
            m_controlErrors[word == "file" ? "weights" : word] = message;
            Q_EMIT controlsChanged();
        }
        tell(Notice::Kind::Error, message);
        return;
    }
    m_controlErrors.clear();
    for (const std::string& note : result.notes) tell(Notice::Kind::Note, QString::fromStdString(note));
    m_planBefore = m_pendingFlip.isEmpty() ? m_planBefore : m_plan;
    m_lastFlip = m_pendingFlip.isEmpty() ? m_lastFlip : m_pendingFlip;
    m_pendingFlip.clear();
    m_plan = result.timeline;
    m_controls.model = result.controls.model;
    m_controls.width = result.controls.width;
    m_controls.height = result.controls.height;
    if (m_runState.running && !m_runPlan && controlValues(m_controls) == controlValues(m_runControls))
        m_runPlan = m_plan;
    Q_EMIT controlsChanged();
    rebuildScene(false);
    Q_EMIT planChanged();
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
    m_measuring = true;
    Q_EMIT adviceChanged();
    m_engine.measureRates();
}

// --- runs

QString Workspace::runLabel(const Controls& controls) const {
    const QString named = preset();
    return QStringLiteral("%1 %2×%3 %4")
        .arg(QString::fromStdString(controls.model))
        .arg(controls.width)
        .arg(controls.height)
        .arg(named.isEmpty() ? QString::fromUtf8(name(controls.activations).data()) : named);
}

void Workspace::run() {
    if (m_runState.running) return;
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
    m_engine.run(m_controls, m_input);
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
    const bool newRows = progress.picture && (!m_livePicture || m_livePicture->rows != progress.picture->rows);
    m_livePicture = progress.picture;
    rebuildScene(first);
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
                         .label = runLabel(result.controls),
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
    if (result.error) {
        QString text = QString::fromStdString(result.error->message);
        if (const auto& failure = result.timeline ? result.timeline->recording().failure : std::optional<Failure>();
            failure && failure->code == ErrorCode::OutOfDeviceMemory) {
            QStringList fits;
            for (const std::string& flip : failure->fits) fits << textOf(flip);
            text += fits.isEmpty() ? QStringLiteral(". No single flip of a control makes it fit")
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
                .label = QStringLiteral("plan: ") + runLabel(m_controls),
                .timeline = m_plan,
                .picture = {},
                .moments = {},
                .input = {},
                .ticked = true});
}

void Workspace::showProblem() {
    std::vector<std::pair<std::string, Controls>> wanted;
    for (const char* preset : {"mlx-before", "mlx-after", "leanest"}) {
        Controls controls = whatIsRun();
        if (!spikescope::applyPreset(controls, preset)) continue;
        wanted.emplace_back(preset, controls);
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
                                  .ticked = true}));
    }
    if (ids.empty()) return;
    m_runs.setBadges(ids.front(), ids.back());
    show(ids.front());
}

void Workspace::show(int run) {
    if (run != 0 && !m_runs.find(run)) run = 0;
    if (run == m_shownRun) return;
    m_shownRun = run;
    rebuildScene(true);
    Q_EMIT pictureChanged();
}

void Workspace::useControlsOf(int run) {
    const RunEntry* entry = m_runs.find(run);
    if (!entry) return;
    Controls changed;
    for (const auto& [control, value] : entry->timeline->recording().controls)
        if (!value.empty())
            (void)spikescope::setControl(changed, control, value); // reports may come from other versions
    if (checkControls(changed))
        change(changed, entry->input.value_or(m_input), QStringLiteral("controls of ") + entry->label);
}

void Workspace::removeRun(int run) {
    if (m_shownRun == run) show(0);
    m_runs.remove(run);
}

int Workspace::pictureRun() const {
    if (m_runState.running && m_livePicture) return 0;
    const RunEntry* entry = m_runs.find(m_shownRun);
    if (entry && entry->picture) return entry->id;
    // A plan has no picture; the newest run's stays on screen.
    for (auto i = m_runs.entries().rbegin(); i != m_runs.entries().rend(); ++i)
        if (i->picture) return i->id;
    return 0;
}

PicturePtr Workspace::picture() const {
    const RunEntry* entry = m_runs.find(pictureRun());
    return entry ? entry->picture : m_runState.running ? m_livePicture : nullptr;
}

TimelinePtr Workspace::pictureTimeline() const {
    const RunEntry* entry = m_runs.find(pictureRun());
    return entry ? entry->timeline : m_runState.running && m_livePicture ? m_live : nullptr;
}

// --- files

void Workspace::open(const QString& path) {
    m_openingInput = {.path = path.toStdString(), .key = {}};
    m_opening.push_back(path.toStdString());
    m_engine.open(path.toStdString(), m_controls, m_openingInput);
    Q_EMIT fileProgressed(0.0);
}

void Workspace::choose(std::size_t choice) {
    if (!m_awaitingChoice || choice >= m_awaitingChoice->choices.size()) return;
    m_openingInput = m_awaitingChoice->choices[choice].input;
    m_opening.push_back(m_awaitingChoice->path);
    m_engine.open(m_awaitingChoice->path, m_controls, m_openingInput);
    m_awaitingChoice.reset();
    Q_EMIT choiceNeeded();
}

void Workspace::onOpened(const OpenedFile& file) {
    Q_EMIT fileProgressed(1.0);
    if (const auto opening = std::ranges::find(m_opening, file.path); opening != m_opening.end())
        m_opening.erase(opening);
    if (file.error) {
        if (file.error->code != ErrorCode::Cancelled)
            tell(Notice::Kind::Error, QString::fromStdString(file.error->message));
        return;
    }
    if (!file.choices.empty()) {
        m_awaitingChoice = file;
        Q_EMIT choiceNeeded();
        return;
    }
    for (const std::string& note : file.notes) tell(Notice::Kind::Note, QString::fromStdString(note));
    Controls changed = m_controls;
    InputSource input = m_input;
    switch (file.kind) {
    case OpenedFile::Kind::Session:
        m_session = file.path;
        Q_EMIT sessionOpened(QString::fromStdString(file.path));
        return;
    case OpenedFile::Kind::Recording:
        show(m_runs.add({.id = 0,
                         .label = fileName(file.path),
                         .timeline = file.timeline,
                         .picture = {},
                         .moments = {},
                         .input = {},
                         .file = file.path,
                         .ticked = false}));
        return;
    case OpenedFile::Kind::Checkpoint:
        changed.weights = file.path;
        changed.model = file.family;
        if (!file.decoder) changed.op = VaeTask::Encode;
        if (!file.encoder) {
            changed.op = VaeTask::Decode;
            changed.load = LoadPolicy::Decoder;
        }
        break;
    case OpenedFile::Kind::Latents: changed.op = VaeTask::Decode; break;
    case OpenedFile::Kind::Picture: changed.op = VaeTask::Encode; break;
    }
    if (file.kind != OpenedFile::Kind::Checkpoint) {
        changed.width = file.width;
        changed.height = file.height;
        changed.batch = file.batch;
        input = {.seed = input.seed,
                 .path = file.path,
                 .key = m_openingInput.key,
                 .scaled = m_openingInput.scaled,
                 .fit = m_openingInput.fit};
    }
    change(changed, input, QStringLiteral("open ") + fileName(file.path));
    show(0);
}

std::vector<NamedFile> Workspace::openFiles() const {
    std::vector<NamedFile> files;
    const auto add = [&](const char* name, const std::string& path) { files.push_back({.name = name, .path = path}); };
    const auto addInput = [&](const InputSource& input) { add("the input", input.path); };
    const auto addWeights = [&](const Controls& controls) {
        if (!controls.syntheticSeed()) add("the checkpoint", controls.weights);
    };
    addWeights(m_controls);
    addInput(m_input);
    if (m_runState.running) {
        addWeights(m_runControls);
        addInput(m_runInput);
    }
    for (const RunEntry& entry : m_runs.entries()) {
        add("the recording", entry.file);
        if (entry.input) addInput(*entry.input);
    }
    for (const std::string& path : m_opening) add("what is being opened,", path);
    if (m_awaitingChoice) add("the input", m_awaitingChoice->path);
    return files;
}

Result<void> Workspace::checkExport(const QString& path, bool session) const {
    std::vector<NamedFile> files = openFiles();
    if (!session) files.push_back({.name = "the session", .path = m_session});
    files.push_back({.name = "the file to save", .path = path.toStdString(), .role = NamedFile::Role::Output});
    return checkFilesApart(files);
}

} // namespace spikescope
