#pragma once
// Every control, in groups. A box shows the value in force; while something is typed into it, that. A value that is
// refused is named with the reason under the box.

#include "app/models/workspace.h"

#include <QComboBox>
#include <QLabel>
#include <QScrollArea>
#include <QToolButton>

#include <map>

class QGridLayout;

namespace spikescope {

struct ControlEntry;

class ControlsPanel final : public QScrollArea {
    Q_OBJECT
public:
    explicit ControlsPanel(Workspace& workspace, QWidget* parent = nullptr);
    QSize sizeHint() const override { return {290, 600}; }
    void commit(); // what was typed and not yet taken

private:
    struct Field {
        QLabel* label = nullptr;
        QComboBox* box = nullptr;
        QLabel* error = nullptr;
        QString initial;        // of the default controls: what differs is shown in bold,
        bool isSubject = false; // but for what says what is run
    };
    void addField(QGridLayout& grid, int& row, const ControlEntry& entry);
    void addInput(QGridLayout& grid, int& row);
    void commitField(const std::string& control, Field& field);
    void choose(const std::string& control, const QString& value);
    void refresh();
    void refreshField(const std::string& control, Field& field);
    void refreshInput();

    Workspace& m_workspace;
    std::map<std::string, Field> m_fields;
    QLabel* m_inputName = nullptr;
    QLabel* m_input = nullptr;
    QToolButton* m_synthetic = nullptr;
};

} // namespace spikescope
