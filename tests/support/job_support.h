#pragma once
// Controls by their names, and jobs of them that need no device.

#include "core/job/job.h"
#include "core/program/presets.h"

#include <gtest/gtest.h>

namespace spikescope {

using NamedValues = std::vector<std::pair<std::string, std::string>>;

inline std::string describe(const NamedValues& values) {
    std::string text;
    for (const auto& [name, value] : values) text += name + " " + value + " ";
    return text;
}

// A preset by the name "preset", everything else a control.
inline Controls controlsOf(const NamedValues& values) {
    Controls controls;
    for (const auto& [name, value] : values) {
        const auto set = name == "preset" ? applyPreset(controls, value) : setControl(controls, name, value);
        EXPECT_TRUE(set) << set.error().message;
    }
    return controls;
}

inline Controls familyControls(std::string_view family, VaeTask op, DType dtype, LifetimePolicy lifetime,
                               std::uint64_t side) {
    Controls controls;
    controls.model = family;
    controls.op = op;
    controls.activations = dtype;
    controls.lifetime = lifetime;
    controls.width = controls.height = side;
    return controls;
}

inline Job jobOf(const Controls& controls, const InputChoice& input = std::monostate{}) {
    auto job = makeJob(controls, input);
    EXPECT_TRUE(job) << job.error().message;
    return job ? std::move(*job) : Job{};
}

// Any picture will do for an encode.
inline void givePicture(Job& job) {
    job.input = Input{.width = job.controls.width,
                      .height = job.controls.height,
                      .batch = job.controls.batch,
                      .read = [](std::uint64_t begin, std::span<float> out) {
                          for (std::size_t i = 0; i < out.size(); ++i)
                              out[i] = static_cast<float>((begin + i) % 256) / 255.0f;
                      }};
}

// With something to run on: latents of a seed, or a picture.
inline Job runnableJobOf(const Controls& controls) {
    if (controls.op == VaeTask::Decode) return jobOf(controls, std::uint64_t{3});
    Job job = jobOf(controls);
    givePicture(job);
    return job;
}

// The same events with the same bytes, and nothing held at the end.
inline void expectSameMemory(const Recording& plan, const Recording& run, const std::string& what) {
    ASSERT_EQ(plan.events.size(), run.events.size()) << what;
    for (std::size_t i = 0; i < plan.events.size(); ++i) {
        const Event &p = plan.events[i], &r = run.events[i];
        ASSERT_TRUE(p.kind == r.kind && p.phase == r.phase && p.tensor == r.tensor && p.op == r.op &&
                    p.bytes == r.bytes && p.space == r.space && static_cast<SpaceTotals>(p) == r)
            << what << ", event " << i;
    }
    if (run.events.empty()) return; // refused before anything was held
    for (std::uint32_t space = 0; space < run.spaces.size(); ++space) {
        EXPECT_EQ(run.totalsAfter(run.events.size() - 1, space).allocated, 0u) << what;
        EXPECT_EQ(run.totalsAfter(run.events.size() - 1, space).reserved, 0u) << what;
    }
}

} // namespace spikescope
