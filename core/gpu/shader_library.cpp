#include "core/gpu/shader_library.h"

#include "core/base/caught.h"
#include "core/base/text.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace spikescope {

namespace {

std::uint64_t fnv1a(std::span<const std::byte> data, std::uint64_t hash = 0xcbf29ce484222325u) {
    for (const std::byte b : data) hash = (hash ^ static_cast<std::uint64_t>(b)) * 0x100000001b3u;
    return hash;
}

std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325u) {
    return fnv1a(std::as_bytes(std::span(text)), hash);
}

// Cache files carry their payload's hash, so that a torn or damaged one is ignored.
constexpr std::uint64_t cacheMagic = 0x3148434143534b53u; // "SKSCACH1"
constexpr std::uint64_t largestCache = std::uint64_t{256} << 20;

std::vector<std::byte> readCache(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::uint64_t head[3] = {};
    if (!file.read(reinterpret_cast<char*>(head), sizeof head) || head[0] != cacheMagic || head[1] > largestCache)
        return {};
    std::vector<std::byte> data(head[1]);
    if (!file.read(reinterpret_cast<char*>(data.data()), static_cast<std::streamsize>(data.size())) ||
        fnv1a(data) != head[2])
        return {};
    return data;
}

// A cache that cannot be written is only slower the next time, so errors are not reported.
void writeCache(const std::string& path, std::span<const std::byte> data) {
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    const std::string temporary = fmt::format("{}.{}", path, ::getpid());
    {
        std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
        const std::uint64_t head[3] = {cacheMagic, data.size(), fnv1a(data)};
        file.write(reinterpret_cast<const char*>(head), sizeof head);
        file.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
        if (!file.flush()) {
            std::filesystem::remove(temporary, error);
            return;
        }
    }
    std::filesystem::rename(temporary, path, error);
    if (error) std::filesystem::remove(temporary, error);
}

} // namespace

