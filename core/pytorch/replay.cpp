#include "core/pytorch/replay.h"

#include "core/base/text.h"

#include <map>
#include <optional>
#include <unordered_map>

namespace spikescope {

namespace {

using Action = PyTorchSnapshot::Action;

class Player {
public:
    Player(const PyTorchSnapshot& snapshot, const AllocatorMaker& makeAllocator)
        : m_snapshot(snapshot)
        , m_recorder(m_replay.recording)
        , m_allocator(makeAllocator(m_heap, m_recorder)) {
        m_replay.recording.kind = RecordingKind::Replay;
        m_allocator->countWholeBlocks();
        m_recorder.phase(Phase::Decode);
    }

    Result<Replay> run() {
        CHECK(m_allocator->begin());
        for (const auto& [address, bytes] : baseline()) {
            CHECK(allocate(address, bytes, layer("before the recording"), "before the recording", Category::Resident));
            ++m_replay.baselineBlocks;
            m_replay.baselineBytes += bytes;
        }
        for (const PyTorchSnapshot::Event& event : m_snapshot.events) {
            if (event.action != Action::Alloc) {
                CHECK(event.action == Action::Free ? release(event.address) : m_allocator->emptyCache());
                continue;
            }
            if (m_live.contains(event.address)) {
                ++m_replay.brokenEvents;
                CHECK(release(event.address));
            }
            const PyTorchSnapshot::Stack& stack = m_snapshot.stacks[event.stack];
            CHECK(allocate(event.address, event.bytes, layer(stack.module), stack.function, Category::Activation));
        }
        return std::move(m_replay);
    }

private:
    struct Live {
        std::uint32_t tensor;
        Placement placement;
    };

    std::map<std::uint64_t, std::uint64_t> baseline() const {
        std::map<std::uint64_t, std::uint64_t> blocks; // address, bytes
        std::unordered_map<std::uint64_t, bool> live;  // by address, as the events go
        for (const PyTorchSnapshot::Event& event : m_snapshot.events) {
            if (event.action == Action::EmptyCache) continue;
            if (event.action == Action::Free && !live.contains(event.address))
                blocks.emplace(event.address, event.bytes);
            live[event.address] = event.action == Action::Alloc;
        }
        for (const PyTorchSnapshot::Block& block : m_snapshot.blocks)
            if (block.live && !live.contains(block.address))
                blocks.emplace(block.address, block.requested ? block.requested : block.bytes);
        return blocks;
    }

    std::uint32_t layer(const std::string& name) {
        const auto [place, added] =
            m_layers.try_emplace(name, static_cast<std::uint32_t>(m_replay.recording.layers.size()));
        if (added) m_replay.recording.layers.push_back(name);
        return place->second;
    }

    Result<void> allocate(std::uint64_t address, std::uint64_t bytes, std::uint32_t layer, const std::string& name,
                          Category category) {
        Recording& recording = m_replay.recording;
        const auto tensor = static_cast<std::uint32_t>(recording.tensors.size());
        recording.tensors.push_back({.name = name, .layer = layer, .category = category, .bytes = bytes});
        TRY(const Placement placement, m_allocator->allocate(tensor, bytes, MemoryKind::Device));
        recording.tensors[tensor].bytes = placement.bytes;
        m_recorder.op({.name = name, .layer = layer, .outputBytes = placement.bytes});
        m_live.emplace(address, Live{tensor, placement});
        return {};
    }

    Result<void> release(std::uint64_t address) {
        const auto found = m_live.find(address);
        if (found == m_live.end()) return {}; // freed twice
        const Live live = found->second;
        m_live.erase(found);
        return m_allocator->free(live.tensor, live.placement);
    }

    const PyTorchSnapshot& m_snapshot;
    VirtualHeap m_heap;
    Replay m_replay;
    Recorder m_recorder;
    std::unique_ptr<Allocator> m_allocator;
    std::unordered_map<std::uint64_t, Live> m_live; // by traced address
    std::unordered_map<std::string, std::uint32_t> m_layers;
};

} // namespace

Result<Replay> replay(const PyTorchSnapshot& snapshot, const AllocatorMaker& makeAllocator) {
    return Player(snapshot, makeAllocator).run();
}

std::vector<std::string> notesOf(const PyTorchSnapshot& snapshot, const Replay& replay) {
    std::vector<std::string> notes{
        fmt::format("{} events were replayed; {} others, which move no tensor, were left out", snapshot.events.size(),
                    snapshot.otherEvents)};
    if (replay.baselineBlocks)
        notes.push_back(fmt::format("{} blocks of {} were live before the recording began", replay.baselineBlocks,
                                    formatBytes(replay.baselineBytes)));
    if (replay.brokenEvents)
        notes.push_back(
            fmt::format("{} allocations at addresses that were live, taken as freed before", replay.brokenEvents));
    return notes;
}

} // namespace spikescope
