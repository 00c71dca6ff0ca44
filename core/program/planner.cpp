#include "core/program/planner.h"

#include "core/base/text.h"
#include "core/memory/cache_limit_allocator.h"
#include "core/memory/caching_allocator.h"

namespace spikescope {

std::unique_ptr<Allocator> makeDynamicAllocator(const Controls& controls, Heap& heap, Recorder& recorder) {
    switch (controls.allocatorPolicy()) {
    case AllocatorPolicy::Caching: return std::make_unique<CachingAllocator>(heap, recorder);
    case AllocatorPolicy::Expandable: return std::make_unique<CachingAllocator>(heap, recorder, true);
    case AllocatorPolicy::CacheLimit:
        return std::make_unique<CacheLimitAllocator>(heap, recorder, controls.cacheLimit());
    default: return std::make_unique<DirectAllocator>(heap, recorder);
    }
}

Result<std::unique_ptr<Allocator>> makeAllocator(const Program& program, const Controls& controls, Heap& heap,
                                                 Recorder& recorder) {
    if (controls.allocatorPolicy() != AllocatorPolicy::Arena) return makeDynamicAllocator(controls, heap, recorder);
    auto [lives, earlier] = lifetimes(program);
    // What is not the device's, and other models, are not part of the arena: a lifetime of no length takes no room.
    for (std::size_t i = 0; i < lives.size(); ++i) {
        const Tensor& tensor = program.tensors[i];
        if (tensor.memory != MemoryKind::Device || tensor.category == Category::Resident) lives[i] = {};
    }
    TRY(ArenaLayout layout, layOutArena(lives, heap.traits(), earlier));
    return std::make_unique<ArenaAllocator>(heap, recorder, std::move(layout));
}

void plan(const Program& program, const Controls& controls, Heap& heap, Recording& recording, Machine& machine) {
    recording.kind = RecordingKind::Plan;
    describe(program, controls, recording);
    Recorder recorder(recording);
    auto allocator = makeAllocator(program, controls, heap, recorder);
    if (!allocator) {
        recording.failure = failureOf(allocator.error(), program, heap.bytesFree(), 0);
        return;
    }
    const CancelFlag never;
    (void)walk(program, **allocator, recording, recorder, machine, never); // a refusal is in the Recording
}

Recording plan(const Program& program, const Controls& controls, Heap& heap) {
    Recording recording;
    Machine nothing;
    plan(program, controls, heap, recording, nothing);
    return recording;
}

} // namespace spikescope
