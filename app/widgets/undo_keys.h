#pragma once
// Undo and redo are the window's, whatever has the focus. A field of text has them first while there is something in
// it that was typed and not yet taken.

#include <QObject>

class QLineEdit;
class QWidget;

namespace spikescope {

// Takes the keys from a field that would swallow them: watches a line edit, or a box that has one.
class UndoKeys final : public QObject {
public:
    using QObject::QObject;
    void watchAll(QWidget& window); // the fields that it has now

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;
};

} // namespace spikescope
