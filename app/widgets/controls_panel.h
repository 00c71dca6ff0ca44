#pragma once
// Every control, in groups. A value that is refused stays visible with the reason under it.

#include "app/models/workspace.h"

#include <QComboBox>
#include <QLabel>
#include <QScrollArea>

#include <map>

namespace spikescope {

class ControlsPanel final : public QScrollArea {
    Q_OBJECT
public:
    explicit ControlsPanel(Workspace& workspace, QWidget* parent = nullptr);
    QSize sizeHint() const override { return {290, 600}; }

private:
    struct Field {
        QLabel* label = nullptr;
        QComboBox* box = nullptr;
        QLabel* error = nullptr;
        QString initial;        // of the default controls: what differs is shown in bold,
        bool isSubject = false; // but for what says what is run
    };
    void refresh();

    Workspace& m_workspace;
    std::map<std::string, Field> m_fields;
};

} // namespace spikescope
