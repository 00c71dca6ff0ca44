// What a file is that is none of tensors. Protects: that people are told what they have and what to do, and that no
// legal .safetensors file is taken for something else because of the number it begins with.

#include "core/tensors/file_kind.h"
#include "core/tensors/tensor_file.h"
#include "tests/support/archives.h"

#include <gtest/gtest.h>

namespace spikescope {
namespace {

using namespace std::string_literals;

std::span<const std::byte> bytesOf(const std::string& content) { return std::as_bytes(std::span(content)); }

TEST(FileKind, saysWhatTheFileIsAndWhatToDo) {
    const std::string lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:7e7e\nsize 167335342\n";
    ZipWriter text, torch, npz;
    text.add("readme.txt", "hello");
    torch.add("archive/data.pkl", "\x80\x02}.");
    npz.add("a.npy", "");
    const std::vector<std::pair<std::string, std::vector<std::string>>> cases{
        {lfs, {"is a Git LFS pointer; its 167335342 bytes were not fetched (git lfs pull)"}},
        {lfs.substr(0, 60), {"Git LFS pointer", "git lfs pull"}},
        {lfs + "size " + std::string(500, '9'), {"its 167335342 bytes"}},
        {"<!DOCTYPE html>\n<html>", {"an HTML page"}},
        {"\xef\xbb\xbf \n<HTML lang=en>", {"an HTML page"}},
        {"<?xml version='1.0'?><Error>", {"an XML document"}},
        {"GGUF\x03\0\0\0\x01\0\0\0"s, {"GGUF"}},
        {"\x1f\x8b\x08\0\0\0\0\0\0\x03"s, {"gzip", "gunzip"}},
        {"\xfd"s + "7zXZ\0"s, {"xz"}},
        {"\x28\xb5\x2f\xfd\x04", {"Zstandard"}},
        {"{\"scaling_factor\": 0.18215}", {"a JSON file"}},
        {" [1, 2]", {"a JSON file"}},
        {"{\n  \"metadata\": {},\n \"weight_map\": {}}", {"JSON index of a model in several files"}},
        {"\x89PNG\r\n\x1a\n", {"PNG"}},
        {"\xff\xd8\xff\xe0", {"JPEG"}},
        {"RIFF\x10\0\0\0WEBPVP8 "s, {"WebP"}},
        {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
         {"PyTorch file of the format before version 1.6", "save it again"}},
        {"\x80\x04\x95\x10\0\0\0\0\0\0\0}"s, {"a Python pickle"}},
        {text.finish(), {"a zip archive; unpack it first"}},
        {torch.finish(), {"a PyTorch file"}},
        {npz.finish(), {".npz"}},
        {std::string(64, '\0'), {"zeros", "download it again"}},
        {"", {"empty (0 bytes)"}},
    };
    for (const auto& [content, parts] : cases) {
        const auto kind = describeForeign(bytesOf(content), content.size(), "x");
        ASSERT_TRUE(kind) << parts.front();
        for (const std::string& part : parts) EXPECT_NE(kind->find(part), std::string::npos) << *kind << "\n" << part;
        // And every reader says so, whatever the file is called; archives it can look into.
        if (content.starts_with("PK")) continue;
        for (const char* name : {"x.safetensors", "x.ckpt", "x"}) {
            const auto file = TensorFile::parse(bytesOf(content), name);
            ASSERT_FALSE(file);
            EXPECT_EQ(file.error().message, "'"s + name + "': " + *kind + ".");
        }
    }
    EXPECT_NE(describeForeign(bytesOf("{}"), 2, "a/model.safetensors.index.json")->find("index"), std::string::npos);
    for (const std::string& content : {"just a few words"s, "version 1"s, "{x"s, "\x93NUMPY\x01\0"s, "P"s, "\x80"s})
        EXPECT_FALSE(describeForeign(bytesOf(content), content.size(), "x")) << content;
}

// The header's length may begin as any other kind of file does.
TEST(FileKind, aHeaderOfAnyLengthIsRecognised) {
    const std::string entry = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
    for (const std::size_t length : {0x280u, 0x480u, 0x4b50u, 0x227bu, 0x8b1fu, 0xd8ffu, 0x93u, 0x80u, 0x88b1fu}) {
        const std::string content =
            littleEndian(std::uint64_t{length}) + entry + std::string(length - entry.size() - 1, ' ') + "}d";
        EXPECT_FALSE(describeForeign(bytesOf(content), content.size(), "x")) << length;
        for (const char* name : {"x.safetensors", "x.ckpt", "x"}) {
            const auto file = TensorFile::parse(bytesOf(content), name);
            ASSERT_TRUE(file) << file.error().message;
            EXPECT_EQ(file->format(), TensorFile::Format::Safetensors);
        }
    }
    // A length of 67 MB is the mark of a zip archive.
    const std::string zipLike = "PK\x03\x04\0\0\0\0{\"a\":{\"dty"s;
    EXPECT_FALSE(describeForeign(bytesOf(zipLike), 100'000'000, "x"));
    const auto cut = TensorFile::parse(bytesOf(zipLike), "x");
    ASSERT_FALSE(cut);
    EXPECT_NE(cut.error().message.find("incomplete: its header has 67324752 bytes"), std::string::npos)
        << cut.error().message;
}

} // namespace
} // namespace spikescope
