#pragma once
// A bar over the timeline for what went wrong, until it is closed or the next thing happens; and for the choices
// that a file leaves to the user.

#include "app/models/workspace.h"

#include <QComboBox>
#include <QFrame>
#include <QLabel>
#include <QPushButton>

namespace spikescope {

class NoticeBar final : public QFrame {
    Q_OBJECT
public:
    explicit NoticeBar(Workspace& workspace, QWidget* parent = nullptr);
    void show(const Notice& notice);
    void ask();      // Workspace::awaitingChoice()
    void hideNote(); // but no error

protected:
    void changeEvent(QEvent* event) override;

private:
    void paint(Notice::Kind kind);

    Workspace& m_workspace;
    Notice::Kind m_kind = Notice::Kind::Note;
    QLabel* m_text;
    QComboBox* m_choices;
    QPushButton* m_use;
};

} // namespace spikescope
