#pragma once
// Configurations by name: presets and the defaults, which of them is in force, and what tells controls from the rest.

#include "core/program/controls.h"

#include <QString>
#include <QStringList>

namespace spikescope {

// The name of the configuration in which no control differs from its default, beside the presets of
// core/program/presets.h.
inline constexpr const char* defaultsName = "defaults";

struct Configuration {
    QString name;
    QString help; // what it stands for, one line
};
// The defaults, then the presets.
const std::vector<Configuration>& configurations();

// Controls with the configuration of this name: what says what is run, on what and within which budget stays, all else
// is the configuration's. Refuses unknown names.
Result<Controls> withConfiguration(const Controls& controls, std::string_view name);
// Whose values these controls have; of several with the same values `chosen`; empty: nobody's.
QString configurationOf(const Controls& controls, const std::string& chosen = {});

// Controls that differ, "conv im2col", with the values that `controls` has; but for what says what is run and where.
QStringList changedControls(const Controls& from, const Controls& controls);
// The configuration with the fewest differences and these differences: "defaults", "mlx-before, conv direct",
// "conv im2col, norm separate".
QString describe(const Controls& controls);

} // namespace spikescope
