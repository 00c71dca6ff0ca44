#include "core/run/fit.h"

#include "core/base/text.h"
#include "core/program/lowered_calls.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <map>
#include <utility>

namespace spikescope {

namespace {

// Controls whose leanest value costs the op no time.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> costless{{{"lifetime", "planned"},
                                                                                 {"evaluate", "auto"},
                                                                                 {"ahead", "0"},
                                                                                 {"layout-copies", "off"},
                                                                                 {"hold", "off"},
                                                                                 {"load", "decoder"},
                                                                                 {"apply", "stream"},
                                                                                 {"offload", "before-load"},
                                                                                 {"allocator", "auto"}}};

// Controls that trade time for memory. Whole maps are planned in a millisecond, so that everything is tried; parts take
// up to a hundred times that, so that only values that others do not beat in both time and memory are.
struct Axis {
    std::string_view control, inParts;
};
constexpr std::array axes{Axis{"norm", "fused on-load"}, Axis{"upsample", "fused folded"},
                          Axis{"conv", "direct winograd"}, Axis{"attention", "chunked"}};

// Ways to run in parts, the leanest first: where it does not fit, none behind it does. Parts have as many rows as stand
// below; the fewer, the leaner and the slower.
struct Parts {
    std::string_view tile, tileNorm, spill;
};
constexpr std::array exactParts{Parts{"stripe:{}", "shared", "recompute"},
                                Parts{"stripe:{}", "shared", "recompute-doubled"},
                                Parts{"stripe:{}", "shared", "device"}};
// Not always leaner than the first of them, and the host may lack the room.
constexpr std::array hostParts{Parts{"stripe:{}", "shared", "host"}};
constexpr std::array<std::span<const Parts>, 2> exactWays{exactParts, hostParts};
constexpr std::array approximateParts{Parts{"{}", "own", "device"}};
constexpr std::array<std::span<const Parts>, 1> approximateWays{approximateParts};
constexpr std::array<std::uint64_t, 5> partRows{512, 256, 128, 64, 32};

// Times that differ by less are the same.
constexpr double sameTime = 1.0 + 1e-9;

void set(Controls& controls, std::string_view control, std::string_view value) {
    (void)setControl(controls, control, value); // from the tables above, or a value that a control had
}
bool holds(const std::vector<std::string>& list, std::string_view control) {
    return std::ranges::find(list, control) != list.end();
}
std::string valueOf(const Controls& controls, std::string_view control) {
    return controlValue(controls, control).value_or("");
}

// What may lose bits, the smallest loss first: scalars that need not promote, then weights, then maps. Of the two types
// that take as much room fp16 has three bits more; the maps of SDXL's decoder are beyond its range.
std::vector<Controls> fewerBits(const Controls& asked) {
    std::vector<Controls> ways;
    Controls way = asked;
    if (std::exchange(way.promote, false)) ways.push_back(way);
    if (way.weightType() == DType::F32) {
        way.weightsDtype = DType::F16;
        ways.push_back(way);
    }
    if (way.activations == DType::F32) {
        way.activations = way.model == "sdxl" ? DType::BF16 : DType::F16;
        if (asked.weightType() == DType::F32) way.weightsDtype.reset();
        ways.push_back(way);
    }
    return ways;
}

bool cancelled(const FitOptions& options) { return options.cancel && options.cancel->raised(); }

class Search {
public:
    Search(PlannedControls asked, const HeapTraits& traits, std::uint64_t room, const Rates& rates,
           const FitOptions& options)
        : m_asked(std::move(asked))
        , m_traits(traits)
        , m_room(room)
        , m_rates(rates)
        , m_options(options)
        , m_leanest(m_asked) {}

