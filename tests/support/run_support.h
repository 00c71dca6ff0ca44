#pragma once
// Runs a job and keeps what comes out of it.

#include "core/backend/run_job.h"
#include "core/vulkan/vulkan_backend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

namespace spikescope {

// NHWC values of the whole output.
class MemorySink final : public OutputSink {
public:
    explicit MemorySink(std::vector<float>& values)
        : m_values(values) {}
    Result<void> write(std::uint64_t, std::uint64_t, std::uint64_t, std::span<const float> values) override {
        m_values.insert(m_values.end(), values.begin(), values.end());
        return {};
    }
    Result<void> commit() override { return {}; }

private:
    std::vector<float>& m_values;
};

struct Ran {
    RunOutcome outcome;
    std::vector<float> output; // NHWC
    OutputShape shape;
};

inline Ran runToMemory(VulkanBackend& backend, const Job& job, const CancelFlag& cancel = {}) {
    Ran ran;
    ran.shape = job.outputShape();
    std::vector<std::unique_ptr<OutputSink>> sinks;
    sinks.push_back(std::make_unique<MemorySink>(ran.output));
    ran.outcome = runJob(backend, job, sinks, cancel);
    return ran;
}

// The CPU device, which every machine with Mesa has, unless another is named.
inline std::string testDevice() {
    const char* named = std::getenv("SPIKESCOPE_TEST_DEVICE");
    return named ? named : "cpu";
}

inline std::unique_ptr<VulkanBackend> openCpu(KernelChoice kernels = KernelChoice::Best, bool validate = false,
                                              std::optional<SubmitPolicy> submit = std::nullopt) {
    auto backend = VulkanBackend::open({.device = "cpu", .kernels = kernels, .validate = validate, .submit = submit});
    EXPECT_TRUE(backend) << backend.error().message;
    return backend ? std::move(*backend) : nullptr;
}

// ‖a − b‖ / ‖b‖
inline double relativeL2(std::span<const float> a, std::span<const float> b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = static_cast<double>(a[i]) - b[i];
        difference += d * d;
        norm += static_cast<double>(b[i]) * b[i];
    }
    return std::sqrt(difference / norm);
}

// NHWC to the NCHW of channels [first, first + count).
inline std::vector<float> toNchw(const std::vector<float>& nhwc, const OutputShape& s, std::uint64_t first,
                                 std::uint64_t count) {
    std::vector<float> out;
    out.reserve(s.n * count * s.h * s.w);
    for (std::uint64_t n = 0; n < s.n; ++n)
        for (std::uint64_t c = first; c < first + count; ++c)
            for (std::uint64_t p = 0; p < s.h * s.w; ++p) out.push_back(nhwc[(n * s.h * s.w + p) * s.c + c]);
    return out;
}

inline std::string sharedData(const std::string& file) { return std::string(SPIKESCOPE_SHARED_DATA) + "/" + file; }
inline bool haveSharedData() { return std::filesystem::exists(sharedData("golden/golden.json")); }

} // namespace spikescope
