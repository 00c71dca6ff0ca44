#include "core/vulkan/vulkan_backend.h"

#include "core/vulkan/call_sampler.h"

namespace spikescope {

Result<std::unique_ptr<VulkanBackend>> VulkanBackend::open(const VulkanOptions& options) {
    auto backend = std::unique_ptr<VulkanBackend>(new VulkanBackend);
    TRY(std::shared_ptr<Instance> instance, Instance::create({.validate = options.validate}));
    TRY(const DeviceReport report, instance->choose(options.device));
    TRY(backend->m_device, Device::open(std::move(instance), report));
    TRY(backend->m_heap, options.heap(*backend->m_device));
    TRY(backend->m_shaders, ShaderLibrary::create(*backend->m_device, options.cacheFolder));
    backend->m_kernels = Kernels::create(*backend->m_device, *backend->m_shaders, options.kernels);
    backend->m_facts = {
        .device = {.name = report.name, .driver = report.driver, .kernels = std::string(backend->m_kernels->name())},
        .spaces = {{"host", SpaceKind::Host}, {"device", SpaceKind::Device, report.heapBytes}},
        .cpu = report.cpu,
        .sparseMemory = report.sparseBinding,
        // A CPU device gains nothing from work in flight, and this way a cancel waits for one op at most.
        .submit = options.submit.value_or(SubmitPolicy{.waitForEachOp = report.cpu})};
    backend->m_kernels->tiles() = backend->keptTiles(options.cacheFolder);
    backend->m_executor = {.submit = backend->m_facts.submit, .poison = options.poison};
    return backend;
}

Result<std::unique_ptr<RunMachine>> VulkanBackend::machine(const Program& program, const RunIo& io) {
    TRY(std::unique_ptr<RunMachine> made, Executor::create(*m_device, *m_heap, *m_kernels, program, io, m_executor));
    return made;
}

Result<void> VulkanBackend::timeCalls(std::span<const CallOfProgram> calls,
                                      const std::function<bool(std::size_t, const std::optional<CallTimes>&)>& each) {
    TRY(const auto sampler, CallSampler::create(*m_device, *m_heap, *m_kernels));
    return sampler->sample(calls, each);
}

std::string VulkanBackend::identity() const {
    std::string uuid;
    for (std::size_t i = 0; i < VK_UUID_SIZE; ++i) uuid += fmt::format("{:02x}", m_device->cacheUuid()[i]);
    return fmt::format("{}-{}", uuid, m_kernels->name());
}

TileChoices VulkanBackend::keptTiles(const std::string& cacheFolder) const {
    const auto text = readCache("tiles", cacheFolder);
    return text ? TileChoices::fromJson(*text).value_or(TileChoices()) : TileChoices();
}

} // namespace spikescope
