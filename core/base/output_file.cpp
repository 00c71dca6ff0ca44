#include "core/base/output_file.h"

#include "core/base/file_identity.h"
#include "core/base/text.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace spikescope {

namespace {

constexpr std::size_t bufferBytes = 64 * 1024;

std::string folderOf(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

// Opens a new file beside the target. Not mkstemp: that one ignores the umask and leaves the file private.
int openTemporary(const std::string& folder, std::string& name) {
    static std::atomic<unsigned> counter{0};
    constexpr int attempts = 100; // each taken name is a leftover of a killed process with our number
    for (int attempt = 0; attempt < attempts; ++attempt) {
        // Short and independent of the target's name, which may already be as long as names get.
        name = fmt::format("{}.spikescope-{}-{}.part", folder, ::getpid(), counter.fetch_add(1));
        const int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST) return descriptor;
    }
    return -1;
}

} // namespace

Result<OutputFile> OutputFile::create(const std::string& path) {
    OutputFile file;
    file.m_path = path;
    file.m_target = path;
    if (path.empty()) return fail(ErrorCode::Io, "Cannot create a file with an empty name.");
    if (path.back() == '/') return fail(ErrorCode::Io, "Cannot create {}: it names a directory.", quote(path));

    struct stat status = {};
    const bool exists = ::stat(path.c_str(), &status) == 0;
    if (!exists && errno == ELOOP)
        return fail(ErrorCode::Io, "Cannot create {}: {}.", quote(path), std::strerror(errno));
    if (exists && S_ISDIR(status.st_mode))
        return fail(ErrorCode::Io, "Cannot create {}: {}.", quote(path), std::strerror(EISDIR));
    if (exists && !S_ISREG(status.st_mode)) {
        file.m_descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else {
        // rename() would replace a file that its owner made read-only.
        if (exists && ::access(path.c_str(), W_OK) != 0)
            return fail(ErrorCode::Io, "Cannot create {}: {}.", quote(path), std::strerror(errno));
        file.m_target = withLinksFollowed(path);
        file.m_descriptor = openTemporary(folderOf(file.m_target), file.m_temporary);
    }
    if (file.m_descriptor < 0) {
        const int reason = errno;
        file.m_temporary.clear(); // never opened: not ours to remove
        return fail(ErrorCode::Io, "Cannot create {}: {}.", quote(path), std::strerror(reason));
    }
    file.m_buffer.reserve(bufferBytes);
    return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : m_path(std::move(other.m_path))
    , m_target(std::move(other.m_target))
    , m_temporary(std::exchange(other.m_temporary, {}))
    , m_buffer(std::move(other.m_buffer))
    , m_flushed(other.m_flushed)
    , m_streamed(other.m_streamed)
    , m_descriptor(std::exchange(other.m_descriptor, -1))
    , m_broken(other.m_broken) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
    std::swap(m_path, other.m_path);
    std::swap(m_target, other.m_target);
    std::swap(m_temporary, other.m_temporary);
    std::swap(m_buffer, other.m_buffer);
    std::swap(m_flushed, other.m_flushed);
    std::swap(m_streamed, other.m_streamed);
    std::swap(m_descriptor, other.m_descriptor);
    std::swap(m_broken, other.m_broken);
    return *this;
}

OutputFile::~OutputFile() { discard(); }

void OutputFile::discard() noexcept {
    if (m_descriptor >= 0) ::close(std::exchange(m_descriptor, -1));
    if (!m_temporary.empty()) ::unlink(m_temporary.c_str());
    m_temporary.clear();
}

tl::unexpected<Error> OutputFile::failed(std::string_view action, int reason) {
    m_broken = true;
    return fail(ErrorCode::Io, "Cannot {} {}: {}.", action, quote(m_path), std::strerror(reason));
}

Result<void> OutputFile::put(std::uint64_t offset, std::span<const std::byte> bytes) {
    if (m_descriptor < 0 || m_broken) return failed("write", EBADF);
    constexpr auto farthest = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
    if (offset > farthest || bytes.size() > farthest - offset) return failed("write", EFBIG);
    const bool direct = m_temporary.empty();
    if (direct && offset != m_streamed) return failed("write out of order to", ESPIPE);
    while (!bytes.empty()) {
        const ssize_t written = direct ? ::write(m_descriptor, bytes.data(), bytes.size())
                                       : ::pwrite(m_descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failed("write", errno);
        if (written == 0) return failed("write", EIO); // no progress and no reason: do not spin
        offset += static_cast<std::uint64_t>(written);
        if (direct) m_streamed = offset;
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
}

Result<void> OutputFile::flush() {
    CHECK(put(m_flushed, m_buffer));
    m_flushed += m_buffer.size();
    m_buffer.clear();
    return {};
}

Result<void> OutputFile::write(std::span<const std::byte> bytes) {
    if (m_descriptor < 0 || m_broken) return failed("write", EBADF);
    if (bytes.size() > bufferBytes - std::min(bufferBytes, m_buffer.size())) CHECK(flush());
    if (bytes.size() >= bufferBytes) {
        CHECK(put(m_flushed, bytes));
        m_flushed += bytes.size();
        return {};
    }
    m_buffer.insert(m_buffer.end(), bytes.begin(), bytes.end());
    return {};
}

Result<void> OutputFile::write(std::string_view text) { return write(std::as_bytes(std::span(text))); }

Result<void> OutputFile::writeAt(std::uint64_t offset, std::span<const std::byte> bytes) {
    CHECK(flush()); // so that the later of two writes to one place wins, and a pipe sees them in order
    return put(offset, bytes);
}

Result<void> OutputFile::commit() {
    Result<void> result = flush();
    if (result && !m_temporary.empty() && ::fsync(m_descriptor) != 0) result = failed("write", errno);
    // Closing reports what network and quota file systems could not write. The descriptor is gone either way.
    if (m_descriptor >= 0 && ::close(std::exchange(m_descriptor, -1)) != 0 && result) result = failed("write", errno);
    if (result && !m_temporary.empty()) {
        if (std::rename(m_temporary.c_str(), m_target.c_str()) == 0)
            m_temporary.clear();
        else
            result = failed("create", errno);
    }
    discard();
    return result;
}

Result<void> writeText(const std::string& path, std::string_view text) {
    TRY(OutputFile file, OutputFile::create(path));
    CHECK(file.write(text));
    return file.commit();
}

} // namespace spikescope
