#include "app/models/runs_model.h"

#include "app/models/tables.h"
#include "core/base/text.h"

#include <QFont>

#include <algorithm>

namespace spikescope {

QColor overlayColour(int run) {
    // Of equal brightness on light and dark grounds, and far apart for the colour-blind.
    static const std::array colours{QColor(0xd8, 0x1b, 0x60), QColor(0x1e, 0x88, 0xe5), QColor(0xb0, 0x7a, 0x00),
                                    QColor(0x00, 0x89, 0x7b), QColor(0x8e, 0x24, 0xaa), QColor(0x6d, 0x7f, 0x1b)};
    return colours[static_cast<std::size_t>(run) % colours.size()];
}

Qt::PenStyle overlayDashes(int run) {
    static const std::array styles{Qt::SolidLine, Qt::DashDotLine, Qt::DotLine, Qt::DashDotDotLine};
    return styles[static_cast<std::size_t>(run) % styles.size()];
}

QString controlDifferences(const Recording& from, const Recording& to) {
    QStringList lines;
    for (const auto& [control, value] : to.controls) {
        const auto other = std::ranges::find(from.controls, control, &std::pair<std::string, std::string>::first);
        if (other == from.controls.end() || other->second == value) continue;
        lines << QStringLiteral("%1: %2 → %3").arg(textOf(control), textOf(other->second), textOf(value));
    }
    return lines.join(QLatin1Char('\n'));
}

int RunsModel::add(RunEntry entry) {
    const int row = rowCount();
    beginInsertRows({}, row, row);
    entry.id = ++m_lastId;
    m_entries.push_back(std::move(entry));
    endInsertRows();
    revise();
    Q_EMIT overlaysChanged();
    return m_lastId;
}

void RunsModel::remove(int id) {
    const int row = rowOf(id);
    if (row < 0) return;
    beginRemoveRows({}, row, row);
    m_entries.erase(m_entries.begin() + row);
    if (m_a == id) m_a = 0;
    if (m_b == id) m_b = 0;
    if (m_shown == id) m_shown = 0;
    endRemoveRows();
    revise();
    Q_EMIT overlaysChanged();
}

void RunsModel::clear() {
    beginResetModel();
    m_entries.clear();
    m_a = m_b = m_shown = 0;
    endResetModel();
    revise();
    Q_EMIT overlaysChanged();
}

const RunEntry* RunsModel::find(int id) const {
    const int row = rowOf(id);
    return row < 0 ? nullptr : &m_entries[static_cast<std::size_t>(row)];
}

int RunsModel::rowOf(int id) const {
    const auto found = std::ranges::find(m_entries, id, &RunEntry::id);
    return found == m_entries.end() ? -1 : static_cast<int>(found - m_entries.begin());
}

void RunsModel::setTicked(int id, bool ticked) {
    const int row = rowOf(id);
    if (row < 0 || m_entries[static_cast<std::size_t>(row)].ticked == ticked) return;
    m_entries[static_cast<std::size_t>(row)].ticked = ticked;
    Q_EMIT dataChanged(index(row, 0), index(row, columnTotal - 1));
    Q_EMIT overlaysChanged();
}

void RunsModel::rename(int id, const QString& label) {
    const int row = rowOf(id);
    if (row < 0 || label.trimmed().isEmpty()) return;
    m_entries[static_cast<std::size_t>(row)].label = label.trimmed();
    Q_EMIT dataChanged(index(row, 0), index(row, 0));
    revise();
    Q_EMIT overlaysChanged();
}

void RunsModel::revise() {
    ++m_revision;
    Q_EMIT revised();
}

void RunsModel::setShown(int id) {
    if (id == m_shown) return;
    const int before = rowOf(m_shown), now = rowOf(id);
    m_shown = now < 0 ? 0 : id;
    for (const int row : {before, now})
        if (row >= 0) Q_EMIT dataChanged(index(row, 0), index(row, 0));
}

void RunsModel::setBadges(int a, int b) {
    m_a = find(a) ? a : 0;
    m_b = find(b) && b != m_a ? b : 0;
    if (rowCount() > 0) Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, 0));
    Q_EMIT overlaysChanged();
}

int RunsModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(m_entries.size());
}
int RunsModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : columnTotal; }

