// spikescope-cli: everything that the window measures, without a window.

#include "app/cli/commands.h"

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
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 1; // help is no error; every other is bad usage
    }
    return result;
}
