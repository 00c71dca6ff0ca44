// devices, inspect and compare: what there is, and what was recorded.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/base/text.h"
#include "core/formats/read_report.h"
#include "core/gpu/instance.h"
#include "core/model/checkpoint.h"
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

// One half of a checkpoint as inspect shows it.
struct HalfReport {
    VaeTask task = VaeTask::Decode;
    bool has = false;
    std::uint64_t parameters = 0;
    std::string architecture; // of a KL half: channels and resnets by level
    Result<void> runs;        // or what differs
};

Result<HalfReport> reportOf(const Checkpoint& checkpoint, VaeTask task) {
    HalfReport report{.task = task, .has = checkpoint.has(task), .architecture = {}, .runs = {}};
    if (!report.has) return report;
    const Family& family = checkpoint.candidates().front();
    TRY(const std::vector<Weight> weights, halfWeights(family, task));
    for (const Weight& weight : weights)
        if (const TensorView* tensor = checkpoint.find(weight.name)) report.parameters += tensor->elements;
    report.runs = checkpoint.checkHalf(task);
    if (family.backbone == Backbone::Kl) report.architecture = describe(family.half(task));
    return report;
}

Result<int> inspect(const std::string& path, bool json) {
    CHECK(checkFiles({{{.name = "file", .path = path}}}, json));
    TRY(const Checkpoint checkpoint, Checkpoint::open(path));
    std::vector<std::string> names;
    for (const Family& family : checkpoint.candidates()) names.emplace_back(family.name);
    std::map<std::string, std::size_t> dtypes;
    for (const TensorView& tensor : checkpoint.file().tensors()) ++dtypes[tensor.dtypeText];
    const Family& family = checkpoint.candidates().front();
    TRY(const Checkpoint::Choice choice, checkpoint.choose(""));
    std::vector<HalfReport> halves;
    for (const VaeTask task : bothTasks) {
        TRY(HalfReport report, reportOf(checkpoint, task));
        halves.push_back(std::move(report));
    }
    const std::size_t used = checkpoint.used().size();
    const char* layout = checkpoint.layout() == NameLayout::Diffusers ? "diffusers" : "original";
    // What can run is no error, whatever else is in the file.
    const Error* trouble = nullptr;
    bool runs = false;
    for (const HalfReport& half : halves) {
        if (half.has && half.runs) runs = true;
        if (half.has && !half.runs && !trouble) trouble = &half.runs.error();
    }
    if (!runs) return tl::unexpected<Error>(*trouble);
    if (json) {
        Json out{{"schema", "spikescope.checkpoint/1"},
                 {"file", path},
                 {"family", family.name},
                 {"candidates", names},
                 {"layout", layout},
                 {"prefix", checkpoint.prefix()},
                 {"latent_channels", family.latentChannels},
                 {"dtypes", dtypes},
                 {"tensors", checkpoint.file().tensors().size()},
                 {"tensors_used", used},
                 {"notes", choice.notes}};
        for (const HalfReport& half : halves) {
            out[fmt::format("{}_parameters", halfName(half.task))] = half.parameters;
            if (half.has && !half.runs) out[fmt::format("{}_error", halfName(half.task))] = half.runs.error().message;
        }
        outputJson(out);
        return 0;
    }
    std::vector<std::string> kinds;
    for (const auto& [dtype, count] : dtypes) kinds.push_back(fmt::format("{} {}", count, dtype));
    printOutput("file       {}\nfamily     {}\nlayout     {}{}\ntensors    {} ({}), {} of them used\n", path,
                joined(names, " or "), layout, checkpoint.prefix().empty() ? "" : ", prefix " + checkpoint.prefix(),
                checkpoint.file().tensors().size(), joined(kinds, ", "), used);
    for (const HalfReport& half : halves) {
        if (!half.has) {
            printOutput("{}    none\n", halfName(half.task));
            continue;
        }
        printOutput("{}    {} parameters{}\n", halfName(half.task), half.parameters,
                    half.architecture.empty() ? "" : ": " + half.architecture);
        if (!half.runs) printOutput("           cannot run: {}\n", half.runs.error().message);
    }
    for (const std::string& note : choice.notes) printOutput("note       {}\n", note);
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
