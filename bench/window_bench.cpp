// How quick the window is: a flip of a control until the ghost has moved on the screen, and a frame of panning and
// zooming with a million events. Off screen, with the real widgets.

#include "app/widgets/main_window.h"
#include "app/widgets/theme.h"
#include "app/widgets/timeline_chart.h"

#include "core/backend/run_job.h"
#include "core/base/output_file.h"
#include "core/formats/write_report.h"
#include "core/memory/recorder.h"
#include "core/vulkan/vulkan_backend.h"

#include <benchmark/benchmark.h>

#include <QApplication>
#include <QElapsedTimer>
#include <QEventLoop>
#include <QTemporaryDir>
#include <QTimer>

#include <random>

namespace spikescope {
namespace {

// A long run of small tensors that come and go, with some spikes of one event.
Recording longRecording(std::uint32_t events) {
    Recording recording{.kind = RecordingKind::Run};
    recording.layers = {"decoder.conv_in", "decoder.mid_block.resnets.0.conv1", "decoder.up_blocks.0.resnets.0.conv1",
                        "decoder.conv_out"};
    std::mt19937 random(7);
    Recorder recorder(recording);
    std::vector<std::uint32_t> live;
    recorder.phase(Phase::Decode);
    recorder.reserve(0, std::uint64_t{64} << 30);
    while (recording.events.size() < events) {
        const auto op =
            recorder.op({.name = "conv3x3",
                         .layer = static_cast<std::uint32_t>(recording.ops.size() * 4 / (events / 2 + 1)) % 4,
                         .phase = Phase::Decode});
        recording.ops[op].beginNs = op * 1000;
        recording.ops[op].endNs = op * 1000 + 900;
        const std::uint64_t bytes = (random() % 1000 == 0 ? 4096 : 1 + random() % 64) * std::uint64_t{1 << 20};
        recording.tensors.push_back({.name = "t",
                                     .layer = 0,
                                     .category = static_cast<Category>(random() % categoryCount),
                                     .dtype = "bf16",
                                     .shape = {bytes},
                                     .bytes = bytes});
        live.push_back(static_cast<std::uint32_t>(recording.tensors.size() - 1));
        recorder.alloc(live.back(), 0, bytes);
        if (live.size() > 40 || bytes > (std::uint64_t{1} << 30)) {
            const std::size_t at = bytes > (std::uint64_t{1} << 30) ? live.size() - 1 : random() % live.size();
            recorder.free(live[at], 0, recording.tensors[live[at]].bytes);
            live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
        }
    }
    return recording;
}

struct Window {
    Engine engine;
    Workspace workspace{engine};
    MainWindow window{workspace, engine};
    Window() {
        window.resize(1600, 1000);
        window.show();
    }
    // Until `signal` came and its consequences are painted.
    template <class Signal, class Act> void after(Signal signal, Act act) {
        QEventLoop loop;
        const auto connection = QObject::connect(&workspace, signal, &loop, &QEventLoop::quit);
        act();
        loop.exec();
        QObject::disconnect(connection);
        paint();
    }
    void paint() {
        QApplication::sendPostedEvents();
        window.chart().viewport()->repaint();
    }
};

void flip(benchmark::State& state) {
    static const std::array families{"sd15", "sdxl", "sd3", "flux1", "z-image", "flux2", "taesd", "taef1", "taef2"};
    Window w;
    Controls controls;
    controls.model = families[static_cast<std::size_t>(state.range(0))];
    controls.width = 1536;
    controls.height = 2304;
    w.after(&Workspace::planChanged, [&] { w.workspace.restore(controls, {}); });
    w.workspace.keepPlan();
    w.workspace.show(w.workspace.runs().idAt(0)); // so that the plan is the ghost
    bool im2col = false;
    for (auto _ : state) {
        im2col = !im2col;
        w.after(&Workspace::planChanged, [&] { w.workspace.setControl("conv", im2col ? "im2col" : "direct"); });
    }
    state.SetLabel(controls.model);
}
BENCHMARK(flip)->DenseRange(0, 8)->Unit(benchmark::kMillisecond)->MinTime(0.5);

} // namespace

std::unique_ptr<Window> million; // goes before the application does

namespace {

Window& windowWithAMillion() {
    if (!million) million = std::make_unique<Window>();
    Window& w = *million;
    if (w.workspace.runs().rowCount() == 0) {
        RunEntry entry{.label = "long", .timeline = std::make_shared<const Timeline>(longRecording(1'000'000))};
        w.workspace.show(w.workspace.runs().add(entry));
    }
    return w;
}

void panMillion(benchmark::State& state) {
    Window& w = windowWithAMillion();
    const Range all = w.workspace.scene().all;
    const double length = all.length() / static_cast<double>(state.range(0));
    double at = all.begin, step = length / 50;
    for (auto _ : state) {
        if (at + length + step > all.end || at + step < all.begin) step = -step;
        at += step;
        w.workspace.setView({at, at + length});
        w.paint();
    }
}
BENCHMARK(panMillion)->Arg(2)->Arg(30)->Arg(1000)->Arg(100000)->Unit(benchmark::kMillisecond);

void zoomMillion(benchmark::State& state) {
    Window& w = windowWithAMillion();
    const Range all = w.workspace.scene().all;
    double factor = 0.8;
    for (auto _ : state) {
        const Range view = w.workspace.view();
        if (view.length() < all.length() * 1e-5 || view.length() >= all.length())
            factor = view.length() >= all.length() ? 0.8 : 1.25;
        w.workspace.setView(zoomed(view, all, all.begin + 0.37 * all.length(), factor));
        w.paint();
    }
}
BENCHMARK(zoomMillion)->Unit(benchmark::kMillisecond);

// From the wish to open a report of a million events until it is painted.
void openMillion(benchmark::State& state) {
    const QTemporaryDir folder;
    const QString path = folder.filePath("million.json");
    if (!writeText(path.toStdString(), reportJson(longRecording(1'000'000)))) {
        state.SkipWithError("not written");
        return;
    }
    Window w;
    w.after(&Workspace::planChanged,
            [&] { w.workspace.restore({.model = "flux1", .width = 1024, .height = 1024}, {}); });
    for (auto _ : state) {
        const int before = w.workspace.runs().rowCount();
        QEventLoop loop;
        QObject::connect(&w.workspace, &Workspace::sceneChanged, &loop, [&] {
            if (w.workspace.runs().rowCount() > before && w.workspace.shown()->eventCount() >= 1'000'000) loop.quit();
        });
        w.workspace.open(path);
        loop.exec();
        w.paint();
    }
}
BENCHMARK(openMillion)->Iterations(3)->Unit(benchmark::kMillisecond)->UseRealTime();

// A decode in the window against the same one without it: how much longer the device takes, and how long the window's
// event loop stood still at most. On a device named by SPIKESCOPE_DEVICE, else the first.
void liveRun(benchmark::State& state) {
    Window w;
    Controls controls;
    controls.model = "flux1";
    controls.activations = DType::F32;
    controls.width = controls.height = 256;
    controls.device = qEnvironmentVariable("SPIKESCOPE_DEVICE").toStdString();
    w.after(&Workspace::planChanged, [&] { w.workspace.restore(controls, {}); });
    auto backend = VulkanBackend::open({.device = controls.device});
    auto job = makeJob(controls, std::uint64_t{7});
    if (!backend || !job) {
        state.SkipWithError("no device");
        return;
    }
    constexpr int beatMs = 5;
    QElapsedTimer beat;
    qint64 worst = 0;
    QTimer pulse;
    QObject::connect(&pulse, &QTimer::timeout, [&] {
        worst = std::max(worst, beat.nsecsElapsed());
        beat.restart();
    });
    std::vector<double> alone, watched;
    for (auto _ : state) {
        const CancelFlag cancel;
        alone.push_back(runJob(**backend, *job, {}, cancel).recording.durationMs);
        pulse.start(beatMs);
        beat.start();
        QEventLoop loop;
        QObject::connect(&w.workspace, &Workspace::runFinished, &loop, &QEventLoop::quit);
        w.workspace.run();
        loop.exec();
        pulse.stop();
        watched.push_back(w.workspace.shown()->recording().durationMs);
    }
    std::ranges::sort(alone);
    std::ranges::sort(watched);
    state.counters["alone_ms"] = alone[alone.size() / 2];
    state.counters["watched_ms"] = watched[watched.size() / 2];
    state.counters["overhead_%"] = 100.0 * (watched[watched.size() / 2] / alone[alone.size() / 2] - 1.0);
    state.counters["stall_ms"] = static_cast<double>(worst) / 1e6 - beatMs;
}
BENCHMARK(liveRun)->Iterations(5)->Unit(benchmark::kSecond);

} // namespace
} // namespace spikescope

int main(int argc, char** argv) {
    qputenv("QT_QPA_PLATFORM", "offscreen");
    QApplication app(argc, argv);
    spikescope::applyTheme(app, spikescope::Theme::Light);
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    spikescope::million.reset();
    return 0;
}