    Fit run() {
        std::optional<PlannedControls> chosen = best(m_options.kept);
        if (!chosen && (chosen = best({}))) {
            // As few of them change as have to.
            std::vector<std::string> kept = m_options.kept;
            putBack(*chosen, kept, true);
            std::erase_if(kept, [&](const std::string& control) { return differs(*chosen, control); });
            if (const auto faster = best(kept)) chosen = faster;
        }
        if (chosen) putBack(*chosen, changeable(), false);
        if (chosen) chosen = confirmed(*chosen);
        // What was pruned may fit all the same: peaks are not quite convex where bands change what is kept.
        if (!chosen) {
            findLeanest();
            if (m_leanest.fits) chosen = confirmed(m_leanest);
        }
        Fit result{.asked = m_asked};
        if (chosen) {
            std::ranges::copy_if(m_options.kept, std::back_inserter(result.released), [&](const std::string& control) {
                return differs(*chosen, control) && !isDType(control);
            });
            result.steps = steps(*chosen);
            result.chosen = std::move(chosen);
        } else {
            result.refusal = refusalOf(m_leanest.controls);
        }
        result.leanest = m_leanest;
        return result;
    }

private:
    static bool isDType(std::string_view control) {
        return control == "activations" || control == "weights-dtype" || control == "promote";
    }
    bool differs(const PlannedControls& planned, std::string_view control) const {
        return valueOf(planned.controls, control) != valueOf(m_asked.controls, control);
    }
    static std::vector<std::string> changeable() {
        std::vector<std::string> names;
        for (const ControlInfo& info : controlTable()) names.emplace_back(info.name);
        return names;
    }
    static double time(const PlannedControls& planned) {
        return planned.ms.value_or(std::numeric_limits<double>::max());
    }
    // Of two that fit.
    static bool isBetter(const PlannedControls& a, const std::optional<PlannedControls>& b) {
        if (!b || time(a) * sameTime < time(*b)) return true;
        return time(a) <= time(*b) * sameTime && a.peak.reserved < b->peak.reserved;
    }

    // Nothing where the controls contradict each other or the model's files do not allow them.
    const PlannedControls* planOf(const Controls& controls) {
        if (cancelled(m_options)) return nullptr;
        std::string key;
        for (const auto& [control, value] : controlValues(controls)) key += value + "\n";
        const auto [found, isNew] = m_plans.try_emplace(std::move(key));
        if (isNew)
            if (auto planned = planControls(controls, m_traits, &m_rates, m_room)) found->second = std::move(*planned);
        if (!found->second) return nullptr;
        if (found->second->peak.host > m_options.hostRoom)
            found->second->fits = false;
        else if (found->second->peak.reserved < m_leanest.peak.reserved)
            m_leanest = *found->second;
        return &*found->second;
    }

    // The best there is in the first of the ways to lose something in which anything fits.
    std::optional<PlannedControls> best(const std::vector<std::string>& kept) {
        m_kept = kept;
        std::vector<Controls> ways{m_asked.controls};
        if (m_options.dtype) {
            const std::vector<Controls> more = fewerBits(m_asked.controls);
            ways.insert(ways.end(), more.begin(), more.end());
        }
        for (const Controls& way : ways) {
            const Controls start = leanWhereFree(way, kept);
            if (auto found = bestOf(start, kept, exactWays)) return found;
            if (!m_options.approximate) continue;
            if (auto found = bestOf(start, kept, approximateWays)) return found;
        }
        return std::nullopt;
    }
    static Controls leanWhereFree(Controls controls, const std::vector<std::string>& kept) {
        for (const auto& [control, value] : costless)
            if (!holds(kept, control)) set(controls, control, value);
        if (!holds(kept, "tile")) set(controls, "tile", "off");
        return controls;
    }

