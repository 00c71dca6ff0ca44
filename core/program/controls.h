#pragma once
// Everything that moves the spike, by name. The same names and values stand on the command line, in configurations, in
// the window and in exports; the table below is the one place that knows them.

#include "core/base/error.h"
#include "core/graph/dtype.h"
#include "core/model/family.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spikescope {

enum class LifetimePolicy : std::uint8_t {
    Planned, // static offsets from exact lifetimes; ops that allow it work in place
    Stream,  // memory returns at the last use in submission order
};
enum class AllocatorPolicy : std::uint8_t { Auto, Arena, Direct };

struct Controls {
    std::string model;                   // family; empty: from the checkpoint, or flux1
    std::string weights = "synthetic:7"; // synthetic:SEED or a .safetensors file
    VaeOp op = VaeOp::Decode;
    std::uint64_t width = 0, height = 0; // pixels; 0: from the latents or the picture, or 1024
    std::uint64_t batch = 1;
    DType activations = DType::BF16;
    std::optional<DType> weightsDtype; // empty: as activations
    LifetimePolicy lifetime = LifetimePolicy::Planned;
    AllocatorPolicy allocator = AllocatorPolicy::Auto;
    std::string device; // index, part of a name, or cpu; empty: the first GPU, else the CPU device
    std::optional<std::uint64_t> budgetBytes;

    DType weightType() const { return weightsDtype.value_or(activations); }
    AllocatorPolicy allocatorPolicy() const;
    std::optional<std::uint64_t> syntheticSeed() const; // empty: `weights` is a file
};

struct ControlInfo {
    std::string_view name;
    std::string_view help;   // what it does, one line
    std::string_view values; // what it takes, for help and refusals
    Result<void> (*set)(Controls&, std::string_view text);
    std::string (*get)(const Controls&);
};

std::span<const ControlInfo> controlTable();
// Refuses unknown names and values with what is allowed.
Result<void> setControl(Controls& controls, std::string_view name, std::string_view value);
// Refuses combinations that contradict each other.
Result<void> checkControls(const Controls& controls);
// All controls with their values, in the table's order.
std::vector<std::pair<std::string, std::string>> controlValues(const Controls& controls);
// GiB with a decimal point to bytes; `what` is named in refusals.
Result<std::uint64_t> parseGiB(std::string_view what, std::string_view text);

} // namespace spikescope
