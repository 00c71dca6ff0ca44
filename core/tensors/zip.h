#pragma once
// The directory of a zip archive in memory, as PyTorch and NumPy write them, and the entries' bytes.

#include "core/base/error.h"
#include "core/base/name_index.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

class Zip {
public:
    struct Entry {
        std::string name;
        std::uint64_t offset = 0;     // of its bytes in the archive
        std::uint64_t compressed = 0; // bytes in the archive
        std::uint64_t size = 0;       // bytes of the content
        std::uint32_t crc = 0;        // of the content
        std::uint16_t method = 0;
        bool encrypted = false;
    };
    static constexpr std::size_t mostEntries = 1'000'000;

    // BadInput for what is wrong with the archive: entries outside of it, over each other or of the same name. The
    // bytes must outlive the Zip. Zip64 is read; archives in several volumes are not.
    static Result<Zip> parse(std::span<const std::byte> bytes, std::string fileName);

    const std::vector<Entry>& entries() const { return m_entries; } // in the order of the directory
    const Entry* find(std::string_view name) const;                 // null when there is none

    // The bytes of an entry that is neither compressed nor encrypted; otherwise BadInput.
    Result<std::span<const std::byte>> stored(const Entry& entry) const;
    // The content of an entry that deflate compressed. BadInput for more than `most` bytes, and unless it has the size
    // and the checksum that the directory says.
    Result<std::vector<std::byte>> inflated(const Entry& entry, std::uint64_t most) const;

private:
    Zip(std::span<const std::byte> bytes, std::string fileName)
        : m_bytes(bytes)
        , m_fileName(std::move(fileName)) {}
    Result<void> readDirectory();
    Result<void> checkPlaces() const;

    std::span<const std::byte> m_bytes;
    std::string m_fileName;
    std::uint64_t m_directory = 0; // where it begins
    std::vector<Entry> m_entries;
    std::vector<std::uint64_t> m_headers; // where each entry's local header begins
    NameIndex m_byName;                   // of m_entries
};

// Whether the file begins as a zip archive does.
bool looksLikeZip(std::span<const std::byte> begin);

} // namespace spikescope
