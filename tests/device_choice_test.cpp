// Which Vulkan device is taken, why one is refused and what is known of it: decided for devices that are written down
// here.

#include "core/gpu/device_choice.h"

#include <gtest/gtest.h>

namespace spikescope {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30, machine = 64 * gib;
constexpr VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                                visible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                                cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
constexpr VkQueueFlags allQueues = VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_SPARSE_BINDING_BIT;

VkQueueFamilyProperties queues(VkQueueFlags flags, std::uint32_t timestampBits = 64) {
    return {.queueFlags = flags, .queueCount = 1, .timestampValidBits = timestampBits};
}

// A discrete GPU that runs everything, with 24 GiB of its own.
DeviceCapabilities discrete() {
    const auto matrices = [](std::uint32_t component) {
        return CooperativeMatrixProperties{.m = 16,
                                           .n = 16,
                                           .k = 16,
                                           .aType = component,
                                           .bType = component,
                                           .cType = componentFloat32,
                                           .resultType = componentFloat32,
                                           .scope = scopeSubgroup};
    };
    return {.name = "Discrete 24G",
            .driverName = "maker",
            .driverInfo = "580.1",
            .apiVersion = VK_MAKE_API_VERSION(0, 1, 4, 312),
            .type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU,
            .maxMemoryAllocationSize = 4 * gib,
            .subgroupSize = 32,
            .minSubgroupSize = 32,
            .maxSubgroupSize = 32,
            .requiredSubgroupSizeStages = VK_SHADER_STAGE_COMPUTE_BIT,
            .heaps = {{.size = 24 * gib, .flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}, {.size = 48 * gib, .flags = 0}},
            .queueFamilies = {queues(allQueues)},
            .extensions = {"VK_EXT_memory_budget", "VK_KHR_cooperative_matrix", "VK_EXT_subgroup_size_control",
                           "VK_KHR_shader_bfloat16"},
            .matrices = {matrices(componentFloat16), matrices(componentBfloat16)},
            .bufferDeviceAddress = true,
            .timelineSemaphore = true,
            .vulkanMemoryModel = true,
            .shaderFloat16 = true,
            .shaderInt64 = true,
            .shaderInt16 = true,
            .sparseBinding = true,
            .sparseResidencyBuffer = true,
            .subgroupSizeControl = true,
            .computeFullSubgroups = true,
            .cooperativeMatrix = true,
            .bfloat16Type = true,
            .bfloat16CooperativeMatrix = true};
}

DeviceCapabilities integrated() {
    DeviceCapabilities facts = discrete();
    facts.name = "Integrated";
    facts.driverName.clear();
    facts.driverVersion = 77;
    facts.apiVersion = VK_MAKE_API_VERSION(0, 1, 2, 9);
    facts.type = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    facts.heaps = {{.size = 15 * gib, .flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}};
    facts.extensions.clear();
    facts.matrices.clear();
    return facts;
}

DeviceCapabilities mesaCpu() {
    DeviceCapabilities facts = integrated();
    facts.name = "llvmpipe (LLVM 15.0.6, 256 bits)";
    facts.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    facts.driver = VK_DRIVER_ID_MESA_LLVMPIPE;
    facts.subgroupSize = 8;
    facts.subgroupStages = VK_SHADER_STAGE_COMPUTE_BIT;
    facts.subgroupOperations = VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    facts.heaps = {{.size = 2 * gib, .flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}};
    return facts;
}

std::vector<DeviceReport> reportsOf(const std::vector<DeviceCapabilities>& all) {
    std::vector<DeviceReport> reports;
    for (const DeviceCapabilities& facts : all)
        reports.push_back(describeDevice(static_cast<std::uint32_t>(reports.size()), facts, machine));
    return reports;
}

TEST(DeviceReport, SaysWhatTheDeviceSaid) {
    const DeviceReport gpu = describeDevice(3, discrete(), machine);
    EXPECT_EQ(gpu.index, 3u);
    EXPECT_EQ(gpu.name, "Discrete 24G");
    EXPECT_EQ(gpu.driver, "maker 580.1");
    EXPECT_EQ(gpu.type, "discrete GPU");
    EXPECT_EQ(gpu.vulkan, "1.4.312");
    EXPECT_EQ(gpu.heapBytes, 24 * gib);
    EXPECT_EQ(gpu.largestAllocation, 4 * gib);
    EXPECT_EQ(gpu.subgroupSize, 32u);
    EXPECT_TRUE(gpu.memoryBudget && gpu.cooperativeMatrix && gpu.bf16Matrices && gpu.fp16Matrices && gpu.sparseBinding);
    EXPECT_FALSE(gpu.cpu || gpu.cpuKernels);
    EXPECT_EQ(gpu.refusal, "");

    const DeviceReport small = describeDevice(0, integrated(), machine);
    EXPECT_EQ(small.type, "integrated GPU");
    EXPECT_EQ(small.driver, "77"); // without a name
    EXPECT_EQ(small.heapBytes, 15 * gib);
    EXPECT_FALSE(small.memoryBudget || small.cooperativeMatrix || small.bf16Matrices || small.fp16Matrices);
    EXPECT_EQ(small.refusal, "");
}

// The driver says 2 GiB and enforces nothing.
TEST(DeviceReport, ACpuHasTheMemoryOfTheMachine) {
    const DeviceReport cpu = describeDevice(0, mesaCpu(), machine);
    EXPECT_EQ(cpu.type, "CPU");
    EXPECT_EQ(cpu.heapBytes, machine);
    EXPECT_TRUE(cpu.cpu && cpu.cpuKernels);
    for (const auto& change : std::vector<void (*)(DeviceCapabilities&)>{
             [](DeviceCapabilities& f) { f.subgroupSize = 4; }, [](DeviceCapabilities& f) { f.subgroupOperations = 0; },
             [](DeviceCapabilities& f) { f.subgroupStages = VK_SHADER_STAGE_FRAGMENT_BIT; },
             [](DeviceCapabilities& f) { f.driver = VK_DRIVER_ID_GOOGLE_SWIFTSHADER; }}) {
        DeviceCapabilities other = mesaCpu();
        change(other);
        const DeviceReport report = describeDevice(0, other, machine);
        EXPECT_FALSE(report.cpuKernels);
        EXPECT_EQ(report.refusal, ""); // the portable kernels run
    }
}

// Without a resizable BAR the host sees a window of 256 MiB, which is a heap of its own.
TEST(DeviceReport, TheHeapIsTheLargestOfTheDevice) {
    DeviceCapabilities facts = discrete();
    facts.heaps = {{.size = std::uint64_t{256} << 20, .flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT},
                   {.size = 48 * gib, .flags = 0},
                   {.size = 24 * gib, .flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}};
    EXPECT_EQ(describeDevice(0, facts, machine).heapBytes, 24 * gib);
}

TEST(DeviceReport, RefusesWhatLacksSomethingAndNamesIt) {
    struct Case {
        const char* refusal;
        void (*change)(DeviceCapabilities&);
    };
    for (const Case& c : std::vector<Case>{
             {"has Vulkan 1.1.128, 1.2 is needed",
              [](DeviceCapabilities& f) { f.apiVersion = VK_MAKE_API_VERSION(0, 1, 1, 128); }},
             {"lacks bufferDeviceAddress", [](DeviceCapabilities& f) { f.bufferDeviceAddress = false; }},
             {"lacks timelineSemaphore, shaderInt64",
              [](DeviceCapabilities& f) { f.timelineSemaphore = f.shaderInt64 = false; }},
             {"lacks a compute queue with timestamps", [](DeviceCapabilities& f) { f.queueFamilies.clear(); }},
             {"lacks a compute queue with timestamps",
              [](DeviceCapabilities& f) { f.queueFamilies = {queues(VK_QUEUE_GRAPHICS_BIT)}; }},
             {"lacks a compute queue with timestamps",
              [](DeviceCapabilities& f) { f.queueFamilies = {queues(VK_QUEUE_COMPUTE_BIT, 0)}; }}}) {
        DeviceCapabilities facts = discrete();
        c.change(facts);
        EXPECT_EQ(describeDevice(0, facts, machine).refusal, c.refusal);
    }
}

TEST(DeviceReport, TakesTheFirstQueueThatComputes) {
    DeviceCapabilities facts = discrete();
    facts.queueFamilies = {queues(VK_QUEUE_TRANSFER_BIT), queues(VK_QUEUE_COMPUTE_BIT, 36), queues(allQueues)};
    const DeviceReport report = describeDevice(0, facts, machine);
    EXPECT_EQ(report.queueFamily, 1u);
    EXPECT_FALSE(report.sparseBinding); // another queue would bind sparsely
    facts.queueFamilies = {queues(allQueues)};
    facts.sparseResidencyBuffer = false;
    EXPECT_FALSE(describeDevice(0, facts, machine).sparseBinding);
}

TEST(DeviceReport, MatricesNeedEveryPartOfWhatTheirKernelsUse) {
    for (const auto& change : std::vector<void (*)(DeviceCapabilities&)>{
             [](DeviceCapabilities& f) { f.cooperativeMatrix = false; },
             [](DeviceCapabilities& f) { f.subgroupSizeControl = false; },
             [](DeviceCapabilities& f) { f.computeFullSubgroups = false; },
             [](DeviceCapabilities& f) { f.vulkanMemoryModel = false; },
             [](DeviceCapabilities& f) { f.shaderFloat16 = false; },
             [](DeviceCapabilities& f) { f.shaderInt16 = false; },
             [](DeviceCapabilities& f) { f.minSubgroupSize = 64; },
             [](DeviceCapabilities& f) { f.maxSubgroupSize = 16; },
             [](DeviceCapabilities& f) { f.requiredSubgroupSizeStages = 0; },
             [](DeviceCapabilities& f) { f.matrices.clear(); },
             [](DeviceCapabilities& f) { f.matrices[0].k = f.matrices[1].k = 8; },
             [](DeviceCapabilities& f) { std::erase(f.extensions, "VK_EXT_subgroup_size_control"); },
             [](DeviceCapabilities& f) { std::erase(f.extensions, "VK_KHR_cooperative_matrix"); }}) {
        DeviceCapabilities facts = discrete();
        change(facts);
        const DeviceReport report = describeDevice(0, facts, machine);
        EXPECT_FALSE(report.bf16Matrices || report.fp16Matrices);
        EXPECT_EQ(report.refusal, ""); // the portable kernels run
    }
    for (const auto& change : std::vector<void (*)(DeviceCapabilities&)>{
             [](DeviceCapabilities& f) { f.bfloat16Type = false; },
             [](DeviceCapabilities& f) { f.bfloat16CooperativeMatrix = false; },
             [](DeviceCapabilities& f) { f.matrices.pop_back(); },
             [](DeviceCapabilities& f) { std::erase(f.extensions, "VK_KHR_shader_bfloat16"); }}) {
        DeviceCapabilities facts = discrete();
        change(facts);
        const DeviceReport report = describeDevice(0, facts, machine);
        EXPECT_TRUE(report.fp16Matrices);
        EXPECT_FALSE(report.bf16Matrices);
    }
}

TEST(DeviceChoice, IsTheFirstUsableGpuThenTheCpu) {
    DeviceCapabilities old = discrete();
    old.name = "Old";
    old.apiVersion = VK_API_VERSION_1_1;
    EXPECT_EQ(chooseDevice(reportsOf({mesaCpu(), old, integrated(), discrete()}), "")->name, "Integrated");
    EXPECT_TRUE(chooseDevice(reportsOf({old, mesaCpu()}), "")->cpu);
    const auto none = chooseDevice(reportsOf({old}), "");
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, ErrorCode::NoDevice);
    EXPECT_EQ(none.error().message, "no usable device: Old has Vulkan 1.1.0, 1.2 is needed");
    EXPECT_EQ(chooseDevice({}, "").error().message, "Vulkan finds no device");
}

