#pragma once
// Progress on standard error: a bar that redraws itself on a terminal, a line for every tenth otherwise.

#include "core/backend/run_job.h"

namespace spikescope::cli {

class ProgressBar {
public:
    explicit ProgressBar(bool quiet);
    ~ProgressBar();
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;
    void show(const Progress& progress) { show(progress.done, progress.total, progress.layer); }
    void show(std::uint64_t done, std::uint64_t total, std::string_view what);

private:
    bool m_quiet, m_terminal, m_drawn = false;
    std::uint64_t m_lastStep = 0;
};

} // namespace spikescope::cli
