#pragma once
// What happened to memory, event by event. Append-only while a plan or a run goes on, immutable afterwards; timeline,
// tables, comparisons and exports are functions of it and need neither a device nor the program that made it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spikescope {

enum class Category : std::uint8_t { Weights, Activation, Workspace, Image, Staging, Resident };
constexpr std::size_t categoryCount = 6;
enum class Phase : std::uint8_t { Load, TextEncode, Denoise, Decode, Encode, Write };
// Alloc and Free are tensors; Reserve and Return are memory taken from and given back to the driver.
enum class EventKind : std::uint8_t { Alloc, Free, Reserve, Return };

std::string_view name(Category category);
std::string_view name(Phase phase);
std::string_view name(EventKind kind);

struct RecordedTensor {
    std::string name;
    std::uint32_t layer = 0; // the layer that makes it
    Category category = Category::Activation;
    std::string dtype;
    std::vector<std::uint64_t> shape;
    std::uint64_t bytes = 0;
};

constexpr std::uint32_t noIndex = 0xffffffffu;

struct Event {
    EventKind kind = EventKind::Alloc;
    Phase phase = Phase::Load;
    std::uint32_t tensor = noIndex; // of Alloc and Free
    std::uint32_t op = 0;           // how many ops had been recorded: the event lies at the boundary before op `op`
    std::uint64_t address = 0;      // device address; the virtual heap numbers from its own start
    std::uint64_t bytes = 0;
    std::uint64_t allocated = 0, reserved = 0, workspace = 0; // after the event
};

struct RecordedOp {
    std::string name; // conv3x3, group_norm, upload …
    std::uint32_t layer = 0;
    Phase phase = Phase::Load;
    std::uint64_t flops = 0; // multiplications and additions counted apart
    std::uint64_t outputBytes = 0;
    std::string dtype;                   // of the output
    std::int64_t beginNs = 0, endNs = 0; // device time since the first op of the run; zero in a plan
};

struct Failure {
    std::string code, message, layer, tensor;
    std::uint64_t bytesWanted = 0, bytesFree = 0;
    std::uint32_t event = 0; // how many events had been recorded
};

struct DeviceInfo {
    std::string name, driver, kernels;
    std::uint64_t heapBytes = 0;
};

struct Recording {
    std::string kind; // plan, run, replay
    DeviceInfo device;
    std::vector<std::pair<std::string, std::string>> controls;
    std::vector<std::string> layers;
    std::vector<RecordedTensor> tensors;
    std::vector<RecordedOp> ops;
    std::vector<Event> events;
    std::optional<Failure> failure;
    std::optional<std::pair<std::uint64_t, std::uint64_t>> predicted; // peak allocated, peak reserved of the plan
    std::uint64_t hostPeakBytes = 0;
    double durationMs = 0, loadMs = 0;

    // The moment of an event on the device's time axis, see architecture: ends of ops for frees, begins for allocs.
    std::int64_t timeNs(const Event& event) const;
};

} // namespace spikescope
