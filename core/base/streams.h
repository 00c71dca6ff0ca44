#pragma once
// Standard output and standard error of a program. What cannot be written to standard output makes the program fail;
// what cannot be written to standard error is lost, for there is nobody left to tell.

#include "core/base/error.h"
#include "core/base/text.h"

#include <string_view>

namespace spikescope {

// First of all in main(). Descriptors 0 to 2 are taken from then on: else a file that is opened later gets the number
// of a stream that was closed, and has text printed into it. Writing to such a stream still fails. So does writing to a
// pipe that nobody reads any more; the signal would end the program amid its files.
void prepareStreams();

// On one thread, as it is. What fails is remembered for exitCodeAfterOutput().
void writeOutput(std::string_view text);
void flushOutput();
void writeError(std::string_view text) noexcept;

// What is printed may hold names out of files: control characters in it become visible.
template <class... Args> void printOutput(fmt::format_string<Args...> text, Args&&... args) {
    writeOutput(visible(fmt::format(text, std::forward<Args>(args)...)));
}
template <class... Args> void printError(fmt::format_string<Args...> text, Args&&... args) noexcept {
    try {
        writeError(visible(fmt::format(text, std::forward<Args>(args)...)));
    } catch (...) { // no memory for the text
    }
}

// Last of all in main(): `code`, or 1 when standard output took not all of what was written. Says so on standard error,
// unless the reader merely had enough, as `head` has.
int exitCodeAfterOutput(int code, std::string_view program);

} // namespace spikescope
