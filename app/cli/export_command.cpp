// export: a Recording in another format.

#include "app/cli/commands.h"
#include "app/cli/options.h"

#include "core/formats/formats.h"

namespace spikescope::cli {

namespace {

struct ExportCommand {
    std::string file, output, format;
    bool quiet = false;

    Result<int> run() const {
        TRY(const Exporter* exporter, chooseExporter(output, format));
        CHECK(checkFiles(
            {{{.name = "recording", .path = file}, {.name = "-o", .path = output, .role = NamedFile::Role::Output}}},
            false));
        TRY(const Imported imported, importFile(file));
        if (!quiet)
            for (const std::string& note : imported.notes) printError("note: {}\n", note);
        CHECK(exporter->write(imported.recording, output));
        return 0;
    }
};

} // namespace

void addExport(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("export", "Write a recording in another format");
    auto command = std::make_shared<ExportCommand>();
    std::string formats;
    for (const Exporter* exporter : exporters)
        formats += fmt::format("{}{} (*{})", formats.empty() ? "" : ", ", exporter->name, exporter->suffix);
    sub->add_option("recording", command->file, "a file written with --report, or a PyTorch memory snapshot")
        ->required();
    sub->add_option("-o,--output", command->output, "the file to write")->required();
    sub->add_option("--format", command->format, formats + "; without it the suffix decides");
    sub->add_flag("--quiet", command->quiet, "no notes");
    sub->callback([command, &result] {
        const Result<int> code = command->run();
        result = code ? *code : exitWith(code.error());
    });
}

} // namespace spikescope::cli