QString RunsModel::tip(const RunEntry& entry) const {
    const Recording& recording = entry.timeline->recording();
    QStringList lines{entry.id == m_shown ? entry.label + QStringLiteral(", which is shown") : entry.label,
                      QStringLiteral("%1 allocated, %2 reserved, at %3")
                          .arg(bytesText(entry.timeline->peak().allocated), bytesText(entry.timeline->peak().reserved),
                               textOf(entry.timeline->peak().layer))};
    if (recording.tiling == TilingKind::Exact)
        lines << QStringLiteral("exact tiling: the picture is that of no tiles");
    else if (recording.tiling == TilingKind::Approximate)
        lines << QStringLiteral("approximate tiling: tiles are independent; norms and attention see one tile only");
    if (!recording.device.name.empty()) lines << textOf(recording.device.name);
    if (recording.failure) lines << textOf(recording.failure->message);
    const RunEntry* base = find(m_a);
    if (!base) base = &m_entries.front();
    if (base->id != entry.id) {
        const QString differences = controlDifferences(base->timeline->recording(), recording);
        lines << (differences.isEmpty() ? QStringLiteral("same controls as “%1”").arg(base->label)
                                        : QStringLiteral("against “%1”:\n%2").arg(base->label, differences));
    }
    return lines.join(QLatin1Char('\n'));
}

QVariant RunsModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const RunEntry& entry = m_entries[static_cast<std::size_t>(index.row())];
    const Recording& recording = entry.timeline->recording();
    const Peak& peak = entry.timeline->peak();
    switch (role) {
    case Qt::DisplayRole:
    case Qt::AccessibleTextRole:
        switch (index.column()) {
        case Label: {
            const QString badge = entry.id == m_a   ? QStringLiteral("A  ")
                                  : entry.id == m_b ? QStringLiteral("B  ")
                                                    : QString();
            const QString shown = entry.id == m_shown ? QStringLiteral("▶ ") : QString();
            return shown + badge + entry.label + (recording.failure ? QStringLiteral("  ✕") : QString());
        }
        case PeakBytes: return bytesText(peak.allocated);
        case Reserved: return bytesText(peak.reserved);
        case Duration:
            return recording.durationMs > 0 ? QString::fromStdString(formatDuration(recording.durationMs))
                                            : textOf(name(recording.kind));
        default: return {};
        }
    case Qt::EditRole: return index.column() == Label ? entry.label : QVariant();
    case Qt::CheckStateRole:
        return index.column() == Label ? QVariant(entry.ticked ? Qt::Checked : Qt::Unchecked) : QVariant();
    case Qt::DecorationRole: return index.column() == Label ? QVariant(overlayColour(entry.id)) : QVariant();
    case Qt::ToolTipRole: return plainTip(tip(entry));
    case Qt::FontRole: {
        QFont font;
        font.setBold(entry.id == m_a || entry.id == m_b);
        return font;
    }
    case Qt::TextAlignmentRole:
        return QVariant::fromValue(
            Qt::Alignment((index.column() == Label ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter));
    default: return {};
    }
}

QVariant RunsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || section < 0 || section >= columnTotal) return {};
    static const std::array titles{QStringLiteral("Run"), QStringLiteral("Peak"), QStringLiteral("Reserved"),
                                   QStringLiteral("Time")};
    static const std::array tips{
        QStringLiteral("Click to show (▶ is shown), tick to overlay, F2 renames; A and B are compared"),
        QStringLiteral("Largest allocated bytes: live tensors"),
        QStringLiteral("Largest reserved bytes: held from the driver"),
        QStringLiteral("Device time of the decode; a plan has none")};
    if (role == Qt::DisplayRole) return titles[static_cast<std::size_t>(section)];
    if (role == Qt::ToolTipRole) return tips[static_cast<std::size_t>(section)];
    return {};
}

bool RunsModel::setData(const QModelIndex& index, const QVariant& value, int role) {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid) || index.column() != Label) return false;
    const int id = idAt(index.row());
    if (role == Qt::CheckStateRole) {
        setTicked(id, value.toInt() == Qt::Checked);
        return true;
    }
    if (role == Qt::EditRole && !value.toString().trimmed().isEmpty()) {
        rename(id, value.toString());
        return true;
    }
    return false;
}

Qt::ItemFlags RunsModel::flags(const QModelIndex& index) const {
    Qt::ItemFlags flags = QAbstractTableModel::flags(index);
    if (index.isValid() && index.column() == Label) flags |= Qt::ItemIsUserCheckable | Qt::ItemIsEditable;
    return flags;
}

} // namespace spikescope
