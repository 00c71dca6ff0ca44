#include "core/base/streams.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace spikescope {

namespace {

int outputFailure = 0; // errno of the first

void remember() {
    if (outputFailure == 0) outputFailure = errno != 0 ? errno : EIO;
}

} // namespace

void prepareStreams() {
    std::signal(SIGPIPE, SIG_IGN);
    for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF)
            (void)::open("/", O_RDONLY | O_DIRECTORY); // gets the lowest number that is free, and takes no text
}

void writeOutput(std::string_view text) {
    errno = 0;
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) remember();
}

void flushOutput() {
    errno = 0;
    if (std::fflush(stdout) != 0) remember();
}

void writeError(std::string_view text) noexcept { (void)std::fwrite(text.data(), 1, text.size(), stderr); }

int exitCodeAfterOutput(int code, std::string_view program) {
    flushOutput();
    if (outputFailure == 0) return code;
    if (outputFailure != EPIPE)
        printError("{}: cannot write to standard output: {}\n", program, std::strerror(outputFailure));
    return 1;
}

} // namespace spikescope
