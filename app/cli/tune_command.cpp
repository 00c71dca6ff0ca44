// tune: measures which tiles of the kernels suit a program's calls on this device, and keeps them.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/base/text.h"
#include "core/vulkan/tuning.h"

namespace spikescope::cli {

namespace {

Result<int> tuneFor(const ControlOptions& options) {
    TRY(const Controls controls, options.controls());
    CHECK(checkFiles({options.inputFiles(controls)}, false));
    TRY(const Job job, makeJob(controls, {}));
    TRY(const auto backend, VulkanBackend::open({.device = controls.device}));
    bool any = false;
    CHECK(tune(*backend, job.program, [&](const TunedTile& tuned) {
        any = true;
        printOutput("{:<16} {}: {} {}", tuned.kernel, tuned.call, tuned.rule, formatDuration(tuned.ruleMs));
        if (tuned.chosen != tuned.rule) printOutput(" → {} {}", tuned.chosen, formatDuration(tuned.chosenMs));
        printOutput("\n");
        flushOutput(); // some take seconds
    }));
    if (!any) printOutput("the {} kernels have one tile for each of these calls\n", backend->facts().device.kernels);
    CHECK(keepTiles(*backend, defaultCacheFolder()));
    return 0;
}

} // namespace

void addTune(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("tune", "Measure which tiles suit these calls on this device, and keep them");
    auto options = std::make_shared<ControlOptions>();
    options->addTo(*sub, true);
    sub->callback([options, &result] {
        const Result<int> code = tuneFor(*options);
        result = code ? *code : exitWith(code.error());
    });
}

} // namespace spikescope::cli
