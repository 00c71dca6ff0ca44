#pragma once
// The commands. Each adds itself to the application and, when it was the one given, sets `result` to its exit code.

#include <CLI/CLI.hpp>

namespace spikescope {
class CancelFlag;
}

namespace spikescope::cli {

// Raised by SIGINT and SIGTERM from here on.
const CancelFlag& cancelledBySignal();

void addDevices(CLI::App& app, int& result);
void addInspect(CLI::App& app, int& result);
void addCompare(CLI::App& app, int& result);
void addCompareImages(CLI::App& app, int& result);
void addReplay(CLI::App& app, int& result);
void addExport(CLI::App& app, int& result);
void addAdvise(CLI::App& app, int& result);
void addFit(CLI::App& app, int& result);
void addTune(CLI::App& app, int& result);
void addPlan(CLI::App& app, int& result);
void addDecode(CLI::App& app, int& result);
void addEncode(CLI::App& app, int& result);

} // namespace spikescope::cli
