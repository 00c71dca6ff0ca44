#pragma once
// A file recognised as a VAE: which family, which names its tensors go by, and where a parameter is in it.

#include "core/model/family.h"
#include "core/model/model_config.h"
#include "core/model/recognise_kl.h"
#include "core/tensors/tensor_file.h"

#include <array>
#include <set>

namespace spikescope {

class Checkpoint {
public:
    // A file or a folder, see findModelFiles(); config.json beside it is heeded. Refuses (BadInput) files of other
    // models and says what they look like.
    static Result<Checkpoint> open(const std::string& path);

    const TensorFile& file() const { return m_file; }
    // Families whose tensors these may be, with the architecture of the file; several share all shapes and differ in
    // how pipelines scale latents. The first is the default, of which config.json may give the scaling.
    const std::vector<Family>& candidates() const { return m_candidates; }
    // The candidate of this name, or the default one for an empty name, and what was decided and why.
    struct Choice {
        Family family;
        std::vector<std::string> notes; // a sentence each
    };
    Result<Choice> choose(std::string_view model) const;
    NameLayout layout() const { return m_layout; }
    const std::string& prefix() const { return m_prefix; }  // before every name, for example "first_stage_model."
    bool has(VaeTask task) const { return half(task).has; } // the half for it
    bool hasDecoder() const { return has(VaeTask::Decode); }
    bool hasEncoder() const { return has(VaeTask::Encode); }
    std::set<const TensorView*> used() const; // tensors that the halves use
    // Tensors behind the prefix that neither half uses, such as a codebook, in the order of their bytes.
    std::vector<const TensorView*> unused() const;

    // A parameter by its diffusers name; null when it is not in the file.
    const TensorView* find(std::string_view diffusersName) const;
    // Whether it has these parameters. BadInput names how many are missing and the first five, a wrong shape, a
    // dtype that is no float, or scales that fit no weight. `what` says whose they are: "the flux1 decoder".
    Result<void> check(std::span<const Weight> weights, std::string_view what) const;
    // Those of a half, of the first candidate.
    Result<void> checkHalf(VaeTask task) const;

private:
    struct Half {
        bool has = false;
        std::string at; // before the half's own names
        std::size_t levels = 0;
    };

    explicit Checkpoint(TensorFile file)
        : m_file(std::move(file)) {}
    Result<void> recognise();
    Result<bool> recogniseKl();
    const Half& half(VaeTask task) const { return m_half[static_cast<std::size_t>(task)]; }
    Half& half(VaeTask task) { return m_half[static_cast<std::size_t>(task)]; }
    Result<void> heed(const ModelConfig& config);
    void noteContradictions(const ModelConfig& config);
    bool recogniseTiny(const std::string& prefix);

    TensorFile m_file;
    std::vector<Family> m_candidates;
    NameLayout m_layout = NameLayout::Diffusers;
    Backbone m_backbone = Backbone::Kl;
    std::string m_prefix;
    std::array<Half, 2> m_half;  // by VaeTask
    bool m_familyIsSaid = false; // by config.json
    std::vector<std::string> m_notes;
};

// The original name of a tiny autoencoder's parameter, without the half: "decoder.layers.0.weight" is "1.weight".
std::string tinyOriginalName(std::string_view diffusersName);

} // namespace spikescope
