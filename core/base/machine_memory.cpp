#include "core/base/machine_memory.h"

#include <fstream>
#include <limits>
#include <string>

namespace spikescope {

std::uint64_t availableMachineMemory() {
    std::ifstream file("/proc/meminfo");
    std::string key;
    std::uint64_t kib = 0;
    while (file >> key >> kib) {
        if (key == "MemAvailable:") return kib * 1024;
        file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    return std::numeric_limits<std::uint64_t>::max();
}

} // namespace spikescope
