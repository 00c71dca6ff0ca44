#pragma once
// A memory snapshot of PyTorch (torch.cuda.memory._dump_snapshot): what its allocator did, event by event, and what it
// held when the snapshot was taken.

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

struct PyTorchSnapshot {
    struct Block {
        std::uint64_t address = 0, bytes = 0, requested = 0; // requested: 0 when it is not told
        bool live = false;
    };
    // EmptyCache: segments went back to the driver (a run of segment_free), as only empty_cache() and running out of
    // memory make them.
    enum class Action : std::uint8_t { Alloc, Free, EmptyCache };
    struct Event {
        Action action = Action::Alloc;
        std::uint64_t address = 0, bytes = 0; // bytes as the caller asked for
        std::uint32_t stack = 0;              // index into `stacks`
    };
    // Where in Python: the innermost function, and the innermost one outside of PyTorch itself.
    struct Stack {
        std::string function = "unknown", module;
        bool operator==(const Stack&) const = default;
    };

    std::vector<Block> blocks; // of all segments, in the order of the file
    std::vector<Event> events; // of one device, in order; frees when they have taken place (free_completed)
    std::vector<Stack> stacks;
    std::uint64_t otherEvents = 0; // of other kinds, such as free_requested and segment_alloc: not replayed

    // BadInput names the file and the field. Missing frames, unknown actions and unknown fields do no harm.
    static Result<PyTorchSnapshot> open(const std::string& path);
    static Result<PyTorchSnapshot> parse(std::span<const std::byte> bytes, const std::string& fileName);
};

} // namespace spikescope
