#pragma once
// A whole file as read-only memory. Nothing is read until a page is touched.

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace spikescope {

class MappedFile {
public:
    // Regular files with at least one byte; anything else is refused (BadInput), a failing system call is Io.
    // The file must not shrink while it is mapped: the kernel answers a read past its new end with SIGBUS.
    [[nodiscard]] static Result<MappedFile> open(const std::string& path);

    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    ~MappedFile();

    // The same memory for as long as the mapping lives, wherever this object moves.
    std::span<const std::byte> bytes() const { return {m_data, m_size}; }

    // Takes the pages of this range (bytes from the start of the file, clipped to it) out of the resident set. They can
    // still be read, and come back from the page cache; so pages at the two edges go too, though neighbours share them.
    void dropPages(std::uint64_t offset, std::uint64_t bytes) const;

private:
    MappedFile(const std::byte* data, std::size_t size)
        : m_data(data)
        , m_size(size) {}

    const std::byte* m_data = nullptr;
    std::size_t m_size = 0;
};

} // namespace spikescope
