// Files of spikescope.run/1. They know two memories: tensors say whether they are the host's, and every event has the
// totals of both.

#include "core/formats/report_reader.h"

namespace spikescope {

namespace {

namespace version1 = report::version1;

// Of a replay names are those of functions.
OpKind kindOf(std::string_view op) {
    if (op.starts_with("conv")) return OpKind::Convolution;
    if (op == "upsample") return OpKind::Copy;
    return valueNamed<OpKind>(op).value_or(OpKind::Compute);
}

Result<void> readTensors(ReportReader& reader) {
    TRY(ReportTable table, reader.open(version1::tensors));
    reader.recording.tensors.reserve(table.mostRows());
    while (true) {
        TRY(const bool more, table.next());
        if (!more) return {};
        version1::Tensor tensor;
        CHECK(reader.readRow(table, version1::tensors, tensor));
        tensor.space = tensor.host ? hostSpace : deviceSpace;
        reader.recording.tensors.push_back(std::move(tensor));
    }
}

Result<void> readOps(ReportReader& reader) {
    CHECK(reader.readRows(report::commonOps, reader.recording.ops));
    if (reader.recording.kind != RecordingKind::Replay)
        for (RecordedOp& op : reader.recording.ops) op.kind = kindOf(op.name);
    if (!reader.has(version1::repeated.path)) return {};
    std::vector<version1::Repeated> repeated;
    CHECK(reader.readRows(version1::repeated, repeated));
    for (const auto& [op, times] : repeated) reader.recording.ops[op].times = times;
    return {};
}

Result<void> readEvents(ReportReader& reader) {
    TRY(ReportTable table, reader.open(version1::events));
    std::vector<Event>& events = reader.recording.events;
    events.reserve(table.mostRows());
    version1::Event before;
    std::array<std::uint64_t, 2> workspace{}; // of each space
    while (true) {
        TRY(const bool more, table.next());
        if (!more) return {};
        version1::Event event;
        CHECK(reader.readRow(table, version1::events, event));
        CHECK(reader.checkEvent(table, event, before));
        event.space = event.tensor == noIndex ? deviceSpace : reader.recording.tensors[event.tensor].space;
        const bool host = event.space == hostSpace;
        const ReportReader::Change change = reader.changeBy(event);
        const auto follows = [&](std::string_view column, std::uint64_t stated, std::uint64_t last,
                                 std::uint64_t bytes) {
            return ReportReader::follows(table, column, stated, last, bytes, change.grows);
        };
        CHECK(follows("allocated_bytes", event.allocated, before.allocated, host ? 0 : change.allocated));
        CHECK(follows("reserved_bytes", event.reserved, before.reserved, change.reserved));
        CHECK(follows("workspace_bytes", event.workspace, before.workspace, change.workspace));
        CHECK(follows("host_bytes", event.host, before.host, host ? change.allocated : 0));
        before = event;

        std::uint64_t& ownWorkspace = workspace[event.space];
        if (!change.grows && change.workspace > ownWorkspace)
            return table.cell("workspace_bytes").wrong("would be {} - {}", ownWorkspace, change.workspace);
        ownWorkspace += change.grows ? change.workspace : -change.workspace;
        Event& made = events.emplace_back(event);
        if (host) static_cast<SpaceTotals&>(made) = {.allocated = event.host};
        made.workspace = ownWorkspace;
    }
}

} // namespace

Result<void> readTablesOfVersion1(ReportReader& reader) {
    CHECK(reader.readObject(version1::device, reader.recording));
    CHECK(readTensors(reader));
    CHECK(readOps(reader));
    if (reader.has(version1::parts.path)) CHECK(reader.readTiles(version1::parts));
    return readEvents(reader);
}

Result<void> readFailureOfVersion1(ReportReader& reader) {
    version1::Failure failure;
    CHECK(reader.readObject(version1::failure, failure));
    failure.code = valueNamed<ErrorCode>(name(failure.named)).value_or(ErrorCode::BadInput);
    reader.recording.failure = std::move(failure);
    return {};
}

} // namespace spikescope
