#include "core/advise/fit.h"

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

// Controls whose leanest value costs no time.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> costless{{{"lifetime", "planned"},
                                                                                 {"evaluate", "auto"},
                                                                                 {"ahead", "0"},
                                                                                 {"layout-copies", "off"},
                                                                                 {"hold", "off"},
                                                                                 {"load", "decoder"},
                                                                                 {"apply", "stream"},
                                                                                 {"offload", "before-load"},
                                                                                 {"allocator", "auto"}}};

// Controls that trade time for memory. Without tiles a plan takes a millisecond, so every value is tried. With tiles it
// takes up to a hundred times that, so only values are tried that no other one beats in both time and memory.
struct Axis {
    std::string_view control, whileTiled;
};
constexpr std::array axes{Axis{"norm", "fused on-load"}, Axis{"upsample", "fused folded"},
                          Axis{"conv", "direct winograd"}, Axis{"attention", "chunked"}};

// Ways to tile, the leanest first: where it does not fit, none after it does. Tiles have one of the heights tileRows;
// the fewer rows, the leaner and the slower.
struct Tiling {
    std::string_view tile, tileNorm, spill;
};
constexpr std::array exactTilings{Tiling{"stripe:{}", "shared", "recompute"},
                                  Tiling{"stripe:{}", "shared", "recompute-doubled"},
                                  Tiling{"stripe:{}", "shared", "device"}};
// Not always leaner than the first of them, and the host may lack the memory.
constexpr std::array hostTilings{Tiling{"stripe:{}", "shared", "host"}};
constexpr std::array<std::span<const Tiling>, 2> exactWays{exactTilings, hostTilings};
constexpr std::array approximateTilings{Tiling{"{}", "own", "device"}};
constexpr std::array<std::span<const Tiling>, 1> approximateWays{approximateTilings};
constexpr std::array<std::uint64_t, 5> tileRows{512, 256, 128, 64, 32};

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

