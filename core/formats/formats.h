#pragma once
// The file formats of Recordings. Whatever opens or exports one goes by these two tables: the command line, the
// window's dialogs and its Export menu. A new format is a file here that defines an Importer or an Exporter, and its
// row below.

#include "core/formats/read_progress.h"
#include "core/pytorch/replay.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

struct ImportOptions {
    ReadProgress progress;
    // What requests of a trace are replayed through, and its name as the control "allocator" has it; without one,
    // PyTorch's own rules.
    AllocatorMaker makeAllocator;
    std::string allocator = "caching";
};

struct Imported {
    Recording recording;
    std::vector<std::string> notes; // what to know of it, a sentence each
};

struct Importer {
    static constexpr std::size_t beginBytes = 64;

    std::string_view name;
    std::string_view title;    // of its files, in dialogs
    std::string_view patterns; // "*.pickle *.pkl"
    // From the file's first bytes (beginBytes, or all of it) and its name. Nothing is promised by it: read() may
    // refuse.
    bool (*recognises)(std::string_view begin, std::string_view fileName);
    Result<Imported> (*read)(const std::string& path, const ImportOptions& options);
};

struct Exporter {
    std::string_view name;   // as --format takes it
    std::string_view suffix; // ".csv"; others may have the same
    std::string_view title;  // in menus and dialogs
    // Errors are Io; the file appears whole or not at all.
    Result<void> (*write)(const Recording& recording, const std::string& path);
};

extern const Importer reportImporter, snapshotImporter;
extern const Exporter reportExporter, summaryExporter, eventsExporter, layersExporter;

// Of importers that recognise a file the first one reads it.
inline constexpr std::array importers{&reportImporter, &snapshotImporter};
inline constexpr std::array exporters{&reportExporter, &eventsExporter, &layersExporter, &summaryExporter};

// Null when none recognises it.
const Importer* importerOf(std::string_view begin, std::string_view fileName);
// Any file that one of them recognises; BadInput names the formats there are.
Result<Imported> importFile(const std::string& path, const ImportOptions& options = {});

// By its name, or without one by the suffix of the path; BadUsage names the choices.
Result<const Exporter*> chooseExporter(std::string_view path, std::string_view name);

} // namespace spikescope
