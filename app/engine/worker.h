#pragma once
// One thread that does one thing after the other. Jobs still waiting when it goes away are dropped.

#include "core/base/caught.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace spikescope {

class Worker {
public:
    // `failed`: hears, on this thread, of a job that threw; the next one then has its turn.
    explicit Worker(std::function<void(const Error&)> failed)
        : m_failed(std::move(failed))
        , m_thread([this](std::stop_token stop) { run(std::move(stop)); }) {}

    void add(std::function<void()> job) {
        const std::lock_guard lock(m_mutex);
        m_jobs.push_back(std::move(job));
        m_wake.notify_one();
    }
    // Instead of all jobs that have not begun: only the newest matters.
    void replace(std::function<void()> job) {
        const std::lock_guard lock(m_mutex);
        m_jobs.clear();
        m_jobs.push_back(std::move(job));
        m_wake.notify_one();
    }

private:
    void run(const std::stop_token& stop) {
        for (;;) {
            std::function<void()> job;
            {
                std::unique_lock lock(m_mutex);
                if (!m_wake.wait(lock, stop, [this] { return !m_jobs.empty(); })) return;
                if (stop.stop_requested()) return;
                job = std::move(m_jobs.front());
                m_jobs.pop_front();
            }
            const auto done = caught([&]() -> Result<void> {
                job();
                return {};
            });
            if (done) continue;
            (void)caught([&]() -> Result<void> {
                m_failed(done.error());
                return {};
            });
        }
    }

    std::function<void(const Error&)> m_failed;
    std::mutex m_mutex;
    std::condition_variable_any m_wake;
    std::deque<std::function<void()>> m_jobs;
    std::jthread m_thread; // last: it uses the others
};

} // namespace spikescope
