// Zip archives. Protects: that entries lie where their directory says, inside the file and beside one another.

#include "core/tensors/zip.h"
#include "tests/support/archives.h"

#include <gtest/gtest.h>

namespace spikescope {
namespace {

using namespace std::string_literals;

Result<Zip> parsed(const std::string& content) { return Zip::parse(std::as_bytes(std::span(content)), "x.zip"); }

std::string textOf(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Zip, readsStoredAndDeflatedEntries) {
    const std::string large(100'000, 'z');
    for (const bool zip64 : {false, true}) {
        ZipWriter writer{.entries = {}, .zip64 = zip64};
        writer.add("b/stored", "hello");
        writer.add("a", large, true);
        writer.add("nothing", "");
        writer.add("nothing deflated", "", true);
        const std::string content = writer.finish();
        const auto zip = parsed(content);
        ASSERT_TRUE(zip) << zip.error().message;
        ASSERT_EQ(zip->entries().size(), 4u);
        EXPECT_EQ(zip->entries()[0].name, "b/stored");
        EXPECT_EQ(textOf(*zip->stored(*zip->find("b/stored"))), "hello");
        EXPECT_EQ(textOf(*zip->inflated(*zip->find("a"), large.size())), large);
        EXPECT_TRUE(zip->inflated(*zip->find("nothing deflated"), 0));
        EXPECT_FALSE(zip->inflated(*zip->find("a"), large.size() - 1));
        EXPECT_FALSE(zip->stored(*zip->find("a")));
        EXPECT_EQ(zip->find("c"), nullptr);
        EXPECT_TRUE(parsed(content.substr(0, content.size() - 2) + "\x03\0abc"s)); // a comment
    }
    EXPECT_TRUE(parsed(ZipWriter{}.finish()));
}

TEST(Zip, refusesWithTheReason) {
    const auto with = [](std::vector<ZipWriter::Entry> entries, bool zip64 = false) {
        return ZipWriter{.entries = std::move(entries), .zip64 = zip64}.finish();
    };
    const std::string good = with({{.name = "a", .content = "12345"}});
    const std::pair<std::string, std::string> cases[] = {
        {"", "directory is missing"},
        {good.substr(0, good.size() - 1), "directory is missing"},
        {good.substr(1), "ends at"},
        {with({{.name = "a", .content = "1"}, {.name = "a", .content = "2"}}), "zip entry 'a' twice"},
        {with({{.name = "a", .content = "1", .offsetLie = 1}}), "'a' is not at byte 1"},
        {with({{.name = "a", .content = "1", .offsetLie = -1}}), "'a' is not at byte"},
        {with({{.name = "a", .content = "1", .offsetLie = -1}}, true), "'a' is not at byte 18446744073709551615"},
        {with({{.name = "a", .content = "1", .sizeLie = 100}}), "'a' has 101 bytes"},
        {with({{.name = "a", .content = "1", .sizeLie = -2}}, true), "'a' has 18446744073709551615 bytes"},
        {with({{.name = "a", .content = "1", .sizeLie = 20}, {.name = "b", .content = std::string(50, 'b')}}),
         "'b' begins at byte 41, inside entry 'a', which ends at 61"},
        {with({{.name = "a", .content = "1"}, {.name = "b", .content = "1", .offsetLie = -41}}), "inside entry"},
    };
    for (const auto& [content, part] : cases) {
        const auto zip = parsed(content);
        ASSERT_FALSE(zip) << part;
        EXPECT_EQ(zip.error().code, ErrorCode::BadInput);
        EXPECT_NE(zip.error().message.find(part), std::string::npos) << zip.error().message << "\n" << part;
    }
    const std::string secret = with({{.name = "a", .content = "12345", .flags = 1}});
    const auto zip = parsed(secret);
    ASSERT_TRUE(zip) << zip.error().message;
    EXPECT_NE(zip->stored(zip->entries()[0]).error().message.find("encrypted"), std::string::npos);

    std::string changed = with({{.name = "a", .content = "12345 12345 12345", .deflate = true}});
    changed[changed.find("PK\x01\x02") + 16] ^= 1; // the checksum
    const auto wrong = parsed(changed);
    ASSERT_TRUE(wrong) << wrong.error().message;
    EXPECT_NE(wrong->inflated(wrong->entries()[0], 100).error().message.find("checksum"), std::string::npos);
}

} // namespace
} // namespace spikescope
