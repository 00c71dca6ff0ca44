#include "core/timeline/layer_table.h"

#include "core/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

namespace spikescope {

namespace {

constexpr std::size_t longestCell = 64; // characters; the longest module path of the known checkpoints has 50

bool isContinuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

std::size_t characters(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return !isContinuation(c); }));
}

std::string shortened(std::string out) {
    if (characters(out) <= longestCell) return out;
    std::size_t start = out.size();
    for (std::size_t kept = 0; kept < longestCell - 1; ++kept) {
        --start;
        while (isContinuation(out[start])) --start;
    }
    return "…" + out.substr(start);
}

// Rows of uploads reach over other rows, so of all rows around the op the highest is meant.
std::optional<std::size_t> peakRow(const std::vector<LayerRow>& rows, const Peak& peak) {
    std::optional<std::size_t> found;
    if (peak.eventIndex == noIndex) return found;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (peak.opIndex < rows[i].firstOp || peak.opIndex > rows[i].lastOp) continue;
        if (!found || rows[i].peakBytes >= rows[*found].peakBytes) found = i;
    }
    return found;
}

// Indices of the rows to show, in order of execution.
std::vector<std::size_t> shownRows(const std::vector<LayerRow>& rows, std::optional<std::size_t> marked,
                                   std::size_t maxRows) {
    std::vector<std::size_t> shown(rows.size());
    std::iota(shown.begin(), shown.end(), std::size_t{0});
    if (maxRows == 0 || rows.size() <= maxRows) return shown;
    std::ranges::stable_sort(shown, [&](std::size_t a, std::size_t b) {
        const bool aMarked = a == marked, bMarked = b == marked;
        return aMarked != bMarked ? aMarked : rows[a].peakBytes > rows[b].peakBytes;
    });
    shown.resize(maxRows);
    std::ranges::sort(shown);
    return shown;
}

} // namespace

std::vector<LayerRow> layerTable(const Recording& recording, std::uint32_t space) {
    std::vector<LayerRow> rows;
    std::map<std::string, std::size_t> loads; // rows of the load phase, by op
    std::optional<std::size_t> previous;
    std::vector<std::uint64_t> mostFlops; // of one op, by row
    std::uint32_t previousLayer = 0;
    std::size_t nextEvent = 0;
    SpaceTotals totals; // of the space

    for (std::uint32_t i = 0; i < recording.ops.size(); ++i) {
        const RecordedOp& op = recording.ops[i];
        // Releases of what op i - 1 no longer needs and acquisitions for op i both lie at boundary i, in this order.
        for (; nextEvent < recording.events.size() && recording.events[nextEvent].op <= i; ++nextEvent)
            if (recording.events[nextEvent].space == space) totals = recording.events[nextEvent];

        // Loading passes over all weights once for each of its ops: a row for each of these.
        const bool load = op.phase == Phase::Load && op.flops == 0;
        std::optional<std::size_t> place;
        if (const auto found = loads.find(op.name); load && found != loads.end())
            place = found->second;
        else if (!load && previous && previousLayer == op.layer && rows[*previous].phase == op.phase)
            place = previous;
        if (!place) {
            place = rows.size();
            rows.push_back({.name = load ? "weights" : std::string(layerName(recording, op.layer)),
                            .op = op.name,
                            .phase = op.phase,
                            .dtype = op.dtype,
                            .beginNs = op.beginNs,
                            .endNs = op.endNs,
                            .firstOp = i});
            mostFlops.push_back(0);
            if (load) loads.emplace(op.name, *place);
        }

        LayerRow& row = rows[*place];
        if (op.flops >= mostFlops[*place]) {
            mostFlops[*place] = op.flops;
            row.op = op.name;
        }
        row.dtype = !load || row.dtype == op.dtype ? op.dtype : "mixed";
        row.beginNs = std::min(row.beginNs, op.beginNs);
        row.endNs = std::max(row.endNs, op.endNs);
        row.peakBytes = std::max(row.peakBytes, totals.allocated);
        row.workspaceBytes = std::max(row.workspaceBytes, totals.workspace);
        row.outputBytes = load ? row.outputBytes + op.outputBytes : op.outputBytes;
        row.flops += op.flops * op.times;
        row.times = std::max(row.times, op.times);
        row.lastOp = i;
        previous = load ? std::nullopt : place;
        previousLayer = op.layer;
    }
    return rows;
}

std::string alignedText(const std::vector<std::vector<std::string>>& lines, std::size_t leftColumns) {
    std::vector<std::vector<std::string>> cells;
    std::vector<std::size_t> widths;
    for (const std::vector<std::string>& line : lines) {
        std::vector<std::string>& row = cells.emplace_back();
        for (const std::string& cell : line) {
            row.push_back(shortened(printable(cell)));
            if (widths.size() < row.size()) widths.push_back(0);
            widths[row.size() - 1] = std::max(widths[row.size() - 1], characters(row.back()));
        }
    }
    std::string text;
    for (const std::vector<std::string>& row : cells) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (i != 0) line += "  ";
            const std::string padding(widths[i] - characters(row[i]), ' ');
            line += i < leftColumns ? row[i] + padding : padding + row[i];
        }
        line.erase(line.find_last_not_of(' ') + 1);
        if (!text.empty() || &row != &cells.front()) text += '\n';
        text += line;
    }
    return text;
}

std::string formatLayerTable(const std::vector<LayerRow>& rows, const Peak& peak, std::size_t maxRows) {
    const bool timed =
        std::ranges::any_of(rows, [](const LayerRow& row) { return row.beginNs != 0 || row.endNs != 0; });
    const std::optional<std::size_t> marked = peakRow(rows, peak);
    const std::vector<std::size_t> shown = shownRows(rows, marked, maxRows);

    std::vector<std::vector<std::string>> lines;
    const auto addLine = [&](std::vector<std::string> line) {
        if (!timed) line.erase(line.begin() + 4);
        lines.push_back(std::move(line));
    };
    addLine({"", "layer", "op", "dtype", "time", "peak", "workspace", "output"});
    for (std::size_t i : shown) {
        const LayerRow& row = rows[i];
        addLine({marked == i ? "→" : "", row.name, row.op, row.dtype,
                 formatDuration(static_cast<double>(row.endNs - row.beginNs) / 1e6), formatBytes(row.peakBytes),
                 formatBytes(row.workspaceBytes), formatBytes(row.outputBytes)});
    }
    std::string text = alignedText(lines, 4);
    if (shown.size() < rows.size()) text += fmt::format("\nand {} rows with lower peaks", rows.size() - shown.size());
    return text;
}

} // namespace spikescope
