#include "app/engine/engine.h"

#include "app/engine/open_file.h"
#include "app/engine/preview_sink.h"
#include "app/engine/worker.h"

#include "core/advise/fit.h"
#include "core/backend/measured_rates.h"
#include "core/backend/run_job.h"
#include "core/base/caught.h"
#include "core/base/machine_memory.h"
#include "core/vulkan/vulkan_backend.h"

#include <chrono>
#include <mutex>

namespace spikescope {

namespace {

using Clock = std::chrono::steady_clock;

double msSince(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// What the open device says to those who do not run on it.
struct DeviceFacts {
    HeapTraits traits;
    std::shared_ptr<const Rates> rates;
    bool known = false, cpu = false;
};

DeviceFacts factsOf(Backend& backend, std::optional<Rates> rates) {
    return {.traits = backend.heap().traits(),
            .rates = rates ? std::make_shared<const Rates>(std::move(*rates)) : nullptr,
            .known = true,
            .cpu = backend.facts().cpu};
}

FitResult fitOf(const Controls& controls, std::uint64_t availableBytes, FitWish wish, DeviceFacts facts,
                const CancelFlag& cancel) {
    if (isBudgetOfOther(controls, facts.cpu)) facts = {};
    FitResult result{.availableBytes = availableBytes, .wish = wish};
    FitOptions options{.kept = {}, .approximate = wish.approximate, .dtype = wish.dtype, .cancel = &cancel};
    if (facts.known) options.availableHostBytes = availableMachineMemory();
    const auto fit = spikescope::fit(controls, facts.traits, availableBytes, facts.rates.get(), options);
    if (!fit) {
        result.error = fit.error();
        return result;
    }
    if (!fit->chosen) {
        // What would help is found by trying it, the least to give up first.
        for (const FitWish more :
             {FitWish{.approximate = true, .dtype = wish.dtype},
              FitWish{.approximate = wish.approximate, .dtype = true}, FitWish{.approximate = true, .dtype = true}}) {
            if (more == wish) continue;
            options.approximate = more.approximate;
            options.dtype = more.dtype;
            const auto other = spikescope::fit(controls, facts.traits, availableBytes, facts.rates.get(), options);
            if (!other || !other->chosen) continue;
            result.would = more;
            break;
        }
    }
    const PlannedControls& found = fit->chosen ? *fit->chosen : fit->leanest;
    result.fits = fit->chosen.has_value();
    result.controls = found.controls;
    result.controls.enforce = controls.enforce; // which was left out while planning
    result.reserved = found.peak.reserved;
    result.weights = found.weights;
    if (found.ms && fit->asked.ms && *fit->asked.ms > 0) result.times = *found.ms / *fit->asked.ms;
    result.measured = fit->measured;
    result.refusal = fit->refusal;
    return result;
}

InputChoice choiceOf(const InputSource& source) {
    if (source.path.empty()) return InputChoice(source.seed);
    return InputChoice(InputFile{.path = source.path, .key = source.key, .scaled = source.scaled, .fit = source.fit});
}

PlanResult planOf(const Controls& controls, std::uint64_t granularity) {
    PlanResult result{.controls = controls, .timeline = {}, .notes = {}, .error = {}};
    Controls planned = controls;
    planned.enforce = false; // the whole spike is to be seen, also where a run would stop
    auto job = makeJob(planned, std::monostate{});
    if (!job) {
        result.error = job.error();
        return result;
    }
    result.controls.model = job->controls.model;
    result.controls.width = job->controls.width;
    result.controls.height = job->controls.height;
    result.notes = job->notes;
    Recording plan = planJob(*job, {.granularity = granularity});
    plan.controls = controlValues(result.controls); // what was asked for, with what it is run at
    result.timeline = std::make_shared<const Timeline>(std::move(plan));
    return result;
}

// What make() returns, or what it throws as the error of `otherwise`.
template <class Answer, class Make> Answer answerOf(Answer otherwise, Make make) {
    Result<Answer> made = caught([&] { return Result<Answer>(make()); });
    if (made) return std::move(*made);
    otherwise.error = std::move(made.error());
    return otherwise;
}

// How long the ops that are left will take: by this device's rates where those are known, else as long as those that
// are done took for their share of the work.
class TimeLeft {
public:
    TimeLeft(const Job& job, const TracedPlan& plan, const Rates* rates)
        : m_measured(rates != nullptr) {
        std::vector<double> costs; // of the ops: ns, or work where that is not known
        for (const RecordedOp& op : plan.recording.ops)
            // On most devices a byte moved costs as much as some twenty operations.
            costs.push_back(m_measured ? 0.0
                                       : static_cast<double>(op.flops) + 20.0 * static_cast<double>(op.traffic) + 1.0);
        for (const TraceItem& item : plan.trace()) {
            if (!rates || item.kind != TraceItem::Kind::Work || item.call == noIndex) continue;
            const auto time = rates->callTime(job.program.calls[item.call].kernel, job.program);
            costs[item.op] = time ? time->ns : 0.0;
        }
        m_before.push_back(0.0);
        for (const double cost : costs) m_before.push_back(m_before.back() + cost);
    }
    std::optional<double> ms(std::uint32_t done, double elapsed) const {
        const double before = m_before[std::min<std::size_t>(done, m_before.size() - 1)], all = m_before.back();
        if (m_measured) return (all - before) / 1e6;
        if (!(before > 0.02 * all)) return std::nullopt; // too early to tell
        return elapsed * (all - before) / before;
    }

private:
    bool m_measured;
    std::vector<double> m_before; // costs of all ops before each one
};

} // namespace

struct Engine::Threads {
    explicit Threads(const std::function<void(const Error&)>& failed)
        : planning(failed)
        , advising(failed)
        , fitting(failed)
        , running(failed)
        , files(failed) {}

