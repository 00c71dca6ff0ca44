// advise: every single flip of a control and what it would change.

#include "app/cli/commands.h"
#include "app/cli/options.h"
#include "app/cli/progress_bar.h"

#include "core/advise/advice.h"
#include "core/backend/measured_rates.h"
#include "core/base/cache_folder.h"
#include "core/base/text.h"
#include "core/timeline/layer_table.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace spikescope::cli {

namespace {

using Json = nlohmann::ordered_json;

struct AdviseCommand {
    ControlOptions controls;
    bool json = false, quiet = false, measure = false;

    Result<int> run() const {
        TRY(const Controls chosen, controls.controls());
        CHECK(checkFiles({controls.inputFiles(chosen)}, json));
        // A device gives the rates for times and the granularity of its blocks. Without one peaks are all the same.
        TRY(DeviceForPlans device, deviceForPlans(chosen));
        Rates rates = Rates::ofCountedWork();
        if (device.backend) {
            // What fits is what the budget says: so many GiB of any device, or this one.
            if (chosen.budgetBytes) device.traits.largestBlock = HeapTraits().largestBlock;
            TRY(rates, ratesFor(*device.backend, chosen));
        } else {
            say("no Vulkan device, so times are of counted work: order only");
        }
        TRY(const Advice advice, advise(chosen, device.traits, &rates, device.availableBytes));
        json ? printJson(advice, rates.counted()) : printText(advice, chosen.budgetBytes.has_value(), rates.counted());
        return 0;
    }

private:
    void say(std::string_view sentence) const {
        if (!quiet) printError("note: {}\n", sentence);
    }

    // Those that are kept, where they know these controls; else they are measured first.
    Result<Rates> ratesFor(Backend& backend, const Controls& chosen) const {
        const std::string folder = defaultCacheFolder();
        if (const auto kept = keptRates(backend, folder); kept && !measure) {
            TRY(const Job job, makeJob(chosen, std::monostate{}));
            if (knowsKindsOf(*kept, job.program)) return *kept;
        }
        say("measuring this device's times, once; then they are kept");
        ProgressBar bar(quiet);
        const auto show = [&](const RateProgress& progress) { bar.show(progress.done, progress.total, progress.kind); };
        TRY(MeasuredRates measured,
            measureRates(backend, chosen,
                         {.cacheFolder = folder, .again = measure, .cancel = &cancelledBySignal(), .progress = show}));
        if (!measured.disagreement.empty()) say(measured.disagreement);
        if (!measured.rates.empty()) return std::move(measured.rates);
        say("times are of counted work: order only");
        return Rates::ofCountedWork();
    }

    static void printJson(const Advice& advice, bool counted) {
        const auto number = [](const std::optional<double>& ms) { return ms ? Json(*ms) : Json(nullptr); };
        Json flips = Json::array();
        for (const Flip& flip : advice.flips)
            flips.push_back({{"control", flip.control},
                             {"from", flip.from},
                             {"to", flip.to},
                             {"allocated_bytes", flip.allocated},
                             {"reserved_bytes", flip.reserved},
                             {"layer", flip.layer},
                             {"estimated_ms", number(flip.ms)},
                             {"fits", flip.fits}});
        const Json out{{"schema", "spikescope.advice/1"},
                       {"times", counted ? "counted work" : "measured rates"},
                       {"allocated_bytes", advice.allocated},
                       {"reserved_bytes", advice.reserved},
                       {"estimated_ms", number(advice.ms)},
                       {"fits", advice.fits},
                       {"flips", std::move(flips)}};
        outputJson(out);
    }

    static void printText(const Advice& advice, bool budget, bool counted) {
        const bool showFits =
            budget || !advice.fits || std::ranges::any_of(advice.flips, [](const Flip& flip) { return !flip.fits; });
        printOutput("now    allocated {}, reserved {}{}{}\n", formatBytes(advice.allocated),
                    formatBytes(advice.reserved),
                    advice.ms && !counted ? ", about " + formatDuration(*advice.ms) : std::string(),
                    advice.fits ? "" : ", does not fit");
        printOutput("times  {}\n\n", counted ? "of counted work: order only" : "by this device's measured rates");
        std::vector<std::vector<std::string>> lines{
            {"control", "from", "to", "layer of the peak", "peak", "change", "reserved", "change", "time"}};
        if (showFits) lines.front().push_back("fits");
        std::vector<std::string> same;
        for (const Flip& flip : advice.flips) {
            std::string time = signedTime(advice.ms, flip.ms);
            if (counted && advice.ms && flip.ms && time != "=") time = fmt::format("x{:.2f}", *flip.ms / *advice.ms);
            if (flip.allocated == advice.allocated && flip.reserved == advice.reserved &&
                (time == "=" || time == "?")) {
                same.push_back(fmt::format("{} {}", flip.control, flip.to));
                continue;
            }
            lines.push_back({flip.control, flip.from, flip.to, flip.layer, formatBytes(flip.allocated),
                             signedBytes(advice.allocated, flip.allocated), formatBytes(flip.reserved),
                             signedBytes(advice.reserved, flip.reserved), time});
            if (showFits) lines.back().push_back(flip.fits ? "yes" : "no");
        }
        printOutput("{}\n", alignedText(lines, 4));
        if (!same.empty()) printOutput("\nno change: {}\n", joined(same, ", "));
    }
};

} // namespace

void addAdvise(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("advise", "Say what each single flip of a control would do to peak and time");
    auto command = std::make_shared<AdviseCommand>();
    command->controls.addTo(*sub, true);
    sub->add_flag("--json", command->json, "as JSON");
    sub->add_flag("--measure", command->measure, "measure this device's times again, also those that are kept");
    sub->add_flag("--quiet", command->quiet, "no notes");
    sub->callback([command, &result] {
        const Result<int> code = command->run();
        result = code ? *code : exitWith(code.error());
    });
}

} // namespace spikescope::cli
