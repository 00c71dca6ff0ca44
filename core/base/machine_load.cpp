#include "core/base/machine_load.h"

#include <fstream>
#include <optional>
#include <string>
#include <thread>

namespace spikescope {

namespace {

struct Times {
    double all = 0.0, idle = 0.0; // ticks of all processors since the start of the system
};

// The first line of /proc/stat: user nice system idle iowait irq softirq steal …
std::optional<Times> timesOfProcessors() {
    std::ifstream file("/proc/stat");
    std::string name;
    file >> name;
    if (name != "cpu") return std::nullopt;
    Times times;
    double value = 0.0;
    for (int field = 0; field < 8 && file >> value; ++field) {
        times.all += value;
        if (field == 3 || field == 4) times.idle += value;
    }
    return times;
}

} // namespace

double machineLoad(std::chrono::milliseconds window) {
    const auto before = timesOfProcessors();
    std::this_thread::sleep_for(window);
    const auto after = timesOfProcessors();
    if (!before || !after || after->all <= before->all) return 0.0;
    return 1.0 - (after->idle - before->idle) / (after->all - before->all);
}

} // namespace spikescope
