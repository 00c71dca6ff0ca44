#include "core/program/walk.h"

#include "core/base/text.h"
#include "core/program/repeats.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace spikescope {

namespace {

class Walk {
public:
    Walk(const Program& program, Allocator& allocator, Recording& recording, Recorder& recorder, Machine& machine)
        : m_program(program)
        , m_allocator(allocator)
        , m_recording(recording)
        , m_recorder(recorder)
        , m_machine(machine)
        , m_repeats(allocator, recorder, recording)
        , m_live(program.tensors.size())
        , m_ops(program.calls.size()) {
        if (!program.retiredReleases) m_allocator.waitWith([this] { return m_machine.evaluate(0); });
    }

    Result<void> run(const CancelFlag& cancel) {
        m_cancel = &cancel;
        sample();
        return carryOut(m_program.steps);
    }
    std::uint64_t refusalsOfRepeats() { return m_repeats.finish(); }

    // After the device is done, or lost.
    void freeEverything() {
        m_allocator.waitWith({});
        for (std::size_t i = 0; i < m_live.size(); ++i)
            if (m_live[i]) (void)release(TensorId{static_cast<std::uint32_t>(i)});
        m_allocator.end();
        sample();
    }

    // The layer and tensor of the step that failed, for the report.
    LayerId layer;
    TensorId tensor;

private:
    Result<void> carryOut(const std::vector<Step>& steps) {
        for (const Step& step : steps) {
            if (m_cancel->raised()) return fail(ErrorCode::Cancelled, "cancelled");
            CHECK(std::visit([this](const auto& s) { return carryOut(s); }, step));
        }
        return {};
    }
    Result<void> carryOut(const RepeatStep& step) {
        std::vector<Repeats::Mark> begins;
        for (std::uint64_t left = step.times; (left -= m_repeats.skip(step.block, left)) > 0; --left) {
            begins.push_back(m_repeats.mark());
            CHECK(carryOut(m_program.blocks[step.block]));
            m_repeats.learn(step.block, begins);
        }
        return {};
    }
    Result<void> carryOut(const PhaseStep& step) {
        m_recorder.phase(step.phase);
        m_machine.enter(step.phase);
        tensor = {};
        layer = {};
        return step.phase == Phase::Load ? m_allocator.begin() : Result<void>{};
    }
    Result<void> carryOut(const AcquireStep& step) {
        const Tensor& wanted = m_program.tensor(step.tensor);
        tensor = step.tensor;
        layer = wanted.layer;
        auto placement = m_allocator.allocate(step.tensor.index, wanted.bytes, wanted.memory);
        if (!placement) {
            Error error = std::move(placement.error());
            error.message = fmt::format("layer {}, tensor {} of {}: {}", quote(m_program.layers[wanted.layer.index]),
                                        quote(wanted.name), formatBytes(wanted.bytes), error.message);
            return tl::unexpected<Error>(std::move(error));
        }
        m_live[step.tensor.index] = *placement;
        CHECK(m_machine.bind(step.tensor, *placement));
        if (m_recorder.reserved() > m_mostReserved) {
            m_mostReserved = m_recorder.reserved();
            sample();
        }
        return {};
    }
    Result<void> carryOut(const ReleaseStep& step) { return release(step.tensor); }
    Result<void> carryOut(const FillStep& step) {
        return m_machine.fill(step, recordTransfer(step.from ? OpKind::Transpose : OpKind::Read, step.tensor));
    }
    Result<void> carryOut(const UploadStep& step) {
        return m_machine.upload(step,
                                recordTransfer(step.region.again ? OpKind::UploadPart : OpKind::Upload, step.tensor));
    }
    Result<void> carryOut(const DownloadStep& step) {
        return m_machine.download(step, recordTransfer(OpKind::Download, step.output.tensor));
    }
    Result<void> carryOut(const AreaStep& step) {
        m_areas = step.areas;
        m_areaBegins = true;
        return {};
    }
    Result<void> carryOut(const ClearStep& step) { return m_machine.clear(step); }
    Result<void> carryOut(const DispatchStep& step) {
        const Call& call = m_program.calls[step.call];
        tensor = output(call.kernel);
        layer = call.layer;
        std::optional<RecordedOp>& op = m_ops[step.call];
        if (!op) {
            const Tensor& out = m_program.tensor(tensor);
            op = {.name = kernelName(call.kernel),
                  .kind = opKind(call.kernel),
                  .layer = call.layer.index,
                  .flops = flops(call.kernel, m_program),
                  .outputBytes = out.bytes,
                  .traffic = traffic(call.kernel, m_program),
                  .dtype = std::string(name(out.dtype))};
        }
        return m_machine.dispatch(step.call, step.concurrentWithNext, record(*op));
    }
    Result<void> carryOut(const EvaluateStep& step) {
        CHECK(m_machine.evaluate(step.ahead));
        m_recording.barriers.push_back(static_cast<std::uint32_t>(m_recording.events.size()));
        sample();
        return {};
    }

