#pragma once
// What host and device do in a plan, in order: the ops, and between them what the host waits for and what it asks the
// driver for. A plan's times are estimated from it.

#include "core/job/job.h"
#include "core/program/walk.h"

#include <span>

namespace spikescope {

// The phases whose ops make up a pass.
inline bool isDecodeOrEncode(const RecordedOp& op) { return op.phase == Phase::Decode || op.phase == Phase::Encode; }

struct TraceItem {
    enum class Kind : std::uint8_t { Work, Wait, Reserve, Return };
    Kind kind = Kind::Work;       // an op
    std::uint32_t op = 0;         // of the Recording; of the others: how many ops there were
    std::uint32_t call = noIndex; // of an op that is a call of the program: its index
    std::uint32_t ahead = 0;      // of Wait: so many batches may be unfinished
    std::uint64_t bytes = 0;      // of Reserve and Return, and what an upload or a download moves
};

// A machine that does nothing but write that down while a plan is walked.
class Tracer final : public Machine {
public:
    // `recording`: which the walk writes to.
    Tracer(const Program& program, const Recording& recording)
        : m_program(program)
        , m_recording(recording) {}

    Result<void> fill(const FillStep& step, std::uint32_t op) override;
    Result<void> upload(const UploadStep& step, std::uint32_t op) override;
    Result<void> dispatch(std::uint32_t call, bool concurrentWithNext, std::uint32_t op) override;
    Result<void> download(const DownloadStep& step, std::uint32_t op) override;
    Result<void> evaluate(std::uint32_t ahead) override;

    const std::vector<TraceItem>& items() const { return m_items; }

private:
    Result<void> add(TraceItem item);

    const Program& m_program;
    const Recording& m_recording;
    std::size_t m_seen = 0; // of its events
    std::vector<TraceItem> m_items;
};

// A plan and its trace. Stays where it is made.
class TracedPlan {
public:
    TracedPlan(const Job& job, Heap& heap)
        : m_tracer(job.program, recording) {
        plan(job.program, job.controls, heap, recording, m_tracer);
    }
    TracedPlan(const TracedPlan&) = delete;
    TracedPlan& operator=(const TracedPlan&) = delete;

    std::span<const TraceItem> trace() const { return m_tracer.items(); }

    Recording recording;

private:
    Tracer m_tracer;
};

} // namespace spikescope
