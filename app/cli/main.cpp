// spikescope-cli: everything that the window measures, without a window.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/base/caught.h"

#include <sstream>

namespace {

using namespace spikescope;

int run(int argc, char** argv) {
    using namespace cli;
    CLI::App app{"Spikescope: where the memory of a VAE's decode goes, planned and measured to the byte"};
    app.name("spikescope-cli");
    app.require_subcommand(1);
    app.set_version_flag("--version", SPIKESCOPE_VERSION);
    int result = 0;
    addDevices(app, result);
    addInspect(app, result);
    addPlan(app, result);
    addDecode(app, result);
    addEncode(app, result);
    addCompare(app, result);
    addCompareImages(app, result);
    addAdvise(app, result);
    addFit(app, result);
    addReplay(app, result);
    addExport(app, result);
    addTune(app, result);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) { // help and version
            std::ostringstream text;
            app.exit(error, text);
            writeOutput(text.str());
            return 0;
        }
        // One sentence, and what there is instead of an option that is not known.
        std::string controls;
        if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
            controls = "; controls are";
            for (const ControlInfo& info : controlTable()) controls += fmt::format(" --{}", info.name);
        }
        printError("spikescope-cli: {}{}\n", error.what(), controls);
        return 1;
    }
    return result;
}

} // namespace

int main(int argc, char** argv) {
    prepareStreams();
    const Result<int> code = caught([&] { return Result<int>(run(argc, argv)); });
    return exitCodeAfterOutput(code ? *code : cli::exitWith(code.error()), "spikescope-cli");
}
