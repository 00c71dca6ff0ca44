#pragma once
// A file of tensors, of any format: .safetensors, PyTorch's (.pt, .pth, .ckpt, .bin), NumPy's .npy and .npz. And one
// tensor of it as numbers: latents, images, references.

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/base/name_index.h"
#include "core/tensors/tensor_view.h"

#include <array>
#include <functional>
#include <string_view>

namespace spikescope {

inline constexpr std::array<std::string_view, 8> tensorFileSuffixes{".safetensors", ".latent", ".npy", ".npz",
                                                                    ".ckpt",        ".pt",     ".pth", ".bin"};
// Whether a file that begins so, or has one of these suffixes, is for TensorFile to open or to refuse with a reason.
bool looksLikeTensorFile(std::span<const std::byte> begin, std::string_view path);

class TensorFile {
public:
    enum class Format : std::uint8_t { Safetensors, PyTorch, Npy, Npz };

    // Maps the file and finds its tensors; none is read. The format is told by content, and by the suffix only to say
    // what is wrong. BadInput says what is wrong with the file, or what it is instead.
    [[nodiscard]] static Result<TensorFile> open(const std::string& path);
    // The same for bytes that outlive the result. fileName only serves messages.
    [[nodiscard]] static Result<TensorFile> parse(std::span<const std::byte> bytes, std::string fileName);
    // The tensors of several files, such as the shards of a model, under one name. BadInput for a tensor that is in
    // two.
    [[nodiscard]] static Result<TensorFile> merge(std::string fileName, std::vector<TensorFile> files);

    TensorFile(TensorFile&&) noexcept = default;
    TensorFile& operator=(TensorFile&&) noexcept = default;

    // Forgets the other tensors: what a shard holds beside those that its index says.
    void keep(const std::function<bool(const TensorView&)>& wanted);

    // Changes names, shapes and strides. BadInput when two tensors then have one name.
    Result<void> rewrite(const std::function<void(TensorView&)>& change);

    const std::string& fileName() const { return m_fileName; }
    Format format() const { return m_format; } // of merged files the first one's
    // In the order of their bytes for .safetensors, otherwise in the file's own. A lone tensor without a name has the
    // file's, without folder and suffix.
    const std::vector<TensorView>& tensors() const { return m_tensors; }
    const std::map<std::string, std::string>& metadata() const { return m_metadata; } // of merged files none

    const TensorView* find(std::string_view name) const; // null when there is none

    // tensor must come from this object. Copy values out rather than casting: the address may be odd.
    std::span<const std::byte> data(const TensorView& tensor) const;

    // Takes a tensor's pages out of the resident set once they are consumed; nothing happens after parse().
    void dropPages(const TensorView& tensor) const;

private:
    struct Part {
        std::optional<MappedFile> file;
        std::vector<std::byte> unpacked;
        std::span<const std::byte> bytes; // of the file, of `unpacked`, or those given to parse()
    };

    TensorFile() = default;
    Result<void> indexNames();

    std::string m_fileName;
    Format m_format = Format::Safetensors;
    std::vector<Part> m_parts;
    std::vector<TensorView> m_tensors;
    NameIndex m_byName; // of m_tensors
    std::map<std::string, std::string> m_metadata;
};

struct HostTensor {
    std::vector<std::uint64_t> shape; // row-major, at most 8 dimensions
    std::vector<float> values;        // all finite, unless they were asked for as they are
    std::string name;                 // its key; the file's name without folder and suffix for .npy, which has no keys
};

enum class NonFinite { Refuse, Keep };

// The values of a tensor of this file; what float32 cannot hold becomes infinite. BadInput for other number formats,
// more than 2^32 elements, and unless they are kept NaN and infinity, naming the tensor and the place.
[[nodiscard]] Result<HostTensor> readTensor(const TensorFile& file, const TensorView& tensor,
                                            NonFinite nonFinite = NonFinite::Refuse);

// The tensor of this name; without a key the file must hold one. BadUsage for a key that does not fit the file.
[[nodiscard]] Result<const TensorView*> chooseTensor(const TensorFile& file, const std::optional<std::string>& key);

// The values of the tensor that chooseTensor() finds.
[[nodiscard]] Result<HostTensor> readTensorFile(const std::string& path, const std::optional<std::string>& key,
                                                NonFinite nonFinite = NonFinite::Refuse);

} // namespace spikescope
