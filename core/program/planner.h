#pragma once
// A Program walked over a virtual heap: the allocation sequence of a run, without a device.

#include "core/program/controls.h"
#include "core/program/walk.h"

#include <memory>

namespace spikescope {

// The allocator that the controls name. The arena's layout fails with OutOfDeviceMemory when a tensor is larger than
// the heap's largest block.
Result<std::unique_ptr<Allocator>> makeAllocator(const Program& program, const Controls& controls, Heap& heap,
                                                 Recorder& recorder);

// Of the policies that need no plan; never the arena.
std::unique_ptr<Allocator> makeDynamicAllocator(const Controls& controls, Heap& heap, Recorder& recorder);

// A Recording of kind "plan"; a refusal of the heap stands in its failure.
Recording plan(const Program& program, const Controls& controls, Heap& heap);
// The same into `recording`, which is empty, with a machine that looks on.
void plan(const Program& program, const Controls& controls, Heap& heap, Recording& recording, Machine& machine);

} // namespace spikescope
