// What kernels do to addresses. Protects: that no index of a shader leaves 32 bits, for every preset, family and size
// up to 16384 × 16384, on every set of kernels; that a picture does not depend on where tensors lie (on a device with
// sparse binding, more than 4 GiB apart); that nothing reads what nobody wrote.

#include "core/kernels/coopmat_kernels.h"
#include "core/kernels/cpu_kernels.h"
#include "tests/support/job_support.h"
#include "tests/support/one_call.h"
#include "tests/support/run_support.h"

namespace spikescope {
namespace {

// Of a device that is none: a pipeline is as good as any other.
class NoPipelines final : public Pipelines {
public:
    Result<Pipeline> pipeline(std::string_view, const std::vector<Define>&, Inputs) override { return Pipeline{}; }
};

void encodeAll(const Job& job, const std::string& what) {
    constexpr std::uint64_t maxTexels = std::uint64_t{1} << 27; // of Mesa's CPU device
    NoPipelines pipelines;
    PortableKernels portable(pipelines);
    CoopmatKernels matrices(pipelines, {DType::BF16, DType::F16});
    CpuKernels cpu(pipelines, maxTexels);
    const Bindings nowhere(job.program.tensors.size());
    std::vector<Dispatch> dispatches;
    for (Kernels* kernels :
         {static_cast<Kernels*>(&portable), static_cast<Kernels*>(&matrices), static_cast<Kernels*>(&cpu)})
        for (const Call& call : job.program.calls) {
            dispatches.clear();
            const auto encoded = kernels->encode(call.kernel, job.program, nowhere, dispatches);
            ASSERT_TRUE(encoded) << what << ", " << kernels->name() << ", " << job.program.layers[call.layer.index]
                                 << ": " << encoded.error().message;
        }
}

TEST(Indices, ofEveryPresetFamilyAndSizeFitInto32Bits) {
    // All other families have the shapes of one of these.
    for (const Preset& preset : presets())
        for (const std::string_view family : {"sd15", "flux1", "flux2", "taesd"})
            for (const auto& [width, height] :
                 {std::pair<std::uint64_t, std::uint64_t>{1536, 2304}, {4096, 4096}, {16384, 512}, {16384, 16384}})
                for (const VaeTask op : {VaeTask::Decode, VaeTask::Encode})
                    for (const std::string_view activations : {"", "fp32"}) {
                        Controls controls;
                        ASSERT_TRUE(applyPreset(controls, preset.name));
                        controls.model = family;
                        controls.op = op;
                        controls.width = width;
                        controls.height = height;
                        if (!activations.empty()) {
                            ASSERT_TRUE(setControl(controls, "activations", activations));
                        }
                        const auto job = makeJob(controls, std::monostate{});
                        if (!job) continue; // what contradicts is refused with its reason
                        ASSERT_NO_FATAL_FAILURE(
                            encodeAll(*job, fmt::format("{} {} {}x{} {} {}", preset.name, family, width, height,
                                                        op == VaeTask::Decode ? "decode" : "encode", activations)));
                    }
}

// Decodes on both; what contradicts, as a preset's values may another dtype, is skipped.
void expectSamePicture(VulkanBackend& expected, VulkanBackend& found, const NamedValues& values) {
    const Controls controls = controlsOf(values);
    const auto job = makeJob(controls, std::uint64_t{7});
    if (!job) return;
    const Ran first = runToMemory(expected, *job), second = runToMemory(found, *job);
    ASSERT_FALSE(first.outcome.error) << describe(values) << first.outcome.error->message;
    ASSERT_FALSE(second.outcome.error) << describe(values) << second.outcome.error->message;
    EXPECT_TRUE(first.output == second.output)
        << describe(values) << ", relative L2 " << relativeL2(second.output, first.output);
}

// On a CPU device those that have calls of their own, for pipelines take long to make there.
std::vector<NamedValues> configurations(const VulkanBackend& backend) {
    std::vector<NamedValues> all;
    for (const Preset& preset : presets())
        if (!backend.device().report().cpu || preset.name == "mlx-today" || preset.name == "torch-compile" ||
            preset.name == "leanest" || preset.name == "comfyui-tiled")
            all.push_back({{"preset", std::string(preset.name)}});
    all.push_back({{"preset", "mlx-today"}, {"attention", "naive"}, {"repeat", "3"}});
    all.push_back({{"preset", "fastest"}, {"tile", "64"}, {"overlap", "16"}, {"tiles-in-flight", "3"}});
    all.push_back({{"preset", "fastest"}, {"tile", "stripe:32"}, {"spill", "host"}});
    return all;
}

TEST(Poison, memoryThatBeginsAsNaNChangesNoPicture) {
    auto clean = VulkanBackend::open({.device = testDevice()}),
         poisoned = VulkanBackend::open({.device = testDevice(), .poison = true});
    ASSERT_TRUE(clean && poisoned);
    for (NamedValues values : configurations(**clean)) {
        values.insert(values.end(),
                      {{"model", "flux1"}, {"size", (*clean)->device().report().cpu ? "32x48" : "512x768"}});
        expectSamePicture(**clean, **poisoned, values);
    }
}

TEST(Poison, reachesEveryElementOfATensorAndNothingElse) {
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
        OneCall one(KernelChoice::Portable);
        const TensorId id = one.add(dtype, {1, 3, 5, 7}), other = one.add(dtype, {1, 3, 5, 7});
        for (const TensorId each : {id, other}) one.fill(each, 1.0);
        one.program.layers = {"layer"};
        const Parameters parameters(7);
        const Input input;
        const CancelFlag cancel;
        const RunIo io{.parameters = parameters, .input = input, .sinks = {}, .cancel = cancel, .progress = {}};
        auto executor = Executor::create(one.backend->device(), *one.heap, *one.kernels, one.program, io,
                                         {.submit = {}, .poison = true});
        ASSERT_TRUE(executor);
        ASSERT_TRUE((*executor)->bind(id, one.placements[id.index]));
        ASSERT_TRUE((*executor)->evaluate(0));
        for (const double value : one.read(id)) EXPECT_TRUE(std::isnan(value));
        for (const double value : one.read(other)) EXPECT_FALSE(std::isnan(value));
    }
}

TEST(Addresses, ofTensorsFarApartChangeNoPicture) {
    auto backend = VulkanBackend::open({.device = testDevice()});
    ASSERT_TRUE(backend) << backend.error().message;
    if (!(*backend)->device().report().sparseBinding)
        GTEST_SKIP() << "needs a device with sparse binding to lay tensors far apart";
    for (const AddressOrder order : {AddressOrder::Rising, AddressOrder::Falling}) {
        auto spread = VulkanBackend::open({.device = testDevice(), .heap = [order](Device& device) {
                                               return SpreadHeap::create(device, order).map([](auto heap) {
                                                   return std::unique_ptr<VulkanHeap>(std::move(heap));
                                               });
                                           }});
        ASSERT_TRUE(spread) << spread.error().message;
        for (const NamedValues& preset : configurations(**backend))
            for (const char* dtype : {"bf16", "fp32"}) {
                NamedValues values = preset;
                values.insert(
                    values.end(),
                    {{"model", "flux1"}, {"size", "256x256"}, {"activations", dtype}, {"allocator", "caching"}});
                expectSamePicture(**backend, **spread, values);
            }
    }
}

} // namespace
} // namespace spikescope