// Configurations with fewer bits, the smallest loss first: without promotion, then fewer for weights, then for
// activations. Of the two 16-bit types fp16 has three bits more of precision; activations of SDXL's decoder exceed its
// range.
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
    Search(PlannedControls asked, const HeapTraits& traits, std::uint64_t availableBytes, const Rates& rates,
           const FitOptions& options)
        : m_asked(std::move(asked))
        , m_traits(traits)
        , m_availableBytes(availableBytes)
        , m_rates(rates)
        , m_options(options)
        , m_leanest(m_asked) {}

    Fit run() {
        std::optional<PlannedControls> chosen = best(m_options.kept);
        if (!chosen && (chosen = best({}))) {
            // No more of the kept controls change than have to.
            std::vector<std::string> kept = m_options.kept;
            putBack(*chosen, kept, true);
            std::erase_if(kept, [&](const std::string& control) { return differs(*chosen, control); });
            if (const auto faster = best(kept)) chosen = faster;
        }
        if (chosen) putBack(*chosen, changeable(), false);
        if (chosen) chosen = confirmed(*chosen);
        // What was pruned may fit all the same: peaks are not quite convex where stripes change what is materialized.
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
    // Whether a beats b; both fit.
    static bool isBetter(const PlannedControls& a, const std::optional<PlannedControls>& b) {
        if (!b || time(a) * sameTime < time(*b)) return true;
        return time(a) <= time(*b) * sameTime && a.peak.reserved < b->peak.reserved;
    }

    // Null where the controls contradict each other or the model's files do not allow them.
    const PlannedControls* planOf(const Controls& controls) {
        if (cancelled(m_options)) return nullptr;
        std::string key;
        for (const auto& [control, value] : controlValues(controls)) key += value + "\n";
        const auto [found, isNew] = m_plans.try_emplace(std::move(key));
        if (isNew)
            if (auto planned = planControls(controls, m_traits, &m_rates, m_availableBytes))
                found->second = std::move(*planned);
        if (!found->second) return nullptr;
        if (found->second->peak.host > m_options.availableHostBytes)
            found->second->fits = false;
        else if (found->second->peak.reserved < m_leanest.peak.reserved)
            m_leanest = *found->second;
        return &*found->second;
    }

    // The best configuration of the first way in which anything fits; each way loses more precision than the one
    // before.
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
                                          std::span<const std::span<const Tiling>> ways) {
        std::optional<PlannedControls> best;
        const bool tiled = start.tile.kind != TileChoice::Kind::Off;
        for (const PlannedControls* planned : lowerings(start, kept, tiled))
            if (planned->fits && isBetter(*planned, best)) best = *planned;
        // Tiles and stripes take one image at a time.
        if (holds(kept, "tile") || start.batch != 1) return best;
        for (const PlannedControls* whole : lowerings(start, kept, true)) {
            if (best && time(*best) <= time(*whole)) break; // tiling recomputes and is no faster
            for (const std::span<const Tiling> leanestFirst : ways)
                for (const Tiling& tiling : leanestFirst)
                    if (!contradicts(tiling, whole->controls, kept) && !tryTiling(whole->controls, tiling, best)) break;
        }
        return best;
    }
    // Sorted by time.
    std::vector<const PlannedControls*> lowerings(const Controls& start, const std::vector<std::string>& kept,
                                                  bool whileTiled) {
        std::vector<Controls> all{start};
        for (const Axis& axis : axes) {
            if (holds(kept, axis.control)) continue;
            const auto info = std::ranges::find(controlTable(), axis.control, &ControlInfo::name);
            std::vector<Controls> before;
            before.swap(all);
            if (!whileTiled) all = before;
            for (const std::string_view value : whileTiled ? words(axis.whileTiled) : info->flips)
                for (Controls flipped : before) {
                    set(flipped, axis.control, value);
                    if (whileTiled || info->get(flipped) != info->get(start)) all.push_back(std::move(flipped));
                }
        }
        std::vector<const PlannedControls*> planned;
        for (const Controls& controls : all)
            if (const PlannedControls* plan = keepsThePicture(controls) ? planOf(controls) : nullptr)
                planned.push_back(plan);
        std::ranges::stable_sort(planned, {}, [](const PlannedControls* plan) { return time(*plan); });
        return planned;
    }
    // Winograd's transforms cost 16-bit feature maps some of their few bits; tiles with statistics of their own show
    // seams.
    static bool isExact(const Controls& controls) {
        if (controls.isTiled() && !controls.isExactlyTiled()) return false;
        return controls.conv != ConvLowering::Winograd || featureMapType(controls) == DType::F32;
    }
    bool keepsThePicture(const Controls& controls) const { return isExact(controls) || !isExact(m_asked.controls); }

    bool contradicts(const Tiling& tiling, const Controls& controls, const std::vector<std::string>& kept) const {
        // Attention that is kept to tiles makes exact tilings approximate.
        if (!m_options.approximate && !keepsThePicture(withTiling(controls, tiling, tileRows.back()))) return true;
        return (holds(kept, "spill") && valueOf(controls, "spill") != tiling.spill) ||
               (holds(kept, "tile-norm") && valueOf(controls, "tile-norm") != tiling.tileNorm);
    }
    Controls withTiling(Controls controls, const Tiling& tiling, std::uint64_t rows) const {
        set(controls, "tile", fmt::format(fmt::runtime(tiling.tile), rows));
        set(controls, "tile-norm", tiling.tileNorm);
        set(controls, "spill", tiling.spill);
        if (!holds(m_kept, "tile-attention")) set(controls, "tile-attention", "auto");
        return controls;
    }
    // False where nothing fits.
    bool tryTiling(const Controls& whole, const Tiling& tiling, std::optional<PlannedControls>& best) {
        // peak(rows) = max(constant, linear) is convex, so extrapolating the last two peaks is a lower bound: where
        // that is over the available bytes nothing need be planned. An arena's gaps bend the line.
        constexpr double gaps = 1.1;
        struct Point {
            double rows, peak;
        };
        std::optional<Point> last, before;
        for (const std::uint64_t rows : tileRows) {
            if (rows >= whole.height) continue;
            const auto at = static_cast<double>(rows);
            if (last && before) {
                const double slope = (before->peak - last->peak) / (before->rows - last->rows);
                if (last->peak - slope * (last->rows - at) > gaps * static_cast<double>(m_availableBytes)) continue;
            }
            const PlannedControls* planned = planOf(withTiling(whole, tiling, rows));
            // Fewer rows make the tensors on the host hardly smaller.
            if (!planned || planned->peak.host > m_options.availableHostBytes) return false;
            if (best && time(*best) <= time(*planned)) return true; // fewer rows are slower still
            if (planned->fits) {
                best = *planned;
                return true;
            }
            before = std::exchange(last, Point{.rows = at, .peak = static_cast<double>(planned->peak.reserved)});
        }
        return false;
    }

    // Gives controls the values that were asked for where the configuration still fits and, unless `atAnyPrice`, costs
    // neither time nor memory.
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

    // On the device's own heap, where blocks may be laid out otherwise.
    Result<Recording> planThere(const Controls& controls) const {
        TRY(const Job job, makeJob(controls, std::monostate{}));
        // A merged plan may be too long for a run.
        if (!job.program.blocks.empty()) CHECK(makeJob(controls, std::monostate{}, {.everyEvent = true}));
        VirtualHeap heap(m_traits, m_availableBytes);
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

    // Plans what was pruned: the leanest lowering in the smallest tiles.
    void findLeanest() {
        const Controls controls = m_leanest.controls;
        if (controls.batch != 1 || tileRows.back() >= controls.height) return;
        for (const std::span<const Tiling> way : exactWays)
            for (const Tiling& tiling : way) (void)planOf(withTiling(controls, tiling, tileRows.back()));
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
    std::uint64_t m_availableBytes;
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

Result<Fit> fit(const Controls& asked, const HeapTraits& traits, std::uint64_t availableBytes, const Rates* rates,
                const FitOptions& options) {
    Controls controls = asked;
    controls.enforce = false;
    std::optional<Rates> counted;
    TRY(PlannedControls base, planControls(controls, traits, rates, availableBytes));
    if (!base.ms) {
        counted = Rates::ofCountedWork();
        TRY(base, planControls(controls, traits, &*counted, availableBytes));
    }
    Fit result = Search(std::move(base), traits, availableBytes, counted ? *counted : *rates, options).run();
    if (cancelled(options)) return fail(ErrorCode::Cancelled, "cancelled");
    result.measured = !counted;
    return result;
}

} // namespace spikescope
