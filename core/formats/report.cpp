// Reports: all of a Recording, and the summary alone.

#include "core/base/output_file.h"
#include "core/formats/formats.h"
#include "core/formats/read_report.h"
#include "core/formats/write_report.h"

namespace spikescope {

namespace {

constexpr std::string_view byteOrderMark = "\xef\xbb\xbf"; // as some editors begin UTF-8

bool beginsAsJson(std::string_view begin, std::string_view) {
    if (begin.starts_with(byteOrderMark)) begin.remove_prefix(byteOrderMark.size());
    const std::size_t first = begin.find_first_not_of(" \t\r\n");
    return first != std::string_view::npos && begin[first] == '{';
}

Result<Imported> read(const std::string& path, const ImportOptions& options) {
    TRY(Recording recording, readReport(path, options.progress));
    return Imported{.recording = std::move(recording), .notes = {}};
}

} // namespace

const Importer reportImporter{
    .name = "report", .title = "Recording", .patterns = "*.json", .recognises = beginsAsJson, .read = read};
const Exporter reportExporter{.name = "report",
                              .suffix = ".json",
                              .title = "Recording as JSON",
                              .write = [](const Recording& recording, const std::string& path) {
                                  return writeText(path, reportJson(recording));
                              }};
const Exporter summaryExporter{.name = "summary",
                               .suffix = ".json",
                               .title = "Summary as JSON",
                               .write = [](const Recording& recording, const std::string& path) {
                                   return writeText(path, summaryJson(recording) + "\n");
                               }};

} // namespace spikescope
