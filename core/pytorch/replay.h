#pragma once
// A snapshot's events, in order, through one of our allocators over a virtual heap: what the same requests would have
// reserved under other rules.

#include "core/memory/allocator.h"
#include "core/pytorch/snapshot.h"

#include <memory>

namespace spikescope {

struct Replay {
    // Kind "replay". Tensors count as PyTorch's statistics count them: whole blocks, with what rounding adds. Each
    // allocation is an op of its own, named after the innermost Python function, in a layer named after the innermost
    // code outside of PyTorch. What the snapshot still held at its end is left live.
    Recording recording;
    // Blocks that were live before recording began: freed without an allocation, or live in a segment without one. They
    // come first, by address, as residents.
    std::uint64_t baselineBlocks = 0, baselineBytes = 0;
    std::uint64_t brokenEvents = 0; // allocations at an address that is live: taken as if it had been freed before
};

using AllocatorMaker = std::function<std::unique_ptr<Allocator>(Heap&, Recorder&)>;

// What to know of a replay, a sentence each: what was left out, and what was there before.
std::vector<std::string> notesOf(const PyTorchSnapshot& snapshot, const Replay& replay);

// Fails only when the allocator refuses.
Result<Replay> replay(const PyTorchSnapshot& snapshot, const AllocatorMaker& makeAllocator);

} // namespace spikescope
