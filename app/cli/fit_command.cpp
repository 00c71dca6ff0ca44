// fit: the fastest configuration that fits a budget, and what it costs against the one that was asked for.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/advise/fit.h"
#include "core/backend/measured_rates.h"
#include "core/base/cache_folder.h"
#include "core/base/machine_memory.h"
#include "core/base/output_file.h"
#include "core/base/text.h"
#include "core/timeline/layer_table.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>

namespace spikescope::cli {

namespace {

using Json = nlohmann::ordered_json;

// What the controls say of how to run, not of what fits and where; what is empty says nothing.
std::vector<std::pair<std::string, std::string>> configurationOf(const Controls& controls) {
    auto values = controlValues(controls);
    std::erase_if(values, [](const auto& value) {
        return value.first == "budget" || value.first == "enforce" || value.second.empty();
    });
    return values;
}

std::string inShell(const std::string& text) {
    constexpr std::string_view marks = "_-.,:=/+";
    const auto plain = [&](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || marks.find(c) != marks.npos;
    };
    if (std::ranges::all_of(text, plain)) return text;
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    return quoted + "'";
}

// Options that make these controls of the default ones; decode and encode say the op themselves.
std::string optionsOf(const Controls& controls) {
    std::string line;
    for (const auto& [control, value] : configurationOf(controls))
        if (control != "op" && value != controlValue(Controls(), control))
            line += fmt::format(" --{} {}", control, inShell(value));
    return line;
}

std::string commandOf(const Controls& controls) {
    return fmt::format("spikescope-cli {}{}", controls.op == VaeTask::Decode ? "decode" : "encode",
                       optionsOf(controls));
}

struct FitCommand {
    ControlOptions controls;
    std::vector<std::string> allow;
    std::string configOut;
    bool json = false;

    Result<int> run() const {
        FitOptions options;
        for (const std::string& what : allow) {
            if (what != "approximate" && what != "dtype")
                return fail(ErrorCode::BadUsage, "allow: {} is unknown; allowed: approximate, dtype", quote(what));
            (what == "dtype" ? options.dtype : options.approximate) = true;
        }
        TRY(const Controls asked, controls.controls({}, &options.kept));
        CHECK(checkFiles(
            {controls.inputFiles(asked), {{.name = "--write", .path = configOut, .role = NamedFile::Role::Output}}},
            json));
        TRY(DeviceForPlans device, deviceForPlans(asked));
        if (device.backend && isBudgetOfOther(asked, device.backend->facts().cpu))
            device = {.backend = nullptr, .traits = {}, .availableBytes = asked.budgetBytes};
        if (device.backend) options.availableHostBytes = availableMachineMemory();
        if (!device.availableBytes)
            return fail(ErrorCode::BadUsage, "fit: no Vulkan device says how much is free; --budget GIB does");
        const std::optional<Rates> rates =
            device.backend ? keptRates(*device.backend, defaultCacheFolder()) : std::nullopt;
        TRY(const Fit result, fit(asked, device.traits, *device.availableBytes, rates ? &*rates : nullptr, options));
        if (result.chosen && !configOut.empty()) CHECK(writeConfig(result.chosen->controls));
        if (json)
            printJson(result, *device.availableBytes);
        else if (result.chosen)
            printText(result, formatBytes(*device.availableBytes) + (device.backend ? "" : " of any device"));
        if (!result.chosen) sayWhatIsNeeded(result, *device.availableBytes);
        return result.chosen ? 0 : 2;
    }

private:
    static void sayWhatIsNeeded(const Fit& fit, std::uint64_t availableBytes) {
        const PlannedControls& least = fit.leanest;
        if (least.weights > availableBytes)
            printError("spikescope-cli: the weights alone are {} ({} B), the budget is {}\n",
                       formatBytes(least.weights), least.weights, formatBytes(availableBytes));
        else
            printError("spikescope-cli: nothing fits; the least that was found reserves {} ({} B) with{}{}\n",
                       formatBytes(least.peak.reserved), least.peak.reserved, optionsOf(least.controls),
                       least.peak.reserved > availableBytes ? std::string() : ", but " + fit.refusal);
    }

    Result<void> writeConfig(const Controls& chosen) const try {
        return writeText(configOut, valuesOf(chosen).dump(2) + "\n");
    } catch (const Json::type_error&) {
        return fail(ErrorCode::BadInput, "--write {}: weights {} is not UTF-8, as JSON has to be", quote(configOut),
                    quote(chosen.weights));
    }

