#pragma once
// What an Executor hands to the device, in order: calls and copies, gathered into submissions. What was recorded once
// is submitted again wherever the same calls come in the same order and nothing that they touch has moved: of tiles,
// and of repeated runs, all but the first.

#include "core/base/cancel.h"
#include "core/kernels/kernels.h"
#include "core/memory/recording.h"

#include <memory>
#include <vector>

namespace spikescope {

class CommandStream {
public:
    CommandStream(Device& device, const Program& program, const CancelFlag& cancel);
    ~CommandStream();

    // What a call of the program is from here on; gives back what it was.
    Result<void> define(std::uint32_t call, std::vector<Dispatch>& dispatches);
    // `op`: where the times are wanted.
    Result<void> dispatch(std::uint32_t call, bool besideNext, std::uint32_t op);
    // To record copies into, behind a barrier, until anything else is asked for; one op may begin and end there.
    Result<VkCommandBuffer> copies();
    void beginCopies(std::uint32_t op) { stampCopies(op, true); }
    void endCopies(std::uint32_t op) { stampCopies(op, false); }
    Result<void> submit(); // all of it, if there is any

    // Begin and end of every op that has finished, in nanoseconds since the first one began; any other takes no time.
    Result<void> readTimes(std::vector<RecordedOp>& ops);

private:
    // One dispatch of a call, or a copy.
    struct Part {
        std::uint32_t call = noIndex, dispatch = 0;
        std::uint32_t version = 0;                         // of the call
        bool begins = false, ends = false, endsRow = true; // of an op; of dispatches that may run beside each other
        bool operator==(const Part&) const = default;
    };
    // What is recorded into one command buffer.
    struct Piece {
        std::unique_ptr<Commands> commands;
        std::vector<Part> parts;
        std::vector<std::uint32_t> ops; // whose dispatches the parts are this time
        bool queued = false;            // for the next submission
        bool timesRead = true;          // of the last one
    };
    struct CallState {
        std::string label; // layer and op, for debuggers
        std::vector<Dispatch> dispatches;
        std::uint64_t flops = 0;
        std::uint32_t version = 0;
        std::uint32_t total = 0, left = 0; // how often the program dispatches it, and will
        std::uint64_t gatheredIn = 0;      // the piece of which it is the latest part
        std::vector<Piece*> kept;          // pieces that begin with it
    };
    struct WaveOp {
        std::uint32_t call, op;
    };

    Result<void> gatherWave();
    Result<void> endPiece();
    Result<Piece*> gatheredPiece();
    Result<Piece*> kept();
    Result<Piece*> record(bool again);
    Result<Piece*> unusedPiece();
    Result<void> endCopying();
    void enqueue(Piece& piece);
    void release(Piece& piece);
    void releaseOutdated(CallState& first);
    void stampCopies(std::uint32_t op, bool begins);
    Result<void> collectTimes(Piece& piece);

    Device& m_device;
    const CancelFlag& m_cancel;
    std::vector<CallState> m_calls;
    std::vector<WaveOp> m_wave;        // may run beside each other
    std::vector<Part> m_parts;         // of waves that are no piece yet
    std::vector<std::uint32_t> m_ops;  // of m_parts
    std::uint32_t m_total = 0;         // how often the program has these waves
    std::uint64_t m_piece = 1;         // number of the one that is gathered
    Piece* m_copies = nullptr;         // being recorded
    std::vector<Piece*> m_queue;       // for the next submission
    std::vector<Commands*> m_commands; // theirs
    std::uint64_t m_flops = 0;         // since the last submission
    std::vector<std::unique_ptr<Piece>> m_pieces;
    std::vector<Piece*> m_spare; // nothing like them comes again, in the order of their submissions
    std::size_t m_keptParts = 0; // of all others
    struct OpTicks {
        std::uint64_t begin = 0, end = 0;
        bool begun = false, ended = false;
    };
    std::vector<OpTicks> m_times;       // by op
    std::vector<std::uint64_t> m_ticks; // of one piece
};

} // namespace spikescope
