#pragma once
// Under the timeline: what is at the cursor or under the mouse, with the colours and dashes of the chart; so it is the
// legend too. Below, one sentence that says what the memory there is.

#include "app/models/workspace.h"

#include <QLabel>
#include <QPen>
#include <QWidget>

namespace spikescope {

// Values in a row that wraps. Painted by hand: it changes with every move of the mouse, and rich text takes
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
    QSize sizeHint() const override;

protected:
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    int rows(QPainter* painter) const; // paints when there is a painter
    void settle();

    std::vector<Item> m_items;
    int m_rows = 2; // grows only, so that nothing jumps under the mouse
};

class CursorBar final : public QWidget {
    Q_OBJECT
public:
    explicit CursorBar(Workspace& workspace, QWidget* parent = nullptr);
    void showHover(std::uint32_t event); // noIndex: the cursor again

private:
    void refresh();
    std::vector<ValueStrip::Item> values(const Timeline& timeline, std::uint32_t event) const;

    Workspace& m_workspace;
    std::uint32_t m_hover = noIndex;
    ValueStrip* m_values;
    QLabel* m_sentence;
};

} // namespace spikescope
