#include "core/backend/measured_rates.h"

#include "core/advise/advice.h"
#include "core/backend/run_job.h"
#include "core/base/machine_load.h"
#include "core/base/median.h"
#include "core/base/text.h"
#include "core/program/presets.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <tuple>

namespace spikescope {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// The configurations whose calls are wanted: these controls and the presets, and behind them every single flip.
std::array<std::vector<Controls>, 2> configurations(const Controls& asked) {
    std::array<std::vector<Controls>, 2> lists{{{asked}, {}}};
    for (const Preset& preset : presets()) {
        Controls controls = asked;
        if (applyPreset(controls, preset.name)) lists[0].push_back(controls);
    }
    for (FlippedControls& flip : flippedControls(asked)) lists[1].push_back(std::move(flip.controls));
    return lists;
}

struct WantedCalls {
    std::vector<std::unique_ptr<Job>> jobs; // which the calls are of
    std::vector<CallOfProgram> calls;
    std::vector<std::string> kinds;
};

// Each kind in each size once. On a GPU all sizes of a kind follow each other, as they share what has to be compiled.
// Maps of a model's levels differ by factors of two, so sizes between those of the pictures occur, too.
WantedCalls wantedCalls(const Controls& asked, bool cpu, const Rates& known, const CancelFlag* cancel) {
    constexpr std::array<std::uint64_t, 3> sidesOfGpu{512, 1024, 256}, sidesOfCpu{64, 128, 256};
    struct Wanted {
        CallOfProgram call;
        std::size_t list, kind, side;
    };
    WantedCalls result;
    std::vector<Wanted> wanted;
    std::vector<std::string> kinds;
    std::map<std::string, std::size_t> indices; // of kinds
    std::set<std::pair<std::size_t, double>> seen;
    const auto lists = configurations(asked);
    for (std::size_t list = 0; list < lists.size(); ++list)
        for (std::size_t side = 0; side < sidesOfGpu.size(); ++side)
            for (Controls controls : lists[list]) {
                if (cancel && cancel->raised()) return {};
                controls.width = controls.height = (cpu ? sidesOfCpu : sidesOfGpu)[side];
                controls.batch = controls.repeat = 1;
                controls.enforce = false;
                auto job = makeJob(std::move(controls), std::monostate{});
                if (!job) continue;
                result.jobs.push_back(std::make_unique<Job>(std::move(*job)));
                const Program& program = result.jobs.back()->program;
                const std::size_t before = wanted.size();
                for (std::uint32_t i = 0; i < program.calls.size(); ++i) {
                    const KernelCall& call = program.calls[i].kernel;
                    if (std::holds_alternative<TransferCall>(call)) continue; // no kernel
                    const std::string kind = workKind(call, program);
                    const double work = workOf(call, program);
                    const auto [index, isNew] = indices.try_emplace(kind, kinds.size());
                    if (isNew) kinds.push_back(kind);
                    if (known.knows(kind, work) || !seen.emplace(index->second, work).second) continue;
                    wanted.push_back(
                        {.call = {.program = &program, .call = i}, .list = list, .kind = index->second, .side = side});
                }
                if (wanted.size() == before) result.jobs.pop_back();
            }
    std::ranges::stable_sort(wanted, {}, [&](const Wanted& w) {
        // A CPU device takes long: first everything in small pictures.
        return cpu ? std::tuple(w.list, w.side, w.kind) : std::tuple(w.list, w.kind, w.side);
    });
    for (const Wanted& w : wanted) {
        result.calls.push_back(w.call);
        result.kinds.push_back(kinds[w.kind]);
    }
    return result;
}

// The system hands out memory page by page when it is first written to, which is when a CPU device uses it.
double firstWriteNsPerByte() {
    constexpr std::size_t bytes = std::size_t{64} << 20, page = 4096;
    const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[bytes]);
    if (!memory) return 0.0;
    const auto write = [&](std::byte value) {
        const auto begin = Clock::now();
        for (std::size_t i = 0; i < bytes; i += page) const_cast<volatile std::byte&>(memory[i]) = value;
        return 1e9 * secondsSince(begin);
    };
    const double first = write(std::byte{1}), again = write(std::byte{2});
    return std::max(first - again, 0.0) / static_cast<double>(bytes);
}

