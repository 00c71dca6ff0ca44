// devices, inspect and compare: what there is, and what was recorded.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/base/text.h"
#include "core/formats/read_report.h"
#include "core/gpu/instance.h"
#include "core/timeline/compare.h"

#include <nlohmann/json.hpp>

#include <filesystem>

namespace spikescope::cli {

namespace {

using Json = nlohmann::ordered_json;

// What a session takes, unless the device's matrices then answer wrongly.
std::string kernelSet(const DeviceReport& device) {
    if (device.cpuKernels) return "cpu";
    if (!device.bf16Matrices && !device.fp16Matrices) return "portable";
    return std::string("cooperative matrices of ") + (device.bf16Matrices ? "bf16" : "") +
           (device.bf16Matrices && device.fp16Matrices ? " and " : "") + (device.fp16Matrices ? "fp16" : "");
}

Result<int> devices(bool json) {
    TRY(const std::shared_ptr<Instance> instance, Instance::create());
    TRY(const std::vector<DeviceReport> all, instance->devices());
    Json list = Json::array();
    bool usable = false;
    for (const DeviceReport& d : all) {
        usable = usable || d.refusal.empty();
        if (json) {
            list.push_back({{"index", d.index},
                            {"name", d.name},
                            {"type", d.type},
                            {"driver", d.driver},
                            {"vulkan", d.vulkan},
                            {"heap_bytes", d.heapBytes},
                            {"largest_allocation_bytes", d.largestAllocation},
                            {"subgroup_size", d.subgroupSize},
                            {"memory_budget", d.memoryBudget},
                            {"cooperative_matrix", d.cooperativeMatrix},
                            {"sparse_binding", d.sparseBinding},
                            {"kernels", kernelSet(d)},
                            {"usable", d.refusal.empty()},
                            {"refusal", d.refusal.empty() ? Json() : Json(d.refusal)}});
        } else {
            printOutput("{}  {}\n   {}, {}, Vulkan {}, {} of memory, largest allocation {}, subgroups of {}\n", d.index,
                        d.name, d.type, d.driver, d.vulkan, formatBytes(d.heapBytes), formatBytes(d.largestAllocation),
                        d.subgroupSize);
            const auto yes = [](bool it) { return it ? "yes" : "no"; };
            printOutput("   memory budget: {}, cooperative matrices: {}, sparse binding: {}, kernels: {}\n",
                        yes(d.memoryBudget), yes(d.cooperativeMatrix), yes(d.sparseBinding), kernelSet(d));
            if (d.refusal.empty())
                printOutput("   usable\n");
            else
                printOutput("   cannot be used: it {}\n", d.refusal);
        }
    }
    if (json)
        outputJson(list);
    else if (all.empty())
        printOutput("Vulkan finds no device\n");
    return usable ? 0 : 3;
}

Result<int> inspect(const std::string& path, bool json) {
    CHECK(checkFiles({{{.name = "file", .path = path}}}, json));
    TRY(const Checkpoint checkpoint, Checkpoint::open(path));
    std::vector<std::string> names;
    for (const Family* family : checkpoint.candidates()) names.emplace_back(family->name);
    std::map<std::string, std::size_t> dtypes;
    for (const TensorView& tensor : checkpoint.file().tensors()) ++dtypes[tensor.dtypeText];
    // Parameters are those that the family's graphs use and the file has.
    const Family& family = *checkpoint.candidates().front();
    std::uint64_t counts[2] = {0, 0}, found = 0;
    for (const VaeTask op : {VaeTask::Decode, VaeTask::Encode}) {
        TRY(const Graph graph, buildGraph(family, op, sizeMultiple(family), sizeMultiple(family), 1));
        for (const Weight& weight : graph.weights)
            if (const TensorView* tensor = checkpoint.find(weight.name)) {
                counts[op == VaeTask::Encode] += tensor->elements;
                ++found;
            }
    }
    const char* layout = checkpoint.layout() == NameLayout::Diffusers ? "diffusers" : "original";
    if (json) {
        const Json out{{"file", path},
                       {"family", family.name},
                       {"candidates", names},
                       {"layout", layout},
                       {"prefix", checkpoint.prefix()},
                       {"dtypes", dtypes},
                       {"tensors", checkpoint.file().tensors().size()},
                       {"tensors_used", found},
                       {"decoder_parameters", counts[0]},
                       {"encoder_parameters", counts[1]}};
        outputJson(out);
        return 0;
    }
    std::vector<std::string> kinds;
    for (const auto& [dtype, count] : dtypes) kinds.push_back(fmt::format("{} {}", count, dtype));
    printOutput("file       {}\nfamily     {}\nlayout     {}{}\ntensors    {} ({}), {} of them used\n", path,
                joined(names, " or "), layout, checkpoint.prefix().empty() ? "" : ", prefix " + checkpoint.prefix(),
                checkpoint.file().tensors().size(), joined(kinds, ", "), found);
    printOutput("parameters decoder {}, encoder {}\n", counts[0], counts[1]);
    return 0;
}

Result<int> compare(const std::vector<std::string>& paths, bool json) {
    std::vector<NamedFile> files;
    for (const std::string& path : paths) files.push_back({.name = "report", .path = path});
    CHECK(checkFiles({files}, json));
    std::vector<LabelledRecording> runs;
    for (const std::string& path : paths) {
        TRY(Recording recording, readReport(path));
        runs.push_back({.label = std::filesystem::path(path).stem().string(), .recording = std::move(recording)});
    }
    printOutput("{}\n", json ? compareJson(runs) : compareText(runs));
    return 0;
}

// What a command's callback leaves as the exit code.
int codeOf(const Result<int>& code) { return code ? *code : exitWith(code.error()); }

} // namespace

void addDevices(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("devices", "List Vulkan devices and what each can do");
    auto json = std::make_shared<bool>(false);
    sub->add_flag("--json", *json, "as JSON");
    sub->callback([json, &result] { result = codeOf(devices(*json)); });
}

void addInspect(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("inspect", "Say what a checkpoint holds");
    auto path = std::make_shared<std::string>();
    auto json = std::make_shared<bool>(false);
    sub->add_option("file", *path, "FILE.safetensors")->required();
    sub->add_flag("--json", *json, "as JSON");
    sub->callback([path, json, &result] { result = codeOf(inspect(*path, *json)); });
}

void addCompare(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("compare", "Put reports side by side: peaks by category and by layer");
    auto paths = std::make_shared<std::vector<std::string>>();
    auto json = std::make_shared<bool>(false);
    sub->add_option("reports", *paths, "files written with --report")->required()->expected(2, 32);
    sub->add_flag("--json", *json, "as JSON");
    sub->callback([paths, json, &result] { result = codeOf(compare(*paths, *json)); });
}

} // namespace spikescope::cli
