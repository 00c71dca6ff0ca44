// Loading a 335 MB checkpoint takes the device's memory, one staging buffer and little else of the host's. Protects
// against dictionaries of weights held beside the mapped file.

#include "core/tensors/safetensors_writer.h"
#include "tests/support/run_support.h"

#include <fstream>

namespace spikescope {
namespace {

// Resident memory that is no file's: /proc/self/status, in bytes.
std::uint64_t anonymousBytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) * 1024;
    return 0;
}

TEST(LoadMemory, staysWithinStagingAndTheDevice) {
    const std::string path = testing::TempDir() + "/spikescope_load_memory.safetensors";
    Controls controls;
    controls.model = "flux1";
    controls.activations = DType::F32;
    std::vector<SafetensorsWriter::Tensor> tensors;
    std::uint64_t bytes = 0;
    for (const VaeTask op : {VaeTask::Decode, VaeTask::Encode}) {
        auto graph = buildGraph(*findFamily("flux1"), op, 8, 8, 1);
        for (const Weight& weight : graph->weights)
            tensors.push_back({.name = weight.name, .dtype = DType::F32, .shape = weight.dims});
    }
    {
        auto writer = SafetensorsWriter::create(path, tensors);
        ASSERT_TRUE(writer) << writer.error().message;
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            std::uint64_t count = 1;
            for (const std::uint64_t dim : tensors[i].shape) count *= dim;
            const std::vector<float> values(count, 0.001f);
            ASSERT_TRUE(writer->write(i, 0, std::as_bytes(std::span(values))));
            bytes += 4 * count;
        }
        ASSERT_TRUE(writer->commit());
    }
    EXPECT_GT(bytes, 335'000'000u);

    controls.weights = path;
    controls.width = controls.height = 8;
    const auto backend = openCpu();
    ASSERT_TRUE(backend);
    const std::uint64_t before = anonymousBytes();
    auto job = makeJob(controls, std::uint64_t{1});
    ASSERT_TRUE(job) << job.error().message;
    std::uint64_t peak = 0;
    const CancelFlag cancel;
    const RunOutcome outcome =
        runJob(*backend, *job, {}, cancel, [&](const Progress&) { peak = std::max(peak, anonymousBytes()); });
    ASSERT_FALSE(outcome.error) << outcome.error->message;
    std::filesystem::remove(path);
    // On a CPU device the device's memory is the process's too.
    const std::uint64_t device = outcome.recording.predicted->second; // bytes reserved
    RecordProperty("host_bytes", std::to_string(peak > before + device ? peak - before - device : 0));
    EXPECT_LE(peak, before + device + (std::uint64_t{64} << 20));
}

} // namespace
} // namespace spikescope
