// replay: a memory snapshot of PyTorch through one of our allocators.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/base/text.h"
#include "core/program/planner.h"
#include "core/pytorch/replay.h"
#include "core/timeline/peak.h"

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
        TRY(const PyTorchSnapshot snapshot, PyTorchSnapshot::open(file));
        TRY(Replay replayed, replay(snapshot, [&](Heap& heap, Recorder& recorder) {
                return makeDynamicAllocator(controls, heap, recorder);
            }));
        Recording& recording = replayed.recording;
        recording.controls = {{"allocator", allocator}};
        if (!output.quiet && !output.json)
            for (const std::string& note : notesOf(snapshot, replayed)) printError("note: {}\n", note);
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
