#include "app/cli/progress_bar.h"

#include "core/base/streams.h"

#include <unistd.h>

namespace spikescope::cli {

ProgressBar::ProgressBar(bool quiet)
    : m_quiet(quiet)
    , m_terminal(isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
    if (m_drawn) printError("\r\033[K");
}

void ProgressBar::show(std::uint64_t done, std::uint64_t total, std::string_view what) {
    if (m_quiet || total == 0) return;
    const std::uint64_t percent = 100 * done / total;
    if (m_terminal) {
        constexpr std::uint64_t width = 30;
        const std::string bar(width * done / total, '#');
        writeError(fmt::format("\r\033[K[{:<{}}] {:>3} %  {}", bar, width, percent, printable(what)));
        m_drawn = true;
    } else if (percent / 10 > m_lastStep) {
        m_lastStep = percent / 10;
        printError("{} %  {}\n", percent, what);
    }
}

} // namespace spikescope::cli
