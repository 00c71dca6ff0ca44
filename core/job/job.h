#pragma once
// From settings and files to what is to be done. Needs no device.

#include "core/io/fit_picture.h"
#include "core/io/latents.h"
#include "core/io/sinks.h"
#include "core/program/op_count.h"
#include "core/program/planner.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace spikescope {

struct Job {
    Controls controls; // complete: model and size are set
    Family family;     // with the architecture of the checkpoint, where there is one
    Parameters parameters{0};
    std::optional<Input> input; // none: only a plan is possible
    Program program;
    std::vector<std::string> notes; // what was decided for the user, a sentence each

    OutputShape outputShape() const;
};

struct InputFile {
    std::string path;
    std::optional<std::string> key;
    bool scaled = true;          // latents as the pipeline hands them over
    std::optional<ImageFit> fit; // of a picture whose size the encoder does not take
};

// What is decoded or encoded: a file, a seed for synthetic latents, or nothing.
using InputChoice = std::variant<std::monostate, InputFile, std::uint64_t>;

// Reads headers and the input, checks everything that can be checked without a device, and lowers. No tensor of a
// checkpoint is read. Equal tiles and passes of a job without input are merged, see lower(), unless every event is
// wanted; a program with too many ops is refused then.
Result<Job> makeJob(Controls controls, const InputChoice& input, OpLimits limits = {});

// The plan of a job on a heap of these traits.
Recording planJob(const Job& job, const HeapTraits& traits = {});

} // namespace spikescope
