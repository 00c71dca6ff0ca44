#pragma once
// Controls as options of a command line; the window's and the command line's are the same.

#include "core/base/file_identity.h"
#include "core/program/controls.h"

#include <CLI/CLI.hpp>

namespace spikescope::cli {

struct ControlOptions {
    std::vector<std::pair<std::string_view, std::string>> values; // by the control table's order; empty: not given
    std::string preset, configFile;

    void addTo(CLI::App& command, bool withOp);
    bool given() const; // any of them
    // `controls` with the preset, the configuration and the single options over it, in this order.
    // `named`: gets the names of those that were given one by one.
    Result<Controls> controls(Controls controls = {}, std::vector<std::string>* named = nullptr) const;
    // Those that are read for `controls`, which controls() gave.
    std::vector<NamedFile> inputFiles(const Controls& controls) const;
};

} // namespace spikescope::cli