    std::uint32_t record(RecordedOp op) {
        const std::uint32_t index = m_recorder.op(std::move(op));
        if (m_areas.empty()) return index;
        std::vector<RecordedTile>& tiles = m_recording.tiles;
        if (std::exchange(m_areaBegins, false))
            for (const OutputArea& area : m_areas) tiles.push_back({.area = area, .firstOp = index});
        for (std::size_t i = tiles.size() - m_areas.size(); i < tiles.size(); ++i) tiles[i].lastOp = index;
        return index;
    }

    void sample() {
        std::optional<Sample> sample = m_machine.sample();
        if (!sample) return;
        sample->event = static_cast<std::uint32_t>(m_recording.events.size());
        m_recording.samples.push_back(*sample);
    }

    std::uint32_t recordTransfer(OpKind kind, TensorId id) {
        const Tensor& moved = m_program.tensor(id);
        tensor = id;
        layer = moved.layer;
        return record({.name = std::string(name(kind)),
                       .kind = kind,
                       .layer = moved.layer.index,
                       .outputBytes = moved.bytes,
                       .traffic = 2 * moved.bytes,
                       .dtype = std::string(name(moved.dtype))});
    }
    Result<void> release(TensorId id) {
        m_machine.unbind(id);
        Result<void> freed = m_allocator.free(id.index, *m_live[id.index]);
        m_live[id.index].reset();
        return freed;
    }

    const Program& m_program;
    Allocator& m_allocator;
    Recording& m_recording;
    Recorder& m_recorder;
    Machine& m_machine;
    Repeats m_repeats;
    const CancelFlag* m_cancel = nullptr;
    std::vector<std::optional<Placement>> m_live;
    std::vector<std::optional<RecordedOp>> m_ops; // by call, as one dispatch of it is recorded
    std::uint64_t m_mostReserved = 0;
    std::vector<OutputArea> m_areas; // that the ops from here on compute
    bool m_areaBegins = false;       // no op of m_areas is recorded yet
};

TilingKind tilingOf(const Controls& controls) {
    if (!controls.isTiled()) return TilingKind::Off;
    return controls.isExactlyTiled() ? TilingKind::Exact : TilingKind::Approximate;
}

} // namespace

Result<void> walk(const Program& program, Allocator& allocator, Recording& recording, Recorder& recorder,
                  Machine& machine, const CancelFlag& cancel) {
    recording.events.reserve(recording.events.size() + 2 * program.steps.size());
    Walk walk(program, allocator, recording, recorder, machine);
    const std::uint64_t refusalsBefore = allocator.heap().refusals();
    Result<void> result = walk.run(cancel);
    recording.refusals = allocator.heap().refusals() - refusalsBefore + walk.refusalsOfRepeats();
    if (!result) {
        // What is in flight still uses the memory; a lost device has nothing in flight.
        (void)machine.evaluate(0);
        recording.failure = failureOf(result.error(), program, allocator.heap().bytesFree(),
                                      static_cast<std::uint32_t>(recording.events.size()), walk.tensor, walk.layer);
    }
    walk.freeEverything();
    return result;
}

