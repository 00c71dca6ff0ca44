// Memory snapshots of PyTorch, replayed through an allocator.

#include "core/formats/formats.h"
#include "core/memory/caching_allocator.h"

namespace spikescope {

namespace {

// Pickles begin with an opcode and the protocol; older ones are known by their names.
bool isPickle(std::string_view begin, std::string_view fileName) {
    const bool protocol = begin.size() > 1 && begin[0] == '\x80' && begin[1] >= 2 && begin[1] <= 5;
    return protocol || fileName.ends_with(".pickle") || fileName.ends_with(".pkl");
}

Result<Imported> read(const std::string& path, const ImportOptions& options) {
    TRY(const PyTorchSnapshot snapshot, PyTorchSnapshot::open(path));
    const AllocatorMaker caching = [](Heap& heap, Recorder& recorder) {
        return std::make_unique<CachingAllocator>(heap, recorder);
    };
    TRY(Replay replayed, replay(snapshot, options.makeAllocator ? options.makeAllocator : caching));
    std::vector<std::string> notes = notesOf(snapshot, replayed);
    replayed.recording.controls = {{"allocator", options.allocator}};
    return Imported{.recording = std::move(replayed.recording), .notes = std::move(notes)};
}

} // namespace

const Importer snapshotImporter{.name = "pytorch",
                                .title = "PyTorch memory snapshot",
                                .patterns = "*.pickle *.pkl",
                                .recognises = isPickle,
                                .read = read};

} // namespace spikescope
