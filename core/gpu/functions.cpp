#include "core/gpu/functions.h"

namespace spikescope {

std::string resultName(VkResult result) {
    const char* text = "VkResult";
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: text = "VK_ERROR_OUT_OF_HOST_MEMORY"; break;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: text = "VK_ERROR_OUT_OF_DEVICE_MEMORY"; break;
    case VK_ERROR_INITIALIZATION_FAILED: text = "VK_ERROR_INITIALIZATION_FAILED"; break;
    case VK_ERROR_DEVICE_LOST: text = "VK_ERROR_DEVICE_LOST"; break;
    case VK_ERROR_TOO_MANY_OBJECTS: text = "VK_ERROR_TOO_MANY_OBJECTS"; break;
    case VK_ERROR_FEATURE_NOT_PRESENT: text = "VK_ERROR_FEATURE_NOT_PRESENT"; break;
    case VK_ERROR_EXTENSION_NOT_PRESENT: text = "VK_ERROR_EXTENSION_NOT_PRESENT"; break;
    case VK_ERROR_INCOMPATIBLE_DRIVER: text = "VK_ERROR_INCOMPATIBLE_DRIVER"; break;
    case VK_TIMEOUT: text = "VK_TIMEOUT"; break;
    default: break;
    }
    return fmt::format("{} ({})", text, static_cast<int>(result));
}

Error vulkanError(VkResult result, std::string_view what) {
    ErrorCode code = ErrorCode::Unsupported;
    // VK_ERROR_TOO_MANY_OBJECTS: the driver makes no further allocation of any size.
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_TOO_MANY_OBJECTS)
        code = ErrorCode::OutOfDeviceMemory;
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY) code = ErrorCode::OutOfHostMemory;
    if (result == VK_ERROR_DEVICE_LOST) code = ErrorCode::DeviceLost;
    return Error{code, fmt::format("{}: {}", what, resultName(result))};
}

} // namespace spikescope
