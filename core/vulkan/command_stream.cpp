#include "core/vulkan/command_stream.h"

#include <algorithm>
#include <utility>

namespace spikescope {

namespace {

// Bounds the host's memory where a program of thousands of different calls is repeated.
constexpr std::size_t maxReusableDispatches = 8192;

} // namespace

CommandStream::CommandStream(Device& device, const Program& program, SubmitPolicy policy, const CancelFlag& cancel)
    : m_device(device)
    , m_policy(policy)
    , m_cancel(cancel)
    , m_calls(program.calls.size()) {
    for (std::size_t i = 0; i < m_calls.size(); ++i) {
        const Call& call = program.calls[i];
        m_calls[i].label = fmt::format("{} {}", program.layers[call.layer.index], kernelName(call.kernel));
        m_calls[i].flops = flops(call.kernel, program);
    }
    for (const Step& step : program.steps)
        if (const auto* dispatch = std::get_if<DispatchStep>(&step)) ++m_calls[dispatch->call].total;
    for (CallState& call : m_calls) call.left = call.total;
}

CommandStream::~CommandStream() { (void)m_device.waitAll(); } // a lost device has nothing in flight

Result<void> CommandStream::define(std::uint32_t index, std::vector<Dispatch>& dispatches) {
    CallState& call = m_calls[index];
    if (call.dispatches == dispatches) return {};
    if (call.gatheredIn == m_bufferNumber) CHECK(endBuffer()); // with the previous dispatches
    std::swap(call.dispatches, dispatches);
    ++call.version;
    releaseOutdated(call);
    return {};
}

Result<void> CommandStream::dispatch(std::uint32_t call, bool concurrentWithNext, std::uint32_t op) {
    --m_calls[call].left;
    m_concurrent.push_back({.call = call, .op = op});
    return concurrentWithNext ? Result<void>{} : gatherConcurrent();
}

// Group i has dispatch i of every concurrent call, since a call's dispatches wait for each other.
Result<void> CommandStream::gatherConcurrent() {
    CHECK(endCopying());
    std::size_t groups = 0;
    std::uint32_t total = noIndex;
    for (const ConcurrentCall& op : m_concurrent) {
        groups = std::max(groups, m_calls[op.call].dispatches.size());
        total = std::min(total, m_calls[op.call].total);
    }
    // A group that the program has only once, such as a tile's blend, would make its command buffer not reusable.
    if (total != std::exchange(m_total, total)) CHECK(endBuffer());
    for (std::uint32_t group = 0; group < groups; ++group) {
        for (const ConcurrentCall& op : m_concurrent) {
            CallState& call = m_calls[op.call];
            const std::size_t count = call.dispatches.size();
            if (group >= count) continue;
            m_gathered.push_back({.call = op.call,
                                  .dispatch = group,
                                  .version = call.version,
                                  .beginsOp = group == 0,
                                  .endsOp = group + 1 == count,
                                  .endsGroup = false});
            m_gatheredOps.push_back(op.op);
            m_flops += call.flops / count;
            call.gatheredIn = m_bufferNumber;
        }
        m_gathered.back().endsGroup = true;
        if (m_flops < m_policy.maxFlops && !(group + 1 == groups && m_policy.waitForEachOp)) continue;
        CHECK(submit());
        if (m_cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
    }
    m_concurrent.clear();
    return {};
}

// Dispatches that cannot be recorded are dropped: the caller that ends the run submits the rest and waits for it.
Result<void> CommandStream::endBuffer() {
    if (m_gathered.empty()) return {};
    const auto buffer = gatheredBuffer();
    if (buffer) {
        (*buffer)->ops.assign(m_gatheredOps.begin(), m_gatheredOps.end());
        enqueue(**buffer);
    }
    m_gathered.clear();
    m_gatheredOps.clear();
    ++m_bufferNumber;
    return buffer ? Result<void>{} : tl::unexpected<Error>(buffer.error());
}

Result<CommandStream::CommandBuffer*> CommandStream::gatheredBuffer() {
    const bool again =
        std::ranges::all_of(m_gathered, [&](const RecordedDispatch& part) { return m_calls[part.call].left > 0; });
    TRY(CommandBuffer * buffer, findReusable());
    if (!buffer) {
        releaseOutdated(m_calls[m_gathered.front().call]);
        return record(again && m_reusableDispatches + m_gathered.size() <= maxReusableDispatches);
    }
    if (!again) release(*buffer);
    return buffer;
}

// The command buffer with just these dispatches, unless it is in flight: then another one is recorded, so that the
// device need not wait.
Result<CommandStream::CommandBuffer*> CommandStream::findReusable() {
    for (CommandBuffer* buffer : m_calls[m_gathered.front().call].reusable) {
        if (buffer->queued || buffer->dispatches != m_gathered) continue;
        TRY(const bool finished, m_device.finished(buffer->commands->submission()));
        if (!finished) continue;
        CHECK(collectTimes(*buffer));
        return buffer;
    }
    return nullptr;
}

Result<CommandStream::CommandBuffer*> CommandStream::record(bool again) {
    TRY(CommandBuffer * buffer, unusedBuffer());
    const auto record = [&]() -> Result<void> {
        Commands& commands = *buffer->commands;
        const auto stamps = std::ranges::count_if(m_gathered, &RecordedDispatch::beginsOp) +
                            std::ranges::count_if(m_gathered, &RecordedDispatch::endsOp);
        CHECK(commands.begin(again ? Commands::Use::Again : Commands::Use::Once, static_cast<std::uint32_t>(stamps)));
        bool groupBegins = true;
        for (const RecordedDispatch& part : m_gathered) {
            if (groupBegins) commands.barrier();
            // The first op of a group begins when all work before the barrier has ended, a concurrent one when the
            // device starts it.
            if (part.beginsOp)
                commands.stamp(groupBegins ? VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT : VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT);
            commands.beginLabel(m_calls[part.call].label);
            CHECK(recordDispatch(commands, m_calls[part.call].dispatches[part.dispatch]));
            commands.endLabel();
            if (part.endsOp) commands.stamp(VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
            groupBegins = part.endsGroup;
        }
        return commands.end();
    };
    const Result<void> recorded = record();
    if (!recorded || !again) m_spare.push_back(buffer);
    CHECK(recorded);
    buffer->dispatches.assign(m_gathered.begin(), m_gathered.end());
    if (again) {
        m_calls[m_gathered.front().call].reusable.push_back(buffer);
        m_reusableDispatches += m_gathered.size();
    }
    return buffer;
}

// A command buffer to record into.
Result<CommandStream::CommandBuffer*> CommandStream::unusedBuffer() {
    if (!m_spare.empty() && !m_spare.front()->queued) {
        CommandBuffer* buffer = m_spare.front();
        TRY(const bool finished, m_device.finished(buffer->commands->submission()));
        if (finished) {
            CHECK(collectTimes(*buffer));
            m_spare.erase(m_spare.begin());
            return buffer;
        }
    }
    TRY(auto commands, Commands::create(m_device));
    m_buffers.push_back(
        std::make_unique<CommandBuffer>(CommandBuffer{.commands = std::move(commands), .dispatches = {}, .ops = {}}));
    return m_buffers.back().get();
}

// A reusable command buffer becomes a spare one: the program has no more of its groups.
void CommandStream::release(CommandBuffer& buffer) {
    std::erase(m_calls[buffer.dispatches.front().call].reusable, &buffer);
    m_reusableDispatches -= buffer.dispatches.size();
    m_spare.push_back(&buffer);
}

void CommandStream::releaseOutdated(CallState& first) {
    for (std::size_t i = first.reusable.size(); i-- > 0;) {
        CommandBuffer& buffer = *first.reusable[i];
        if (std::ranges::any_of(buffer.dispatches,
                                [&](const RecordedDispatch& p) { return p.version != m_calls[p.call].version; }))
            release(buffer);
    }
}

Result<VkCommandBuffer> CommandStream::copies() {
    CHECK(endBuffer());
    if (!m_copies) {
        TRY(CommandBuffer * buffer, unusedBuffer());
        m_spare.push_back(buffer);
        buffer->dispatches.clear();
        buffer->ops.clear();
        CHECK(buffer->commands->begin(Commands::Use::Once, 2));
        m_copies = buffer;
    }
    m_copies->commands->barrier();
    return m_copies->commands->handle();
}

void CommandStream::stampCopies(std::uint32_t op, bool beginsOp) {
    m_copies->commands->stamp(VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
    m_copies->dispatches.push_back({.beginsOp = beginsOp, .endsOp = !beginsOp});
    m_copies->ops.push_back(op);
}

Result<void> CommandStream::endCopying() {
    if (!m_copies) return {};
    CommandBuffer& buffer = *std::exchange(m_copies, nullptr);
    CHECK(buffer.commands->end());
    enqueue(buffer);
    return {};
}

void CommandStream::enqueue(CommandBuffer& buffer) {
    buffer.queued = true;
    m_queue.push_back(&buffer);
}

Result<void> CommandStream::submit() {
    CHECK(endBuffer());
    CHECK(endCopying());
    m_flops = 0;
    if (m_queue.empty()) return {};
    if (m_device.submitted() >= m_policy.maxInFlight)
        CHECK(m_device.wait(m_device.submitted() + 1 - m_policy.maxInFlight));
    m_commands.clear();
    for (const CommandBuffer* buffer : m_queue) m_commands.push_back(buffer->commands.get());
    const auto submission = m_device.submit(m_commands);
    for (CommandBuffer* buffer : m_queue) {
        buffer->queued = false;
        buffer->timesRead = !submission;
    }
    m_queue.clear();
    CHECK(submission);
    return m_policy.waitForEachOp ? m_device.wait(*submission) : Result<void>{};
}

// The command buffer has finished.
Result<void> CommandStream::collectTimes(CommandBuffer& buffer) {
    if (std::exchange(buffer.timesRead, true)) return {};
    m_ticks.resize(buffer.commands->stamps());
    CHECK(buffer.commands->readStamps(m_ticks));
    auto tick = m_ticks.begin();
    for (std::size_t i = 0; i < buffer.dispatches.size(); ++i) {
        const RecordedDispatch& part = buffer.dispatches[i];
        if (!part.beginsOp && !part.endsOp) continue;
        if (buffer.ops[i] >= m_times.size()) m_times.resize(buffer.ops[i] + 1);
        OpTicks& times = m_times[buffer.ops[i]];
        if (part.beginsOp) times.begin = *tick++;
        if (part.endsOp) times.end = *tick++;
        times.begun = times.begun || part.beginsOp;
        times.ended = times.ended || part.endsOp;
    }
    return {};
}

Result<void> CommandStream::readTimes(std::vector<RecordedOp>& ops) {
    Result<void> collected;
    for (const auto& buffer : m_buffers) {
        if (buffer->timesRead) continue;
        const auto finished = m_device.finished(buffer->commands->submission());
        if (finished && !*finished) continue;
        if (Result<void> read = finished ? collectTimes(*buffer) : tl::unexpected<Error>(finished.error()); !read)
            collected = std::move(read);
    }
    m_times.resize(std::max(m_times.size(), ops.size()));
    const auto first = std::ranges::find_if(m_times, &OpTicks::begun);
    const std::uint64_t origin = first == m_times.end() ? 0 : first->begin, mask = m_device.timestampMask();
    const double period = m_device.limits().timestampPeriod;
    const auto time = [&](std::uint64_t tick) {
        // Differences under the mask survive a counter that wraps.
        return static_cast<std::int64_t>(static_cast<double>((tick - origin) & mask) * period);
    };
    std::int64_t lastBegin = 0, lastEnd = 0;
    for (std::size_t i = 0; i < ops.size(); ++i) {
        const OpTicks& ticks = m_times[i];
        // Times are in the order of the program, although concurrent ops overlap. An op that never ran takes no time,
        // at the end of the last op.
        ops[i].beginNs = ticks.begun ? std::max(time(ticks.begin), lastBegin) : lastEnd;
        ops[i].endNs = ticks.ended ? std::max({time(ticks.end), ops[i].beginNs, lastEnd}) : ops[i].beginNs;
        lastBegin = ops[i].beginNs;
        lastEnd = ops[i].endNs;
    }
    return collected;
}

} // namespace spikescope
