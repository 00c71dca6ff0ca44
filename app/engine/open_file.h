#pragma once
// Any file that the window takes, told apart by what is in it.

#include "core/base/error.h"
#include "core/io/fit_picture.h"
#include "core/program/controls.h"
#include "core/timeline/timeline.h"

#include <functional>

namespace spikescope {

// What feeds a run.
struct InputSource {
    std::uint64_t seed = 7;         // of synthetic latents, unless a file is named
    std::string path;               // latents, or a picture to encode
    std::optional<std::string> key; // in a file of several tensors
    bool scaled = true;             // latents as the pipeline hands them over
    std::optional<ImageFit> fit;    // of a picture whose size the encoder does not take
    bool operator==(const InputSource&) const = default;
};

// What a file turned out to be.
struct OpenedFile {
    enum class Kind : std::uint8_t { Checkpoint, Latents, Picture, Recording, Session };
    std::string path;
    Kind kind = Kind::Checkpoint;
    std::optional<Error> error;
    std::string family; // of a checkpoint: its default one
    bool decoder = true, encoder = true;
    // The user's to make before latents or a picture are of use: which tensor, or how the picture is made to fit.
    struct Choice {
        std::string text;
        InputSource input; // to open the file with
    };
    std::string question;
    std::vector<Choice> choices;                    // none: there is nothing to ask
    std::uint64_t width = 0, height = 0, batch = 1; // of what latents or a picture make
    TimelinePtr timeline;                           // of a recording
    std::vector<std::string> notes;
};

// On any thread. `progress` is called now and then with a part from 0 to 1; false cancels. Sessions are only
// recognised: app/models/session_file.h reads them.
OpenedFile openFile(const std::string& path, const Controls& controls, const InputSource& input,
                    const std::function<bool(double)>& progress);

} // namespace spikescope
