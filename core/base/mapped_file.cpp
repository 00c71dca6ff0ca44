#include "core/base/mapped_file.h"

#include "core/base/text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace spikescope {

namespace {

Result<std::span<const std::byte>> mapDescriptor(int descriptor, const std::string& path) {
    struct stat status = {};
    if (::fstat(descriptor, &status) != 0)
        return fail(ErrorCode::Io, "Cannot look at {}: {}.", quote(path), std::strerror(errno));
    if (S_ISDIR(status.st_mode)) return fail(ErrorCode::BadInput, "{} is a directory, not a file.", quote(path));
    if (!S_ISREG(status.st_mode))
        return fail(ErrorCode::BadInput, "{} is a device, pipe or socket, not a regular file.", quote(path));
    if (status.st_size <= 0) return fail(ErrorCode::BadInput, "{} is empty (0 bytes).", quote(path));

    const auto size = static_cast<std::size_t>(status.st_size);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED)
        return fail(ErrorCode::Io, "Cannot map {} ({} bytes): {}.", quote(path), size, std::strerror(errno));
    return std::span<const std::byte>(static_cast<const std::byte*>(address), size);
}

} // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
    // Non-blocking, because opening a pipe without a writer would wait for one.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0) return fail(ErrorCode::Io, "Cannot open {}: {}.", quote(path), std::strerror(errno));
    auto mapped = mapDescriptor(descriptor, path);
    ::close(descriptor); // the mapping keeps the file
    TRY(const auto bytes, std::move(mapped));
    return MappedFile(bytes.data(), bytes.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : m_data(std::exchange(other.m_data, nullptr))
    , m_size(std::exchange(other.m_size, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(m_data, other.m_data);
    std::swap(m_size, other.m_size);
    return *this;
}

MappedFile::~MappedFile() {
    if (m_data != nullptr) ::munmap(const_cast<std::byte*>(m_data), m_size);
}

void MappedFile::dropPages(std::uint64_t offset, std::uint64_t bytes) const {
    if (offset >= m_size || bytes == 0) return;
    const std::uint64_t end = offset + std::min<std::uint64_t>(bytes, m_size - offset);
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t begin = offset / page * page;
    // Advice only: if the kernel declines, the pages merely stay resident. It rounds the end up to a page itself.
    ::madvise(const_cast<std::byte*>(m_data) + begin, end - begin, MADV_DONTNEED);
}

} // namespace spikescope
