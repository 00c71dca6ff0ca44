// Every event with the totals of the device after it.

#include "core/base/csv.h"
#include "core/formats/formats.h"
#include "core/timeline/peak.h"

namespace spikescope {

namespace {

Result<void> write(const Recording& recording, const std::string& path) {
    RunningTotals totals(recording);
    return writeCsv(path,
                    {"t_ns", "event", "tensor", "layer", "phase", "category", "address", "size_bytes",
                     "allocated_bytes", "reserved_bytes", "workspace_bytes", "cached_bytes", "free_bytes",
                     "largest_free_bytes", "fragmentation", "host_bytes"},
                    recording.events, [&](CsvText& csv, const Event& event) {
                        totals.follow(event);
                        const SpaceTotals& device = totals.of(deviceSpace);
                        const RecordedTensor* tensor =
                            event.tensor < recording.tensors.size() ? &recording.tensors[event.tensor] : nullptr;
                        csv.number(recording.timeNs(event)).text(name(event.kind));
                        csv.text(tensor ? std::string_view(tensor->name) : std::string_view());
                        csv.text(tensor ? layerName(recording, tensor->layer) : std::string_view());
                        csv.text(name(event.phase));
                        csv.text(tensor ? name(tensor->category) : std::string_view());
                        csv.address(event.address).number(event.bytes);
                        csv.number(device.allocated).number(device.reserved).number(device.workspace);
                        csv.number(device.cached()).number(device.freeBytes).number(device.largestFree);
                        csv.fraction(device.fragmentation()).number(totals.of(hostSpace).allocated);
                    });
}

} // namespace

const Exporter eventsExporter{.name = "events", .suffix = ".csv", .title = "Events as CSV", .write = write};

} // namespace spikescope
