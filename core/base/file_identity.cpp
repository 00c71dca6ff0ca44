#include "core/base/file_identity.h"

#include "core/base/text.h"

#include <climits>
#include <clocale>
#include <cwchar>
#include <cwctype>
#include <filesystem>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace spikescope {

namespace {

namespace fs = std::filesystem;

using Role = NamedFile::Role;

// With the letters of any language in one case; bytes that are no UTF-8 stay.
std::string foldedCase(const std::string& name) {
    const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (!utf8) return name;
    const locale_t before = ::uselocale(utf8);
    std::string folded;
    std::mbstate_t reading = {}, writing = {};
    for (std::size_t i = 0; i < name.size();) {
        wchar_t letter = 0;
        char bytes[MB_LEN_MAX];
        const std::size_t length = std::mbrtowc(&letter, name.data() + i, name.size() - i, &reading);
        if (length == 0 || length > name.size() - i) {
            folded += name[i++];
            reading = {};
            continue;
        }
        folded.append(bytes,
                      std::wcrtomb(bytes, static_cast<wchar_t>(std::towlower(static_cast<wint_t>(letter))), &writing));
        i += length;
    }
    ::uselocale(before);
    ::freelocale(utf8);
    return folded;
}

std::string otherCase(std::string name) {
    for (char& c : name)
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) c = static_cast<char>(c ^ 0x20);
    return name;
}

// Whether names in this folder that differ by case alone are one. A file system says so by finding what is there under
// a name of the other case; ext4 and f2fs say it by a flag of the folder, also while it is empty.
bool foldsCase(const fs::path& folder) {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        long flags = 0;
        const bool folds = ::ioctl(descriptor, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_CASEFOLD_FL);
        ::close(descriptor);
        if (folds) return true;
    }
    const auto answers = [](const fs::path& file) {
        std::error_code error;
        return fs::equivalent(file, file.parent_path() / otherCase(file.filename().string()), error) && !error;
    };
    std::error_code error;
    for (fs::directory_iterator entry(folder, error); !error && entry != fs::end(entry); entry.increment(error))
        if (const std::string name = entry->path().filename().string(); otherCase(name) != name)
            return answers(entry->path());
    // Empty: the folder's own name, which on such file systems folds as those in it do.
    return answers(fs::canonical(folder, error));
}

// Two names of one file have equal places.
struct Place {
    dev_t device;
    ino_t inode;
    bool content = true;  // can be lost; not of devices, pipes and sockets
    bool nowhere = false; // /dev/null
    // Of a file that is not there yet; the numbers are then those of its folder.
    std::string name, folded; // as given and in one case
    fs::path folder;
};

std::optional<Place> placeOf(const std::string& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) == 0)
        return Place{.device = status.st_dev,
                     .inode = status.st_ino,
                     .content = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode),
                     .nowhere = S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)};
    const fs::path target = withLinksFollowed(path);
    const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
    // Without a folder or a name nothing can be created there; whoever tries will say so.
    if (!target.has_filename() || ::stat(folder.c_str(), &status) != 0) return std::nullopt;
    const std::string name = target.filename().string();
    return Place{
        .device = status.st_dev, .inode = status.st_ino, .name = name, .folded = foldedCase(name), .folder = folder};
}

bool same(const Place& a, const Place& b) {
    if (a.device != b.device || a.inode != b.inode || a.name.empty() != b.name.empty()) return false;
    return a.name == b.name || (a.folded == b.folded && foldsCase(a.folder));
}

bool isStream(Role role) { return role == Role::Stream || role == Role::FullStream; }

// One of them would lose by the other, if they are at one place.
bool collide(Role a, Role b, const Place& place) {
    if (a == b && a != Role::Output) return false;
    if (isStream(a) && isStream(b)) return false; // as the shell was told
    if (place.content) return true;
    return !place.nowhere && (a == Role::FullStream || b == Role::FullStream) &&
           (a == Role::Output || b == Role::Output);
}

std::string shown(const NamedFile& file) {
    return isStream(file.role) ? file.name : fmt::format("{} {}", file.name, quote(file.path));
}

} // namespace

Result<void> checkFilesApart(std::span<const NamedFile> files) {
    std::vector<std::optional<Place>> places;
    for (const NamedFile& file : files) places.push_back(file.path.empty() ? std::nullopt : placeOf(file.path));
    for (std::size_t i = 0; i < files.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            if (!places[i] || !places[j] || !collide(files[i].role, files[j].role, *places[i]) ||
                !same(*places[i], *places[j]))
                continue;
            if (!places[i]->content)
                return fail(ErrorCode::BadUsage, "{} and {} are the same, and only JSON goes there.", shown(files[j]),
                            shown(files[i]));
            return fail(ErrorCode::BadUsage, "{} and {} are the same file, which would be overwritten.",
                        shown(files[j]), shown(files[i]));
        }
    return {};
}

std::string withLinksFollowed(const std::string& path) {
    constexpr int most = 40; // as many as the kernel follows
    fs::path file(path);
    std::error_code error;
    for (int links = 0; links < most; ++links) {
        const fs::path target = fs::read_symlink(file, error);
        if (error) break;
        file = file.parent_path() / target;
    }
    return file.string();
}

} // namespace spikescope
