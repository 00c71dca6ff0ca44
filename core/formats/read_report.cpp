#include "core/formats/read_report.h"

#include "core/base/mapped_file.h"
#include "core/formats/report_reader.h"

#include <new>

namespace spikescope {

namespace {

constexpr std::uint64_t largestFile = std::uint64_t{2} << 30;

Result<void> readSpaces(ReportReader& reader) {
    std::vector<MemorySpace>& spaces = reader.recording.spaces;
    spaces.clear();
    CHECK(reader.readRows(report::spaces, spaces));
    TRY(const ReportField field, fieldAt(reader.source(), report::spaces.path));
    if (spaces.size() > report::mostSpaces)
        return field.wrong("has {} rows, more than the limit of {}", spaces.size(), report::mostSpaces);
    if (spaces.size() < 2 || spaces[hostSpace].kind != SpaceKind::Host || spaces[deviceSpace].kind != SpaceKind::Device)
        return field.wrong("does not begin with a space of the host and one of a device");
    return {};
}

Result<void> readEvents(ReportReader& reader) {
    TRY(ReportTable table, reader.open(report::events));
    Recording& recording = reader.recording;
    recording.events.reserve(table.mostRows());
    RunningTotals totals(recording);
    Event before;
    while (true) {
        TRY(const bool more, table.next());
        if (!more) return {};
        Event& event = recording.events.emplace_back();
        CHECK(reader.readRow(table, report::events, event));
        CHECK(reader.checkEvent(table, event, before));
        if (event.tensor != noIndex && recording.tensors[event.tensor].space != event.space)
            return table.cell("space").wrong("is {}, but the tensor lies in {}", event.space,
                                             recording.tensors[event.tensor].space);
        const SpaceTotals& last = totals.of(event.space);
        const auto [grows, allocated, reserved, workspace] = reader.changeBy(event);
        CHECK(reader.follows(table, "allocated_bytes", event.allocated, last.allocated, allocated, grows));
        CHECK(reader.follows(table, "reserved_bytes", event.reserved, last.reserved, reserved, grows));
        CHECK(reader.follows(table, "workspace_bytes", event.workspace, last.workspace, workspace, grows));
        totals.follow(event);
        before = event;
    }
}

Result<void> readTables(ReportReader& reader) {
    CHECK(readSpaces(reader));
    CHECK(reader.readRows(report::tensors, reader.recording.tensors));
    CHECK(reader.readRows(report::ops, reader.recording.ops));
    CHECK(reader.readTiles(report::tiles));
    return readEvents(reader);
}

Result<Recording> read(const ReportSource& source) {
    ReportReader reader(source);
    Recording& recording = reader.recording;
    TRY(const ReportField schemaField, fieldAt(source, "schema"));
    TRY(const std::string schema, schemaField.string());
    const bool version1 = schema == report::schemaOfVersion1;
    if (!version1 && schema != report::schema)
        return schemaField.wrong("is {}, neither {} nor {}", quote(schema), quote(report::schema),
                                 quote(report::schemaOfVersion1));
    if (!reader.has("recording"))
        return fail(ErrorCode::BadInput,
                    "{}: a summary without 'recording'; write the file with --report instead of --json",
                    quote(source.fileName));
    CHECK(reader.readObject(report::summary, recording));
    if (!version1 || reader.has("tiling")) CHECK(reader.readObject(report::tiling, recording));
    if (reader.has("notes")) CHECK(reader.readObject(report::notes, recording));
    CHECK(reader.readObject(report::device, recording.device));
    TRY(const ReportField predicted, fieldAt(source, report::predicted.path));
    if (predicted.value.kind != JsonKind::Null)
        CHECK(reader.readObject(report::predicted, recording.predicted.emplace()));
    CHECK(reader.readRows(report::controls, recording.controls));
    CHECK(reader.readObject(report::layers, recording));
    CHECK(version1 ? readTablesOfVersion1(reader) : readTables(reader));
    CHECK(reader.readRows(report::samples, recording.samples));
    CHECK(reader.readRows(report::barriers, recording.barriers));
    TRY(const ReportField failure, fieldAt(source, report::failure.path));
    if (failure.value.kind != JsonKind::Null)
        CHECK(version1 ? readFailureOfVersion1(reader)
                       : reader.readObject(report::failure, recording.failure.emplace()));
    return std::move(recording);
}

} // namespace

Result<Recording> parseReport(std::string_view json, const std::string& fileName, const ReadProgress& progress) {
    if (json.size() > largestFile)
        return fail(ErrorCode::BadInput, "{}: {}, more than the limit of {}", quote(fileName), formatBytes(json.size()),
                    formatBytes(largestFile));
    try {
        ProgressMeter meter(progress, 2 * json.size()); // the outline passes over everything, the tables over most
        TRY(const ReportOutline outline, ReportOutline::read(json, fileName, meter));
        Result<Recording> recording = read(ReportSource{json, fileName, outline, meter});
        if (recording && !meter.finish()) return fail(ErrorCode::Cancelled, "cancelled");
        return recording;
    } catch (const std::bad_alloc&) {
        return fail(ErrorCode::OutOfHostMemory, "{}: not enough memory to read {}", quote(fileName),
                    formatBytes(json.size()));
    }
}

Result<Recording> readReport(const std::string& path, const ReadProgress& progress) {
    TRY(const MappedFile file, MappedFile::open(path));
    const std::span<const std::byte> bytes = file.bytes();
    // What has been read need not stay resident beside the Recording that is made from it.
    const ReadProgress dropping = [&](double fraction) {
        file.dropPages(0, bytes.size());
        return !progress || progress(fraction);
    };
    return parseReport({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, dropping);
}

} // namespace spikescope
