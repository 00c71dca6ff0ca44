#pragma once
// Compute pipelines by shader and defines: GLSL embedded in the program, compiled by glslang at first use, kept on disk
// as SPIR-V and in the driver's pipeline cache.

#include "core/gpu/device.h"

#include <future>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace spikescope {

// GLSL by file name, from shaders/; made by the build.
struct ShaderSource {
    std::string_view name, text;
};
std::span<const ShaderSource> shaderSources();

struct Define {
    std::string name, value;
};

struct Pipeline {
    VkPipeline handle = VK_NULL_HANDLE;
    VkPipelineLayout layout = VK_NULL_HANDLE;
    VkDescriptorSetLayout texelSet = VK_NULL_HANDLE; // none: the kernel takes addresses alone
    std::uint32_t pushSize = 0;                      // bytes of push constants, as the SPIR-V has them; 0: not known
    bool operator==(const Pipeline&) const = default;
};

// Layout of every kernel: 128 bytes of push constants, and up to five uniform texel buffers for kernels that want them.
constexpr std::uint32_t pushBytes = 128, texelBuffers = 5;

// Where kernels get pipelines from: a device's shader library, or a test that looks at dispatches without a device.
class Pipelines {
public:
    virtual ~Pipelines() = default;

    // Matrices: addresses, and full subgroups of 32 lanes.
    enum class Inputs : std::uint8_t { Addresses, Texels, Matrices };
    virtual Result<Pipeline> pipeline(std::string_view shader, const std::vector<Define>& defines,
                                      Inputs inputs = Inputs::Addresses) = 0;
};

class ShaderLibrary final : public Pipelines {
public:
    // cacheFolder: empty for none. A damaged or foreign cache is ignored.
    static Result<std::unique_ptr<ShaderLibrary>> create(Device& device, std::string cacheFolder);
    ~ShaderLibrary() override; // writes the pipeline cache if anything is new

    // Each is made once. Any thread may call this; it waits while another one makes the same pipeline.
    Result<Pipeline> pipeline(std::string_view shader, const std::vector<Define>& defines,
                              Inputs inputs = Inputs::Addresses) override;

private:
    explicit ShaderLibrary(Device& device, std::string cacheFolder)
        : m_device(device)
        , m_folder(std::move(cacheFolder)) {}
    Result<Pipeline> make(const std::string& key, std::string_view shader, const std::vector<Define>& defines,
                          Inputs inputs);
    Result<std::vector<std::uint32_t>> spirv(std::string_view shader, const std::vector<Define>& defines);
    std::string pipelineCachePath() const;

    Device& m_device;
    std::string m_folder;
    VkDescriptorSetLayout m_texelSet = VK_NULL_HANDLE;
    VkPipelineLayout m_plainLayout = VK_NULL_HANDLE, m_texelLayout = VK_NULL_HANDLE;
    VkPipelineCache m_cache = VK_NULL_HANDLE;
    std::mutex m_mutex;                                                      // of what follows
    std::map<std::string, std::shared_future<Result<Pipeline>>> m_pipelines; // by shader and defines
    bool m_changed = false;
};

// Where the last member of a module's block of push constants ends, in bytes; 0 where it has none.
std::uint32_t pushConstantBytes(std::span<const std::uint32_t> words);

// GLSL to SPIR-V 1.5. The shader's includes are other shader sources.
Result<std::vector<std::uint32_t>> compileShader(std::string_view shader, const std::vector<Define>& defines);

} // namespace spikescope
