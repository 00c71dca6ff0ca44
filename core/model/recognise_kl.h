#pragma once
// Finds the halves of a KL autoencoder among a file's tensors, behind any prefix, and reads their architecture from the
// tensors' shapes.

#include "core/model/family.h"
#include "core/tensors/tensor_file.h"

#include <optional>
#include <string>
#include <vector>

namespace spikescope {

enum class NameLayout : std::uint8_t { Diffusers, Original };

// A decoder or an encoder.
struct KlPlace {
    VaeTask task = VaeTask::Decode; // that the half is for
    NameLayout layout = NameLayout::Diffusers;
    std::string at;     // before the half's own names: "vae.decoder."; "" for a half that is alone in its file
    std::string prefix; // before "decoder." or "encoder."
};
std::vector<KlPlace> findKl(const TensorFile& file);

// The half's architecture and the channels of its latents. BadInput says what no KL autoencoder has. Shapes that do not
// fit each other come out when the graph's parameters are bound.
struct KlShapes {
    KlHalf half;
    std::uint32_t latentChannels = 0;
};
Result<KlShapes> klShapes(const TensorFile& file, const KlPlace& place);

// The names under which a parameter of a half may stand behind KlPlace::at, given its diffusers name without "decoder."
// or "encoder.". `levels`: of the half.
std::vector<std::string> klNames(std::string_view name, NameLayout layout, std::size_t levels);
// The quant convolution's parameter ("weight", "bias") of a half; null when the file has none.
const TensorView* quantConv(const TensorFile& file, const KlPlace& place, std::string_view parameter);

} // namespace spikescope
