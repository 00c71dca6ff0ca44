#include "core/model/model_files.h"

#include "core/base/mapped_file.h"
#include "core/base/text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string_view>

namespace spikescope {

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> variants{"", ".fp16", ".bf16"}; // the most wanted first
// Of several weights in a folder diffusers reads those of this name.
constexpr std::string_view diffusersStem = "diffusion_pytorch_model";
constexpr std::uint64_t largestIndex = std::uint64_t{64} << 20; // bytes
constexpr std::size_t mostShards = 1000, mostFiles = 10000;

bool isFile(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

// Before the last suffix there may be a variant: model.safetensors.index.fp16.json.
bool isIndexName(std::string_view name) {
    return std::ranges::any_of(
        variants, [&](std::string_view variant) { return name.ends_with(fmt::format(".index{}.json", variant)); });
}

std::optional<std::string> configIn(const fs::path& folder) {
    const fs::path config = folder / "config.json";
    return isFile(config) ? std::optional(config.string()) : std::nullopt;
}

Result<std::vector<ModelFiles::File>> shardsOf(const fs::path& index) {
    TRY(const MappedFile file, MappedFile::open(index.string()));
    if (file.bytes().size() > largestIndex)
        return fail(ErrorCode::BadInput, "file {}: an index of {} bytes, the most is {}", quote(index.string()),
                    file.bytes().size(), largestIndex);
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
    const auto map = json.is_object() ? json.find("weight_map") : json.end();
    if (!json.is_object() || map == json.end() || !map->is_object())
        return fail(ErrorCode::BadInput, "file {}: not an index of shards, it has no weight_map",
                    quote(index.string()));
    std::map<std::string, std::set<std::string, std::less<>>> shards; // the tensors of each
    for (const auto& [tensor, shard] : map->items()) {
        if (!shard.is_string())
            return fail(ErrorCode::BadInput, "file {}: tensor {} has no shard", quote(index.string()), quote(tensor));
        shards[shard.get<std::string>()].insert(tensor);
        if (shards.size() > mostShards)
            return fail(ErrorCode::BadInput, "file {}: more than {} shards", quote(index.string()), mostShards);
    }
    if (shards.empty()) return fail(ErrorCode::BadInput, "file {}: its weight_map is empty", quote(index.string()));
    std::vector<ModelFiles::File> files;
    for (auto& [name, tensors] : shards) {
        if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
            return fail(ErrorCode::BadInput, "file {}: shard {} is not the name of a file beside it",
                        quote(index.string()), quote(name));
        const fs::path shard = index.parent_path() / name;
        if (!isFile(shard))
            return fail(ErrorCode::BadInput, "file {}: shard {} of {} is missing", quote(index.string()), quote(name),
                        shards.size());
        files.push_back({.path = shard.string(), .tensors = std::move(tensors)});
    }
    return files;
}

// What a name in a folder is: weights, their stem without the variant, and how much the variant is preferred.
struct Weights {
    std::string stem, name;
    std::size_t formatRank = 0, variantRank = 0;
};
std::optional<Weights> weightsNamed(const std::string& name) {
    constexpr std::array<std::string_view, 7> formats{".safetensors", ".safetensors.index.json", ".bin", ".pth", ".pt",
                                                      ".ckpt",        ".bin.index.json"};
    constexpr std::string_view index = ".index.json";
    for (std::size_t format = 0; format < formats.size(); ++format)
        for (std::size_t variant = variants.size(); variant-- > 0;) {
            // An index has its variant before its last suffix, or as the others have it.
            std::vector<std::string> suffixes{fmt::format("{}{}", variants[variant], formats[format])};
            if (formats[format].ends_with(index))
                suffixes.push_back(fmt::format("{}.index{}.json",
                                               formats[format].substr(0, formats[format].size() - index.size()),
                                               variants[variant]));
            for (const std::string& suffix : suffixes)
                if (name.size() > suffix.size() && name.ends_with(suffix))
                    return Weights{name.substr(0, name.size() - suffix.size()), name, format, variant};
        }
    return std::nullopt;
}

Result<ModelFiles> inFolder(const fs::path& folder) {
    std::error_code error;
    std::vector<Weights> all;
    std::size_t seen = 0;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        if (++seen > mostFiles)
            return fail(ErrorCode::BadInput, "folder {}: more than {} files", quote(folder.string()), mostFiles);
        std::error_code ignored;
        if (!entry->is_regular_file(ignored)) continue;
        if (auto weights = weightsNamed(entry->path().filename().string())) all.push_back(std::move(*weights));
    }
    if (error) return fail(ErrorCode::Io, "folder {}: {}", quote(folder.string()), error.message());
    const bool isModel = isFile(folder / "model_index.json");
    std::error_code ignored;
    if (const fs::path vae = folder / "vae"; fs::is_directory(vae, ignored) && (isModel || all.empty()))
        return inFolder(vae);
    // Shards belong to their index and are no files to choose from.
    std::erase_if(all, [&](const Weights& weights) {
        return weights.stem.find("-of-") != std::string::npos &&
               std::ranges::any_of(all, [](const Weights& other) { return isIndexName(other.name); });
    });
    if (all.empty())
        return fail(ErrorCode::BadInput,
                    "folder {}: no weights in it (.safetensors, .bin, .pt, .pth, .ckpt, or an index of shards), nor a "
                    "folder \"vae\"",
                    quote(folder.string()));
    const auto isOther = [](const Weights& w) { return w.stem != diffusersStem; };
    std::ranges::sort(all, {},
                      [&](const Weights& w) { return std::tuple(isOther(w), w.formatRank, w.variantRank, w.name); });
    const Weights& best = all.front();
    for (const Weights& other : all)
        if (isOther(best) && other.stem != best.stem && other.formatRank == best.formatRank)
            return fail(ErrorCode::BadInput, "folder {}: several weights, {} and {}; name the file",
                        quote(folder.string()), quote(best.name), quote(other.name));
    return findModelFiles((folder / best.name).string());
}

} // namespace

bool isModelFolder(const std::string& path) {
    const fs::path file(path);
    std::error_code ignored;
    return fs::is_directory(file, ignored) || file.filename() == "config.json" ||
           file.filename() == "model_index.json" || isIndexName(path);
}

Result<ModelFiles> findModelFiles(const std::string& path) {
    const fs::path file(path);
    std::error_code ignored;
    if (fs::is_directory(file, ignored)) return inFolder(file);
    if (file.filename() == "config.json" || file.filename() == "model_index.json") return inFolder(file.parent_path());
    ModelFiles files{.weights = {{.path = path, .tensors = {}}}, .config = configIn(file.parent_path())};
    if (!isIndexName(path)) return files;
    TRY(files.weights, shardsOf(file));
    return files;
}

} // namespace spikescope
