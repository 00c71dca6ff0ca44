#pragma once
// The fields of a report, schema spikescope.run/2, each said once: its name in the file and the member of the Recording
// that it holds. Writer, reader and outline are made of these lists; how a value is written follows from its type.
//
// A report is the summary (what --json prints) and under "recording" what readReport() reads: controls, spaces, layers,
// tensors, ops, tiles, events, samples and barriers. All but the layers are tables {"columns": [...], "rows": [[...]]}
// with columns in any order. Bytes are plain numbers, times nanoseconds, enums their names (core/memory/recording.h).
// A space is an index into "spaces", the first of which is the host's memory and the second the device's; the totals of
// an event (allocated, reserved, workspace, free, largest free) are those of its own space after it.

#include "core/memory/recording.h"

#include <cstddef>
#include <functional>
#include <limits>
#include <tuple>

namespace spikescope::report {

inline constexpr std::string_view schema = "spikescope.run/2", schemaOfVersion1 = "spikescope.run/1";
constexpr std::uint64_t largestSide = 65536; // of an output, in elements
constexpr std::size_t mostSpaces = 64;

// What a number of 32 bits stands for. Layers and tensors may be null, which is noIndex; boundaries lie before an op or
// an event, or behind the last one.
enum class Index : std::uint8_t { Layer, Tensor, Space, Op, OpBoundary, EventBoundary };

// A member of an object, or a column of a table. `member` gives the value of an object: a pointer to a member, or a
// function that returns a reference.
template <class Member> struct Field {
    std::string_view name;
    Member member;
    Index index = Index::Layer;
    std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
};
template <class Member> Field(std::string_view, Member) -> Field<Member>;
template <class Member> Field(std::string_view, Member, Index) -> Field<Member>;
template <class Member> Field(std::string_view, Member, Index, std::uint64_t) -> Field<Member>;

// `path` leads to it from the root, with points between the keys; empty: the root itself.
template <class... Members> struct Object {
    std::string_view path;
    std::tuple<Field<Members>...> fields;
};
template <class... Members> constexpr Object<Members...> object(std::string_view path, Field<Members>... fields) {
    return {path, {fields...}};
}
// The same as the rows of a table.
template <class... Members> struct Table {
    std::string_view path;
    std::tuple<Field<Members>...> fields;
    std::array<std::string_view, sizeof...(Members)> columns;
};
template <class... Members> constexpr Table<Members...> table(std::string_view path, Field<Members>... fields) {
    return {path, {fields...}, {fields.name...}};
}

template <class... Members, class... More>
constexpr Table<Members..., More...> extended(const Table<Members...>& base, Field<More>... more) {
    return std::apply([&](const auto&... fields) { return table(base.path, fields..., more...); }, base.fields);
}

inline constexpr auto summary =
    object("", Field{"kind", &Recording::kind}, Field{"refusals", &Recording::refusals},
           Field{"host_peak_bytes", &Recording::hostPeakBytes}, Field{"duration_ms", &Recording::durationMs},
           Field{"load_ms", &Recording::loadMs});
// Of version 1 early files do not say it.
inline constexpr auto tiling = object("", Field{"tiling", &Recording::tiling});
// Reports without notes have no such field.
inline constexpr auto notes = object("", Field{"notes", &Recording::notes});
inline constexpr auto device = object("device", Field{"name", &DeviceInfo::name}, Field{"driver", &DeviceInfo::driver},
                                      Field{"kernels", &DeviceInfo::kernels});
using Predicted = std::pair<std::uint64_t, std::uint64_t>;
inline constexpr auto predicted =
    object("predicted", Field{"allocated_bytes", &Predicted::first}, Field{"reserved_bytes", &Predicted::second});
constexpr auto failureObject(auto code) {
    return object("failure", code, Field{"message", &Failure::message}, Field{"layer", &Failure::layer},
                  Field{"tensor", &Failure::tensor}, Field{"bytes_wanted", &Failure::bytesWanted},
                  Field{"bytes_free", &Failure::bytesFree}, Field{"event", &Failure::event, Index::EventBoundary},
                  Field{"fits", &Failure::fits});
}
inline constexpr auto failure = failureObject(Field{"code", &Failure::code});

using Control = std::pair<std::string, std::string>;
inline constexpr auto controls =
    table("recording.controls", Field{"name", &Control::first}, Field{"value", &Control::second});
inline constexpr auto spaces = table("recording.spaces", Field{"name", &MemorySpace::name},
                                     Field{"kind", &MemorySpace::kind}, Field{"bytes", &MemorySpace::bytes});
inline constexpr auto layers = object("recording", Field{"layers", &Recording::layers});

// Columns that version 1 has, too.
inline constexpr auto commonTensors = table(
    "recording.tensors", Field{"name", &RecordedTensor::name}, Field{"layer", &RecordedTensor::layer, Index::Layer},
    Field{"category", &RecordedTensor::category}, Field{"dtype", &RecordedTensor::dtype},
    Field{"shape", &RecordedTensor::shape}, Field{"bytes", &RecordedTensor::bytes});
inline constexpr auto commonOps =
    table("recording.ops", Field{"name", &RecordedOp::name}, Field{"layer", &RecordedOp::layer, Index::Layer},
          Field{"phase", &RecordedOp::phase}, Field{"dtype", &RecordedOp::dtype}, Field{"flops", &RecordedOp::flops},
          Field{"output_bytes", &RecordedOp::outputBytes}, Field{"begin_ns", &RecordedOp::beginNs},
          Field{"end_ns", &RecordedOp::endNs}, Field{"traffic_bytes", &RecordedOp::traffic});
inline constexpr auto commonEvents = table(
    "recording.events", Field{"event", &Event::kind}, Field{"phase", &Event::phase},
    Field{"tensor", &Event::tensor, Index::Tensor}, Field{"op", &Event::op, Index::OpBoundary},
    Field{"address", &Event::address}, Field{"size_bytes", &Event::bytes}, Field{"allocated_bytes", &Event::allocated},
    Field{"reserved_bytes", &Event::reserved}, Field{"workspace_bytes", &Event::workspace},
    Field{"free_bytes", &Event::freeBytes}, Field{"largest_free_bytes", &Event::largestFree});

constexpr auto ofArea(std::uint64_t OutputArea::*member) {
    return [member](auto& tile) -> auto& { return tile.area.*member; };
}
constexpr auto tileTable(std::string_view path, std::string_view frame) {
    return table(
        path, Field{frame, ofArea(&OutputArea::frame), {}, largestSide},
        Field{"x", ofArea(&OutputArea::x), {}, largestSide}, Field{"y", ofArea(&OutputArea::y), {}, largestSide},
        Field{"width", ofArea(&OutputArea::width), {}, largestSide},
        Field{"height", ofArea(&OutputArea::height), {}, largestSide},
        Field{"first_op", &RecordedTile::firstOp, Index::Op}, Field{"last_op", &RecordedTile::lastOp, Index::Op});
}

inline constexpr auto tensors = extended(commonTensors, Field{"space", &RecordedTensor::space, Index::Space});
inline constexpr auto ops = extended(commonOps, Field{"kind", &RecordedOp::kind}, Field{"times", &RecordedOp::times});
inline constexpr auto tiles = tileTable("recording.tiles", "frame");
inline constexpr auto events = extended(commonEvents, Field{"space", &Event::space, Index::Space});
inline constexpr auto samples =
    table("recording.samples", Field{"event", &Sample::event, Index::EventBoundary},
          Field{"driver_bytes", &Sample::driverBytes}, Field{"process_bytes", &Sample::processBytes});
inline constexpr auto barriers = table("recording.barriers", Field{"event", std::identity(), Index::EventBoundary});

// Files of spikescope.run/1 are read, not written. Lists that are not here are the ones above.
namespace version1 {

struct DeviceBytes {
    std::uint64_t& operator()(Recording& recording) const { return recording.spaces[deviceSpace].bytes; }
};
inline constexpr auto device = object("device", Field{"heap_bytes", DeviceBytes()});
// Error: any code that is not one of the others.
enum class FailureCode : std::uint8_t { OutOfDeviceMemory, OutOfHostMemory, DeviceLost, Cancelled, Error };
struct Failure : spikescope::Failure {
    FailureCode named = FailureCode::Error;
};
inline constexpr auto failure = failureObject(Field{"code", &Failure::named});
struct Tensor : RecordedTensor {
    bool host = false;
};
inline constexpr auto tensors = extended(commonTensors, Field{"host", &Tensor::host});
// Of ops that stand for more than one. Early files have no such table.
struct Repeated {
    std::uint32_t op = 0;
    std::uint64_t times = 1;
};
inline constexpr auto repeated =
    table("recording.repeated", Field{"op", &Repeated::op, Index::Op}, Field{"times", &Repeated::times});
// The tiles. Early files have no such table.
inline constexpr auto parts = tileTable("recording.parts", "picture");
// All totals are the device's, but that `workspace` has the host's too and `host` is what the host has allocated.
struct Event : spikescope::Event {
    std::uint64_t host = 0;
};
inline constexpr auto events = extended(commonEvents, Field{"host_bytes", &Event::host});

} // namespace version1

// Everything that is ever looked up.
inline constexpr std::tuple allObjects{summary, tiling, notes, device, predicted, failure, layers, version1::device};
inline constexpr std::tuple allTables{
    controls, spaces, tensors, ops, tiles, events, samples, barriers, version1::repeated, version1::parts};

} // namespace spikescope::report

namespace spikescope {

template <>
inline constexpr std::array<std::string_view, 5> enumNames<report::version1::FailureCode>{
    "out_of_device_memory", "out_of_host_memory", "device_lost", "cancelled", "error"};

} // namespace spikescope
