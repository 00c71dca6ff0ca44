#pragma once
// A request to stop. Raised from any thread or a signal handler, looked at between ops.

#include <atomic>

namespace spikescope {

class CancelFlag {
public:
    void raise() noexcept { m_raised.store(true, std::memory_order_relaxed); }
    bool raised() const noexcept { return m_raised.load(std::memory_order_relaxed); }

private:
    std::atomic<bool> m_raised{false};
    static_assert(std::atomic<bool>::is_always_lock_free, "raise() must be safe in a signal handler");
};

} // namespace spikescope