// What the driver takes for memory, from blocks of two sizes that are held together, as a run holds them.
void measureMemory(Backend& backend, OtherCosts& costs) {
    constexpr std::array<std::uint64_t, 2> sizes{std::uint64_t{2} << 20, std::uint64_t{64} << 20};
    std::array<double, 2> reserve{}, giveBack{};
    Heap& heap = backend.heap();
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        std::vector<double> reserved, returned;
        std::vector<HeapBlock> blocks;
        for (int repeat = 0; repeat < 9; ++repeat) {
            const auto begin = Clock::now();
            const auto block = heap.allocate(sizes[i], MemoryKind::Device);
            if (!block) break;
            reserved.push_back(1e9 * secondsSince(begin));
            blocks.push_back(*block);
        }
        for (const HeapBlock& block : blocks) {
            const auto begin = Clock::now();
            heap.free(block);
            returned.push_back(1e9 * secondsSince(begin));
        }
        reserve[i] = median(reserved);
        giveBack[i] = median(returned);
    }
    const auto line = [&](const std::array<double, 2>& ns, double& each, double& perByte) {
        perByte = std::max(ns[1] - ns[0], 0.0) / static_cast<double>(sizes[1] - sizes[0]);
        each = std::max(ns[0] - perByte * static_cast<double>(sizes[0]), 0.0);
    };
    line(reserve, costs.perReserve, costs.perReservedByte);
    line(giveBack, costs.perReturn, costs.perReturnedByte);
    if (backend.facts().cpu) costs.perReservedByte += firstWriteNsPerByte();
}

// Small runs show what is between ops: waiting for the device, tiles' inputs and outputs, and the bus.
Result<void> measureHost(Backend& backend, Rates& rates, const CancelFlag* cancel) {
    const CancelFlag never;
    const std::string size = backend.facts().cpu ? "64x64" : "512x512";
    using Values = std::vector<std::pair<std::string_view, std::string_view>>;
    const std::array<Values, 5> runs{
        Values{{"model", "taef1"}, {"lifetime", "lazy"}, {"evaluate", "layer"}},
        Values{{"model", "taef1"}, {"lifetime", "lazy"}, {"evaluate", "block"}},
        Values{{"model", "taef1"}, {"tile", backend.facts().cpu ? "32" : "64"}, {"overlap", "0"}},
        Values{{"model", "taef1"}, {"tile", backend.facts().cpu ? "48" : "384"}, {"overlap", "0"}},
        Values{
            {"model", "sd15"}, {"norm", "fused"}, {"upsample", "nearest"}, {"tile", "stripe:1/4"}, {"spill", "host"}}};
    std::vector<std::unique_ptr<Job>> jobs;
    std::vector<std::unique_ptr<TracedPlan>> traces;
    VirtualHeap heap({.granularity = backend.heap().traits().granularity});
    std::vector<Recording> recordings;
    for (const Values& values : runs) {
        Controls controls = defaultControls();
        CHECK(applyPreset(controls, "fastest"));
        for (const auto& [control, value] : values) CHECK(setControl(controls, control, value));
        CHECK(setControl(controls, "size", size));
        CHECK(setControl(controls, "allocator", "auto"));
        controls.repeat = backend.facts().cpu ? 1 : 3;
        TRY(Job made, makeJob(std::move(controls), InputChoice(std::uint64_t{7})));
        jobs.push_back(std::make_unique<Job>(std::move(made)));
        RunOutcome outcome = runJob(backend, *jobs.back(), {}, cancel ? *cancel : never);
        if (outcome.error) return tl::unexpected<Error>(std::move(*outcome.error));
        traces.push_back(std::make_unique<TracedPlan>(*jobs.back(), heap));
        recordings.push_back(std::move(outcome.recording));
    }
    std::vector<TracedRun> traced;
    for (std::size_t i = 0; i < recordings.size(); ++i)
        traced.push_back({jobs[i]->program, traces[i]->trace(), recordings[i]});
    rates.learnTransfers(traced.back());
    traced.pop_back();
    rates.learnOther(traced, backend.facts().submit.waitForEachOp);
    return {};
}

// The same calls, timed twice: long ones count for more, as the clock and chance do less to them.
class TimedTwice {
public:
    void add(double first, double second) {
        m_first += first;
        m_second += second;
    }
    double factor() const {
        if (m_first <= 0.0 || m_second <= 0.0) return 1.0;
        return std::max(m_first / m_second, m_second / m_first);
    }

private:
    double m_first = 0.0, m_second = 0.0; // ns
};

// Repeats of a call on a quiet machine differ by a few percent.
constexpr double disagree = 1.3;
constexpr double tooSlow = 1.5;

void keep(const Backend& backend, const std::string& cacheFolder, const Rates& rates) {
    (void)backend.writeCache("rates", cacheFolder, rates.toJson()); // what cannot be kept is measured again next time
}

} // namespace

std::optional<Rates> keptRates(const Backend& backend, const std::string& cacheFolder) {
    const auto text = backend.readCache("rates", cacheFolder);
    if (!text) return std::nullopt;
    auto kept = Rates::fromJson(*text);
    if (!kept) return std::nullopt; // a damaged table is measured again
    kept->submit = backend.facts().submit;
    return std::move(*kept);
}

