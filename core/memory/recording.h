#pragma once
// What happened to memory, event by event. Append-only while a plan or a run goes on, immutable afterwards; timeline,
// tables, comparisons and exports are functions of it and need neither a device nor the program that made it.
//
// Memory comes in spaces: the host's, and one for each device. An event belongs to one space and carries the totals of
// that space alone; RunningTotals has those of all spaces at any event.

#include "core/base/error.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spikescope {

enum class RecordingKind : std::uint8_t { Plan, Run, Replay };
template <> inline constexpr std::array<std::string_view, 3> enumNames<RecordingKind>{"plan", "run", "replay"};

// Exact: the picture is the one that is made without tiles.
enum class TilingKind : std::uint8_t { Off, Exact, Approximate };
template <> inline constexpr std::array<std::string_view, 3> enumNames<TilingKind>{"off", "exact", "approximate"};

enum class Category : std::uint8_t { Weights, Activation, Workspace, Image, Staging, Resident };
template <>
inline constexpr std::array<std::string_view, 6> enumNames<Category>{"weights", "activation", "workspace",
                                                                     "image",   "staging",    "resident"};
constexpr std::size_t categoryCount = enumNames<Category>.size();

enum class Phase : std::uint8_t { Load, TextEncode, Denoise, Decode, Encode, Write };
template <>
inline constexpr std::array<std::string_view, 6> enumNames<Phase>{"load",   "text encode", "denoise",
                                                                  "decode", "encode",      "write"};

// Alloc and Free are tensors; Reserve and Return are memory taken from and given back to the driver.
enum class EventKind : std::uint8_t { Alloc, Free, Reserve, Return };
template <> inline constexpr std::array<std::string_view, 4> enumNames<EventKind>{"alloc", "free", "reserve", "return"};

// What kind of work an op is; its name tells the kernel. Copies are within the device, with or without upsampling.
// Upload: the first of a pass, or of a weight; UploadPart: further parts of the input of the same pass. Read and
// Transpose fill host memory with weights.
enum class OpKind : std::uint8_t {
    Compute,
    Convolution,
    Attention,
    Copy,
    ToHost,
    ToDevice,
    Upload,
    UploadPart,
    Download,
    Read,
    Transpose
};
template <>
inline constexpr std::array<std::string_view, 11> enumNames<OpKind>{
    "compute", "convolution", "attention", "copy", "to_host",  "to_device",
    "upload",  "upload_part", "download",  "read", "transpose"};

enum class SpaceKind : std::uint8_t { Host, Device };
template <> inline constexpr std::array<std::string_view, 2> enumNames<SpaceKind>{"host", "device"};

struct MemorySpace {
    std::string name;
    SpaceKind kind = SpaceKind::Device;
    std::uint64_t bytes = 0; // there are of it; 0: not known
    bool operator==(const MemorySpace&) const = default;
};

// Every Recording has at least these two. Pinned memory counts as the host's.
constexpr std::uint32_t hostSpace = 0, deviceSpace = 1;

struct RecordedTensor {
    std::string name;
    std::uint32_t layer = 0; // the layer that makes it
    Category category = Category::Activation;
    std::string dtype;
    std::vector<std::uint64_t> shape;
    std::uint64_t bytes = 0;
    std::uint32_t space = deviceSpace; // that it lies in
};

constexpr std::uint32_t noIndex = 0xffffffffu;

// Bytes of one memory space.
struct SpaceTotals {
    std::uint64_t allocated = 0;   // by live tensors
    std::uint64_t reserved = 0;    // held from the driver; nothing of the host's is counted as reserved
    std::uint64_t workspace = 0;   // of allocated, by tensors of Category::Workspace
    std::uint64_t freeBytes = 0;   // of reserved, in blocks that the allocator could hand out
    std::uint64_t largestFree = 0; // the largest of those blocks

    std::uint64_t cached() const { return reserved - std::min(reserved, allocated); }
    // 1 − largest free block / free bytes; 0 when nothing is free.
    double fragmentation() const {
        return freeBytes ? 1.0 - static_cast<double>(largestFree) / static_cast<double>(freeBytes) : 0.0;
    }
    bool operator==(const SpaceTotals&) const = default;
};

// The totals are those of the event's space after it.
struct Event : SpaceTotals {
    EventKind kind = EventKind::Alloc;
    Phase phase = Phase::Load;
    std::uint32_t space = deviceSpace;
    std::uint32_t tensor = noIndex; // of Alloc and Free; lies in the event's space
    std::uint32_t op = 0;           // how many ops had been recorded: the event lies at the boundary before op `op`
    std::uint64_t address = 0;      // in its space; the virtual heap numbers from its own start
    std::uint64_t bytes = 0;
};

