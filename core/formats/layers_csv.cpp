// The per-layer table.

#include "core/base/csv.h"
#include "core/formats/formats.h"
#include "core/timeline/layer_table.h"

namespace spikescope {

namespace {

Result<void> write(const Recording& recording, const std::string& path) {
    return writeCsv(path,
                    {"layer", "op", "phase", "dtype", "begin_ns", "end_ns", "peak_bytes", "workspace_bytes",
                     "output_bytes", "flops", "first_op", "last_op"},
                    layerTable(recording), [](CsvText& csv, const LayerRow& row) {
                        csv.text(row.name).text(row.op).text(name(row.phase)).text(row.dtype);
                        csv.number(row.beginNs).number(row.endNs).number(row.peakBytes).number(row.workspaceBytes);
                        csv.number(row.outputBytes).number(row.flops).number(row.firstOp).number(row.lastOp);
                    });
}

} // namespace

const Exporter layersExporter{.name = "layers", .suffix = ".csv", .title = "Layers as CSV", .write = write};

} // namespace spikescope
