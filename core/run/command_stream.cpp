#include "core/run/command_stream.h"

#include <algorithm>
#include <utility>

namespace spikescope {

namespace {

// Submissions cost a GPU some of its time, so small ops share one; long ones, such as attention over a large picture,
// go out in pieces, so that a cancel is soon heard and no system takes the device for hung.
constexpr std::uint64_t mostFlops = 1'000'000'000'000;
constexpr std::uint64_t mostInFlight = 4; // submissions
// Dispatches. Bounds the host's memory where a program of thousands of different calls is repeated.
constexpr std::size_t mostKeptParts = 8192;

} // namespace

CommandStream::CommandStream(Device& device, const Program& program, const CancelFlag& cancel)
    : m_device(device)
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
    if (call.gatheredIn == m_piece) CHECK(endPiece()); // as what it was
    std::swap(call.dispatches, dispatches);
    ++call.version;
    releaseOutdated(call);
    return {};
}

Result<void> CommandStream::dispatch(std::uint32_t call, bool besideNext, std::uint32_t op) {
    --m_calls[call].left;
    m_wave.push_back({.call = call, .op = op});
    return besideNext ? Result<void>{} : gatherWave();
}

// The first dispatches of all ops, then their second ones: of one op each waits for the one before.
Result<void> CommandStream::gatherWave() {
    CHECK(endCopying());
    std::size_t rows = 0;
    std::uint32_t total = noIndex;
    for (const WaveOp& op : m_wave) {
        rows = std::max(rows, m_calls[op.call].dispatches.size());
        total = std::min(total, m_calls[op.call].total);
    }
    // Waves that come once, as where a tile goes into the picture, would make those beside them something new.
    if (total != std::exchange(m_total, total)) CHECK(endPiece());
    for (std::uint32_t row = 0; row < rows; ++row) {
        for (const WaveOp& op : m_wave) {
            CallState& call = m_calls[op.call];
            const std::size_t count = call.dispatches.size();
            if (row >= count) continue;
            m_parts.push_back({.call = op.call,
                               .dispatch = row,
                               .version = call.version,
                               .begins = row == 0,
                               .ends = row + 1 == count,
                               .endsRow = false});
            m_ops.push_back(op.op);
            m_flops += call.flops / count;
            call.gatheredIn = m_piece;
        }
        m_parts.back().endsRow = true;
        if (m_flops < mostFlops && !(row + 1 == rows && m_device.report().cpu)) continue;
        CHECK(submit());
        if (m_cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
    }
    m_wave.clear();
    return {};
}

// What cannot be recorded is forgotten: whoever ends the run has to submit the rest and wait for it.
Result<void> CommandStream::endPiece() {
    if (m_parts.empty()) return {};
    const auto piece = gatheredPiece();
    if (piece) {
        (*piece)->ops.assign(m_ops.begin(), m_ops.end());
        enqueue(**piece);
    }
    m_parts.clear();
    m_ops.clear();
    ++m_piece;
    return piece ? Result<void>{} : tl::unexpected<Error>(piece.error());
}

Result<CommandStream::Piece*> CommandStream::gatheredPiece() {
    const bool again = std::ranges::all_of(m_parts, [&](const Part& part) { return m_calls[part.call].left > 0; });
    TRY(Piece * piece, kept());
    if (!piece) {
        releaseOutdated(m_calls[m_parts.front().call]);
        return record(again && m_keptParts + m_parts.size() <= mostKeptParts);
    }
    if (!again) release(*piece);
    return piece;
}

// The piece that has just these parts, unless it is in flight; then another one comes to be beside it, and the device
// need not wait.
Result<CommandStream::Piece*> CommandStream::kept() {
    for (Piece* piece : m_calls[m_parts.front().call].kept) {
        if (piece->queued || piece->parts != m_parts) continue;
        TRY(const bool finished, m_device.finished(piece->commands->submission()));
        if (!finished) continue;
        CHECK(collectTimes(*piece));
        return piece;
    }
    return nullptr;
}

Result<CommandStream::Piece*> CommandStream::record(bool again) {
    TRY(Piece * piece, unusedPiece());
    const auto record = [&]() -> Result<void> {
        Commands& commands = *piece->commands;
        const auto stamps = std::ranges::count_if(m_parts, &Part::begins) + std::ranges::count_if(m_parts, &Part::ends);
        CHECK(commands.begin(again ? Commands::Use::Again : Commands::Use::Once, static_cast<std::uint32_t>(stamps)));
        bool rowBegins = true;
        for (const Part& part : m_parts) {
            if (rowBegins) commands.barrier();
            // The first op begins when all before the barrier has ended; one beside it when the device takes it up.
            if (part.begins)
                commands.stamp(rowBegins ? VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT : VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT);
            commands.beginLabel(m_calls[part.call].label);
            CHECK(recordDispatch(commands, m_calls[part.call].dispatches[part.dispatch]));
            commands.endLabel();
            if (part.ends) commands.stamp(VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
            rowBegins = part.endsRow;
        }
        return commands.end();
    };
    const Result<void> recorded = record();
    if (!recorded || !again) m_spare.push_back(piece);
    CHECK(recorded);
    piece->parts.assign(m_parts.begin(), m_parts.end());
    if (again) {
        m_calls[m_parts.front().call].kept.push_back(piece);
        m_keptParts += m_parts.size();
    }
    return piece;
}

// One to be recorded into.
Result<CommandStream::Piece*> CommandStream::unusedPiece() {
    if (!m_spare.empty() && !m_spare.front()->queued) {
        Piece* piece = m_spare.front();
        TRY(const bool finished, m_device.finished(piece->commands->submission()));
        if (finished) {
            CHECK(collectTimes(*piece));
            m_spare.erase(m_spare.begin());
            return piece;
        }
    }
    TRY(auto commands, Commands::create(m_device));
    m_pieces.push_back(std::make_unique<Piece>(Piece{.commands = std::move(commands), .parts = {}, .ops = {}}));
    return m_pieces.back().get();
}

// Of a kept piece: nothing like it comes again.
void CommandStream::release(Piece& piece) {
    std::erase(m_calls[piece.parts.front().call].kept, &piece);
    m_keptParts -= piece.parts.size();
    m_spare.push_back(&piece);
}

void CommandStream::releaseOutdated(CallState& first) {
    for (std::size_t i = first.kept.size(); i-- > 0;) {
        Piece& piece = *first.kept[i];
        if (std::ranges::any_of(piece.parts, [&](const Part& p) { return p.version != m_calls[p.call].version; }))
            release(piece);
    }
}

Result<VkCommandBuffer> CommandStream::copies() {
    CHECK(endPiece());
    if (!m_copies) {
        TRY(Piece * piece, unusedPiece());
        m_spare.push_back(piece);
        piece->parts.clear();
        piece->ops.clear();
        CHECK(piece->commands->begin(Commands::Use::Once, 2));
        m_copies = piece;
    }
    m_copies->commands->barrier();
    return m_copies->commands->handle();
}

void CommandStream::stampCopies(std::uint32_t op, bool begins) {
    m_copies->commands->stamp(VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
    m_copies->parts.push_back({.begins = begins, .ends = !begins});
    m_copies->ops.push_back(op);
}

Result<void> CommandStream::endCopying() {
    if (!m_copies) return {};
    Piece& piece = *std::exchange(m_copies, nullptr);
    CHECK(piece.commands->end());
    enqueue(piece);
    return {};
}

void CommandStream::enqueue(Piece& piece) {
    piece.queued = true;
    m_queue.push_back(&piece);
}

Result<void> CommandStream::submit() {
    CHECK(endPiece());
    CHECK(endCopying());
    m_flops = 0;
    if (m_queue.empty()) return {};
    if (m_device.submitted() >= mostInFlight) CHECK(m_device.wait(m_device.submitted() + 1 - mostInFlight));
    m_commands.clear();
    for (const Piece* piece : m_queue) m_commands.push_back(piece->commands.get());
    const auto submission = m_device.submit(m_commands);
    for (Piece* piece : m_queue) {
        piece->queued = false;
        piece->timesRead = !submission;
    }
    m_queue.clear();
    CHECK(submission);
    // A CPU device gains nothing from work in flight, and this way a cancel waits for one op at most.
    return m_device.report().cpu ? m_device.wait(*submission) : Result<void>{};
}

// Of a piece that has finished.
Result<void> CommandStream::collectTimes(Piece& piece) {
    if (std::exchange(piece.timesRead, true)) return {};
    m_ticks.resize(piece.commands->stamps());
    CHECK(piece.commands->readStamps(m_ticks));
    auto tick = m_ticks.begin();
    for (std::size_t i = 0; i < piece.parts.size(); ++i) {
        const Part& part = piece.parts[i];
        if (!part.begins && !part.ends) continue;
        if (piece.ops[i] >= m_times.size()) m_times.resize(piece.ops[i] + 1);
        OpTicks& times = m_times[piece.ops[i]];
        if (part.begins) times.begin = *tick++;
        if (part.ends) times.end = *tick++;
        times.begun = times.begun || part.begins;
        times.ended = times.ended || part.ends;
    }
    return {};
}

Result<void> CommandStream::readTimes(std::vector<RecordedOp>& ops) {
    Result<void> collected;
    for (const auto& piece : m_pieces) {
        if (piece->timesRead) continue;
        const auto finished = m_device.finished(piece->commands->submission());
        if (finished && !*finished) continue;
        if (Result<void> read = finished ? collectTimes(*piece) : tl::unexpected<Error>(finished.error()); !read)
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
        // In the order of the program, although ops beside each other overlap. What never ran takes no time, where the
        // last op ended.
        ops[i].beginNs = ticks.begun ? std::max(time(ticks.begin), lastBegin) : lastEnd;
        ops[i].endNs = ticks.ended ? std::max({time(ticks.end), ops[i].beginNs, lastEnd}) : ops[i].beginNs;
        lastBegin = ops[i].beginNs;
        lastEnd = ops[i].endNs;
    }
    return collected;
}

} // namespace spikescope
