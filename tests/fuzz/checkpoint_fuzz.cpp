// config.json, indices of shards, and what a checkpoint is by the names and shapes of its tensors. The first byte says
// which: c: the text of config.json; i: that of an index of two shards; t: lines "name side side …" of tensors, whose
// file is a hole of the right size.

#include "core/model/checkpoint.h"
#include "core/model/model_config.h"
#include "core/model/model_files.h"
#include "tests/fuzz/require.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace spikescope {

namespace {

namespace fs = std::filesystem;

// In memory where there is such a file system; removed at the end.
class Folder {
public:
    Folder() {
        std::string pattern =
            (fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) / "spikescope_fuzz_XXXXXX";
        require(::mkdtemp(pattern.data()) != nullptr);
        m_path = pattern;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { fs::remove_all(m_path); }

    std::string file(std::string_view name) const { return (m_path / name).string(); }
    std::string put(std::string_view name, std::string_view content) const {
        std::ofstream(file(name), std::ios::binary | std::ios::trunc) << content;
        return file(name);
    }
    // Of fp16 tensors, given as their entries in the header.
    std::string putTensors(std::string_view name, const std::string& entries, std::uint64_t bytes) const {
        const std::string header = "{" + entries + "}";
        std::string length(8, '\0');
        for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
        put(name, length + header);
        fs::resize_file(file(name), 8 + header.size() + bytes);
        return file(name);
    }

private:
    fs::path m_path;
};

const Folder& folder() {
    static const Folder one;
    return one;
}

void requireRefusal(const Error& error) {
    require((error.code == ErrorCode::BadInput || error.code == ErrorCode::BadUsage || error.code == ErrorCode::Io ||
             error.code == ErrorCode::Unsupported) &&
            !error.message.empty());
}

void readConfig(std::string_view text) {
    const auto config = readModelConfig(folder().put("config.json", text));
    if (!config) return requireRefusal(config.error());
    if (*config) require((*config)->latentsMean.size() == (*config)->latentsStd.size() && (*config)->scaling != 0.0);
}

void readIndex(std::string_view text) {
    for (const char* shard : {"a.safetensors", "b.safetensors"})
        folder().putTensors(shard, fmt::format(R"("{}":{{"dtype":"F16","shape":[],"data_offsets":[0,2]}})", shard[0]),
                            2);
    const auto files = findModelFiles(folder().put("m.safetensors.index.json", text));
    if (!files) return requireRefusal(files.error());
    for (const auto& file : files->weights)
        require(fs::path(file.path).parent_path() == fs::path(folder().file("a")).parent_path());
    if (const auto checkpoint = Checkpoint::open(folder().file("m.safetensors.index.json")); !checkpoint)
        requireRefusal(checkpoint.error());
}

void readNames(std::string_view text) {
    std::istringstream lines{std::string(text)};
    std::string entries;
    std::uint64_t end = 0;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string name, shape;
        words >> name;
        std::erase_if(name, [](unsigned char c) { return c < 0x21 || c > 0x7e || c == '"' || c == '\\'; });
        std::uint64_t elements = 1;
        for (std::uint64_t side = 0; words >> side;) {
            shape += fmt::format("{}{}", shape.empty() ? "" : ",", side %= 5000);
            elements *= side;
            if (elements > std::uint64_t{1} << 30) return;
        }
        entries += fmt::format(R"({}"{}":{{"dtype":"F16","shape":[{}],"data_offsets":[{},{}]}})",
                               entries.empty() ? "" : ",", name, shape, end, end + 2 * elements);
        end += 2 * elements;
        if (end > std::uint64_t{1} << 32) return;
    }
    fs::remove(folder().file("config.json"));
    const auto checkpoint = Checkpoint::open(folder().putTensors("t.safetensors", entries, end));
    if (!checkpoint) return requireRefusal(checkpoint.error());
    require(!checkpoint->candidates().empty() && (checkpoint->hasDecoder() || checkpoint->hasEncoder()));
    const auto choice = checkpoint->choose("");
    require(choice.has_value());
    (void)checkpoint->unused();
    for (const VaeTask task : bothTasks) {
        if (!checkpoint->has(task)) continue;
        // What passes the check can be planned.
        if (const auto checked = checkpoint->checkHalf(task); !checked) {
            requireRefusal(checked.error());
            continue;
        }
        const std::uint64_t side = 16 * choice->family.factor(task);
        const auto graph = buildGraph(choice->family, task, side, side, 1);
        if (!graph) requireRefusal(graph.error());
    }
}

} // namespace

} // namespace spikescope

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    if (input.empty()) return 0;
    switch (input.front()) {
    case 'c': spikescope::readConfig(input.substr(1)); break;
    case 'i': spikescope::readIndex(input.substr(1)); break;
    case 't': spikescope::readNames(input.substr(1)); break;
    default: break;
    }
    return 0;
}
