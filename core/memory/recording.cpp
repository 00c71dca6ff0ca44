#include "core/memory/recording.h"

#include <algorithm>

namespace spikescope {

namespace {

// What is taken is for the op that follows, what is given back was for the one before.
bool isForNext(const Event& event) { return event.kind == EventKind::Alloc || event.kind == EventKind::Reserve; }

} // namespace

std::int64_t Recording::timeNs(const Event& event) const {
    if (ops.empty()) return 0;
    if (isForNext(event) && event.op < ops.size()) return ops[event.op].beginNs;
    return event.op == 0 ? ops.front().beginNs : ops[event.op - 1].endNs;
}

std::uint64_t Recording::hostTraffic() const {
    std::uint64_t bytes = 0;
    for (const RecordedOp& op : ops)
        if (op.crossesTheBus()) bytes += op.traffic * op.times;
    return bytes;
}

std::uint32_t Recording::tileOf(const Event& event) const {
    if (!isForNext(event) && event.op == 0) return noIndex;
    const std::uint32_t op = isForNext(event) ? event.op : event.op - 1;
    const auto found = std::ranges::lower_bound(tiles, op, {}, &RecordedTile::lastOp);
    return found != tiles.end() && found->firstOp <= op ? static_cast<std::uint32_t>(found - tiles.begin()) : noIndex;
}

SpaceTotals Recording::totalsAfter(std::size_t event, std::uint32_t space) const {
    for (std::size_t i = std::min(event + 1, events.size()); i-- > 0;)
        if (events[i].space == space) return events[i];
    return {};
}

std::vector<double> Recording::opTimes() const {
    std::vector<double> times;
    std::int64_t begin = 0;
    bool uploaded = false;
    for (const RecordedOp& op : ops) {
        if (op.phase != Phase::Decode && op.phase != Phase::Encode) continue;
        if (op.kind == OpKind::Upload) {
            uploaded = true;
            continue;
        }
        if (uploaded) {
            begin = op.beginNs;
            times.emplace_back();
            uploaded = false;
        }
        if (!times.empty()) times.back() = static_cast<double>(op.endNs - begin) / 1e6;
    }
    return times;
}

} // namespace spikescope
