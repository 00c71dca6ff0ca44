#pragma once
// Progress and cancelling of a long read.

#include <algorithm>
#include <cstddef>
#include <functional>

namespace spikescope {

// How far reading is, told a few dozen times at most: a fraction from 0 to 1 that never falls. False cancels.
using ReadProgress = std::function<bool(double fraction)>;

class ProgressMeter {
public:
    ProgressMeter(const ReadProgress& report, std::size_t total)
        : m_report(report)
        , m_total(std::max<std::size_t>(total, 1))
        , m_step(std::max(m_total / steps, smallestStep)) {}

    // `work` more of the total is done. False once the reader is to stop.
    bool advance(std::size_t work) {
        m_done += work;
        return m_done < m_next || tell(static_cast<double>(std::min(m_done, m_total)) / static_cast<double>(m_total));
    }
    bool finish() { return tell(1.0); }

private:
    static constexpr std::size_t steps = 40, smallestStep = 1 << 16;

    bool tell(double fraction) {
        m_next = m_done + m_step;
        return !m_report || m_report(fraction);
    }

    const ReadProgress& m_report;
    std::size_t m_total, m_step;
    std::size_t m_done = 0, m_next = 0;
};

} // namespace spikescope
