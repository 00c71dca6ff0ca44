#include "app/models/control_list.h"

#include <algorithm>

namespace spikescope {

namespace {

QString textOf(std::string_view text) { return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size())); }

ControlEntry entryOf(const ControlInfo& info) {
    QStringList choices;
    for (const std::string_view value : info.suggestions) choices << textOf(value);
    return {.name = std::string(info.name),
            .help = textOf(info.help),
            .values = textOf(info.values),
            .choices = std::move(choices),
            .isEditable = info.isEditable,
            .isSubject = info.isSubject};
}

} // namespace

std::vector<ControlGroup> controlGroups() {
    std::vector<ControlGroup> groups;
    for (const ControlInfo& info : controlTable()) {
        const QString title = textOf(info.group);
        auto group = std::ranges::find(groups, title, &ControlGroup::title);
        if (group == groups.end()) group = groups.insert(group, {.title = title, .entries = {}});
        group->entries.push_back(entryOf(info));
    }
    return groups;
}

} // namespace spikescope
