#pragma once
// How the controls of core/program/controls.h are laid out for people: in groups, each with the values to choose from.

#include "core/program/controls.h"

#include <QString>
#include <QStringList>

#include <vector>

namespace spikescope {

struct ControlEntry {
    std::string name;
    QString help, values;    // what it does, and what it takes
    QStringList choices;     // offered
    bool isEditable = false; // other values can be typed
    bool isSubject = false;  // see ControlInfo
};

struct ControlGroup {
    QString title;
    std::vector<ControlEntry> entries;
};

// Every control of the table once; groups and controls in the order of the table.
std::vector<ControlGroup> controlGroups();

} // namespace spikescope