    std::optional<PlannedControls> bestOf(const Controls& start, const std::vector<std::string>& kept,
                                          std::span<const std::span<const Parts>> ways) {
        std::optional<PlannedControls> best;
        const bool tiled = start.tile.kind != TileChoice::Kind::Off;
        for (const PlannedControls* planned : lowerings(start, kept, tiled))
            if (planned->fits && isBetter(*planned, best)) best = *planned;
        // Bands are of one picture.
        if (holds(kept, "tile") || start.batch != 1) return best;
        for (const PlannedControls* whole : lowerings(start, kept, true)) {
            if (best && time(*best) <= time(*whole)) break; // parts make things again and are no faster
            for (const std::span<const Parts> leanestFirst : ways)
                for (const Parts& parts : leanestFirst)
                    if (!contradicts(parts, whole->controls, kept) && !takeParts(whole->controls, parts, best)) break;
        }
        return best;
    }
    // By time.
    std::vector<const PlannedControls*> lowerings(const Controls& start, const std::vector<std::string>& kept,
                                                  bool inParts) {
        std::vector<Controls> all{start};
        for (const Axis& axis : axes) {
            if (holds(kept, axis.control)) continue;
            const auto info = std::ranges::find(controlTable(), axis.control, &ControlInfo::name);
            std::vector<Controls> before;
            before.swap(all);
            if (!inParts) all = before;
            for (const std::string_view value : inParts ? words(axis.inParts) : info->flips)
                for (Controls flipped : before) {
                    set(flipped, axis.control, value);
                    if (inParts || info->get(flipped) != info->get(start)) all.push_back(std::move(flipped));
                }
        }
        std::vector<const PlannedControls*> planned;
        for (const Controls& controls : all)
            if (const PlannedControls* plan = keepsThePicture(controls) ? planOf(controls) : nullptr)
                planned.push_back(plan);
        std::ranges::stable_sort(planned, {}, [](const PlannedControls* plan) { return time(*plan); });
        return planned;
    }
    // Winograd's transforms cost 16-bit maps some of their few bits; tiles with statistics of their own do not meet.
    static bool isExact(const Controls& controls) {
        if (controls.isTiled() && !controls.isExactlyTiled()) return false;
        return controls.conv != ConvLowering::Winograd || mapType(controls) == DType::F32;
    }
    bool keepsThePicture(const Controls& controls) const { return isExact(controls) || !isExact(m_asked.controls); }

    bool contradicts(const Parts& parts, const Controls& controls, const std::vector<std::string>& kept) const {
        // Attention that is kept within parts makes those approximate that are exact else.
        if (!m_options.approximate && !keepsThePicture(inParts(controls, parts, partRows.back()))) return true;
        return (holds(kept, "spill") && valueOf(controls, "spill") != parts.spill) ||
               (holds(kept, "tile-norm") && valueOf(controls, "tile-norm") != parts.tileNorm);
    }
    Controls inParts(Controls controls, const Parts& parts, std::uint64_t rows) const {
        set(controls, "tile", fmt::format(fmt::runtime(parts.tile), rows));
        set(controls, "tile-norm", parts.tileNorm);
        set(controls, "spill", parts.spill);
        if (!holds(m_kept, "tile-attention")) set(controls, "tile-attention", "auto");
        return controls;
    }
    // False where nothing fits.
    bool takeParts(const Controls& whole, const Parts& parts, std::optional<PlannedControls>& best) {
        // Peaks are maxima of what does not and what does grow with the rows: convex, so that the line through two of
        // them is below all that follow, and what it has over the room need not be planned. An arena's gaps bend it.
        constexpr double gaps = 1.1;
        struct Point {
            double rows, peak;
        };
        std::optional<Point> last, before;
        for (const std::uint64_t rows : partRows) {
            if (rows >= whole.height) continue;
            const auto at = static_cast<double>(rows);
            if (last && before) {
                const double slope = (before->peak - last->peak) / (before->rows - last->rows);
                if (last->peak - slope * (last->rows - at) > gaps * static_cast<double>(m_room)) continue;
            }
            const PlannedControls* planned = planOf(inParts(whole, parts, rows));
            // Fewer rows make the maps on the host hardly smaller.
            if (!planned || planned->peak.host > m_options.hostRoom) return false;
            if (best && time(*best) <= time(*planned)) return true; // fewer rows are slower still
            if (planned->fits) {
                best = *planned;
                return true;
            }
            before = std::exchange(last, Point{.rows = at, .peak = static_cast<double>(planned->peak.reserved)});
        }
        return false;
    }

