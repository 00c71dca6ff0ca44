#include "core/formats/report_reader.h"

#include "core/base/checked.h"

namespace spikescope {

using report::Index;

Result<void> ReportReader::readItems(const ReportField& array, std::vector<std::string>& into) {
    TRY(ReportItems items, ReportItems::open(array));
    const std::string where = array.path();
    for (std::size_t i = 0;; ++i) {
        TRY(const bool more, items.next());
        if (!more) return {};
        TRY(std::string item, (ReportField{items.item(), array.source, where, "", i}.string()));
        into.push_back(std::move(item));
    }
}

Result<void> ReportReader::readItems(const ReportField& array, std::vector<std::uint64_t>& into) {
    TRY(ReportItems items, ReportItems::open(array));
    into.reserve(static_cast<std::size_t>(array.value.number));
    while (true) {
        TRY(const bool more, items.next());
        if (!more) return {};
        const ReportField item{items.item(), array.source, array.where, array.name, array.row};
        TRY(const std::uint64_t number, item.unsignedNumber());
        into.push_back(number);
    }
}

Result<std::uint32_t> ReportReader::index(const ReportField& from, Index kind) const {
    const bool none = from.value.kind == JsonKind::Null;
    const auto boundary = [&](std::size_t count, std::string_view table) -> Result<std::uint32_t> {
        TRY(const std::uint64_t found, from.unsignedNumber());
        if (found > count) return from.wrong("is {}, but there are {} {}", found, count, table);
        return static_cast<std::uint32_t>(found);
    };
    switch (kind) {
    case Index::Layer:
        // A replay without layers writes null and means the default.
        if (none && recording.layers.empty()) return 0u;
        return from.index(recording.layers.size(), "layers");
    case Index::Tensor: return from.index(recording.tensors.size(), "tensors");
    case Index::Space:
        if (none) return from.wrong("is null");
        return from.index(recording.spaces.size(), "spaces");
    case Index::Op:
        if (none) return from.wrong("is null");
        return from.index(recording.ops.size(), "ops");
    case Index::OpBoundary: return boundary(recording.ops.size(), "ops");
    case Index::EventBoundary: return boundary(recording.events.size(), "events");
    }
    return from.wrong("is an index of no kind");
}

Result<void> ReportReader::checkTile(const ReportTable& table) const {
    const RecordedTile& tile = recording.tiles.back();
    const RecordedTile* before = recording.tiles.size() > 1 ? &recording.tiles[recording.tiles.size() - 2] : nullptr;
    if (before && tile.firstOp == before->firstOp && tile.lastOp == before->lastOp) return {};
    if (tile.lastOp < tile.firstOp || (before && tile.firstOp <= before->lastOp))
        return table.cell("last_op").wrong("is {} from {}; tiles have ops behind each other, or the same ones",
                                           tile.lastOp, tile.firstOp);
    return {};
}

Result<void> ReportReader::checkEvent(const ReportTable& table, const Event& event, const Event& before) const {
    const bool ofTensor = event.kind == EventKind::Alloc || event.kind == EventKind::Free;
    if (ofTensor != (event.tensor != noIndex))
        return table.cell("tensor").wrong("{} for {}", ofTensor ? "is null" : "is not null", name(event.kind));
    if (event.op < before.op)
        return table.cell("op").wrong("is {} after {}; events are in the order of ops", event.op, before.op);
    if (event.freeBytes > event.reserved)
        return table.cell("free_bytes").wrong("is {}, more than {}", event.freeBytes, event.reserved);
    if (event.largestFree > event.freeBytes)
        return table.cell("largest_free_bytes").wrong("is {}, more than {}", event.largestFree, event.freeBytes);
    return {};
}

ReportReader::Change ReportReader::changeBy(const Event& event) const {
    const bool ofTensor = event.tensor != noIndex;
    const bool workspace = ofTensor && recording.tensors[event.tensor].category == Category::Workspace;
    return {.grows = event.kind == EventKind::Alloc || event.kind == EventKind::Reserve,
            .allocated = ofTensor ? event.bytes : 0,
            .reserved = ofTensor ? 0 : event.bytes,
            .workspace = workspace ? event.bytes : 0};
}

Result<void> ReportReader::follows(const ReportTable& table, std::string_view column, std::uint64_t stated,
                                   std::uint64_t before, std::uint64_t bytes, bool grows) {
    std::optional<std::uint64_t> expected;
    if (grows)
        expected = checkedAdd(before, bytes);
    else if (bytes <= before)
        expected = before - bytes;
    if (!expected) return table.cell(column).wrong("would be {} {} {}", before, grows ? "+" : "-", bytes);
    if (stated != *expected) return table.cell(column).wrong("is {}, but the events so far make {}", stated, *expected);
    return {};
}

} // namespace spikescope
