#include "core/vulkan/call_sampler.h"

#include "core/base/checked.h"
#include "core/base/median.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <set>
#include <stop_token>
#include <thread>
#include <utility>

namespace spikescope {

namespace {

constexpr std::uint64_t stagingBytes = std::uint64_t{4} << 20, alignment = 256;
constexpr std::size_t maxInFlight = 4; // submissions
constexpr double longNs = 5e6;         // of a call on a CPU device

// Where each tensor of a call lies, from the beginning of the memory on.
struct Places {
    std::vector<std::pair<TensorId, std::uint64_t>> offsets;
    std::uint64_t bytes = 0;
};

Places placesOf(const CallOfProgram& of) {
    const Program& program = *of.program;
    const KernelCall& call = program.calls[of.call].kernel;
    std::vector<TensorId> ids = reads(call);
    const std::vector<TensorId> written = writes(call);
    ids.insert(ids.end(), written.begin(), written.end());
    Places places;
    std::set<std::uint32_t> known;
    for (const TensorId id : ids) {
        const TensorId stored = program.storage(id);
        if (!known.insert(stored.index).second) continue;
        places.offsets.emplace_back(stored, places.bytes);
        places.bytes += roundUp(program.tensor(stored).bytes, alignment);
    }
    return places;
}

// Each half of a word is a number of magnitude 1/16 to 1 in bf16 and 1 to 2 in fp16, and so is the word in fp32: calls
// of any dtype find values that stay finite.
void writeRandom(std::byte* out, std::uint64_t bytes) {
    std::minstd_rand random(7);
    for (std::uint64_t i = 0; i + 1 < bytes; i += 2) {
        const auto bits = static_cast<std::uint32_t>(random());
        const auto half = static_cast<std::uint16_t>((bits & 0x8000u) | 0x3d80u | ((bits >> 16) & 0x1ffu));
        std::memcpy(out + i, &half, 2);
    }
}

// Makes the pipelines of calls in order, on threads of its own: compiling takes the host long.
class PipelineMaker {
public:
    PipelineMaker(Kernels& kernels, std::span<const CallOfProgram> calls)
        : m_kernels(kernels)
        , m_calls(calls)
        , m_made(calls.size()) {
        for (std::atomic<bool>& made : m_made) made = false;
        constexpr unsigned maxThreads = 16;
        for (unsigned i = 0; i < std::clamp(std::thread::hardware_concurrency(), 1u, maxThreads); ++i)
            m_threads.emplace_back([this](const std::stop_token& stop) { make(stop); });
    }
    bool isMade(std::size_t i) const { return m_made[i]; }

private:
    void make(const std::stop_token& stop) {
        std::vector<Dispatch> unused;
        for (std::size_t i = m_next++; i < m_calls.size() && !stop.stop_requested(); i = m_next++) {
            const Program& program = *m_calls[i].program;
            // What fails here fails again where it is waited for.
            (void)m_kernels.encode(program.calls[m_calls[i].call].kernel, program, Bindings(program.tensors.size()),
                                   unused);
            unused.clear();
            m_made[i] = true;
        }
    }

