#pragma once
// Under the timeline: what is at the cursor, with the colours and dashes of the chart; below, one sentence that says
// what the memory there is. Both are about the workspace's cursor, whoever moved it.

#include "app/models/workspace.h"

#include <QPen>
#include <QWidget>

namespace spikescope {

class ElidedLabel;

// Values in a row that wraps. Painted by hand: it changes with every step of the cursor, and rich text takes
// milliseconds to lay out.
class ValueStrip final : public QWidget {
public:
    struct Item {
        QColor swatch; // of an area; invalid: none
        QPen line;     // of a curve; no pen: none
        QString name, value;
    };

    explicit ValueStrip(QWidget* parent);
    void setItems(std::vector<Item> items);
    const std::vector<Item>& items() const { return m_items; }
    int rowsFor(int width) const;
    int rowHeight() const { return fontMetrics().height() + 3; }

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    int rows(QPainter* painter, int width) const; // paints when there is a painter

    std::vector<Item> m_items;
};

class CursorBar final : public QWidget {
    Q_OBJECT
public:
    explicit CursorBar(Workspace& workspace, QWidget* parent = nullptr);
    int stripRows(int width); // that its values need; grows only, so that nothing jumps while the cursor moves
    int heightFor(int stripRows, int sentenceLines) const;
    void setRows(int stripRows, int sentenceLines); // what there is room for
    const std::vector<ValueStrip::Item>& items() const { return m_values->items(); }

Q_SIGNALS:
    void rowsChanged();

protected:
    void resizeEvent(QResizeEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    void refresh();
    void place();
    std::vector<ValueStrip::Item> values(const Timeline& timeline, std::uint32_t event) const;

    Workspace& m_workspace;
    ValueStrip* m_values;
    ElidedLabel* m_sentence;
    int m_stripRows = 1, m_sentenceLines = 2; // shown
    int m_neededRows = 1, m_neededFor = 0;    // for which width
};

} // namespace spikescope
