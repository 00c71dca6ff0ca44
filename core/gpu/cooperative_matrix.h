#pragma once
// Vulkan's structures for cooperative matrices and bfloat16, by their numbers: the headers of distributions are often
// older than the drivers. Layouts and values are those of the Vulkan specification.

#include "core/gpu/functions.h"

namespace spikescope {

constexpr auto cooperativeMatrixFeaturesType = static_cast<VkStructureType>(1000506000);
constexpr auto cooperativeMatrixPropertiesType = static_cast<VkStructureType>(1000506001);
constexpr auto bfloat16FeaturesType = static_cast<VkStructureType>(1000141000);

struct CooperativeMatrixFeatures {
    VkStructureType sType = cooperativeMatrixFeaturesType;
    void* pNext = nullptr;
    VkBool32 cooperativeMatrix = VK_FALSE, robustBufferAccess = VK_FALSE;
};
struct Bfloat16Features {
    VkStructureType sType = bfloat16FeaturesType;
    void* pNext = nullptr;
    VkBool32 type = VK_FALSE, dotProduct = VK_FALSE, cooperativeMatrix = VK_FALSE;
};
struct CooperativeMatrixProperties {
    VkStructureType sType = cooperativeMatrixPropertiesType;
    void* pNext = nullptr;
    std::uint32_t m = 0, n = 0, k = 0;
    std::uint32_t aType = 0, bType = 0, cType = 0, resultType = 0;
    VkBool32 saturating = VK_FALSE;
    std::uint32_t scope = 0;
};
constexpr std::uint32_t componentFloat16 = 0, componentFloat32 = 1, componentBfloat16 = 1000141000, scopeSubgroup = 3;

using GetCooperativeMatrixProperties = VkResult(VKAPI_PTR*)(VkPhysicalDevice, std::uint32_t* count,
                                                            CooperativeMatrixProperties* properties);

} // namespace spikescope
