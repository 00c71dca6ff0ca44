#pragma once
// A file that appears whole or not at all: written under a temporary name beside its place, renamed by commit().

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

class OutputFile {
public:
    // An existing device or pipe (/dev/stdout, /dev/full, a FIFO) is written directly; there commit() only closes.
    // A symbolic link stays and the file it names is replaced, or made when it is not there. Every error is Io, naming
    // the path and the reason.
    [[nodiscard]] static Result<OutputFile> create(const std::string& path);

    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&& other) noexcept;
    ~OutputFile(); // without commit() before it, nothing remains

    // Appends after everything written by write() so far; buffered.
    [[nodiscard]] Result<void> write(std::span<const std::byte> bytes);
    [[nodiscard]] Result<void> write(std::string_view text);

    // Writes at a place counted from the start of the file, and leaves write()'s place alone. Ranges never written read
    // as zeros. A device or pipe takes only the bytes that come next.
    [[nodiscard]] Result<void> writeAt(std::uint64_t offset, std::span<const std::byte> bytes);

    // Flushes, syncs, closes and renames. Fails too when an earlier write failed; whatever happens, this is the end of
    // the object's use.
    [[nodiscard]] Result<void> commit();

    const std::string& path() const { return m_path; }

private:
    OutputFile() = default;

    Result<void> flush();
    Result<void> put(std::uint64_t offset, std::span<const std::byte> bytes);
    tl::unexpected<Error> failed(std::string_view action, int reason);
    void discard() noexcept;

    std::string m_path;      // as given, for messages
    std::string m_target;    // where it will stand, links followed
    std::string m_temporary; // empty when the target is written directly
    std::vector<std::byte> m_buffer;
    std::uint64_t m_flushed = 0;  // bytes of write() that have left the buffer
    std::uint64_t m_streamed = 0; // bytes a device or pipe has taken
    int m_descriptor = -1;
    bool m_broken = false; // a write failed, so commit() must not publish the rest
};

// A file of this text, whole or not at all.
[[nodiscard]] Result<void> writeText(const std::string& path, std::string_view text);

} // namespace spikescope
