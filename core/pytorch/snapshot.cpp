#include "core/pytorch/snapshot.h"

#include "core/base/mapped_file.h"
#include "core/base/text.h"
#include "core/tensors/pickle.h"

#include <map>
#include <optional>
#include <utility>

namespace spikescope {

namespace {

using Value = Pickle::Value;
using Kind = Pickle::Kind;

class SnapshotReader {
public:
    explicit SnapshotReader(const Pickle& pickle)
        : m_pickle(pickle)
        // A file whose parts refer to the same parts over and over would be walked for ever.
        , m_budget(64 * pickle.fileBytes() + 100'000) {}

    Result<PyTorchSnapshot> read() {
        if (m_pickle.root().kind != Kind::Dict) return wrong("the file", "is not a dict");
        const std::optional<Value> segments = find(m_pickle.root(), "segments"),
                                   traces = find(m_pickle.root(), "device_traces");
        if (!traces) return wrong("device_traces", "is missing: record with torch.cuda.memory._record_memory_history");
        if (segments) CHECK(readSegments(*segments));
        CHECK(readTraces(*traces));
        return std::move(m_snapshot);
    }

private:
    tl::unexpected<Error> wrong(std::string_view field, std::string_view what) const {
        return fail(ErrorCode::BadInput, "file {}: {} {}", quote(m_pickle.fileName()), field, what);
    }
    Result<void> spend(std::uint64_t steps) {
        if (steps > m_budget) return wrong("the file", "refers to the same parts too often");
        m_budget -= steps;
        return {};
    }
    std::optional<Value> find(const Value& dict, std::string_view key) {
        const auto items = m_pickle.items(dict);
        m_budget -= std::min<std::uint64_t>(m_budget, items.size() / 2);
        // The last of equal keys counts, as in Python.
        for (std::size_t i = items.size(); i >= 2; i -= 2)
            if (items[i - 2].kind == Kind::Text && m_pickle.text(items[i - 2]) == key) return items[i - 1];
        return std::nullopt;
    }
    Result<std::span<const Value>> list(const Value& value, std::string_view field) {
        if (value.kind != Kind::List && value.kind != Kind::Tuple) return wrong(field, "is not a list");
        CHECK(spend(m_pickle.items(value).size() + 1));
        return m_pickle.items(value);
    }
    Result<std::uint64_t> number(const Value& dict, std::string_view key, std::string_view where) {
        const std::optional<Value> value = find(dict, key);
        const std::string field = fmt::format("{} of {}", key, where);
        if (!value) return wrong(field, "is missing");
        if (value->kind != Kind::Int) return wrong(field, "is not an integer");
        if (value->bits > std::uint64_t{1} << 62) return wrong(field, "is negative or beyond 2^62");
        return value->bits;
    }
    std::string_view text(const Value& dict, std::string_view key) {
        const std::optional<Value> value = find(dict, key);
        return value && value->kind == Kind::Text ? m_pickle.text(*value) : std::string_view();
    }

    Result<void> readSegments(const Value& value) {
        TRY(const auto segments, list(value, "segments"));
        for (const Value& segment : segments) {
            if (segment.kind != Kind::Dict) return wrong("segments", "holds something other than dicts");
            const std::optional<Value> blocks = find(segment, "blocks");
            if (!blocks) continue;
            TRY(std::uint64_t address, number(segment, "address", "a segment"));
            TRY(const auto all, list(*blocks, "blocks of a segment"));
            for (const Value& block : all) {
                if (block.kind != Kind::Dict) return wrong("blocks of a segment", "hold something other than dicts");
                PyTorchSnapshot::Block& read = m_snapshot.blocks.emplace_back();
                TRY(read.bytes, number(block, "size", "a block"));
                // Older snapshots give no addresses to blocks, which follow each other without gaps.
                read.address = address;
                if (find(block, "address")) {
                    TRY(read.address, number(block, "address", "a block"));
                }
                address = read.address + read.bytes;
                if (find(block, "requested_size")) {
                    TRY(read.requested, number(block, "requested_size", "a block"));
                }
                read.live = text(block, "state").starts_with("active");
            }
        }
        return {};
    }

    Result<void> readTraces(const Value& value) {
        TRY(const auto devices, list(value, "device_traces"));
        for (const Value& device : devices) {
            TRY(const auto events, list(device, "device_traces"));
            for (const Value& event : events) CHECK(readEvent(event));
            if (!m_snapshot.events.empty()) return {}; // one device is replayed
        }
        return wrong("device_traces", "holds no allocations");
    }

    Result<void> readEvent(const Value& value) {
        if (value.kind != Kind::Dict) return wrong("device_traces", "holds events that are not dicts");
        CHECK(spend(1));
        const std::string_view action = text(value, "action");
        const bool again = std::exchange(m_emptying, action == "segment_free");
        if (m_emptying) {
            if (!again) m_snapshot.events.push_back({.action = PyTorchSnapshot::Action::EmptyCache});
            return {};
        }
        if (action != "alloc" && action != "free_completed") {
            ++m_snapshot.otherEvents;
            return {};
        }
        PyTorchSnapshot::Event& event = m_snapshot.events.emplace_back();
        event.action = action == "alloc" ? PyTorchSnapshot::Action::Alloc : PyTorchSnapshot::Action::Free;
        TRY(event.address, number(value, "addr", "an event"));
        TRY(event.bytes, number(value, "size", "an event"));
        TRY(event.stack, readStack(value));
        return {};
    }

    Result<std::uint32_t> readStack(const Value& event) {
        PyTorchSnapshot::Stack stack;
        const std::optional<Value> frames = find(event, "frames");
        std::uint64_t key = ~std::uint64_t{0};
        if (frames && frames->kind == Kind::List) {
            key = frames->container;
            if (const auto known = m_stacks.find(key); known != m_stacks.end()) return known->second;
            CHECK(spend(1));
            bool innermost = true;
            for (const Value& frame : m_pickle.items(*frames)) {
                CHECK(spend(4));
                if (frame.kind != Kind::Dict) continue;
                const std::string_view file = text(frame, "filename"), function = text(frame, "name");
                if (!file.ends_with(".py")) continue; // C++ frames
                const std::optional<Value> line = find(frame, "line");
                const std::uint64_t number = line && line->kind == Kind::Int ? line->bits : 0;
                if (innermost) stack.function = std::string(function.substr(0, longestName));
                innermost = false;
                if (isPyTorch(file)) continue;
                stack.module =
                    fmt::format("{}:{} {}", file.substr(0, longestName), number, function.substr(0, longestName));
                break;
            }
        }
        m_snapshot.stacks.push_back(std::move(stack));
        const auto index = static_cast<std::uint32_t>(m_snapshot.stacks.size() - 1);
        m_stacks.emplace(key, index);
        return index;
    }
    static bool isPyTorch(std::string_view file) {
        return file.starts_with("torch/") || file.find("/torch/") != std::string_view::npos;
    }

    static constexpr std::size_t longestName = 200;
    const Pickle& m_pickle;
    std::uint64_t m_budget;
    bool m_emptying = false;                         // the event before was a segment_free
    std::map<std::uint64_t, std::uint32_t> m_stacks; // by the frames' container
    PyTorchSnapshot m_snapshot;
};

} // namespace

Result<PyTorchSnapshot> PyTorchSnapshot::open(const std::string& path) {
    TRY(const MappedFile file, MappedFile::open(path));
    return parse(file.bytes(), path);
}

Result<PyTorchSnapshot> PyTorchSnapshot::parse(std::span<const std::byte> bytes, const std::string& fileName) {
    TRY(const Pickle pickle, Pickle::parse(bytes, fileName));
    return SnapshotReader(pickle).read();
}

} // namespace spikescope
