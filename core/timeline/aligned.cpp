#include "core/timeline/aligned.h"

#include <algorithm>
#include <set>
#include <unordered_map>

namespace spikescope {

namespace {

using Indices = std::vector<std::size_t>;
// Visits by layer, in order.
using Visits = std::unordered_map<std::string_view, Indices>;

Visits byLayer(const std::vector<LayerVisit>& visits) {
    Visits found;
    for (std::size_t i = 0; i < visits.size(); ++i) found[visits[i].layer].push_back(i);
    return found;
}

// A visit of the curve's Recording, drawn from `begin` to `end`: over the visit `over` of the reference, else evenly.
struct Piece {
    std::size_t visit = 0;
    double begin = 0.0, end = 0.0;
    std::optional<std::size_t> over = {};
};

// Where the visits of `mine` lie over those of `theirs`.
class Alignment {
public:
    Alignment(const std::vector<LayerVisit>& mine, const std::vector<LayerVisit>& theirs, const Placed& reference)
        : m_theirs(theirs)
        , m_reference(reference) {
        const Visits myVisits = byLayer(mine), theirVisits = byLayer(theirs);
        // Of every visit of mine the ones of theirs that it lies over; empty: they do not have the layer.
        std::vector<Indices> over(mine.size());
        for (const auto& [layer, visits] : myVisits)
            if (const auto found = theirVisits.find(layer); found != theirVisits.end())
                share(visits, found->second, over);
        for (std::size_t i = 0; i < mine.size(); ++i)
            for (const std::size_t at : over[i]) add(i, at);
        for (std::size_t first = 0; first < mine.size(); ++first) {
            if (!over[first].empty()) continue;
            std::size_t end = first;
            while (end < mine.size() && over[end].empty()) ++end;
            spread(first, end, first > 0 ? &over[first - 1] : nullptr, end < mine.size() ? &over[end] : nullptr);
            first = end - 1;
        }
    }
    const std::vector<Piece>& pieces() const { return m_pieces; }

private:
    double beginOf(std::size_t at) const { return m_reference.opBegins[m_theirs[at].firstOp]; }
    double endOf(std::size_t at) const { return m_reference.opEnds[m_theirs[at].endOp - 1]; }
    void add(std::size_t visit, std::size_t at) {
        m_pieces.push_back({.visit = visit, .begin = beginOf(at), .end = endOf(at), .over = at});
    }

    // Both in order and in equal shares, so that each visit of either meets one of the other.
    static void share(const Indices& mine, const Indices& theirs, std::vector<Indices>& over) {
        const std::size_t n = mine.size(), m = theirs.size();
        for (std::size_t k = 0; k < n; ++k) {
            const std::size_t first = k * m / n, end = std::max(first + 1, (k + 1) * m / n);
            for (std::size_t j = first; j < end; ++j) over[mine[k]].push_back(theirs[j]);
        }
    }

    // Visits [first, end) of layers that they do not have, between the neighbours `before` and `after`.
    void spread(std::size_t first, std::size_t end, const Indices* before, const Indices* after) {
        const std::size_t from = before ? before->back() + 1 : 0;
        std::size_t to = m_theirs.size();
        if (after) {
            const auto next = std::ranges::lower_bound(*after, from);
            to = next == after->end() ? from : *next; // the next tile begins anew: nothing is in between
        }
        if (from >= to) { // over the neighbour
            for (std::size_t i = first; i < end; ++i) add(i, before ? from - 1 : after->front());
            return;
        }
        const double begin = beginOf(from), width = (endOf(to - 1) - begin) / static_cast<double>(end - first);
        for (std::size_t i = first; i < end; ++i)
            m_pieces.push_back({.visit = i,
                                .begin = begin + width * static_cast<double>(i - first),
                                .end = begin + width * static_cast<double>(i - first + 1)});
    }

    const std::vector<LayerVisit>& m_theirs;
    const Placed& m_reference;
    std::vector<Piece> m_pieces;
};

// Where the boundary in front of op `done` of `ops` lies in a piece; ops share those of the visit that they lie over.
// What is freed there lies at the end of the op before, what is allocated at the begin of the next one.
double placeIn(const Piece& piece, std::uint32_t done, std::uint32_t ops, bool freed,
               const std::vector<LayerVisit>& theirs, const Placed& reference) {
    if (!piece.over) return piece.begin + (piece.end - piece.begin) * done / ops;
    const LayerVisit& over = theirs[*piece.over];
    const std::uint64_t shares = std::uint64_t{done} * (over.endOp - over.firstOp);
    const std::uint64_t whole = shares / ops, part = shares % ops;
    const std::size_t op = over.firstOp + whole;
    if (part == 0 && whole > 0 && (freed || op == over.endOp)) return reference.opEnds[op - 1];
    const double begin = reference.opBegins[op];
    return begin + (reference.opEnds[op] - begin) * static_cast<double>(part) / ops;
}

// The largest of several step functions, each known from its begin to its end.
class Envelope {
public:
    void add(double begin, double end, std::uint64_t before,
             const std::vector<std::pair<double, std::uint64_t>>& steps) {
        const auto id = static_cast<std::uint32_t>(m_functions++);
        m_steps.push_back({.x = begin, .function = id, .value = before, .ends = false});
        for (const auto& [x, value] : steps) m_steps.push_back({.x = x, .function = id, .value = value, .ends = false});
        m_steps.push_back({.x = end, .function = id, .value = 0, .ends = true});
    }

