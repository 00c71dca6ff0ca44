// Any bytes are a snapshot: the reader refuses them with a sentence, or what it read can be replayed, and the
// recording's totals add up.

#include "core/memory/caching_allocator.h"
#include "core/pytorch/replay.h"
#include "tests/fuzz/require.h"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace spikescope;
    const auto snapshot = PyTorchSnapshot::parse(std::as_bytes(std::span(data, size)), "fuzz.pickle");
    if (!snapshot) {
        require(snapshot.error().code == ErrorCode::BadInput);
        require(snapshot.error().message.starts_with("file 'fuzz.pickle'"));
        return 0;
    }
    const auto replayed = replay(
        *snapshot, [](Heap& heap, Recorder& recorder) { return std::make_unique<CachingAllocator>(heap, recorder); });
    if (!replayed) {
        require(replayed.error().code == ErrorCode::OutOfDeviceMemory);
        return 0;
    }
    for (const Event& event : replayed->recording.events) {
        require(event.allocated <= event.reserved);
        require(event.largestFree <= event.freeBytes && event.freeBytes <= event.cached());
    }
    return 0;
}
