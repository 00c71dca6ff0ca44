#pragma once
// The command line's options, as the user gave them, and what they turn into.

#include "app/cli/control_options.h"

#include "core/backend/backend.h"
#include "core/base/streams.h"
#include "core/job/job.h"

#include <nlohmann/json_fwd.hpp>

namespace spikescope::cli {

struct OutputOptions {
    // A file that an option asks for, in a format of core/formats.
    struct File {
        std::string_view option, format, help;
        std::string path;
    };

    bool json = false, quiet = false;
    std::string failOver;
    std::array<File, 3> written{{{"--report", "report", "write the whole recording to FILE.json", {}},
                                 {"--csv", "events", "write the events to FILE.csv", {}},
                                 {"--layers", "layers", "write the per-layer table to FILE.csv", {}}}};

    void addTo(CLI::App& command);
    std::vector<NamedFile> files() const;
    bool writesFiles() const;
    Result<void> writeFiles(const Recording& recording) const; // those that were asked for
    void print(const Recording& recording) const;              // summary or table, to standard output
    // The bytes of --fail-over, if given.
    Result<std::optional<std::uint64_t>> limit() const;
};

// Exit 4 when the reserved peak is over the limit, which it says on standard error, else `otherwise`.
int checkLimit(const Recording& recording, std::optional<std::uint64_t> limit, int otherwise);

// Before any of a command's files is touched: BadUsage when one is an output and also something else, standard output
// and standard error included. `json`: standard output is JSON.
Result<void> checkFiles(std::initializer_list<std::vector<NamedFile>> files, bool json);

// "FILE:KEY" or "FILE". A colon belongs to the name when a file of the whole name exists.
InputFile splitKey(const std::string& text);

// What of a device goes into plans for it. Without a backend there is no device, and none was named.
struct DeviceForPlans {
    std::unique_ptr<Backend> backend;
    HeapTraits traits;
    std::optional<std::uint64_t> availableBytes; // bytes: the budget, or what the device has free
};
Result<DeviceForPlans> deviceForPlans(const Controls& controls);

// A change as tables have it; "=" for none, "?" for one that is not known.
std::string signedBytes(std::uint64_t before, std::uint64_t after);
std::string signedTime(const std::optional<double>& before, const std::optional<double>& after);

// To standard output; bytes of names that are no UTF-8 become U+FFFD.
void outputJson(const nlohmann::ordered_json& json);

// Says the error on standard error and gives the exit code of the contract.
int exitWith(const Error& error);

} // namespace spikescope::cli
