#pragma once
// Recordings side by side. The first is what the others are measured against.

#include "core/memory/recording.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

struct LabelledRecording {
    std::string label; // a file name, as a rule
    Recording recording;
};

struct ComparedBytes {
    std::string name;
    std::vector<std::optional<std::uint64_t>> bytes; // one per Recording; nothing where it has no such layer
};

struct ComparedControl {
    std::string name;
    std::vector<std::optional<std::string>> values; // one per Recording; nothing where it is not stated
};

struct Comparison {
    std::vector<std::string> labels;
    std::vector<ComparedBytes> peaks;      // allocated, reserved, working
    std::vector<ComparedBytes> categories; // at the allocated peak, in the order of Category
    // By name: the largest peak of the layer's rows. In the order of the first Recording, then what only others have.
    std::vector<ComparedBytes> layers;
    std::vector<ComparedControl> controls; // only those that differ
    std::vector<std::string> failures;     // one per Recording, empty where it did not fail
};

Comparison compare(std::span<const LabelledRecording> recordings);
// The same for Recordings that stay where they are; as many labels as Recordings.
Comparison compare(std::span<const std::string> labels, std::span<const Recording* const> recordings);

// A table for terminals, without a newline at the end. Layers with the same peak everywhere are counted, not listed.
std::string compareText(std::span<const LabelledRecording> recordings);

// Schema spikescope.compare/1: the Comparison with all layers. "differences" are bytes against the first Recording,
// null where either has none.
std::string compareJson(std::span<const LabelledRecording> recordings);

} // namespace spikescope
