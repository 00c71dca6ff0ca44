#include "core/timeline/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <unordered_map>

namespace spikescope {

namespace {

// Consecutive ops of one layer.
struct Visit {
    std::string name;
    std::uint32_t firstOp = 0, endOp = 0;
};

std::vector<Visit> visitsOf(const Recording& recording) {
    std::vector<Visit> visits;
    std::unordered_map<std::string_view, std::uint32_t> times;
    std::string_view previous;
    for (std::uint32_t i = 0; i < recording.ops.size(); ++i) {
        const RecordedOp& op = recording.ops[i];
        // Weights arrive in the order of the file, layers run in another.
        const std::string_view layer =
            op.phase == Phase::Load ? std::string_view("load") : layerName(recording, op.layer);
        if (i == 0 || layer != previous) {
            const std::uint32_t count = ++times[layer];
            visits.push_back({.name = count == 1 ? std::string(layer) : fmt::format("{} ({})", layer, count),
                              .firstOp = i,
                              .endOp = i});
            previous = layer;
        }
        visits.back().endOp = i + 1;
    }
    return visits;
}

// Where `at` of the rising row `from` lies in the row `to` beside it. Of equal places in `from` the last counts.
double interpolate(const std::vector<double>& from, const std::vector<double>& to, double at) {
    const auto above = std::ranges::upper_bound(from, at);
    if (above == from.begin()) return to.front();
    if (above == from.end()) return to.back();
    const auto i = static_cast<std::size_t>(above - from.begin());
    return to[i - 1] + (to[i] - to[i - 1]) * (at - from[i - 1]) / (from[i] - from[i - 1]);
}

// Events from ops: an alloc lies at the begin of the op that it stands before, a free at the end of the one behind it.
void placeEvents(Placed& placed) {
    const Recording& recording = placed.timeline->recording();
    const std::size_t ops = recording.ops.size();
    placed.events.reserve(recording.events.size());
    double at = ops ? placed.opBegins.front() : 0.0;
    for (const Event& event : recording.events) {
        const bool atBegin = event.kind == EventKind::Alloc || event.kind == EventKind::Reserve;
        double x = static_cast<double>(event.op);
        if (ops) {
            if (atBegin && event.op < ops)
                x = placed.opBegins[event.op];
            else
                x = event.op == 0 ? placed.opBegins.front() : placed.opEnds[std::min<std::size_t>(event.op, ops) - 1];
        }
        at = std::max(at, x);
        placed.events.push_back(at);
    }
    placed.begin = ops ? placed.opBegins.front() : 0.0;
    placed.end = std::max({placed.begin, at, ops ? placed.opEnds.back() : 0.0});
    if (placed.end <= placed.begin) placed.end = placed.begin + 1.0;
}

} // namespace

std::string_view name(AxisKind kind) {
    switch (kind) {
    case AxisKind::Time: return "time";
    case AxisKind::Ops: return "ops";
    case AxisKind::Layers: return "layers";
    }
    return "?";
}

LayerSlots::LayerSlots(std::span<const TimelinePtr> timelines) {
    std::list<std::string> order;
    std::unordered_map<std::string, std::list<std::string>::iterator> known;
    std::vector<std::vector<Visit>> all;
    for (const TimelinePtr& timeline : timelines) {
        auto behind = order.begin();
        for (const Visit& visit : all.emplace_back(visitsOf(timeline->recording()))) {
            auto [entry, fresh] = known.try_emplace(visit.name);
            if (fresh) entry->second = order.insert(behind, visit.name);
            behind = std::next(entry->second);
        }
    }
    std::unordered_map<std::string_view, std::size_t> slots;
    m_names.assign(order.begin(), order.end());
    for (std::size_t i = 0; i < m_names.size(); ++i) slots.emplace(m_names[i], i);
    for (const std::vector<Visit>& visits : all) {
        std::vector<double>& positions = m_positions.emplace_back();
        double at = 0.0;
        for (const Visit& visit : visits) {
            const auto slot = static_cast<double>(slots.at(visit.name));
            for (std::uint32_t op = visit.firstOp; op < visit.endOp; ++op) {
                const double inside = static_cast<double>(op - visit.firstOp) / (visit.endOp - visit.firstOp);
                at = std::max(at, slot + inside);
                positions.push_back(at);
            }
        }
        positions.push_back(visits.empty() ? 0.0
                                           : std::max(at, static_cast<double>(slots.at(visits.back().name)) + 1.0));
    }
}

Placed place(TimelinePtr timeline, AxisKind kind, const std::vector<double>& slotPositions) {
    Placed placed{.timeline = std::move(timeline)};
    const std::vector<RecordedOp>& ops = placed.timeline->recording().ops;
    placed.opBegins.resize(ops.size());
    placed.opEnds.resize(ops.size());
    if (kind == AxisKind::Time && !placed.timeline->timed()) kind = AxisKind::Ops;
    double least = 0.0;
    for (std::size_t i = 0; i < ops.size(); ++i) {
        const auto index = static_cast<double>(i);
        double begin = index, end = index + 1.0;
        if (kind == AxisKind::Time) {
            begin = static_cast<double>(ops[i].beginNs);
            end = static_cast<double>(ops[i].endNs);
        } else if (kind == AxisKind::Layers) {
            begin = slotPositions[i];
            end = slotPositions[i + 1];
        }
        // Memory has one order, and ops follow it here, those too that ran beside each other or whose clock errs.
        placed.opBegins[i] = least = i == 0 ? begin : std::max(least, begin);
        placed.opEnds[i] = least = std::max(least, end);
    }
    placeEvents(placed);
    return placed;
}

Placed placeOnto(TimelinePtr timeline, const std::vector<double>& slotPositions, const Placed& reference,
                 const std::vector<double>& referenceSlots) {
    Placed placed{.timeline = std::move(timeline)};
    std::vector<double> places = reference.opBegins;
    places.push_back(reference.opEnds.empty() ? reference.end : reference.opEnds.back());
    const std::size_t ops = placed.timeline->recording().ops.size();
    placed.opBegins.resize(ops);
    placed.opEnds.resize(ops);
    for (std::size_t i = 0; i < ops; ++i) {
        placed.opBegins[i] = interpolate(referenceSlots, places, slotPositions[i]);
        placed.opEnds[i] = interpolate(referenceSlots, places, slotPositions[i + 1]);
    }
    placeEvents(placed);
    return placed;
}

std::uint32_t eventAt(const Placed& placed, double x) {
    const auto above = std::ranges::upper_bound(placed.events, x);
    return above == placed.events.begin() ? noIndex : static_cast<std::uint32_t>(above - placed.events.begin() - 1);
}

std::vector<Column> columnsOf(const Placed& placed, const Pyramid& values, double begin, double end,
                              std::size_t count) {
    std::vector<Column> columns;
    if (placed.events.empty() || count == 0 || !(end > begin)) return columns;
    columns.reserve(count);
    const double width = (end - begin) / static_cast<double>(count);
    const auto edge = [&](std::size_t i) { return i == count ? end : begin + width * static_cast<double>(i); };
    const auto firstFrom = [&](std::size_t from, double x) {
        return static_cast<std::size_t>(
            std::lower_bound(placed.events.begin() + static_cast<std::ptrdiff_t>(from), placed.events.end(), x) -
            placed.events.begin());
    };
    std::size_t first = firstFrom(0, begin);
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t last = firstFrom(first, edge(i + 1));
        // The last column has its right edge too, where the last frees lie.
        if (i + 1 == count)
            while (last < placed.events.size() && placed.events[last] <= end) ++last;
        if (last > 0) {
            Column column{.x = edge(i), .any = last > first, .last = static_cast<std::uint32_t>(last - 1)};
            const Extremes found = values.extremes(first > 0 ? first - 1 : 0, last);
            column.most = found.most;
            column.least = found.least;
            columns.push_back(column);
        }
        first = last;
    }
    return columns;
}

} // namespace spikescope
