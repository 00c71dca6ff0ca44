#include "core/base/checked.h"
#include "core/base/file_identity.h"
#include "core/base/mapped_file.h"
#include "core/base/output_file.h"
#include "core/base/text.h"
#include "tests/support/folder_test.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace spikescope {
namespace {

namespace fs = std::filesystem;

static_assert(!std::is_copy_constructible_v<MappedFile> && std::is_nothrow_move_constructible_v<MappedFile>);
static_assert(!std::is_copy_constructible_v<OutputFile> && std::is_nothrow_move_constructible_v<OutputFile>);

class BaseFiles : public FolderTest {
protected:
    std::string at(const std::string& name) const { return m_folder + name; }
    std::size_t entries() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(m_folder), fs::directory_iterator()));
    }
};

void put(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::string get(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::span<const std::byte> asBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

void expectError(const Error& error, ErrorCode code, const std::vector<std::string>& parts) {
    EXPECT_EQ(error.code, code) << error.message;
    for (const std::string& part : parts) EXPECT_NE(error.message.find(part), std::string::npos) << error.message;
    EXPECT_TRUE(error.message.ends_with(".")) << error.message;
}

TEST_F(BaseFiles, MapsAWholeFile) {
    put(at("a"), "hello");
    auto file = MappedFile::open(at("a"));
    ASSERT_TRUE(file) << file.error().message;
    const std::byte* before = file->bytes().data();
    const MappedFile moved = std::move(*file);
    ASSERT_EQ(moved.bytes().size(), 5u);
    EXPECT_EQ(moved.bytes().data(), before);
    EXPECT_EQ(std::to_integer<char>(moved.bytes()[4]), 'o');
}

TEST_F(BaseFiles, DroppedPagesAreNotResidentAndCanBeReadAgain) {
    const std::size_t size = 8 * 1024 * 1024 + 17;
    put(at("a"), std::string(size, 'x'));
    auto file = MappedFile::open(at("a"));
    ASSERT_TRUE(file);
    const auto resident = [] { // pages
        std::ifstream in("/proc/self/statm");
        long total = 0, pages = 0;
        in >> total >> pages;
        return pages;
    };
    const auto sum = [&] {
        std::size_t count = 0;
        for (const std::byte value : file->bytes()) count += value == std::byte{'x'};
        return count;
    };
    EXPECT_EQ(sum(), size);
    const long before = resident();
    file->dropPages(0, size);
    EXPECT_LT(resident(), before - 1500); // of 2049
    EXPECT_EQ(sum(), size);
    file->dropPages(1, 1);
    file->dropPages(size - 1, ~std::uint64_t{0});
    file->dropPages(~std::uint64_t{0}, ~std::uint64_t{0});
    file->dropPages(5, 0);
    EXPECT_EQ(sum(), size);
}

TEST_F(BaseFiles, MappingRefusesWhatIsNotAFileWithContent) {
    put(at("empty"), "");
    ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
    const struct {
        std::string path;
        ErrorCode code;
        std::string part;
    } cases[] = {
        {at("missing"), ErrorCode::Io, "No such file"},
        {m_folder, ErrorCode::BadInput, "is a directory"},
        {at("empty"), ErrorCode::BadInput, "is empty"},
        {at("pipe"), ErrorCode::BadInput, "not a regular file"}, // and does not wait for a writer
        {"/dev/zero", ErrorCode::BadInput, "not a regular file"},
        {"/dev/null", ErrorCode::BadInput, "not a regular file"},
        {"", ErrorCode::Io, "No such file"},
    };
    for (const auto& c : cases) {
        const auto file = MappedFile::open(c.path);
        ASSERT_FALSE(file) << c.path;
        expectError(file.error(), c.code, {quote(c.path), c.part});
    }
}

TEST_F(BaseFiles, OutputAppearsAtCommitAndReplacesTheOldFile) {
    put(at("out"), "old");
    auto file = OutputFile::create(at("out"));
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_TRUE(file->write("new "));
    OutputFile moved = std::move(*file);
    ASSERT_TRUE(moved.write("content"));
    EXPECT_EQ(get(at("out")), "old");
    ASSERT_TRUE(moved.commit());
    EXPECT_EQ(get(at("out")), "new content");
    EXPECT_EQ(entries(), 1u);
    EXPECT_FALSE(moved.write("more"));
    EXPECT_FALSE(moved.commit());
    EXPECT_EQ(get(at("out")), "new content");
}

TEST_F(BaseFiles, OutputRespectsTheUmask) {
    const mode_t before = ::umask(027);
    auto file = OutputFile::create(at("out"));
    ::umask(before);
    ASSERT_TRUE(file && file->commit());
    struct stat status = {};
    ASSERT_EQ(::stat(at("out").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST_F(BaseFiles, NothingRemainsWithoutCommit) {
    {
        auto file = OutputFile::create(at("out"));
        ASSERT_TRUE(file && file->write("half"));
        auto other = OutputFile::create(at("other"));
        ASSERT_TRUE(other);
        *file = std::move(*other);
    }
    EXPECT_EQ(entries(), 0u);
}

TEST_F(BaseFiles, WritesInOrderAndAtPlaces) {
    auto file = OutputFile::create(at("out"));
    ASSERT_TRUE(file);
    const std::string large(200'000, 'L');
    ASSERT_TRUE(file->write("0123456789"));
    ASSERT_TRUE(file->writeAt(2, asBytes("AB")));
    ASSERT_TRUE(file->write(large));
    ASSERT_TRUE(file->writeAt(200'012, asBytes("end")));
    ASSERT_TRUE(file->write(""));
    ASSERT_TRUE(file->commit());
    EXPECT_EQ(get(at("out")), "01AB456789" + large + std::string(2, '\0') + "end");
}

TEST_F(BaseFiles, ManySmallWritesKeepTheirOrder) {
    auto file = OutputFile::create(at("out"));
    ASSERT_TRUE(file);
    std::string expected;
    for (int i = 0; i < 30'000; ++i) {
        const std::string line = std::to_string(i) + "\n";
        expected += line;
        ASSERT_TRUE(file->write(line));
    }
    ASSERT_TRUE(file->commit());
    EXPECT_EQ(get(at("out")), expected);
}

TEST_F(BaseFiles, FollowsALinkAndKeepsIt) {
    put(at("real"), "old");
    fs::create_symlink("real", at("link"));
    auto file = OutputFile::create(at("link"));
    ASSERT_TRUE(file && file->write("new") && file->commit());
    EXPECT_TRUE(fs::is_symlink(at("link")));
    EXPECT_EQ(get(at("real")), "new");
}

TEST_F(BaseFiles, ALinkToNothingStaysAndItsFileIsMade) {
    fs::create_symlink("real", at("link"));
    auto file = OutputFile::create(at("link"));
    ASSERT_TRUE(file && file->write("new") && file->commit());
    EXPECT_TRUE(fs::is_symlink(at("link")));
    EXPECT_EQ(get(at("real")), "new");

    fs::create_symlink("around", at("around"));
    const auto endless = OutputFile::create(at("around"));
    ASSERT_FALSE(endless);
    expectError(endless.error(), ErrorCode::Io, {"around", "symbolic links"});
    EXPECT_TRUE(fs::is_symlink(at("around")));
}

// However two names of one file are spelled, an output by one of them is refused and both are said.
TEST_F(BaseFiles, NamesOfOneFileAreSeen) {
    fs::create_directories(at("folder"));
    fs::create_directory_symlink("folder", at("linked"));
    put(at("here"), "x");
    fs::create_hard_link(at("here"), at("hard"));
    fs::create_symlink("here", at("soft"));
    fs::create_symlink("soft", at("softer"));
    fs::create_symlink("folder/new", at("dangling"));
    fs::create_symlink("dangling", at("twice"));
    using Role = NamedFile::Role;
    const auto check = [](const std::string& a, Role roleA, const std::string& b, Role roleB) {
        return checkFilesApart(std::vector<NamedFile>{{.name = "--other", .path = "", .role = Role::Output},
                                                      {.name = "--a", .path = a, .role = roleA},
                                                      {.name = "--b", .path = b, .role = roleB}});
    };
    const std::pair<std::string, std::string> same[] = {
        {"here", "here"},
        {"here", "./here"},
        {"here", "folder/../here"},
        {"here", "hard"},
        {"here", "soft"},
        {"softer", "hard"},
        {"new", "new"},
        {"new", "./new"},
        {"new", "linked/../new"},
        {"folder/new", "linked/new"},
        {"dangling", "folder/new"},
        {"twice", "linked/new"},
    };
    for (const auto& [a, b] : same) {
        for (const auto& [roleA, roleB] :
             {std::pair(Role::Input, Role::Output), std::pair(Role::Output, Role::Input),
              std::pair(Role::Output, Role::Output), std::pair(Role::Stream, Role::Output)}) {
            const auto result = check(at(a), roleA, at(b), roleB);
            ASSERT_FALSE(result) << a << " " << b;
            expectError(result.error(), ErrorCode::BadUsage, {"--a", "--b " + quote(at(b))});
        }
        EXPECT_TRUE(check(at(a), Role::Input, at(b), Role::Input)) << "an input may be read twice";
        EXPECT_TRUE(check(at(a), Role::Stream, at(b), Role::FullStream)) << "a shell may join streams";
    }
    const std::pair<std::string, std::string> apart[] = {{"here", "new"},  {"new", "other"}, {"new", "folder/new"},
                                                         {"no/a", "no/a"}, {"new", "NEW"},   {"here", "HERE"}};
    for (const auto& [a, b] : apart) EXPECT_TRUE(check(at(a), Role::Output, at(b), Role::Output)) << a << " " << b;
    EXPECT_TRUE(check(at("here"), Role::Stream, at("new"), Role::Output));
    EXPECT_FALSE(check(at("here"), Role::Stream, at("soft"), Role::Input)) << "a shell's >> would append to it";
    EXPECT_EQ(entries(), 8u) << "nothing was made";
}

TEST_F(BaseFiles, DevicesAndPipesMayBeNamedTwice) {
    ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
    using Role = NamedFile::Role;
    for (const std::string& path : {std::string("/dev/null"), std::string("/dev/full"), at("pipe")}) {
        const auto with = [&](Role role) {
            return checkFilesApart(std::vector<NamedFile>{{.name = "--a", .path = path, .role = Role::Output},
                                                          {.name = "b", .path = path, .role = role}});
        };
        EXPECT_TRUE(with(Role::Output)) << path;
        EXPECT_TRUE(with(Role::Stream)) << path;
        EXPECT_EQ(with(Role::FullStream).has_value(), path == "/dev/null") << path;
    }
}

// Where a file system takes names of either case for one. Few machines have such a folder to test with.
TEST_F(BaseFiles, NamesByCaseAreSeenWhereTheFileSystemFoldsIt) {
    const char* folding = std::getenv("SPIKESCOPE_FOLDING_FOLDER");
    if (!folding) GTEST_SKIP() << "SPIKESCOPE_FOLDING_FOLDER names no folder that folds case";
    const std::string folder = std::string(folding) + "/";
    using Role = NamedFile::Role;
    for (const auto& [a, b] : {std::pair("new.png", "NEW.png"), std::pair("é.png", "É.png")})
        EXPECT_FALSE(checkFilesApart(std::vector<NamedFile>{{.name = "--a", .path = folder + a, .role = Role::Output},
                                                            {.name = "--b", .path = folder + b, .role = Role::Output}}))
            << a;
}

TEST_F(BaseFiles, TakesTheLongestName) {
    const std::string path = at(std::string(255, 'n'));
    auto file = OutputFile::create(path);
    ASSERT_TRUE(file && file->write("x") && file->commit());
    EXPECT_EQ(get(path), "x");
}

TEST_F(BaseFiles, CreatingFailsWithTheReason) {
    put(at("file"), "x");
    const std::pair<std::string, std::string> cases[] = {
        {at("missing/out"), "No such file"},
        {at("file/out"), "Not a directory"},
        {m_folder, "directory"},
        {m_folder.substr(0, m_folder.size() - 1), "Is a directory"},
        {at(std::string(300, 'n')), "long"},
        {"", "empty name"},
    };
    for (const auto& [path, part] : cases) {
        if (path.find("nnn") != std::string::npos) continue; // only the rename finds out, below
        const auto file = OutputFile::create(path);
        ASSERT_FALSE(file) << path;
        expectError(file.error(), ErrorCode::Io, {part});
    }
    auto file = OutputFile::create(at(std::string(300, 'n')));
    ASSERT_TRUE(file);
    const auto committed = file->commit();
    ASSERT_FALSE(committed);
    expectError(committed.error(), ErrorCode::Io, {"too long"});
    EXPECT_EQ(entries(), 1u);
}

TEST_F(BaseFiles, ReadOnlyTargetIsNotReplaced) {
    if (::geteuid() == 0) GTEST_SKIP() << "root may write anything";
    put(at("out"), "old");
    fs::permissions(at("out"), fs::perms::owner_read);
    const auto file = OutputFile::create(at("out"));
    ASSERT_FALSE(file);
    expectError(file.error(), ErrorCode::Io, {"Permission denied"});
}

TEST(OutputDevices, AFullDiskIsSaidByWriteAndByCommit) {
    const std::string large(1'000'000, 'x');
    auto atOnce = OutputFile::create("/dev/full");
    ASSERT_TRUE(atOnce);
    const auto written = atOnce->write(large);
    ASSERT_FALSE(written);
    expectError(written.error(), ErrorCode::Io, {"'/dev/full'", "No space left on device"});
    EXPECT_FALSE(atOnce->commit());

    auto atEnd = OutputFile::create("/dev/full");
    ASSERT_TRUE(atEnd && atEnd->write("buffered"));
    const auto committed = atEnd->commit();
    ASSERT_FALSE(committed);
    expectError(committed.error(), ErrorCode::Io, {"'/dev/full'", "No space left on device"});
}

TEST(OutputDevices, ADeviceIsWrittenInOrderOnly) {
    auto file = OutputFile::create("/dev/null");
    ASSERT_TRUE(file && file->write("head") && file->writeAt(4, asBytes("next")));
    const auto result = file->writeAt(100, asBytes("far"));
    ASSERT_FALSE(result);
    expectError(result.error(), ErrorCode::Io, {"out of order", "'/dev/null'"});

    auto whole = OutputFile::create("/dev/null");
    EXPECT_TRUE(whole && whole->write("x") && whole->commit());
    EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(BaseFiles, AWriteThatFailsHalfwayIsNotCommitted) {
    // The file size limit stands in for a disk that fills up.
    rlimit before = {};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto previous = std::signal(SIGXFSZ, SIG_IGN);
    auto file = OutputFile::create(at("out"));
    ASSERT_TRUE(file);
    const rlimit small = {100'000, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto written = file->write(std::string(300'000, 'x'));
    const auto again = file->write("y");
    const auto committed = file->commit();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, previous);
    ASSERT_FALSE(written);
    expectError(written.error(), ErrorCode::Io, {at("out"), "too large"});
    EXPECT_FALSE(committed);
    EXPECT_EQ(entries(), 0u);
}

TEST(Narrow, KeepsWhatFitsAndEndsTheProgramOtherwise) {
    EXPECT_EQ(narrow<std::uint32_t>(std::uint64_t{4294967295}), 4294967295u);
    EXPECT_EQ(narrow<std::int32_t>(std::int64_t{-2147483648}), std::numeric_limits<std::int32_t>::min());
    EXPECT_DEATH(narrow<std::uint32_t>(std::uint64_t{4294967296}),
                 "base_files_test.cpp:[0-9]+: 4294967296 does not fit "
                 "into 32 unsigned bits");
    EXPECT_DEATH(narrow<std::int32_t>(std::uint64_t{2147483648}), ": 2147483648 does not fit into 32 signed bits");
    EXPECT_DEATH(narrow<std::uint32_t>(-7), ": -7 does not fit into 32 unsigned bits");
}

TEST(Text, Bytes) {
    const std::pair<std::uint64_t, std::string> cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.00 KiB"},
        {1536, "1.50 KiB"},
        {std::uint64_t{1} << 20, "1.00 MiB"},
        {std::uint64_t{3} << 29, "1.50 GiB"},
        {std::uint64_t{1} << 40, "1024.00 GiB"},
    };
    for (const auto& [bytes, text] : cases) EXPECT_EQ(formatBytes(bytes), text);
}

TEST(Text, Durations) {
    EXPECT_EQ(formatDuration(0.854), "0.85 ms");
    EXPECT_EQ(formatDuration(1000.0), "1.00 s");
    EXPECT_EQ(formatDuration(12'340.0), "12.34 s");
}

TEST(Text, WhatIsPrintedIsNoCommandToATerminal) {
    EXPECT_EQ(visible("a\tb\nc \x1b]0;title\x07 \x7f \xc2\x85 \xe2\x81\xa6 grün ─ €"),
              "a\tb\nc \\u001b]0;title\\u0007 \\u007f \\u0085 \\u2066 grün ─ €");
    EXPECT_EQ(printable("a\tb\n\xc2\x85\xe2\x80\xa8 \xe2\x80"), "a?b??? \xe2\x80");
}

TEST(Text, QuoteIsSafeToPrintAndBounded) {
    EXPECT_EQ(quote("decoder.conv_in"), "'decoder.conv_in'");
    EXPECT_EQ(quote(""), "''");
    EXPECT_EQ(quote(std::string("a\n\x1b[2J\0b", 8)), "'a\\x0a\\x1b[2J\\x00b'");
    EXPECT_EQ(quote("\x7f"), "'\\x7f'");
    EXPECT_EQ(quote("a\xc2\x9b"
                    "2Jb\xe2\x80\xae"
                    "c"),
              "'a\\u009b2Jb\\u202ec'"); // C1, and right to left
    EXPECT_EQ(quote("grün"), "'grün'");
    EXPECT_EQ(quote(std::string(200, 'a')), "'" + std::string(200, 'a') + "'");
    EXPECT_EQ(quote(std::string(5000, 'a')), "'" + std::string(200, 'a') + "…'");
}

TEST(Text, Joined) {
    EXPECT_EQ(joined({}, ", "), "");
    EXPECT_EQ(joined({"a"}, ", "), "a");
    EXPECT_EQ(joined({"a", "b", "c"}, ", "), "a, b, c");
}

} // namespace
} // namespace spikescope