Result<MeasuredRates> measureRates(Backend& backend, const Controls& controls, const MeasureOptions& options) {
    const auto begin = Clock::now();
    const bool cpu = backend.facts().cpu;
    const double enough = cpu ? 17.0 : 9.0; // s; what follows takes a few more
    const std::optional<Rates> kept = keptRates(backend, options.cacheFolder);
    const bool anew = !kept || options.again;
    MeasuredRates measured{.rates = kept.value_or(Rates())};
    measured.rates.submit = backend.facts().submit;
    // Measured again, what there is no time for stays as it was.
    const WantedCalls wanted = wantedCalls(controls, cpu, anew ? Rates() : measured.rates, options.cancel);
    if (options.cancel && options.cancel->raised()) return fail(ErrorCode::Cancelled, "cancelled");
    if (wanted.calls.empty() && !anew) return measured;

    measured.left = wanted.calls.size();
    if (cpu) {
        // Under a steady load repeats agree.
        const double load = machineLoad(std::chrono::milliseconds(300));
        if (load > options.mostLoad) {
            measured.disagreement =
                fmt::format("other programs take {:.0f} % of the processors, so nothing was measured", 100.0 * load);
            return measured;
        }
    }
    TimedTwice repeats, later;
    std::vector<double> between;
    std::vector<std::pair<std::size_t, double>> first; // calls that are timed once more in the end
    const auto raised = [&] { return options.cancel && options.cancel->raised(); };
    CHECK(backend.timeCalls(wanted.calls, [&](std::size_t i, const std::optional<CallTimes>& times) {
        if (raised()) return false;
        if (times) {
            const auto& [program, call] = wanted.calls[i];
            measured.rates.set(wanted.kinds[i],
                               {.work = workOf(program->calls[call].kernel, *program), .ns = times->ns});
            ++measured.added;
            if (times->again && !cpu) repeats.add(times->ns, *times->again);
            if (times->between > 0.0) between.push_back(times->between);
            // Some of the long ones, since short ones vary by chance, and not all at once.
            if (cpu && times->ns > 1e7 && measured.added >= 12 * (first.size() + 1) && first.size() < 8)
                first.emplace_back(i, times->ns);
        }
        --measured.left;
        if (options.progress)
            options.progress(
                {.done = wanted.calls.size() - measured.left, .total = wanted.calls.size(), .kind = wanted.kinds[i]});
        return secondsSince(begin) < enough;
    }));
    if (raised()) return fail(ErrorCode::Cancelled, "cancelled");
    std::vector<CallOfProgram> again;
    for (const auto& [i, ns] : first) again.push_back(wanted.calls[i]);
    CHECK(backend.timeCalls(again, [&](std::size_t i, const std::optional<CallTimes>& times) {
        if (times) later.add(times->ns, first[i].second);
        return !raised();
    }));
    if (anew) {
        measureMemory(backend, measured.rates.other);
        CHECK(measureHost(backend, measured.rates, options.cancel));
        measured.rates.other.betweenOps = cpu ? 0.0 : median(between);
    }
    const double worst = std::max(repeats.factor(), later.factor());
    if (worst > disagree) {
        measured.disagreement = fmt::format(
            "repeats of the same calls differ by a factor of {:.2f}, so the machine is busy and nothing was kept",
            worst);
        measured.rates = kept.value_or(Rates());
        measured.added = 0;
        return measured;
    }
    keep(backend, options.cacheFolder, measured.rates);
    return measured;
}

bool knowsKindsOf(const Rates& rates, const Program& program) {
    return std::ranges::all_of(program.calls, [&](const Call& call) {
        const auto time = rates.callTime(call.kernel, program);
        return time && time->isKindKnown;
    });
}

std::string learnFromRun(Backend& backend, const Job& job, const Recording& run, const std::string& cacheFolder) {
    if (run.failure || job.controls.tilesInFlight > 1) return {};
    std::optional<Rates> rates = keptRates(backend, cacheFolder);
    if (!rates) return {}; // measured ones come first: a run has a part of the kinds alone
    VirtualHeap heap({.granularity = backend.heap().traits().granularity});
    const TracedPlan traced(job, heap);
    const auto estimate = estimatePass(job.program, traced.recording, traced.trace(), *rates);
    if (estimate && estimate->unknown < 0.1 && run.durationMs > tooSlow * estimate->ms)
        return fmt::format(
            "the run took {}, {:.1f} times what was estimated; the machine may have been busy, or shaders "
            "were compiled in the run, so its times are not kept",
            formatDuration(run.durationMs), run.durationMs / estimate->ms);
    // On a CPU device an op that writes to new memory also pays for its pages.
    if (rates->learnCalls({job.program, traced.trace(), run}, backend.facts().cpu) > 0)
        keep(backend, cacheFolder, *rates);
    return {};
}

} // namespace spikescope
