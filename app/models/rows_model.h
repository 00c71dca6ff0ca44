#pragma once
// A table of rows of one type: what its columns say, how they sort, and which rows a filter leaves. Rows are swapped
// whole.

#include "core/base/csv.h"

#include <QAbstractTableModel>
#include <QColor>
#include <QGuiApplication>
#include <QPalette>
#include <QTextDocument>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

namespace spikescope {

// A tip of text that may come from a file: tips guess whether they are markup.
inline QString plainTip(const QString& text) {
    return Qt::mightBeRichText(text) ? Qt::convertFromPlainText(text) : text;
}

// What every table can do, whatever its rows are.
class TableModel : public QAbstractTableModel {
public:
    using QAbstractTableModel::QAbstractTableModel;
    virtual void setFilter(const QString& text) = 0;
    // With a header, fields by RFC 4180 and unrounded numbers; rows as they are shown.
    virtual std::string csv() const = 0;
    // Of the row itself, whatever the order in which it is shown.
    virtual int rowOf(int shownRow) const = 0;
};

template <class Row> struct RowColumn {
    QString title;
    QString tip; // what it means, with the unit
    std::function<QString(const Row&)> text;
    std::function<double(const Row&)> number;  // sorts by it and stands in CSV; none: by text
    std::function<QColor(const Row&)> colour;  // a swatch before the text
    std::function<QString(const Row&)> rowTip; // beyond the text
    bool link = false;                         // a click does what it says
};

template <class Row> class RowsModel final : public TableModel {
public:
    explicit RowsModel(std::vector<RowColumn<Row>> columns, QObject* parent = nullptr)
        : TableModel(parent)
        , m_columns(std::move(columns)) {}

    void setRows(std::vector<Row> rows) {
        beginResetModel();
        m_rows = std::move(rows);
        arrange();
        endResetModel();
    }
    void setColumns(std::vector<RowColumn<Row>> columns, std::vector<Row> rows) {
        beginResetModel();
        m_columns = std::move(columns);
        m_rows = std::move(rows);
        if (m_sortColumn >= columnCount()) m_sortColumn = -1;
        arrange();
        endResetModel();
    }
    const Row& row(int shownRow) const { return m_rows[m_order[static_cast<std::size_t>(shownRow)]]; }
    const std::vector<Row>& rows() const { return m_rows; }
    int rowOf(int shownRow) const override { return static_cast<int>(m_order[static_cast<std::size_t>(shownRow)]); }

    void setFilter(const QString& text) override {
        if (text == m_filter) return;
        beginResetModel();
        m_filter = text;
        arrange();
        endResetModel();
    }
    void sort(int column, Qt::SortOrder order) override {
        Q_EMIT layoutAboutToBeChanged({}, QAbstractItemModel::VerticalSortHint);
        const QModelIndexList old = persistentIndexList();
        std::vector<std::uint32_t> rowsOfOld;
        for (const QModelIndex& index : old) rowsOfOld.push_back(m_order[static_cast<std::size_t>(index.row())]);
        m_sortColumn = column;
        m_sortOrder = order;
        arrange();
        QModelIndexList fresh;
        for (qsizetype i = 0; i < old.size(); ++i) {
            const auto at = std::ranges::find(m_order, rowsOfOld[static_cast<std::size_t>(i)]) - m_order.begin();
            fresh.append(index(static_cast<int>(at), old[i].column()));
        }
        changePersistentIndexList(old, fresh);
        Q_EMIT layoutChanged({}, QAbstractItemModel::VerticalSortHint);
    }

    int rowCount(const QModelIndex& parent = {}) const override {
        return parent.isValid() ? 0 : static_cast<int>(m_order.size());
    }
    int columnCount(const QModelIndex& parent = {}) const override {
        return parent.isValid() ? 0 : static_cast<int>(m_columns.size());
    }
    QVariant data(const QModelIndex& index, int role) const override {
        if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
        const RowColumn<Row>& column = m_columns[static_cast<std::size_t>(index.column())];
        const Row& of = row(index.row());
        switch (role) {
        case Qt::DisplayRole:
        case Qt::AccessibleTextRole: return column.text(of);
        case Qt::TextAlignmentRole:
            return QVariant::fromValue(
                Qt::Alignment((column.number ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter));
        case Qt::DecorationRole: return column.colour ? QVariant(column.colour(of)) : QVariant();
        case Qt::ForegroundRole: return column.link ? QVariant(QGuiApplication::palette().link()) : QVariant();
        case Qt::ToolTipRole: return plainTip(column.rowTip ? column.rowTip(of) : column.text(of));
        default: return {};
        }
    }
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override {
        if (orientation != Qt::Horizontal || section < 0 || section >= columnCount()) return {};
        const RowColumn<Row>& column = m_columns[static_cast<std::size_t>(section)];
        switch (role) {
        case Qt::DisplayRole: return column.title;
        case Qt::ToolTipRole: return column.tip;
        case Qt::TextAlignmentRole:
            return QVariant::fromValue(
                Qt::Alignment((column.number ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter));
        default: return {};
        }
    }
    std::string csv() const override {
        CsvText out;
        for (const RowColumn<Row>& column : m_columns) out.text(column.title.toStdString());
        out.endLine();
        for (const std::uint32_t at : m_order) {
            for (const RowColumn<Row>& column : m_columns)
                if (column.number)
                    out.number(column.number(m_rows[at]));
                else
                    out.text(column.text(m_rows[at]).toStdString());
            out.endLine();
        }
        return out.all();
    }

private:
    bool passes(const Row& row) const {
        // Words are looked for in words: numbers are sorted.
        return m_filter.isEmpty() || std::ranges::any_of(m_columns, [&](const RowColumn<Row>& column) {
                   return !column.number && column.text(row).contains(m_filter, Qt::CaseInsensitive);
               });
    }
    void arrange() {
        m_order.clear();
        for (std::uint32_t i = 0; i < m_rows.size(); ++i)
            if (passes(m_rows[i])) m_order.push_back(i);
        if (m_sortColumn < 0 || m_sortColumn >= columnCount()) return;
        const RowColumn<Row>& column = m_columns[static_cast<std::size_t>(m_sortColumn)];
        const bool down = m_sortOrder == Qt::DescendingOrder;
        const auto sortBy = [&](const auto& keys) {
            std::ranges::stable_sort(m_order, [&](std::uint32_t a, std::uint32_t b) {
                return down ? keys[b] < keys[a] : keys[a] < keys[b];
            });
        };
        if (column.number) {
            std::vector<double> keys;
            keys.reserve(m_rows.size());
            // What has no value goes below all that has one.
            for (const Row& r : m_rows) {
                const double key = column.number(r);
                keys.push_back(std::isnan(key) ? -HUGE_VAL : key);
            }
            sortBy(keys);
        } else {
            std::vector<QString> keys;
            keys.reserve(m_rows.size());
            for (const Row& r : m_rows) keys.push_back(column.text(r));
            sortBy(keys);
        }
    }

    std::vector<RowColumn<Row>> m_columns;
    std::vector<Row> m_rows;
    std::vector<std::uint32_t> m_order; // rows that are shown
    QString m_filter;
    int m_sortColumn = -1;
    Qt::SortOrder m_sortOrder = Qt::AscendingOrder;
};

} // namespace spikescope
