#include "core/backend/measured_rates.h"

#include "core/backend/run_job.h"

#include <array>

namespace spikescope {

namespace {

// Every kernel occurs in one of these.
constexpr std::array<std::array<std::pair<std::string_view, std::string_view>, 4>, 6> variants{{
    {{{"conv", "direct"}, {"upsample", "fused"}, {"norm", "fused"}, {"attention", "chunked"}}},
    {{{"conv", "direct"}, {"upsample", "folded"}, {"norm", "on-load"}, {"attention", "chunked"}}},
    {{{"conv", "im2col"}, {"upsample", "broadcast"}, {"norm", "separate"}, {"attention", "naive"}}},
    {{{"conv", "winograd"}, {"upsample", "nearest"}, {"norm", "separate"}, {"attention", "chunked"}}},
    {{{"tile", "stripe:1/4"}, {"spill", "host"}, {"upsample", "folded"}, {"norm", "on-load"}}},
    {{{"layout-copies", "on"}, {"upsample", "broadcast"}, {"norm", "separate"}, {"attention", "chunked"}}},
}};

Result<Rates> measure(Backend& backend) {
    std::vector<Recording> runs;
    // Large enough to keep the device busy, small enough to wait for.
    const std::uint64_t side = backend.facts().cpu ? 64 : 512;
    for (const std::string_view dtype : {"bf16", "fp16", "fp32"})
        for (const auto& variant : variants) {
            Controls controls = defaultControls();
            controls.width = controls.height = side;
            CHECK(setControl(controls, "activations", dtype));
            for (const auto& [control, value] : variant) CHECK(setControl(controls, control, value));
            TRY(const Job job, makeJob(controls, InputChoice(std::uint64_t{7})));
            // A GPU's first run of a variant also wakes it up.
            const int count = backend.facts().cpu ? 1 : 2;
            for (int i = 1; i <= count; ++i) {
                RunOutcome outcome = runJob(backend, job, {}, CancelFlag{});
                if (outcome.error) return tl::unexpected<Error>(std::move(*outcome.error));
                if (i == count) runs.push_back(std::move(outcome.recording));
            }
        }
    return Rates::fit(runs);
}

} // namespace

std::optional<Rates> keptRates(const Backend& backend, const std::string& cacheFolder) {
    const auto text = backend.readCache("rates", cacheFolder);
    if (!text) return std::nullopt;
    auto kept = Rates::fromJson(*text);
    if (!kept) return std::nullopt; // a damaged table is measured again
    return std::move(*kept);
}

Result<Rates> ratesOf(Backend& backend, const std::string& cacheFolder, const std::function<void()>& beforeMeasuring) {
    if (auto kept = keptRates(backend, cacheFolder)) return std::move(*kept);
    if (beforeMeasuring) beforeMeasuring();
    TRY(Rates rates, measure(backend));
    (void)backend.writeCache("rates", cacheFolder, rates.toJson()); // what cannot be kept is measured again next time
    return rates;
}

} // namespace spikescope