Result<std::unique_ptr<ShaderLibrary>> ShaderLibrary::create(Device& device, std::string cacheFolder) {
    auto library = std::unique_ptr<ShaderLibrary>(new ShaderLibrary(device, std::move(cacheFolder)));
    const VulkanFunctions& vk = device.vk;
    std::array<VkDescriptorSetLayoutBinding, texelBuffers> bindings{};
    for (std::uint32_t i = 0; i < texelBuffers; ++i)
        bindings[i] = {.binding = i,
                       .descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
                       .descriptorCount = 1,
                       .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set{.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                              .bindingCount = texelBuffers,
                                              .pBindings = bindings.data()};
    CHECK_VULKAN(vk.CreateDescriptorSetLayout(device.handle(), &set, nullptr, &library->m_texelSet),
                 "making a descriptor layout");
    const VkPushConstantRange push{.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .offset = 0, .size = pushBytes};
    VkPipelineLayoutCreateInfo layout{.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                      .pushConstantRangeCount = 1,
                                      .pPushConstantRanges = &push};
    CHECK_VULKAN(vk.CreatePipelineLayout(device.handle(), &layout, nullptr, &library->m_plainLayout),
                 "making a pipeline layout");
    layout.setLayoutCount = 1;
    layout.pSetLayouts = &library->m_texelSet;
    CHECK_VULKAN(vk.CreatePipelineLayout(device.handle(), &layout, nullptr, &library->m_texelLayout),
                 "making a pipeline layout");

    std::vector<std::byte> stored;
    if (!library->m_folder.empty()) stored = readCache(library->pipelineCachePath());
    VkPipelineCacheCreateInfo cache{.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                    .initialDataSize = stored.size(),
                                    .pInitialData = stored.data()};
    CHECK_VULKAN(vk.CreatePipelineCache(device.handle(), &cache, nullptr, &library->m_cache),
                 "making a pipeline cache");
    return library;
}

ShaderLibrary::~ShaderLibrary() {
    const VulkanFunctions& vk = m_device.vk;
    // std::bad_alloc must not leave a destructor; the cache on disk stays as it was.
    (void)caught([&]() -> Result<void> {
        std::size_t size = 0;
        if (m_changed && !m_folder.empty() &&
            vk.GetPipelineCacheData(m_device.handle(), m_cache, &size, nullptr) == VK_SUCCESS) {
            std::vector<std::byte> data(size);
            if (vk.GetPipelineCacheData(m_device.handle(), m_cache, &size, data.data()) == VK_SUCCESS)
                writeCache(pipelineCachePath(), std::span(data).first(size));
        }
        return {};
    });
    for (const auto& [key, pipeline] : m_pipelines)
        vk.DestroyPipeline(m_device.handle(), pipeline.get().value_or(Pipeline{}).handle, nullptr);
    if (m_cache) vk.DestroyPipelineCache(m_device.handle(), m_cache, nullptr);
    if (m_plainLayout) vk.DestroyPipelineLayout(m_device.handle(), m_plainLayout, nullptr);
    if (m_texelLayout) vk.DestroyPipelineLayout(m_device.handle(), m_texelLayout, nullptr);
    if (m_texelSet) vk.DestroyDescriptorSetLayout(m_device.handle(), m_texelSet, nullptr);
}

std::string ShaderLibrary::pipelineCachePath() const {
    std::string name = m_folder + "/pipelines-";
    for (std::size_t i = 0; i < VK_UUID_SIZE; ++i) name += fmt::format("{:02x}", m_device.cacheUuid()[i]);
    return name;
}

Result<std::vector<std::uint32_t>> ShaderLibrary::spirv(std::string_view shader, const std::vector<Define>& defines) {
    // The key covers all sources: a changed include must not find old SPIR-V.
    static const std::uint64_t sources = [] {
        std::uint64_t hash = 0xcbf29ce484222325u;
        for (const ShaderSource& source : shaderSources()) hash = fnv1a(source.text, fnv1a(source.name, hash));
        return hash;
    }();
    std::uint64_t hash = fnv1a(shader, sources);
    for (const Define& define : defines) hash = fnv1a(define.name + "=" + define.value + ";", hash);
    const std::string path =
        m_folder.empty() ? std::string{} : fmt::format("{}/{}-{:016x}.spv", m_folder, shader, hash);
    if (!path.empty())
        if (const std::vector<std::byte> stored = readCache(path); !stored.empty() && stored.size() % 4 == 0) {
            std::vector<std::uint32_t> words(stored.size() / 4);
            std::memcpy(words.data(), stored.data(), stored.size());
            return words;
        }
    TRY(std::vector<std::uint32_t> words, compileShader(shader, defines));
    if (!path.empty()) writeCache(path, std::as_bytes(std::span(words)));
    return words;
}

Result<Pipeline> ShaderLibrary::pipeline(std::string_view shader, const std::vector<Define>& defines, Inputs inputs) {
    std::string key(shader);
    for (const Define& define : defines) key += " " + define.name + "=" + define.value;
    std::packaged_task<Result<Pipeline>()> task;
    std::shared_future<Result<Pipeline>> made;
    {
        const std::lock_guard lock(m_mutex);
        if (const auto found = m_pipelines.find(key); found != m_pipelines.end()) {
            made = found->second;
        } else {
            // Exceptions become errors: the destructor reads the result too and must not throw.
            task = std::packaged_task<Result<Pipeline>()>(
                [&] { return caught([&] { return make(key, shader, defines, inputs); }); });
            made = task.get_future().share();
            m_pipelines.emplace(key, made);
        }
    }
    if (task.valid()) {
        task();
        const std::lock_guard lock(m_mutex);
        if (!made.get()) m_pipelines.erase(key); // the next call tries again
    }
    return made.get();
}

Result<Pipeline> ShaderLibrary::make(const std::string& key, std::string_view shader,
                                     const std::vector<Define>& defines, Inputs inputs) {
    TRY(const std::vector<std::uint32_t> words, spirv(shader, defines));
    const VulkanFunctions& vk = m_device.vk;
    const VkShaderModuleCreateInfo moduleInfo{
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = words.size() * 4, .pCode = words.data()};
    VkShaderModule module = VK_NULL_HANDLE;
    CHECK_VULKAN(vk.CreateShaderModule(m_device.handle(), &moduleInfo, nullptr, &module),
                 fmt::format("shader {}", shader));
    Pipeline pipeline{.layout = inputs == Inputs::Texels ? m_texelLayout : m_plainLayout,
                      .texelSet = inputs == Inputs::Texels ? m_texelSet : VK_NULL_HANDLE,
                      .pushSize = pushConstantBytes(words)};
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT subgroups{
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
        .requiredSubgroupSize = 32};
    const bool matrices = inputs == Inputs::Matrices;
    VkPipelineShaderStageCreateFlags full = 0;
    if (matrices) full = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;
    const VkComputePipelineCreateInfo info{.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                           .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                     .pNext = matrices ? &subgroups : nullptr,
                                                     .flags = full,
                                                     .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                     .module = module,
                                                     .pName = "main"},
                                           .layout = pipeline.layout};
    const VkResult result = vk.CreateComputePipelines(m_device.handle(), m_cache, 1, &info, nullptr, &pipeline.handle);
    vk.DestroyShaderModule(m_device.handle(), module, nullptr);
    CHECK_VULKAN(result, fmt::format("pipeline {}", key));
    m_device.setName(VK_OBJECT_TYPE_PIPELINE, pipeline.handle, key);
    const std::lock_guard lock(m_mutex);
    m_changed = true;
    return pipeline;
}

} // namespace spikescope