Failure failureOf(const Error& error, const Program& program, std::uint64_t bytesFree, std::uint32_t event,
                  TensorId tensor, LayerId layer) {
    if (!tensor.valid() && error.code == ErrorCode::OutOfDeviceMemory) {
        const auto largest = std::ranges::max_element(program.tensors, {}, [](const Tensor& candidate) {
            return isOfDevice(candidate.memory) ? candidate.bytes : 0;
        });
        tensor = TensorId{static_cast<std::uint32_t>(largest - program.tensors.begin())};
        layer = largest->layer;
    }
    Failure failure{.code = error.code, .message = error.message, .bytesFree = bytesFree, .event = event};
    if (layer.valid()) failure.layer = program.layers[layer.index];
    if (tensor.valid()) {
        failure.tensor = program.tensor(tensor).name;
        failure.bytesWanted = program.tensor(tensor).bytes;
    }
    return failure;
}

void describe(const Program& program, const Controls& controls, Recording& recording) {
    recording.controls = controlValues(controls);
    recording.tiling = tilingOf(controls);
    recording.layers = program.layers;
    recording.tensors.reserve(program.tensors.size());
    for (const Tensor& tensor : program.tensors)
        recording.tensors.push_back({.name = tensor.name,
                                     .layer = tensor.layer.index,
                                     .category = tensor.category,
                                     .dtype = std::string(name(tensor.dtype)),
                                     .shape = tensor.dims,
                                     .bytes = tensor.bytes,
                                     .space = isOfDevice(tensor.memory) ? deviceSpace : hostSpace});
}

namespace {

// The steps in order, those of a block only where it comes first: the same tensors are live around it every time.
template <class Visit> void eachOnce(const Program& program, const Visit& visit) {
    std::vector<bool> known(program.blocks.size(), false);
    const auto follow = [&](const auto& self, const std::vector<Step>& steps) -> void {
        for (const Step& step : steps) {
            const auto* repeat = std::get_if<RepeatStep>(&step);
            if (!repeat) {
                visit(step);
            } else if (!known[repeat->block]) {
                known[repeat->block] = true;
                self(self, program.blocks[repeat->block]);
            }
        }
    };
    follow(follow, program.steps);
}

} // namespace

Lifetimes lifetimes(const Program& program) {
    const std::size_t count = program.tensors.size();
    Lifetimes result{.lives = std::vector<Lifetime>(count), .earlier = {}};
    std::vector<Lifetime>& lives = result.lives;
    bool again = false;
    std::uint32_t now = 0;
    eachOnce(program, [&](const Step& step) {
        if (const auto* acquire = std::get_if<AcquireStep>(&step)) {
            Lifetime& life = lives[acquire->tensor.index];
            again = again || life.end > 0;
            life = {.begin = now, .end = 0, .bytes = program.tensor(acquire->tensor).bytes};
        } else if (const auto* release = std::get_if<ReleaseStep>(&step)) {
            lives[release->tensor.index].end = now;
        }
        ++now;
    });
    if (!again) return result;
    std::vector<std::uint32_t> alive, place(count); // place: of each in `alive`
    eachOnce(program, [&](const Step& step) {
        if (const auto* acquire = std::get_if<AcquireStep>(&step)) {
            const std::uint32_t id = acquire->tensor.index;
            for (const std::uint32_t other : alive)
                if (lives[id].end <= lives[other].begin || lives[other].end <= lives[id].begin)
                    result.earlier.add(id, other);
            place[id] = static_cast<std::uint32_t>(alive.size());
            alive.push_back(id);
        } else if (const auto* release = std::get_if<ReleaseStep>(&step)) {
            const std::uint32_t gone = place[release->tensor.index];
            alive[gone] = alive.back();
            place[alive[gone]] = gone;
            alive.pop_back();
        }
    });
    return result;
}

} // namespace spikescope
