#pragma once
// Whether files named in different places are one file, however each name is spelled. An output that leads to an input
// or to another output replaces it, so this is asked before any of them is touched.

#include "core/base/error.h"

#include <span>
#include <string>

namespace spikescope {

struct NamedFile {
    enum class Role : std::uint8_t {
        Input,
        Output,
        Stream,    // of the process: standard output, standard error
        FullStream // a stream that takes nothing from others: standard output of which a program reads the JSON
    };
    std::string name; // what messages call it: "--weights"
    std::string path; // empty: not given
    Role role = Role::Input;
};

// BadUsage, with both names and the path, when an output is the same file as anything else, or a stream writes to an
// input. Hard and symbolic links count, also to where nothing stands yet, and names that differ by case alone where the
// file system takes them for one. Devices and pipes lose nothing and may be named again, but not beside a FullStream.
[[nodiscard]] Result<void> checkFilesApart(std::span<const NamedFile> files);

// Where a file of this name stands or would be created: the symbolic links of the last part followed, of which the last
// may lead to nothing.
std::string withLinksFollowed(const std::string& path);

} // namespace spikescope
