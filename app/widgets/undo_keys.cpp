#include "app/widgets/undo_keys.h"

#include <QAbstractSpinBox>
#include <QComboBox>
#include <QKeyEvent>
#include <QLineEdit>

namespace spikescope {

namespace {

QLineEdit* fieldOf(QObject* widget) {
    if (auto* box = qobject_cast<QComboBox*>(widget)) return box->lineEdit();
    if (auto* field = qobject_cast<QLineEdit*>(widget)) return field;
    return widget->findChild<QLineEdit*>();
}

} // namespace

void UndoKeys::watchAll(QWidget& window) {
    for (QLineEdit* field : window.findChildren<QLineEdit*>()) {
        field->installEventFilter(this);
        // Boxes hand keys to their field without asking its filters.
        if (qobject_cast<QComboBox*>(field->parentWidget()) || qobject_cast<QAbstractSpinBox*>(field->parentWidget()))
            field->parentWidget()->installEventFilter(this);
    }
}

bool UndoKeys::eventFilter(QObject* watched, QEvent* event) {
    if (event->type() != QEvent::ShortcutOverride) return false;
    const auto* key = static_cast<QKeyEvent*>(event);
    const QLineEdit* field = fieldOf(watched);
    if (!field) return false;
    const bool undo = key->matches(QKeySequence::Undo) && !field->isUndoAvailable(),
               redo = key->matches(QKeySequence::Redo) && !field->isRedoAvailable();
    if (!undo && !redo) return false;
    event->ignore(); // the window's shortcut then gets it
    return true;
}

} // namespace spikescope