    // Gives controls the values that were asked for where it still fits; unless at any price, where nothing is lost.
    void putBack(PlannedControls& chosen, const std::vector<std::string>& names, bool atAnyPrice) {
        for (const std::string& control : names) {
            if (!differs(chosen, control)) continue;
            Controls tried = chosen.controls;
            set(tried, control, valueOf(m_asked.controls, control));
            const PlannedControls* planned = keepsThePicture(tried) ? planOf(tried) : nullptr;
            if (!planned || !planned->fits) continue;
            if (atAnyPrice ||
                (time(*planned) <= time(chosen) * sameTime && planned->peak.reserved <= chosen.peak.reserved))
                chosen = *planned;
        }
    }

    // On the device's heap itself, where blocks may be cut otherwise.
    Result<Recording> planThere(const Controls& controls) const {
        TRY(const Job job, prepare(controls, std::monostate{}));
        // What is planned with equal parts once may be too much for a run.
        if (!job.program.blocks.empty()) CHECK(prepare(controls, std::monostate{}, {.everyEvent = true}));
        VirtualHeap heap(m_traits, m_room);
        return plan(job.program, job.controls, heap);
    }
    std::optional<PlannedControls> confirmed(PlannedControls chosen) const {
        const Result<Recording> recording = planThere(chosen.controls);
        if (!recording || recording->failure) return std::nullopt;
        chosen.peak = findPeak(*recording);
        return chosen;
    }
    std::string refusalOf(const Controls& controls) const {
        const Result<Recording> recording = planThere(controls);
        if (!recording) return recording.error().message;
        return recording->failure ? recording->failure->message : std::string();
    }

    // Of what was passed over: the leanest lowering in the smallest parts.
    void findLeanest() {
        const Controls controls = m_leanest.controls;
        if (controls.batch != 1 || partRows.back() >= controls.height) return;
        for (const std::span<const Parts> way : exactWays)
            for (const Parts& parts : way) (void)planOf(inParts(controls, parts, partRows.back()));
    }

    std::vector<FitStep> steps(const PlannedControls& chosen) {
        std::vector<FitStep> list;
        Controls controls = m_asked.controls;
        FitStep step;
        for (const ControlInfo& info : controlTable()) {
            const std::string from = info.get(controls), to = info.get(chosen.controls);
            if (from == to) continue;
            step.changes.push_back({.control = std::string(info.name), .from = from, .to = to});
            set(controls, info.name, to);
            const PlannedControls* planned = planOf(controls);
            if (!planned) continue; // contradicts one that is still to come
            step.allocated = planned->peak.allocated;
            step.reserved = planned->peak.reserved;
            step.ms = time(*planned);
            list.push_back(std::exchange(step, {}));
        }
        if (!list.empty()) { // as confirmed
            list.back().allocated = chosen.peak.allocated;
            list.back().reserved = chosen.peak.reserved;
        }
        return list;
    }

    PlannedControls m_asked;
    const HeapTraits& m_traits;
    std::uint64_t m_room;
    const Rates& m_rates;
    const FitOptions& m_options;
    std::vector<std::string> m_kept; // of the controls, in this search
    PlannedControls m_leanest;
    std::map<std::string, std::optional<PlannedControls>> m_plans; // by the values of all controls
};

} // namespace

bool isBudgetOfOther(const Controls& asked, bool cpuDevice) {
    return cpuDevice && asked.budgetBytes && asked.device.empty();
}

Result<Fit> fit(const Controls& asked, const HeapTraits& traits, std::uint64_t room, const Rates* rates,
                const FitOptions& options) {
    Controls controls = asked;
    controls.enforce = false;
    std::optional<Rates> counted;
    TRY(PlannedControls base, planControls(controls, traits, rates, room));
    if (!base.ms) {
        counted = Rates::ofCountedWork();
        TRY(base, planControls(controls, traits, &*counted, room));
    }
    Fit result = Search(std::move(base), traits, room, counted ? *counted : *rates, options).run();
    if (cancelled(options)) return fail(ErrorCode::Cancelled, "cancelled");
    result.measured = !counted;
    return result;
}

} // namespace spikescope
