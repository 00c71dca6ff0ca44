// spikescope-cli: everything that the window measures, without a window.

#include "app/cli/commands.h"

#include "core/program/controls.h"

int main(int argc, char** argv) {
    using namespace spikescope::cli;
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
    addTune(app, result);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return app.exit(error); // help and version
        // One sentence, and what there is instead of an option that is not known.
        fmt::print(stderr, "spikescope-cli: {}", error.what());
        if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
            fmt::print(stderr, "; controls are");
            for (const spikescope::ControlInfo& info : spikescope::controlTable())
                fmt::print(stderr, " --{}", info.name);
        }
        fmt::print(stderr, "\n");
        return 1;
    }
    return result;
}