    Kernels& m_kernels;
    std::span<const CallOfProgram> m_calls;
    std::vector<std::atomic<bool>> m_made;
    std::atomic<std::size_t> m_next = 0;
    std::vector<std::jthread> m_threads; // last: they use the others
};

// Enough for the clock of the device to be exact, as if it were a fast one; of a slow call few.
std::uint64_t passesOf(const CallOfProgram& of) {
    constexpr double flopsPerNs = 1e5, bytesPerNs = 1.5e3, wantedNs = 1e6;
    const KernelCall& call = of.program->calls[of.call].kernel;
    const double ns = std::max(static_cast<double>(flops(call, *of.program)) / flopsPerNs,
                               static_cast<double>(traffic(call, *of.program)) / bytesPerNs);
    return static_cast<std::uint64_t>(std::clamp(wantedNs / std::max(ns, 1.0), 2.0, 16.0));
}

using Clock = std::chrono::steady_clock;
double msSince(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

} // namespace

Result<std::unique_ptr<CallSampler>> CallSampler::create(Device& device, VulkanHeap& heap, Kernels& kernels) {
    return std::unique_ptr<CallSampler>(new CallSampler(device, heap, kernels));
}

CallSampler::~CallSampler() {
    (void)m_device.waitAll(); // a lost device has nothing in flight
    for (const HeapBlock& block : {m_memory, m_staging})
        if (block.id) m_heap.free(block);
}

Result<void> CallSampler::makeMemory(std::span<const CallOfProgram> calls) {
    const std::uint64_t most = (m_device.report().cpu ? std::uint64_t{1} : std::uint64_t{8}) << 30,
                        granularity = m_heap.traits().granularity;
    const std::uint64_t limit = std::min({most, m_heap.bytesFree() / 2, m_heap.traits().largestBlock});
    std::uint64_t bytes = 0;
    for (const CallOfProgram& call : calls) {
        const std::uint64_t wanted = placesOf(call).bytes;
        if (wanted <= limit) bytes = std::max(bytes, wanted);
    }
    TRY(m_memory, m_heap.allocate(roundUp(std::max(bytes, granularity), granularity), MemoryKind::Device));
    TRY(m_staging, m_heap.allocate(roundUp(stagingBytes, granularity), MemoryKind::HostVisible));
    writeRandom(m_heap.mapped(m_staging.id), stagingBytes);
    return {};
}

bool CallSampler::fits(const CallOfProgram& call) const { return placesOf(call).bytes <= m_memory.bytes; }

Bindings CallSampler::bind(const CallOfProgram& call) const {
    Bindings bindings(call.program->tensors.size());
    for (const auto& [tensor, offset] : placesOf(call).offsets)
        bindings[tensor.index] = {.buffer = m_heap.buffer(m_memory.id),
                                  .offset = offset,
                                  .address = m_memory.address + offset,
                                  .block = m_memory.id};
    return bindings;
}

Result<std::vector<Dispatch>> CallSampler::encode(const CallOfProgram& call) {
    std::vector<Dispatch> list;
    CHECK(m_kernels.encode(call.program->calls[call.call].kernel, *call.program, bind(call), list));
    return list;
}

// With the stamps of a run around each pass: they cost time there, too.
Result<void> CallSampler::submit(std::size_t index, const CallOfProgram& call) {
    const bool cpu = m_device.report().cpu;
    while (m_inFlight.size() >= (cpu ? 1 : maxInFlight)) CHECK(finishOldest());
    Submission submission{.commands = nullptr, .index = index, .passes = cpu ? 1 : passesOf(call)};
    if (m_unused.empty()) {
        TRY(submission.commands, Commands::create(m_device));
    } else {
        submission.commands = std::move(m_unused.back());
        m_unused.pop_back();
    }
    Commands& commands = *submission.commands;
    TRY(const std::vector<Dispatch> list, encode(call));
    std::vector<VkBufferCopy> regions;
    const std::uint64_t bytes = placesOf(call).bytes;
    for (std::uint64_t done = 0; done < bytes; done += stagingBytes)
        regions.push_back({.srcOffset = 0, .dstOffset = done, .size = std::min(stagingBytes, bytes - done)});
    CHECK(commands.begin(Commands::Use::Once, static_cast<std::uint32_t>(2 * submission.passes)));
    commands.barrier();
    m_device.vk.CmdCopyBuffer(commands.handle(), m_heap.buffer(m_staging.id), m_heap.buffer(m_memory.id),
                              static_cast<std::uint32_t>(regions.size()), regions.data());
    for (std::uint64_t i = 0; i < submission.passes; ++i) {
        bool first = true;
        for (const Dispatch& dispatch : list) {
            commands.barrier();
            if (std::exchange(first, false)) commands.stamp(VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
            CHECK(recordDispatch(commands, dispatch));
        }
        commands.stamp(VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
    }
    CHECK(commands.end());
    CHECK(m_device.submit(commands));
    m_inFlight.push_back(std::move(submission));
    return {};
}

Result<void> CallSampler::finishOldest() {
    Submission oldest = std::move(m_inFlight.front());
    m_inFlight.pop_front();
    CHECK(m_device.wait(oldest.commands->submission()));
    std::vector<std::uint64_t> ticks(2 * oldest.passes);
    CHECK(oldest.commands->readStamps(ticks));
    m_unused.push_back(std::move(oldest.commands));
    const auto ns = [&](std::size_t from, std::size_t to) {
        return static_cast<double>((ticks[to] - ticks[from]) & m_device.timestampMask()) *
               m_device.limits().timestampPeriod;
    };
    std::vector<double> times, between;
    for (std::size_t i = 0; i < oldest.passes; ++i) {
        times.push_back(ns(2 * i, 2 * i + 1));
        if (i > 0) between.push_back(ns(2 * i - 1, 2 * i));
    }
    m_finished.push_back({.index = oldest.index, .ns = median(times), .between = median(between)});
    return {};
}

// A GPU that had nothing to do has a low clock and takes a while to raise it: five times slower was seen.
Result<void> CallSampler::wake(const CallOfProgram& call) {
    constexpr double leastMs = 1000.0, mostMs = 2000.0, steadyMs = 200.0, sameTime = 0.98;
    if (m_device.report().cpu) return {};
    const auto begin = Clock::now();
    double fastest = 0.0, fastestAt = 0.0;
    for (double ms = 0.0; ms < mostMs && (ms < leastMs || ms < fastestAt + steadyMs); ms = msSince(begin)) {
        CHECK(submit(0, call));
        for (const Sample& sample : std::exchange(m_finished, {}))
            if (fastest == 0.0 || sample.ns < sameTime * fastest) {
                fastest = sample.ns;
                fastestAt = ms;
            }
    }
    return {};
}

Result<void> CallSampler::sample(std::span<const CallOfProgram> calls,
                                 const std::function<bool(std::size_t, const std::optional<CallTimes>&)>& each) {
    if (calls.empty()) return {};
    CHECK(makeMemory(calls));
    std::vector<std::size_t> waiting;
    bool wanted = true;
    for (std::size_t i = 0; i < calls.size() && wanted; ++i)
        if (fits(calls[i]))
            waiting.push_back(i);
        else
            wanted = each(i, std::nullopt);
    if (waiting.empty() || !wanted) return {};
    const CallOfProgram& filler = calls[waiting.front()];
    const bool cpu = m_device.report().cpu;
    std::optional<PipelineMaker> pipelines;
    if (!cpu) pipelines.emplace(m_kernels, calls); // the processor of a CPU device has nothing to spare
    CHECK(wake(filler));
    while (!m_inFlight.empty()) CHECK(finishOldest());
    m_finished.clear();
    std::vector<Sample> samples; // of the call that is reported next
    const auto report = [&](std::size_t repeats) {
        for (const Sample& sample : std::exchange(m_finished, {})) {
            if (sample.index >= calls.size()) continue;
            samples.push_back(sample);
            if (samples.size() < repeats) continue;
            std::ranges::sort(samples, {}, &Sample::ns);
            CallTimes times{.ns = samples[0].ns, .again = std::nullopt, .between = samples[0].between};
            if (!cpu || repeats > 2) times.again = samples[1].ns;
            samples.clear();
            wanted = each(sample.index, times) && wanted;
        }
    };
    const auto finishAll = [&]() -> Result<void> {
        while (!m_inFlight.empty()) CHECK(finishOldest());
        return {};
    };
    while (!waiting.empty() && wanted) {
        const auto ready =
            std::ranges::find_if(waiting, [&](std::size_t i) { return !pipelines || pipelines->isMade(i); });
        if (ready == waiting.end()) {
            // Work for nothing keeps the device awake until there is something to time.
            CHECK(submit(calls.size(), filler));
            report(2);
            continue;
        }
        const std::size_t i = *ready;
        waiting.erase(ready);
        CHECK(submit(i, calls[i]));
        if (!cpu) {
            CHECK(submit(i, calls[i]));
            report(2);
            continue;
        }
        // The first time a shader runs it may be compiled, so that only more than two repeats are comparable.
        CHECK(finishAll());
        const std::size_t repeats = m_finished.back().ns < longNs ? 3 : 2;
        for (std::size_t repeat = 1; repeat < repeats; ++repeat) CHECK(submit(i, calls[i]));
        CHECK(finishAll());
        report(repeats);
    }
    CHECK(finishAll());
    if (wanted) report(2);
    return {};
}

} // namespace spikescope
