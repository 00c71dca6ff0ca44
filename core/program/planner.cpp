#include "core/program/planner.h"

#include "core/base/text.h"

namespace spikescope {

Result<std::unique_ptr<Allocator>> makeAllocator(const Program& program, AllocatorPolicy policy, Heap& heap,
                                                 Recorder& recorder) {
    if (policy == AllocatorPolicy::Direct) return std::make_unique<DirectAllocator>(heap, recorder);
    std::vector<Lifetime> lives = lifetimes(program);
    // Host-visible tensors are not part of the arena: a lifetime of no length takes no room.
    for (std::size_t i = 0; i < lives.size(); ++i)
        if (program.tensors[i].kind() == MemoryKind::HostVisible) lives[i] = {};
    TRY(ArenaLayout layout, layOutArena(lives, heap.traits()));
    return std::make_unique<ArenaAllocator>(heap, recorder, std::move(layout));
}

Recording plan(const Program& program, const Controls& controls, Heap& heap) {
    Recording recording;
    recording.kind = "plan";
    recording.controls = controlValues(controls);
    describe(program, recording);
    Recorder recorder(recording);
    auto allocator = makeAllocator(program, controls.allocatorPolicy(), heap, recorder);
    if (!allocator) {
        recording.failure = failureOf(allocator.error(), program, heap.bytesFree(), 0);
        return recording;
    }
    Machine nothing;
    const CancelFlag never;
    (void)walk(program, **allocator, recording, recorder, nothing, never); // a refusal is in the Recording
    return recording;
}

} // namespace spikescope
