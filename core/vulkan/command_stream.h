#pragma once
// What an Executor hands to the device, in order: calls and copies, gathered into submissions. A command buffer that
// was recorded once is submitted again wherever the same calls follow each other and no tensor of theirs has moved: of
// tiles and repeated passes all but the first.
//
//   submission                       all command buffers since the last one; see SubmitPolicy
//     command buffer                 reusable, or recorded for one time (copies)
//       barrier │ group              dispatches of concurrent calls; no barrier between them
//                   dispatch         one of a call: dispatch i of every concurrent call is in group i
//                   dispatch
//       barrier │ group

#include "core/base/cancel.h"
#include "core/kernels/kernels.h"
#include "core/memory/recording.h"
#include "core/program/submit_policy.h"

#include <memory>
#include <vector>

namespace spikescope {

class CommandStream {
public:
    CommandStream(Device& device, const Program& program, SubmitPolicy policy, const CancelFlag& cancel);
    ~CommandStream();

    // Sets the dispatches of a call; swaps the previous ones into `dispatches`.
    Result<void> define(std::uint32_t call, std::vector<Dispatch>& dispatches);
    // `op`: the recorded op that gets the times.
    Result<void> dispatch(std::uint32_t call, bool concurrentWithNext, std::uint32_t op);
    // For recording copies after a barrier; valid until the next call of any other function but begin- and endCopies().
    // At most one op begins and ends there.
    Result<VkCommandBuffer> copies();
    void beginCopies(std::uint32_t op) { stampCopies(op, true); }
    void endCopies(std::uint32_t op) { stampCopies(op, false); }
    Result<void> submit(); // all that is gathered, if there is any

    // Sets begin and end of every op that has finished, in nanoseconds since the first one began; others take no time.
    Result<void> readTimes(std::vector<RecordedOp>& ops);

private:
    // One dispatch of a call, or a copy.
    struct RecordedDispatch {
        std::uint32_t call = noIndex, dispatch = 0;
        std::uint32_t version = 0; // of the call's dispatches
        bool beginsOp = false, endsOp = false;
        bool endsGroup = true; // a barrier follows
        bool operator==(const RecordedDispatch&) const = default;
    };
    struct CommandBuffer {
        std::unique_ptr<Commands> commands;
        std::vector<RecordedDispatch> dispatches;
        std::vector<std::uint32_t> ops; // recorded op of each dispatch, for this submission
        bool queued = false;            // for the next submission
        bool timesRead = true;          // of the last one
    };
    struct CallState {
        std::string label; // layer and op, for debuggers
        std::vector<Dispatch> dispatches;
        std::uint64_t flops = 0;
        std::uint32_t version = 0;            // of the dispatches
        std::uint32_t total = 0, left = 0;    // how often the program dispatches the call, and still will
        std::uint64_t gatheredIn = 0;         // number of the latest command buffer with a dispatch of it
        std::vector<CommandBuffer*> reusable; // command buffers that begin with it
    };
    struct ConcurrentCall {
        std::uint32_t call, op;
    };

    Result<void> gatherConcurrent();
    Result<void> endBuffer();
    Result<CommandBuffer*> gatheredBuffer();
    Result<CommandBuffer*> findReusable();
    Result<CommandBuffer*> record(bool again);
    Result<CommandBuffer*> unusedBuffer();
    Result<void> endCopying();
    void enqueue(CommandBuffer& buffer);
    void release(CommandBuffer& buffer);
    void releaseOutdated(CallState& first);
    void stampCopies(std::uint32_t op, bool begins);
    Result<void> collectTimes(CommandBuffer& buffer);

    Device& m_device;
    const SubmitPolicy m_policy;
    const CancelFlag& m_cancel;
    std::vector<CallState> m_calls;
    std::vector<ConcurrentCall> m_concurrent; // the group that is being gathered
    std::vector<RecordedDispatch> m_gathered; // dispatches of groups that are in no command buffer yet
    std::vector<std::uint32_t> m_gatheredOps; // of m_gathered
    std::uint32_t m_total = 0;                // how often the program has these groups
    std::uint64_t m_bufferNumber = 1;         // number of the command buffer that is gathered
    CommandBuffer* m_copies = nullptr;        // being recorded
    std::vector<CommandBuffer*> m_queue;      // for the next submission
    std::vector<Commands*> m_commands;        // theirs
    std::uint64_t m_flops = 0;                // since the last submission
    std::vector<std::unique_ptr<CommandBuffer>> m_buffers;
    std::vector<CommandBuffer*> m_spare;  // not reusable, in the order of their submissions
    std::size_t m_reusableDispatches = 0; // in reusable command buffers
    struct OpTicks {
        std::uint64_t begin = 0, end = 0;
        bool begun = false, ended = false;
    };
    std::vector<OpTicks> m_times;       // by op
    std::vector<std::uint64_t> m_ticks; // of one command buffer
};

} // namespace spikescope
