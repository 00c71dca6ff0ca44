#include "core/formats/formats.h"

#include "core/base/mapped_file.h"
#include "core/base/text.h"

#include <algorithm>

namespace spikescope {

namespace {

std::string namesOf(const auto& formats) {
    std::vector<std::string> names;
    for (const auto* format : formats) names.emplace_back(format->name);
    return joined(names, ", ");
}

} // namespace

const Importer* importerOf(std::string_view begin, std::string_view fileName) {
    const auto found =
        std::ranges::find_if(importers, [&](const Importer* known) { return known->recognises(begin, fileName); });
    return found == importers.end() ? nullptr : *found;
}

Result<Imported> importFile(const std::string& path, const ImportOptions& options) {
    std::string begin;
    {
        TRY(const MappedFile file, MappedFile::open(path));
        const auto bytes = file.bytes().first(std::min(file.bytes().size(), Importer::beginBytes));
        begin.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    const Importer* importer = importerOf(begin, path);
    if (!importer)
        return fail(ErrorCode::BadInput, "file {}: of no format that is known: {}", quote(path), namesOf(importers));
    return importer->read(path, options);
}

Result<const Exporter*> chooseExporter(std::string_view path, std::string_view name) {
    if (!name.empty()) {
        const auto found = std::ranges::find(exporters, name, &Exporter::name);
        if (found == exporters.end())
            return fail(ErrorCode::BadUsage, "format {}: there are {}", quote(name), namesOf(exporters));
        return *found;
    }
    std::vector<const Exporter*> fitting;
    for (const Exporter* exporter : exporters)
        if (path.ends_with(exporter->suffix)) fitting.push_back(exporter);
    if (fitting.size() == 1) return fitting.front();
    if (fitting.empty())
        return fail(ErrorCode::BadUsage, "file {}: its suffix is of no format, so --format must say one: {}",
                    quote(path), namesOf(exporters));
    return fail(ErrorCode::BadUsage, "file {}: several formats have this suffix, so --format must say which: {}",
                quote(path), namesOf(fitting));
}

} // namespace spikescope
