#include "app/models/configurations.h"

#include "core/program/presets.h"

#include <algorithm>
#include <optional>

namespace spikescope {

namespace {

QString textOf(std::string_view text) { return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size())); }

} // namespace

const std::vector<Configuration>& configurations() {
    static const std::vector<Configuration> all = [] {
        std::vector<Configuration> made{
            {.name = QString::fromUtf8(defaultsName),
             .help =
                 QStringLiteral("no control differs from its default: exact, with planned memory and fused layers")}};
        for (const Preset& preset : presets())
            made.push_back({.name = textOf(preset.name), .help = textOf(preset.help)});
        return made;
    }();
    return all;
}

Result<Controls> withConfiguration(const Controls& controls, std::string_view name) {
    Controls made;
    for (const ControlInfo& info : controlTable())
        // What is not yet chosen, such as an empty model, is not a value either.
        if (info.isSubject) (void)info.set(made, info.get(controls));
    made.width = controls.width;
    made.height = controls.height;
    made.batch = controls.batch;
    made.repeat = controls.repeat;
    made.budgetBytes = controls.budgetBytes;
    made.enforce = controls.enforce;
    if (name != defaultsName) CHECK(applyPreset(made, name));
    return made;
}

QString configurationOf(const Controls& controls, const std::string& chosen) {
    const auto values = controlValues(controls);
    const auto has = [&](std::string_view name) {
        const auto made = withConfiguration(controls, name);
        return made && controlValues(*made) == values;
    };
    if (!chosen.empty() && has(chosen)) return QString::fromStdString(chosen);
    const auto found = std::ranges::find_if(configurations(),
                                            [&](const Configuration& known) { return has(known.name.toStdString()); });
    return found == configurations().end() ? QString() : found->name;
}

QStringList changedControls(const Controls& from, const Controls& controls) {
    QStringList changed;
    for (const ControlInfo& info : controlTable())
        if (const std::string value = info.get(controls); !info.isSubject && info.get(from) != value)
            changed << textOf(info.name) + QLatin1Char(' ') + QString::fromStdString(value);
    return changed;
}

QString describe(const Controls& controls) {
    std::optional<QStringList> fewest;
    for (const Configuration& known : configurations()) {
        const auto made = withConfiguration(controls, known.name.toStdString());
        if (!made) continue;
        QStringList parts = changedControls(*made, controls);
        // Changes of the defaults speak for themselves.
        if (parts.isEmpty() || known.name != QLatin1String(defaultsName)) parts.prepend(known.name);
        if (!fewest || parts.size() < fewest->size()) fewest = std::move(parts);
    }
    if (!fewest) return {};
    if (controls.batch > 1) *fewest << QStringLiteral("batch %1").arg(controls.batch);
    if (controls.repeat > 1) *fewest << QStringLiteral("repeat %1").arg(controls.repeat);
    return fewest->join(QStringLiteral(", "));
}

} // namespace spikescope
