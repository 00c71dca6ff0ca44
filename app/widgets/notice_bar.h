#pragma once
// A bar over the timeline for what went wrong and for answers, until it is closed or its cause is gone; and for the
// choices that a file leaves to the user.

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
    void ask(); // Workspace::awaitingChoice()

protected:
    void changeEvent(QEvent* event) override;

private:
    void paint();

    Workspace& m_workspace;
    Notice m_notice;
    QLabel* m_text;
    QComboBox* m_choices;
    QPushButton* m_use;
};

} // namespace spikescope
