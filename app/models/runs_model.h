#pragma once
// The history: runs, kept plans, opened Recordings and replays. A tick overlays one on the timeline; A and B are the
// two whose pictures are compared.

#include "app/engine/open_file.h"
#include "app/engine/picture.h"

#include <QAbstractTableModel>
#include <QColor>

#include <memory>

namespace spikescope {

struct RunEntry {
    int id = 0; // never used again
    QString label;
    TimelinePtr timeline;
    PicturePtr picture;
    std::shared_ptr<const Moments> moments;
    std::optional<InputSource> input; // of what was run here
    std::string file;                 // of an opened recording or snapshot
    bool ticked = false;
    bool isPreset = false; // the plan of a preset, which can be made again at any time
};

// Colour and dashes of an overlay, by its run: told apart by either alone.
QColor overlayColour(int run);
Qt::PenStyle overlayDashes(int run);

class RunsModel : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column { Label, PeakBytes, Reserved, Duration, columnTotal };
    using QAbstractTableModel::QAbstractTableModel;

    int add(RunEntry entry); // gives it an id
    void remove(int id);
    void clear();
    const RunEntry* find(int id) const; // null when there is none
    const std::vector<RunEntry>& entries() const { return m_entries; }
    int idAt(int row) const { return m_entries[static_cast<std::size_t>(row)].id; }
    int rowOf(int id) const; // -1 when there is none
    void setTicked(int id, bool ticked);
    void rename(int id, const QString& label);
    void setBadges(int a, int b); // ids, 0 for none
    int badgeA() const { return m_a; }
    int badgeB() const { return m_b; }
    void setShown(int id); // 0 for none
    int shown() const { return m_shown; }
    std::uint64_t revision() const { return m_revision; } // another one where entries or their names differ

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
    bool setData(const QModelIndex& index, const QVariant& value, int role) override;
    Qt::ItemFlags flags(const QModelIndex& index) const override;

Q_SIGNALS:
    void overlaysChanged(); // ticks, badges, names, or which entries there are
    void revised();

private:
    QString tip(const RunEntry& entry) const;
    void revise();

    std::vector<RunEntry> m_entries;
    int m_lastId = 0, m_a = 0, m_b = 0, m_shown = 0;
    std::uint64_t m_revision = 0;
};

// Controls in which two Recordings differ, "conv: im2col → direct", one a line; empty when in none.
QString controlDifferences(const Recording& from, const Recording& to);

} // namespace spikescope
