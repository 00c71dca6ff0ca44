#include "core/backend/backend.h"

#include "core/base/mapped_file.h"
#include "core/base/output_file.h"

#include <filesystem>

namespace spikescope {

std::string Backend::cacheFile(std::string_view what, const std::string& folder) const {
    return fmt::format("{}/{}-{}-{}.json", folder, what, identity(), SPIKESCOPE_VERSION);
}

std::optional<std::string> Backend::readCache(std::string_view what, const std::string& folder) const {
    constexpr std::size_t maxBytes = 1 << 20;
    if (folder.empty()) return std::nullopt;
    const auto file = MappedFile::open(cacheFile(what, folder));
    if (!file || file->bytes().size() > maxBytes) return std::nullopt;
    return std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
}

Result<void> Backend::writeCache(std::string_view what, const std::string& folder, std::string_view text) const {
    if (folder.empty()) return fail(ErrorCode::Io, "there is no home to keep {} in", what);
    std::error_code ignored;
    std::filesystem::create_directories(folder, ignored);
    TRY(OutputFile file, OutputFile::create(cacheFile(what, folder)));
    CHECK(file.write(text));
    return file.commit();
}

} // namespace spikescope