    void fill(Curve& curve) {
        if (!std::ranges::is_sorted(m_steps, {}, &Step::x)) std::ranges::stable_sort(m_steps, {}, &Step::x);
        std::vector<std::uint64_t> values;
        std::vector<std::optional<std::uint64_t>> now(m_functions);
        std::multiset<std::uint64_t> alive;
        const auto emit = [&](double x, std::uint64_t value) {
            curve.places.push_back(x);
            values.push_back(value);
        };
        for (std::size_t i = 0; i < m_steps.size();) {
            const double x = m_steps[i].x;
            std::uint64_t most = 0, ended = 0;
            for (; i < m_steps.size() && m_steps[i].x == x; ++i) {
                std::optional<std::uint64_t>& value = now[m_steps[i].function];
                if (value) alive.erase(alive.find(*value));
                if (m_steps[i].ends) {
                    ended = std::max(ended, *value);
                    value.reset();
                } else {
                    value = m_steps[i].value;
                    alive.insert(*value);
                    most = std::max(most, *value);
                }
            }
            // Where all have ended the value stays until the next one begins.
            const std::uint64_t after = alive.empty() ? ended : *alive.rbegin();
            if (most > after) emit(x, most); // lasts no longer than this place, and is drawn
            emit(x, after);
        }
        curve.values = Pyramid(std::move(values));
    }

private:
    struct Step {
        double x = 0.0;
        std::uint32_t function = 0;
        std::uint64_t value = 0;
        bool ends = false;
    };
    std::vector<Step> m_steps;
    std::size_t m_functions = 0;
};

} // namespace

Curve curveOf(const Placed& placed) {
    return {.timeline = placed.timeline,
            .places = placed.events,
            .values = placed.timeline->allocated(),
            .begin = placed.begin,
            .end = placed.end};
}

Curve alignedCurve(const TimelinePtr& timeline, const Placed& reference) {
    if (timeline == reference.timeline) return curveOf(reference);
    const Recording& recording = timeline->recording();
    const std::vector<LayerVisit> mine = layerVisits(recording), theirs = layerVisits(reference.timeline->recording());
    Curve curve{.timeline = timeline, .places = {}, .values = {}, .begin = reference.begin, .end = reference.end};
    if (mine.empty() || theirs.empty()) return curve;
    const std::vector<Event>& events = recording.events;
    // Of each visit its first event, as ops are placed: what is freed in front of an op belongs to the one behind it.
    std::vector<std::size_t> first{0};
    for (std::size_t i = 1; i < mine.size(); ++i) {
        std::size_t at = static_cast<std::size_t>(std::ranges::lower_bound(events, mine[i].firstOp, {}, &Event::op) -
                                                  events.begin());
        while (at < events.size() && events[at].op == mine[i].firstOp &&
               (events[at].kind == EventKind::Free || events[at].kind == EventKind::Return))
            ++at;
        first.push_back(at);
    }
    first.push_back(events.size());
    Envelope envelope;
    const Pyramid& allocated = timeline->allocated();
    const Alignment alignment(mine, theirs, reference);
    std::vector<std::pair<double, std::uint64_t>> steps;
    for (const Piece& piece : alignment.pieces()) {
        const auto [layer, firstOp, endOp] = mine[piece.visit];
        steps.clear();
        double at = piece.begin;
        for (std::size_t i = first[piece.visit]; i < first[piece.visit + 1]; ++i) {
            const std::uint32_t done = std::clamp(events[i].op, firstOp, endOp) - firstOp;
            const bool freed = events[i].kind == EventKind::Free || events[i].kind == EventKind::Return;
            at = std::max(at, placeIn(piece, done, endOp - firstOp, freed, theirs, reference));
            steps.emplace_back(at, allocated.value(i));
        }
        const std::size_t before = first[piece.visit];
        envelope.add(piece.begin, piece.end, before == 0 ? 0 : allocated.value(before - 1), steps);
    }
    envelope.fill(curve);
    return curve;
}

std::optional<std::uint64_t> valueAt(const Curve& curve, double x) {
    const auto above = std::ranges::upper_bound(curve.places, x);
    if (above == curve.places.begin()) return std::nullopt;
    return curve.values.value(static_cast<std::size_t>(above - curve.places.begin()) - 1);
}

} // namespace spikescope
