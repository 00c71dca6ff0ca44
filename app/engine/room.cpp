#include "app/engine/room.h"

#include "core/base/text.h"

#include <algorithm>

namespace spikescope {

bool Shortage::onMachine() const { return free.shared || reserved <= free.device; }

std::uint64_t Shortage::wanted() const {
    if (free.shared) return together;
    return onMachine() ? host : reserved;
}

std::uint64_t Shortage::available() const { return onMachine() ? free.machine : free.device; }

std::string Shortage::sentence() const {
    std::string text = fmt::format("The run is planned to take {}", formatBytes(wanted()));
    if (free.shared && host > 0)
        text += fmt::format(" of the machine's memory, {} for the device and {} beside it at most",
                            formatBytes(reserved), formatBytes(host));
    else
        text += onMachine() ? " of the machine's memory" : " of the device's memory";
    return text + fmt::format(", and {} are free: {} more than there is", formatBytes(available()),
                              formatBytes(wanted() - available()));
}

std::optional<Shortage> shortageOf(const Recording& plan, const FreeMemory& free) {
    Shortage shortage{.free = free};
    RunningTotals totals(plan);
    for (const Event& event : plan.events) {
        totals.follow(event);
        const std::uint64_t reserved = totals.of(deviceSpace).reserved, host = totals.of(hostSpace).allocated;
        shortage.reserved = std::max(shortage.reserved, reserved);
        shortage.host = std::max(shortage.host, host);
        shortage.together = std::max(shortage.together, reserved + host);
    }
    const bool fits = free.shared ? shortage.together <= free.machine
                                  : shortage.reserved <= free.device && shortage.host <= free.machine;
    return fits ? std::nullopt : std::optional(shortage);
}

} // namespace spikescope
