// The part of the workspace that opens files and knows which are open.

#include "app/models/workspace.h"

#include <QFileInfo>

#include <algorithm>

namespace spikescope {

namespace {

QString fileName(const std::string& path) { return QFileInfo(QString::fromStdString(path)).fileName(); }

} // namespace

void Workspace::open(const QString& path) {
    beginUserAction();
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
    case OpenedFile::Kind::Session: Q_EMIT sessionOpened(QString::fromStdString(file.path)); return;
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
    change({.controls = changed, .input = input, .preset = m_preset}, QStringLiteral("open ") + fileName(file.path));
    show(0);
}

void Workspace::setSession(const QString& path, std::uint64_t revision) {
    m_session = path.toStdString();
    m_savedRuns = revision;
    Q_EMIT savedChanged();
}

bool Workspace::unsaved() const {
    return m_runs.revision() != m_savedRuns && std::ranges::any_of(m_runs.entries(), [](const RunEntry& entry) {
               return entry.file.empty() && !entry.isPreset;
           });
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
