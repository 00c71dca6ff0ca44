#include "core/base/caught.h"

#include <new>
#include <stdexcept>
#include <system_error>

namespace spikescope {

Error caughtError() {
    const Error noMemory{ErrorCode::OutOfHostMemory,
                         "out of host memory: this needs more than the machine has, or than the process may have"};
    try {
        throw;
    } catch (const std::bad_alloc&) {
        return noMemory;
    } catch (const std::length_error&) { // of a container: more than any memory holds
        return noMemory;
    } catch (const std::system_error& error) {
        // A thread that cannot be started has no memory for its stack.
        const bool memory =
            error.code() == std::errc::resource_unavailable_try_again || error.code() == std::errc::not_enough_memory;
        return memory ? noMemory : Error{ErrorCode::BadInput, error.what()};
    } catch (const std::exception& error) {
        return {ErrorCode::BadInput, error.what()};
    } catch (...) {
        return {ErrorCode::BadInput, "an error that says nothing of itself"};
    }
}

} // namespace spikescope
