#pragma once
// A .safetensors file recognised as a VAE: which family, which names its tensors go by, and where a parameter is in it.

#include "core/model/family.h"
#include "core/tensors/tensor_file.h"

namespace spikescope {

enum class NameLayout : std::uint8_t { Diffusers, Original };

class Checkpoint {
public:
    // Refuses (BadInput) files of other models and says what they look like.
    static Result<Checkpoint> open(const std::string& path);

    const TensorFile& file() const { return m_file; }
    // Families whose tensors are these; several share all shapes and differ in how pipelines scale latents. The first
    // is the default.
    const std::vector<const Family*>& candidates() const { return m_candidates; }
    NameLayout layout() const { return m_layout; }
    const std::string& prefix() const { return m_prefix; } // before every name, for example "first_stage_model."
    bool hasDecoder() const { return m_hasDecoder; }
    bool hasEncoder() const { return m_hasEncoder; }

    // A parameter by its diffusers name; null when it is not in the file.
    const TensorView* find(std::string_view diffusersName) const;

private:
    explicit Checkpoint(TensorFile file)
        : m_file(std::move(file)) {}
    bool recogniseKl(const std::string& prefix);
    bool recogniseTiny(const std::string& prefix);
    void setCandidates(Backbone backbone, std::uint64_t latentChannels);

    TensorFile m_file;
    std::vector<const Family*> m_candidates;
    NameLayout m_layout = NameLayout::Diffusers;
    Backbone m_backbone = Backbone::Kl;
    std::string m_prefix;
    std::string m_halfPrefix[2]; // tiny, original names: before the layer's number, decoder and encoder
    bool m_hasDecoder = false, m_hasEncoder = false;
};

// The names under which a KL parameter may stand in a file, given its diffusers name.
std::vector<std::string> klNames(std::string_view diffusersName, NameLayout layout);
// The original name of a tiny autoencoder's parameter, without the half: "decoder.layers.0.weight" is "1.weight".
std::string tinyOriginalName(std::string_view diffusersName);

} // namespace spikescope
