#pragma once
// Which files a path stands for: a checkpoint, the index of a checkpoint in shards, or a folder as diffusers writes it.

#include "core/base/error.h"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace spikescope {

struct ModelFiles {
    struct File {
        std::string path;
        std::set<std::string, std::less<>> tensors; // that the index takes from this shard; of no index: all
    };
    std::vector<File> weights;         // one file, or all shards of an index
    std::optional<std::string> config; // config.json beside them
};

// A folder is a VAE's or a pipeline's, which has the VAE in "vae". Of several variants the one without a suffix is
// taken, then fp16, then bf16; of several files the one with the name that diffusers gives. BadInput names a folder
// without weights, with several, and a shard that is missing.
Result<ModelFiles> findModelFiles(const std::string& path);
// Whether it is a folder, or one of the JSON files that name its weights.
bool isModelFolder(const std::string& path);

} // namespace spikescope