    static Json valuesOf(const Controls& controls) {
        Json values = Json::object();
        for (const auto& [control, value] : configurationOf(controls)) values[control] = value;
        return values;
    }
    static Json jsonOf(const PlannedControls& planned) {
        return {{"controls", valuesOf(planned.controls)},
                {"allocated_bytes", planned.peak.allocated},
                {"reserved_bytes", planned.peak.reserved},
                {"weights_bytes", planned.weights},
                {"estimated_ms", planned.ms ? Json(*planned.ms) : Json(nullptr)},
                {"fits", planned.fits}};
    }
    static void printJson(const Fit& fit, std::uint64_t availableBytes) {
        Json steps = Json::array();
        for (const FitStep& step : fit.steps) {
            Json changes = Json::array();
            for (const FitStep::Change& change : step.changes)
                changes.push_back({{"control", change.control}, {"from", change.from}, {"to", change.to}});
            steps.push_back({{"changes", std::move(changes)},
                             {"allocated_bytes", step.allocated},
                             {"reserved_bytes", step.reserved},
                             {"estimated_ms", step.ms}});
        }
        const Json out{{"schema", "spikescope.fit/1"},
                       {"budget_bytes", availableBytes},
                       {"times", fit.measured ? "measured rates" : "counted work"},
                       {"asked", jsonOf(fit.asked)},
                       {"chosen", fit.chosen ? jsonOf(*fit.chosen) : Json(nullptr)},
                       {"command", fit.chosen ? Json(commandOf(fit.chosen->controls)) : Json(nullptr)},
                       {"steps", std::move(steps)},
                       {"released", fit.released},
                       {"leanest", fit.chosen ? Json(nullptr) : jsonOf(fit.leanest)}};
        outputJson(out);
    }

    static void printText(const Fit& fit, const std::string& available) {
        const auto line = [](const char* what, const PlannedControls& planned) {
            printOutput("{}  reserved {} ({} B), allocated {}, about {}", what, formatBytes(planned.peak.reserved),
                        planned.peak.reserved, formatBytes(planned.peak.allocated), formatDuration(*planned.ms));
        };
        const PlannedControls &asked = fit.asked, &chosen = *fit.chosen;
        line("asked ", asked);
        printOutput("{}\n", asked.fits ? "" : ", does not fit");
        line("chosen", chosen);
        printOutput(", {:.2f} of the time, fits {}\n", *chosen.ms / *asked.ms, available);
        printOutput("times   {}\n", fit.measured
                                        ? "by this device's measured rates"
                                        : "of counted work at 20 TFLOP/s and 500 GB/s, 25 GB/s to the host: order "
                                          "only; advise measures this device");
        if (!fit.released.empty())
            printOutput("note    nothing fits with {} as given\n", joined(fit.released, " and "));
        if (fit.steps.empty())
            printOutput("\nnothing changed\n");
        else
            printSteps(fit);
        printOutput("\n{}\n", commandOf(chosen.controls));
    }
    static void printSteps(const Fit& fit) {
        std::vector<std::vector<std::string>> lines{{"control", "from", "to", "reserved", "change", "time"}};
        std::uint64_t reserved = fit.asked.peak.reserved;
        std::optional<double> ms = fit.asked.ms;
        for (const FitStep& step : fit.steps) {
            for (const FitStep::Change& change : step.changes) {
                const bool last = &change == &step.changes.back();
                lines.push_back({change.control, change.from, change.to, last ? formatBytes(step.reserved) : "",
                                 last ? signedBytes(reserved, step.reserved) : "",
                                 last ? signedTime(ms, step.ms) : ""});
            }
            reserved = step.reserved;
            ms = step.ms;
        }
        printOutput("\n{}\n", alignedText(lines, 3));
    }
};

} // namespace

void addFit(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("fit", "Find the fastest configuration that fits a budget");
    auto command = std::make_shared<FitCommand>();
    command->controls.addTo(*sub, true);
    sub->add_option("--allow", command->allow,
                    "what may change the picture: approximate (independent tiles), dtype (fewer "
                    "bits), by a comma")
        ->delimiter(',');
    sub->add_option("--write", command->configOut, "write the chosen controls to FILE.json, for --config");
    sub->add_flag("--json", command->json, "as JSON");
    sub->callback([command, &result] {
        const Result<int> code = command->run();
        result = code ? *code : exitWith(code.error());
    });
}

} // namespace spikescope::cli
