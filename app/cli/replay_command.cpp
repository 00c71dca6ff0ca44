// replay: a memory snapshot of PyTorch through one of our allocators.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/formats/formats.h"
#include "core/program/planner.h"

namespace spikescope::cli {

namespace {

struct ReplayCommand {
    std::string file, allocator = "caching";
    OutputOptions output;

    Result<int> run() const {
        TRY(const auto limit, output.limit());
        Controls controls;
        controls.lifetime = LifetimePolicy::Stream;
        CHECK(setControl(controls, "allocator", allocator));
        if (controls.allocator == AllocatorPolicy::Arena)
            return fail(ErrorCode::BadUsage,
                        "allocator arena contradicts replay: its offsets come from a plan; with replay go direct, "
                        "caching, expandable, cache-limit:GIB");
        CHECK(checkFiles({{{.name = "snapshot", .path = file}}, output.files()}, output.json));
        const ImportOptions options{
            .progress = {},
            .makeAllocator = [&](Heap& heap,
                                 Recorder& recorder) { return makeDynamicAllocator(controls, heap, recorder); },
            .allocator = allocator};
        TRY(const Imported replayed, snapshotImporter.read(file, options));
        const Recording& recording = replayed.recording;
        if (!output.quiet && !output.json)
            for (const std::string& note : replayed.notes) printError("note: {}\n", note);
        CHECK(output.writeFiles(recording));
        output.print(recording);
        return checkLimit(recording, limit, 0);
    }
};

} // namespace

void addReplay(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("replay", "Replay a PyTorch memory snapshot through an allocator");
    auto command = std::make_shared<ReplayCommand>();
    sub->add_option("snapshot", command->file, "FILE.pickle of torch.cuda.memory._dump_snapshot")->required();
    sub->add_option("--allocator", command->allocator, "direct, caching, expandable, cache-limit:GIB");
    command->output.addTo(*sub);
    sub->callback([command, &result] {
        const Result<int> code = command->run();
        result = code ? *code : exitWith(code.error());
    });
}

} // namespace spikescope::cli
