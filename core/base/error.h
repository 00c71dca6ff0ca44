#pragma once
// A function that can fail returns Result<T>: the value, or a code for the program and one sentence for the person,
// naming the file, tensor or layer and the numbers involved.

#include "core/base/enum_names.h"

#include <fmt/format.h>
#include <tl/expected.hpp>

#include <string>
#include <utility>

namespace spikescope {

enum class ErrorCode {
    BadUsage, // unknown control, value or combination
    BadInput, // a file or its content is wrong
    Io,       // reading or writing failed
    OutOfHostMemory,
    OutOfDeviceMemory, // the heap, its limit or the driver refused
    NoDevice,          // no Vulkan device that can run this
    DeviceLost,        // the driver gave up on the device
    Unsupported,       // right, but not on this device or in this build
    Cancelled,
};
template <>
inline constexpr std::array<std::string_view, 9> enumNames<ErrorCode>{
    "bad_usage", "bad_input",   "io",          "out_of_host_memory", "out_of_device_memory",
    "no_device", "device_lost", "unsupported", "cancelled"};
static_assert(static_cast<std::size_t>(ErrorCode::Cancelled) + 1 == enumNames<ErrorCode>.size());

struct Error {
    ErrorCode code = ErrorCode::BadInput;
    std::string message;
};

template <class T> using Result = tl::expected<T, Error>;

template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) {
    return tl::unexpected<Error>(Error{code, fmt::format(text, std::forward<Args>(args)...)});
}

} // namespace spikescope

#define SPIKESCOPE_JOIN_(a, b) a##b
#define SPIKESCOPE_JOIN(a, b) SPIKESCOPE_JOIN_(a, b)

// TRY(auto x, call()): x is the value, or the function returns the error.
#define TRY(declaration, expression)                                                                                   \
    auto SPIKESCOPE_JOIN(tryResult, __LINE__) = (expression);                                                          \
    if (!SPIKESCOPE_JOIN(tryResult, __LINE__))                                                                         \
        return tl::unexpected<spikescope::Error>(std::move(SPIKESCOPE_JOIN(tryResult, __LINE__).error()));             \
    declaration = std::move(*SPIKESCOPE_JOIN(tryResult, __LINE__))

// CHECK(call()): nothing, or the function returns the error.
#define CHECK(expression)                                                                                              \
    do {                                                                                                               \
        if (auto checkResult = (expression); !checkResult)                                                             \
            return tl::unexpected<spikescope::Error>(std::move(checkResult.error()));                                  \
    } while (false)
