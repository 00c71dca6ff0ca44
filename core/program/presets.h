#pragma once
// Named configurations: values of controls and nothing else.

#include "core/program/controls.h"

namespace spikescope {

struct Preset {
    std::string_view name;
    std::string_view help;                                                    // what it stands for, one line
    std::span<const std::pair<std::string_view, std::string_view>> values;    // control, value
    std::span<const std::pair<std::string_view, std::string_view>> more = {}; // over them
};

std::span<const Preset> presets();
// Sets what the preset names and leaves the other controls alone. Refuses unknown names with what there is.
Result<void> applyPreset(Controls& controls, std::string_view name);

} // namespace spikescope