struct RecordedOp {
    std::string name; // of the kernel or transfer: conv3x3, group_norm, upload …
    OpKind kind = OpKind::Compute;
    std::uint32_t layer = 0;
    Phase phase = Phase::Load;
    std::uint64_t flops = 0; // multiplications and additions counted apart
    std::uint64_t outputBytes = 0;
    std::uint64_t traffic = 0;           // bytes read and written when every tensor crosses the bus once
    std::string dtype;                   // of the output
    std::int64_t beginNs = 0, endNs = 0; // device time since the first op of the run; zero in a plan
    std::uint64_t times = 1; // of a plan that carries out one of many equal parts: for how many this op stands

    bool crossesTheBus() const { return kind == OpKind::ToHost || kind == OpKind::ToDevice; }
};

// What the system says at a moment of a run, beside what was counted.
struct Sample {
    std::uint32_t event = 0;                  // how many events had been recorded
    std::optional<std::uint64_t> driverBytes; // the process's use of the device's heap, as the driver tells
    std::uint64_t processBytes = 0;           // resident set of the process
};

// In elements of the op's output: pixels of a decode, latents of an encode.
struct OutputArea {
    std::uint64_t frame = 0, x = 0, y = 0, width = 0, height = 0;
    bool operator==(const OutputArea&) const = default;
};

// A tile or a stripe of the output, and the ops that were for it alone, or for tiles that ran beside each other.
struct RecordedTile {
    OutputArea area;
    std::uint32_t firstOp = 0, lastOp = 0; // both included
};

struct Failure {
    ErrorCode code = ErrorCode::BadInput;
    std::string message, layer, tensor;
    std::uint64_t bytesWanted = 0, bytesFree = 0;
    std::uint32_t event = 0;       // how many events had been recorded
    std::vector<std::string> fits; // single flips of a control with which it would have fitted, "conv direct"
};

struct DeviceInfo {
    std::string name, driver, kernels;
};

struct Recording {
    RecordingKind kind = RecordingKind::Plan;
    DeviceInfo device;
    std::vector<std::pair<std::string, std::string>> controls;
    TilingKind tiling = TilingKind::Off;
    std::vector<std::string> notes; // what was decided for the user before it began, a sentence each
    std::vector<MemorySpace> spaces{{"host", SpaceKind::Host}, {"device", SpaceKind::Device}};
    std::vector<std::string> layers;
    std::vector<RecordedTensor> tensors;
    std::vector<RecordedOp> ops;
    std::vector<RecordedTile> tiles; // in the order of ops; none of an op that ran whole
    std::vector<Event> events;
    // Of runs: before the first event, at every evaluation, whenever reserved has a new maximum, and after the last
    // event.
    std::vector<Sample> samples;
    // Where the program waited for the device: how many events had been recorded.
    std::vector<std::uint32_t> barriers;
    // How often the driver or the budget refused memory. A run that went on gave back what its allocator had cached,
    // which a plan on a heap without that limit does not.
    std::uint64_t refusals = 0;
    std::optional<Failure> failure;
    std::optional<std::pair<std::uint64_t, std::uint64_t>> predicted; // peak allocated, peak reserved of the plan
    std::uint64_t hostPeakBytes = 0;
    double durationMs = 0, loadMs = 0; // the last of opTimes()

    // The moment of an event on the device's time axis, see architecture: ends of ops for frees, begins for allocs.
    std::int64_t timeNs(const Event& event) const;
    // Bytes of feature maps that ops carried between the device and the host.
    std::uint64_t hostTraffic() const;
    // The tile that an event belongs to, by its op, of several beside each other the first; noIndex: to none alone.
    std::uint32_t tileOf(const Event& event) const;
    // Totals of a space after an event: the event's own, or those of the last one before it in that space.
    SpaceTotals totalsAfter(std::size_t event, std::uint32_t space) const;
    // Of each pass, in ms of device time: all its ops behind the upload of its input.
    std::vector<double> opTimes() const;
};

// The totals of every space while events pass by: each event changes those of its own space.
class RunningTotals {
public:
    explicit RunningTotals(const Recording& recording)
        : m_totals(recording.spaces.size()) {}

    void follow(const Event& event) { m_totals[event.space] = static_cast<const SpaceTotals&>(event); }
    const SpaceTotals& of(std::uint32_t space) const { return m_totals[space]; }

private:
    std::vector<SpaceTotals> m_totals;
};

} // namespace spikescope
