#include "app/cli/control_options.h"

#include "core/base/text.h"
#include "core/program/presets.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>

namespace spikescope::cli {

namespace {

// A configuration is an object of control names with strings or numbers, and may begin with a preset.
Result<void> applyConfig(Controls& controls, const std::string& path, std::vector<std::string>& named) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return fail(ErrorCode::BadInput, "file {}: cannot be opened", quote(path));
    constexpr std::size_t most = 1 << 20;
    std::string content(most + 1, '\0');
    file.read(content.data(), static_cast<std::streamsize>(content.size()));
    if (file.bad()) return fail(ErrorCode::BadInput, "file {}: cannot be read", quote(path)); // a folder
    content.resize(static_cast<std::size_t>(file.gcount()));
    if (content.size() > most)
        return fail(ErrorCode::BadInput, "file {}: a configuration has at most 1 MiB", quote(path));
    // The parser gives up at a number beyond the range of double; the key before it says which control is meant.
    std::string lastKey;
    using Json = nlohmann::ordered_json;
    const auto remember = [&](int, Json::parse_event_t event, Json& parsed) {
        if (event == Json::parse_event_t::key) lastKey = parsed.get<std::string>();
        return true;
    };
    const Json json = Json::parse(content, remember, false);
    if (json.is_discarded() && !lastKey.empty())
        return fail(ErrorCode::BadInput, "file {}: control {} has no value that JSON can hold, or the text ends there",
                    quote(path), quote(lastKey));
    if (!json.is_object()) return fail(ErrorCode::BadInput, "file {}: not a JSON object of controls", quote(path));
    const auto text = [&](const std::string& key, const Json& value) -> Result<std::string> {
        if (!value.is_string() && !value.is_number())
            return fail(ErrorCode::BadInput, "file {}: control {} is neither a string nor a number", quote(path),
                        quote(key));
        return value.is_string() ? value.get<std::string>() : value.dump();
    };
    if (json.contains("preset")) {
        TRY(const std::string preset, text("preset", json["preset"]));
        CHECK(applyPreset(controls, preset));
    }
    for (const auto& [key, value] : json.items()) {
        if (key == "preset") continue;
        TRY(const std::string chosen, text(key, value));
        CHECK(setControl(controls, key, chosen));
        named.push_back(key);
    }
    return {};
}

} // namespace

void ControlOptions::addTo(CLI::App& command, bool withOp) {
    values.reserve(controlTable().size());
    for (const ControlInfo& info : controlTable()) {
        if (info.name == "op" && !withOp) continue;
        auto& [controlName, text] = values.emplace_back(info.name, "");
        if (info.name == "enforce") {
            command.add_flag("--enforce{on}", text, std::string(info.help))->group("Controls");
            continue;
        }
        command.add_option(fmt::format("--{}", controlName), text, fmt::format("{} ({})", info.help, info.values))
            ->group("Controls");
    }
    std::vector<std::string> names;
    for (const Preset& known : presets()) names.emplace_back(known.name);
    command
        .add_option("--preset", preset,
                    fmt::format("controls by one name, before all others ({})", joined(names, ", ")))
        ->group("Controls");
    command.add_option("--config", configFile, "JSON file with controls by name; single options override it")
        ->group("Controls");
}

bool ControlOptions::given() const {
    return !preset.empty() || !configFile.empty() ||
           std::ranges::any_of(values, [](const auto& value) { return !value.second.empty(); });
}

Result<Controls> ControlOptions::controls(Controls controls, std::vector<std::string>* named) const {
    std::vector<std::string> names;
    if (!preset.empty()) CHECK(applyPreset(controls, preset));
    if (!configFile.empty()) CHECK(applyConfig(controls, configFile, names));
    for (const auto& [controlName, text] : values) {
        if (text.empty()) continue;
        CHECK(setControl(controls, controlName, text));
        names.emplace_back(controlName);
    }
    if (named) *named = std::move(names);
    return controls;
}

std::vector<NamedFile> ControlOptions::inputFiles(const Controls& controls) const {
    return {{.name = "--config", .path = configFile},
            {.name = "--weights", .path = controls.syntheticSeed() ? std::string() : controls.weights}};
}

} // namespace spikescope::cli
