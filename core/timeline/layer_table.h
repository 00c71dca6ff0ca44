#pragma once
// A Recording layer by layer, in order of execution.

#include "core/timeline/peak.h"

#include <cstddef>

namespace spikescope {

struct LayerRow {
    std::string name; // of the layer; "weights" in the load phase, which has a row for each kind of op
    std::string op;   // of the layer's ops the one with most flops, the last of equals
    Phase phase = Phase::Load;
    std::string dtype;                   // of the output; "mixed" where weights differ
    std::int64_t beginNs = 0, endNs = 0; // device time since the first op; zero in a plan
    // Largest allocated and largest workspace in the memory space while one of the row's ops runs, in bytes. Each
    // counts all that is alive, whoever made it.
    std::uint64_t peakBytes = 0, workspaceBytes = 0;
    std::uint64_t outputBytes = 0;         // of the last op; of uploads the sum
    std::uint64_t flops = 0;               // of all ops together
    std::uint64_t times = 1;               // of equal parts planned once: for how many rows this one stands
    std::uint32_t firstOp = 0, lastOp = 0; // both included; ops of other layers may lie between two uploads
};

// Consecutive ops of one layer and phase make one row, so a layer that runs once per tile has a row per tile.
std::vector<LayerRow> layerTable(const Recording& recording, std::uint32_t space = deviceSpace);

// For terminals: layer, op, dtype, time, peak, workspace, output, an arrow at the row of the peak. Without the time
// column where no row has a time. Of more than `maxRows` rows (0: no limit) the ones with the largest peaks stay, still
// in order of execution, and a last line counts the others. No newline at the end.
std::string formatLayerTable(const std::vector<LayerRow>& rows, const Peak& peak, std::size_t maxRows);

// Lines of cells in columns of equal width, the first `leftColumns` flush left and the others flush right. Cells
// are made printable; what is longer than 64 characters loses its beginning. No newline at the end.
std::string alignedText(const std::vector<std::vector<std::string>>& lines, std::size_t leftColumns);

} // namespace spikescope