TEST(DeviceChoice, FollowsIndexNameOrCpu) {
    DeviceCapabilities second = discrete();
    second.heaps[0].size = 16 * gib;
    DeviceCapabilities old = discrete();
    old.name = "Old";
    old.apiVersion = VK_API_VERSION_1_1;
    const auto all = reportsOf({discrete(), second, mesaCpu(), old});
    EXPECT_EQ(chooseDevice(all, "cpu")->index, 2u);
    EXPECT_EQ(chooseDevice(all, "LLVM")->index, 2u);
    EXPECT_EQ(chooseDevice(all, "discrete 24g")->index, 0u); // of two of a name the first
    EXPECT_EQ(chooseDevice(all, "1")->heapBytes, 16 * gib);  // an index tells them apart
    EXPECT_EQ(chooseDevice(all, "3").error().message,
              "device 3 (Old) cannot be used: it has Vulkan 1.1.0, 1.2 is needed");
    for (const char* absent : {"4", "24", "H200"})
        EXPECT_EQ(chooseDevice(all, absent).error().message,
                  fmt::format("no device matches '{}'; there are: 0 Discrete 24G, 1 Discrete 24G, "
                              "2 llvmpipe (LLVM 15.0.6, 256 bits), 3 Old",
                              absent));
}

TEST(MemoryType, IsTheFirstWithAllThatIsWantedAndPreferred) {
    const auto memory = [](std::initializer_list<VkMemoryPropertyFlags> types) {
        VkPhysicalDeviceMemoryProperties properties{};
        for (const VkMemoryPropertyFlags flags : types)
            properties.memoryTypes[properties.memoryTypeCount++] = {.propertyFlags = flags};
        return properties;
    };
    const auto withoutBar = memory({0, local, visible, visible | cached, local | visible}),
               unified = memory({local | visible | cached});
    EXPECT_EQ(chooseMemoryType(withoutBar, ~0u, local, 0), 1u);
    EXPECT_EQ(chooseMemoryType(withoutBar, ~0u, visible, cached), 3u);
    EXPECT_EQ(chooseMemoryType(withoutBar, 0b00100, visible, cached), 2u); // not all may be used
    EXPECT_EQ(chooseMemoryType(withoutBar, 0b01101, local, 0), std::nullopt);
    EXPECT_EQ(chooseMemoryType(unified, ~0u, local, 0), 0u);
    EXPECT_EQ(chooseMemoryType(unified, ~0u, visible, cached), 0u);
}

} // namespace
} // namespace spikescope
