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

void ProgressBar::show(const Progress& progress) {
    if (m_quiet || progress.total == 0) return;
    const std::uint32_t percent = 100 * progress.done / progress.total;
    if (m_terminal) {
        constexpr std::uint32_t width = 30;
        const std::string bar(width * progress.done / progress.total, '#');
        writeError(fmt::format("\r\033[K[{:<{}}] {:>3} %  {}", bar, width, percent, printable(progress.layer)));
        m_drawn = true;
    } else if (percent / 10 > m_lastStep) {
        m_lastStep = percent / 10;
        printError("{} %  {}\n", percent, progress.layer);
    }
}

} // namespace spikescope::cli
