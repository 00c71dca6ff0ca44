#pragma once
// Everything that takes longer than a frame, off the window's thread: planning, advice, runs, files. The window asks by
// calling, answers come as signals on its own thread and carry immutable values. Includes nothing of Vulkan.

#include "app/engine/open_file.h"
#include "app/engine/picture.h"
#include "app/engine/room.h"
#include "core/base/cancel.h"
#include "core/base/error.h"
#include "core/program/controls.h"
#include "core/program/flips.h"
#include "core/timeline/timeline.h"

#include <QObject>

#include <atomic>
#include <memory>

namespace spikescope {

struct PlanResult {
    std::uint64_t request = 0;
    Controls controls; // as they were planned: model and size are set
    TimelinePtr timeline;
    std::vector<std::string> notes;
    std::optional<Error> error;
};

struct AdviceResult {
    std::uint64_t request = 0;
    Controls controls;
    std::optional<Advice> advice;
    bool timed = false;         // this device's rates are known
    std::optional<Error> error; // what asking threw; controls that cannot be planned have none
};

// What may be given up so that something fits.
struct FitWish {
    bool approximate = false; // independent tiles
    bool dtype = false;       // bits of weights and maps
    bool operator==(const FitWish&) const = default;
};

struct FitResult {
    std::uint64_t request = 0, availableBytes = 0; // bytes
    FitWish wish;
    bool fits = false;
    Controls controls;                       // the fastest that fits, else the leanest that was found
    std::uint64_t reserved = 0, weights = 0; // planned for them, bytes
    double times = 1.0;                      // their time, in that of what was asked for
    bool measured = false;                   // by this device's rates; else by counted work
    std::string refusal;                     // of what fits the available bytes and nevertheless does not run
    std::optional<FitWish> would;            // of what does not fit: what else given up makes it fit
    std::optional<Error> error;
};

struct DeviceSummary {
    std::string name, driver;
    std::uint64_t heapBytes = 0, freeBytes = 0;
    bool known = false;
    std::string refusal; // why there is none
};

struct RunProgress {
    TimelinePtr timeline; // so far
    std::uint32_t done = 0, total = 0;
    std::string layer;
    double elapsedMs = 0.0;
    std::optional<double> leftMs;
    PicturePtr picture; // so far
};

struct RunResult {
    TimelinePtr timeline;
    PicturePtr picture;                     // of a decode
    std::shared_ptr<const Moments> moments; // of an encode
    Controls controls;
    std::vector<std::string> notes;
    std::optional<Error> error;       // also with a timeline: up to where it failed
    std::optional<Shortage> shortage; // why it was not begun
};

class Engine : public QObject {
    Q_OBJECT
public:
    explicit Engine(QObject* parent = nullptr);
    ~Engine() override; // stops a run and waits for it

    // Answered by planned(); of several requests in a row only the last one needs an answer.
    std::uint64_t plan(const Controls& controls);
    // Answered by compared(), in order: the same, for several configurations at once.
    void planAll(std::vector<std::pair<std::string, Controls>> labelled);
    // Answered by advised(). `availableBytes`: bytes of what "fits" means.
    std::uint64_t advise(const Controls& controls, std::optional<std::uint64_t> availableBytes);
    // Answered by fitted(); one at a time: a new one cancels the one before.
    std::uint64_t fit(const Controls& controls, std::uint64_t availableBytes, FitWish wish);
    void cancelFitting();
    void openDevice(const std::string& selector); // answered by deviceChanged()
    void measureRates();                          // answered by ratesMeasured()

    // Answered by runProgressed() and runFinished(). What is planned to take more memory than is free is not begun,
    // unless that is what is wanted.
    enum class Room : std::uint8_t { Check, Whatever };
    void run(const Controls& controls, const InputSource& input, Room room = Room::Check);
    void stop();
    bool running() const { return m_running; }

    // Answered by fileProgress() and fileOpened().
    void open(const std::string& path, const Controls& controls, const InputSource& input);
    void cancelOpening();
    // Any work for the thread that reads and writes files; `done` is called on the window's thread, with what the work
    // returned or threw.
    void background(std::function<Result<void>()> work, std::function<void(const Result<void>&)> done);

Q_SIGNALS:
    void planned(const spikescope::PlanResult& result);
    void plannedAll(const std::vector<std::pair<std::string, spikescope::PlanResult>>& results);
    void advised(const spikescope::AdviceResult& result);
    void fitted(const spikescope::FitResult& result);
    void deviceChanged(const spikescope::DeviceSummary& device);
    void ratesMeasured(const QString& failure);
    void runProgressed(const spikescope::RunProgress& progress);
    void runFinished(const spikescope::RunResult& result);
    void fileProgress(double fraction);
    void fileOpened(const spikescope::OpenedFile& file);
    void failed(const QString& sentence); // an answer that nobody gets any more

private:
    struct Threads;

    PlanResult planNow(const Controls& controls) const;
    RunResult runNow(const Controls& controls, const InputSource& input, Room room, const CancelFlag& cancel);

    std::unique_ptr<Threads> m_threads;
    std::atomic<std::uint64_t> m_newestAdvice{0};
    bool m_running = false;
    std::uint64_t m_planRequest = 0, m_adviceRequest = 0, m_fitRequest = 0;
};

} // namespace spikescope
