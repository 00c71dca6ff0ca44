#pragma once
// The Vulkan backend: an open device with its heap, its shaders and its kernels.

#include "core/backend/backend.h"
#include "core/base/cache_folder.h"
#include "core/gpu/shader_library.h"
#include "core/gpu/vulkan_heap.h"
#include "core/kernels/kernels.h"
#include "core/vulkan/executor.h"

#include <functional>

namespace spikescope {

struct VulkanOptions {
    std::string device; // selector, see Instance::choose
    KernelChoice kernels = KernelChoice::Best;
    bool validate = false;
    std::string cacheFolder = defaultCacheFolder();
    // For tests: where memory comes from, whether work is waited for, and whether memory begins as NaN.
    std::function<Result<std::unique_ptr<VulkanHeap>>(Device&)> heap = VulkanHeap::create;
    std::optional<SubmitPolicy> submit = std::nullopt; // none: as suits the device
    bool poison = false;
};

class VulkanBackend final : public Backend {
public:
    static Result<std::unique_ptr<VulkanBackend>> open(const VulkanOptions& options);

    const BackendFacts& facts() const override { return m_facts; }
    VulkanHeap& heap() override { return *m_heap; }
    Result<std::unique_ptr<RunMachine>> machine(const Program& program, const RunIo& io) override;
    Result<void> timeCalls(std::span<const CallOfProgram> calls,
                           const std::function<bool(std::size_t, const std::optional<CallTimes>&)>& each) override;
    std::string identity() const override;

    Device& device() { return *m_device; }
    const Device& device() const { return *m_device; }
    Kernels& kernels() { return *m_kernels; }
    // Tiles that tune() chose on this device; none where the file is damaged or missing.
    TileChoices keptTiles(const std::string& cacheFolder) const;
    int validationMessages() const { return m_device->instance().validationMessages(); }

private:
    VulkanBackend() = default;

    // Destroyed from the last to the first.
    std::unique_ptr<Device> m_device;
    std::unique_ptr<VulkanHeap> m_heap;
    std::unique_ptr<ShaderLibrary> m_shaders;
    std::unique_ptr<Kernels> m_kernels;
    BackendFacts m_facts;
    ExecutorOptions m_executor;
};

} // namespace spikescope