    std::mutex mutex; // of facts
    DeviceFacts facts;
    // Of the run thread alone.
    std::unique_ptr<VulkanBackend> backend;
    std::optional<std::string> selector;
    std::optional<Error> refusal;

    std::shared_ptr<CancelFlag> cancelRun = std::make_shared<CancelFlag>();
    std::shared_ptr<CancelFlag> cancelFile = std::make_shared<CancelFlag>();
    std::shared_ptr<CancelFlag> cancelFit = std::make_shared<CancelFlag>();
    std::shared_ptr<CancelFlag> cancelRates = std::make_shared<CancelFlag>();
    // Last: they are gone before what they use.
    Worker planning, advising, fitting, running, files;

    DeviceFacts knownFacts() {
        const std::lock_guard lock(mutex);
        return facts;
    }
    void setFacts(DeviceFacts known) {
        const std::lock_guard lock(mutex);
        facts = std::move(known);
    }
    // On the run thread. The device stays open from run to run.
    Result<VulkanBackend*> backendFor(const std::string& wanted) {
        if (!backend || selector != wanted) {
            backend.reset();
            auto opened = VulkanBackend::open({.device = wanted});
            if (!opened) return tl::unexpected<Error>(opened.error());
            backend = std::move(*opened);
            selector = wanted;
            setFacts(factsOf(*backend, keptRates(*backend, defaultCacheFolder())));
        }
        return backend.get();
    }
    FreeMemory freeMemory() const {
        const Device& device = backend->device();
        return {.device = device.bytesFree(),
                .machine = availableMachineMemory(),
                .shared = backend->facts().cpu || device.report().type == "integrated GPU"};
    }
    DeviceSummary summary() const {
        const BackendFacts& opened = backend->facts();
        return {.name = opened.device.name,
                .driver = opened.device.driver,
                .heapBytes = opened.spaces[deviceSpace].bytes,
                .freeBytes = backend->device().bytesFree(),
                .known = true,
                .refusal = {}};
    }
};

Engine::Engine(QObject* parent)
    : QObject(parent)
    , m_threads(std::make_unique<Threads>([this](const Error& error) {
        QMetaObject::invokeMethod(
            this, [this, sentence = QString::fromStdString(error.message)] { Q_EMIT failed(sentence); },
            Qt::QueuedConnection);
    })) {}

Engine::~Engine() {
    stop();
    cancelOpening();
    cancelFitting();
    cancelMeasuring();
}

PlanResult Engine::planNow(const Controls& controls) const {
    return answerOf(PlanResult{.controls = controls},
                    [&] { return planOf(controls, m_threads->knownFacts().traits.granularity); });
}

std::uint64_t Engine::plan(const Controls& controls) {
    const std::uint64_t request = ++m_planRequest;
    m_threads->planning.replace([this, controls, request] {
        PlanResult result = planNow(controls);
        result.request = request;
        QMetaObject::invokeMethod(
            this, [this, result = std::move(result)] { Q_EMIT planned(result); }, Qt::QueuedConnection);
    });
    return request;
}

void Engine::planAll(std::vector<std::pair<std::string, Controls>> labelled) {
    m_threads->advising.add([this, labelled = std::move(labelled)] {
        std::vector<std::pair<std::string, PlanResult>> results;
        for (const auto& [label, controls] : labelled) results.emplace_back(label, planNow(controls));
        QMetaObject::invokeMethod(
            this, [this, results = std::move(results)] { Q_EMIT plannedAll(results); }, Qt::QueuedConnection);
    });
}

std::uint64_t Engine::advise(const Controls& controls, std::optional<std::uint64_t> availableBytes) {
    const std::uint64_t request = ++m_adviceRequest;
    m_newestAdvice = request; // before the job can look at it
    m_threads->advising.add([this, controls, availableBytes, request] {
        // An older request whose answer nobody waits for any more costs nothing.
        if (request != m_newestAdvice.load()) return;
        const DeviceFacts facts = m_threads->knownFacts();
        const AdviceResult nothing{.request = request, .controls = controls, .timed = facts.rates != nullptr};
        AdviceResult result = answerOf(nothing, [&] {
            AdviceResult made = nothing;
            static const Rates counted = Rates::ofCountedWork();
            const Rates& rates = facts.rates ? *facts.rates : counted;
            if (auto advice = spikescope::advise(controls, facts.traits, &rates, availableBytes))
                made.advice = std::move(*advice);
            return made;
        });
        QMetaObject::invokeMethod(
            this, [this, result = std::move(result)] { Q_EMIT advised(result); }, Qt::QueuedConnection);
    });
    return request;
}

std::uint64_t Engine::fit(const Controls& controls, std::uint64_t availableBytes, FitWish wish) {
    const std::uint64_t request = ++m_fitRequest;
    cancelFitting();
    m_threads->cancelFit = std::make_shared<CancelFlag>();
    m_threads->fitting.add([this, controls, availableBytes, wish, request, cancel = m_threads->cancelFit] {
        FitResult result = answerOf(FitResult{.availableBytes = availableBytes}, [&] {
            return fitOf(controls, availableBytes, wish, m_threads->knownFacts(), *cancel);
        });
        result.request = request;
        QMetaObject::invokeMethod(
            this, [this, result = std::move(result)] { Q_EMIT fitted(result); }, Qt::QueuedConnection);
    });
    return request;
}

void Engine::cancelFitting() { m_threads->cancelFit->raise(); }

void Engine::openDevice(const std::string& selector) {
    m_threads->running.add([this, selector] {
        const auto backend = caught([&] { return m_threads->backendFor(selector); });
        DeviceSummary summary;
        if (backend)
            summary = m_threads->summary();
        else
            summary.refusal = backend.error().message;
        QMetaObject::invokeMethod(
            this, [this, summary] { Q_EMIT deviceChanged(summary); }, Qt::QueuedConnection);
    });
}

void Engine::measureRates(const Controls& controls, bool again) {
    m_threads->cancelRates = std::make_shared<CancelFlag>();
    m_threads->running.add([this, controls, again, cancel = m_threads->cancelRates] {
        RatesResult result;
        Clock::time_point last = Clock::now();
        const auto progressed = [&](const RateProgress& progress) {
            constexpr double pauseMs = 100.0;
            if (msSince(last) < pauseMs) return;
            last = Clock::now();
            QMetaObject::invokeMethod(
                this, [this, progress] { Q_EMIT ratesProgressed(progress.done, progress.total); },
                Qt::QueuedConnection);
        };
        auto measured = caught([&]() -> Result<MeasuredRates> {
            TRY(VulkanBackend * backend, m_threads->backendFor(controls.device));
            return spikescope::measureRates(
                *backend, controls,
                {.cacheFolder = defaultCacheFolder(), .again = again, .cancel = cancel.get(), .progress = progressed});
        });
        if (!measured) {
            result.failure = measured.error().message;
            if (measured.error().code == ErrorCode::DeviceLost) m_threads->backend.reset();
        } else {
            result.note = measured->disagreement;
            result.left = measured->left;
            std::optional<Rates> rates;
            if (!measured->rates.empty()) rates = std::move(measured->rates);
            m_threads->setFacts(factsOf(*m_threads->backend, std::move(rates)));
        }
        QMetaObject::invokeMethod(
            this, [this, result] { Q_EMIT ratesMeasured(result); }, Qt::QueuedConnection);
    });
}

void Engine::cancelMeasuring() { m_threads->cancelRates->raise(); }

void Engine::run(const Controls& controls, const InputSource& input, Room room) {
    m_running = true;
    m_threads->cancelRun = std::make_shared<CancelFlag>();
    m_threads->running.add([this, controls, input, room, cancel = m_threads->cancelRun] {
        bool ended = false;
        RunResult result = answerOf(RunResult{.controls = controls}, [&] {
            RunResult made = runNow(controls, input, room, *cancel);
            ended = true;
            return made;
        });
        if (!ended) m_threads->backend.reset(); // nobody knows what was under way in it
        QMetaObject::invokeMethod(
            this,
            [this, result = std::move(result)] {
                m_running = false;
                Q_EMIT runFinished(result);
            },
            Qt::QueuedConnection);
    });
}

RunResult Engine::runNow(const Controls& controls, const InputSource& input, Room room, const CancelFlag& cancel) {
    RunResult result{.controls = controls};
    const auto failed = [&](Error error) {
        result.error = std::move(error);
        return result;
    };
    auto job = makeJob(controls, choiceOf(input));
    if (!job) return failed(job.error());
    result.controls = job->controls;
    result.notes = job->notes;
    auto backend = m_threads->backendFor(controls.device);
    if (!backend) return failed(backend.error());
    std::vector<std::unique_ptr<OutputSink>> sinks;
    auto made = PreviewSink::create(job->family, controls.op, job->outputShape());
    if (!made) return failed(made.error());
    const PreviewSink& preview = **made;
    sinks.push_back(std::move(*made));

    VirtualHeap heap((*backend)->heap().traits());
    if (job->controls.enforce) heap.limitTo(*job->controls.budgetBytes);
    const TracedPlan plan(*job, heap);
    if (room == Room::Check)
        if ((result.shortage = shortageOf(plan.recording, m_threads->freeMemory()))) return result;
    const auto rates = m_threads->knownFacts().rates;
    const TimeLeft timeLeft(*job, plan, rates.get());
    const Clock::time_point begin = Clock::now();
    Clock::time_point last = begin;
    double pauseMs = 0.0;
    const auto progressed = [&](const Progress& progress) {
        if (msSince(last) < pauseMs || progress.done == 0) return;
        const Clock::time_point copyBegin = Clock::now();
        RunProgress so{.timeline = std::make_shared<const Timeline>(progress.recordingSoFar()),
                       .done = progress.done,
                       .total = progress.total,
                       .layer = std::string(progress.layer),
                       .elapsedMs = msSince(begin),
                       .leftMs = timeLeft.ms(progress.done, msSince(begin)),
                       .picture = preview.pictures()};
        QMetaObject::invokeMethod(
            this, [this, so = std::move(so)] { Q_EMIT runProgressed(so); }, Qt::QueuedConnection);
        // Watching takes a hundredth of the time, however long the Recording gets.
        pauseMs = std::max(400.0, 100.0 * msSince(copyBegin));
        last = Clock::now();
    };
    RunOutcome outcome = runJob(**backend, *job, sinks, cancel, progressed);
    adviseFailure(outcome.recording, job->controls, (*backend)->heap().traits());
    if (!outcome.error) {
        const std::string lesson = learnFromRun(**backend, *job, outcome.recording, defaultCacheFolder());
        if (!lesson.empty()) result.notes.push_back(lesson);
        m_threads->setFacts(factsOf(**backend, keptRates(**backend, defaultCacheFolder())));
    }
    result.timeline = std::make_shared<const Timeline>(std::move(outcome.recording));
    result.error = std::move(outcome.error);
    if (!result.error) {
        result.picture = preview.pictures();
        result.moments = preview.moments();
    }
    if (result.error && result.error->code == ErrorCode::DeviceLost) m_threads->backend.reset();
    return result;
}

void Engine::stop() { m_threads->cancelRun->raise(); }

void Engine::open(const std::string& path, const Controls& controls, const InputSource& input) {
    m_threads->cancelFile = std::make_shared<CancelFlag>();
    m_threads->files.add([this, path, controls, input, cancel = m_threads->cancelFile] {
        const auto progress = [this, &cancel](double fraction) {
            QMetaObject::invokeMethod(
                this, [this, fraction] { Q_EMIT fileProgress(fraction); }, Qt::QueuedConnection);
            return !cancel->raised();
        };
        OpenedFile opened =
            answerOf(OpenedFile{.path = path}, [&] { return openFile(path, controls, input, progress); });
        QMetaObject::invokeMethod(
            this, [this, opened = std::move(opened)] { Q_EMIT fileOpened(opened); }, Qt::QueuedConnection);
    });
}

void Engine::cancelOpening() { m_threads->cancelFile->raise(); }

void Engine::background(std::function<Result<void>()> work, std::function<void(const Result<void>&)> done) {
    m_threads->files.add([this, work = std::move(work), done = std::move(done)] {
        QMetaObject::invokeMethod(
            this, [done, result = caught(work)] { done(result); }, Qt::QueuedConnection);
    });
}

} // namespace spikescope
