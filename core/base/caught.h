#pragma once
// Exceptions as errors. Functions here return Result, but memory ends and libraries throw; where a thread or a program
// begins, that must not end it.

#include "core/base/error.h"

namespace spikescope {

// Of the exception that is being handled: OutOfHostMemory, or BadInput with its text.
Error caughtError();

// What call() returns, or as an error what it throws.
template <class Call> auto caught(Call&& call) -> decltype(call()) {
    try {
        return call();
    } catch (...) {
        return tl::unexpected<Error>(caughtError());
    }
}

} // namespace spikescope
