#include "core/tensors/safetensors_writer.h"
#include "core/tensors/tensor_file.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <unistd.h>

namespace spikescope {
namespace {

namespace fs = std::filesystem;

static_assert(!std::is_copy_constructible_v<TensorFile> && std::is_nothrow_move_constructible_v<TensorFile>);

std::string scratch(const std::string& name) {
    return testing::TempDir() + "spikescope_safetensors_" + std::to_string(::getpid()) + "_" + name;
}

void put(const std::string& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

std::string get(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::string withLength(std::uint64_t length, const std::string& rest) {
    std::string out(8, '\0');
    std::memcpy(out.data(), &length, 8);
    return out + rest;
}

std::string file(const std::string& header, std::size_t dataBytes = 0) {
    return withLength(header.size(), header) + std::string(dataBytes, 'd');
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
    return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets +
           "]}";
}

std::string object(const std::vector<std::string>& entries) {
    std::string out = "{";
    for (const std::string& text : entries) out += (out.size() > 1 ? "," : "") + text;
    return out + "}";
}

Result<TensorFile> parsed(const std::string& content) {
    return TensorFile::parse(std::as_bytes(std::span(content)), "x.safetensors");
}

TEST(Safetensors, ReadsNamesFormatsShapesAndPlaces) {
    const std::string content =
        file(object({R"("__metadata__":{"format":"pt","who":"me"})", entry("b", "F16", "3", "16,22"),
                     entry("a", "F32", "2,2", "0,16"), entry("scalar", "BF16", "", "22,24")}) +
                 "   ",
             24);
    const auto read = parsed(content);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->fileName(), "x.safetensors");
    EXPECT_EQ(read->metadata().at("format"), "pt");
    EXPECT_EQ(read->metadata().size(), 2u);
    ASSERT_EQ(read->tensors().size(), 3u);
    const TensorView& a = read->tensors()[0]; // the order of the bytes, not of the header
    EXPECT_EQ(a.name, "a");
    EXPECT_EQ(a.dtypeText, "F32");
    EXPECT_EQ(a.stored, StoredType::F32);
    EXPECT_EQ(a.shape, (std::vector<std::uint64_t>{2, 2}));
    EXPECT_EQ(a.elements, 4u);
    EXPECT_EQ(a.bytes, 16u);
    EXPECT_EQ(a.offset, content.size() - 24);
    EXPECT_EQ(read->tensors()[1].stored, StoredType::F16);
    EXPECT_EQ(read->tensors()[2].stored, StoredType::BF16);
    EXPECT_EQ(read->tensors()[2].elements, 1u);
    ASSERT_NE(read->find("scalar"), nullptr);
    EXPECT_EQ(read->data(*read->find("scalar")).size(), 2u);
    EXPECT_EQ(read->data(*read->find("scalar")).data(), reinterpret_cast<const std::byte*>(&content.back()) - 1);
    EXPECT_EQ(read->find("c"), nullptr);
    EXPECT_EQ(read->find(""), nullptr);
}

TEST(Safetensors, OtherFormatsAreLegalButNotOurs) {
    const std::pair<std::string, int> formats[] = {
        {"I64", 64},    {"U64", 64},        {"C64", 64},        {"I32", 32}, {"U32", 32},    {"I16", 16},
        {"U16", 16},    {"I8", 8},          {"U8", 8},          {"BOOL", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6},
        {"F6_E3M2", 6}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F4", 4},
    };
    for (const auto& [text, bits] : formats) {
        const auto bytes = static_cast<std::size_t>(bits * 8 / 8); // of eight elements
        const auto read = parsed(file(object({entry("t", text, "8", "0," + std::to_string(bytes))}), bytes));
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_FALSE(read->tensors()[0].stored);
        EXPECT_EQ(read->tensors()[0].dtypeText, text);
    }
}

TEST(Safetensors, TensorsWithoutElementsAreLegalAnywhere) {
    const auto read = parsed(
        file(object({entry("z", "F32", "0", "0,0"), entry("a", "F32", "1", "0,4"), entry("y", "F32", "3,0,5", "4,4"),
                     entry("b", "F32", "1", "4,8"), entry("w", "F64", "0", "8,8")}),
             8));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->tensors().size(), 5u);
    EXPECT_TRUE(read->data(*read->find("y")).empty());
    EXPECT_TRUE(parsed(file("{}")));
    EXPECT_TRUE(parsed(file(object({entry("", "U8", "0", "0,0")}))));
}

// MLX and others write in the order of a map, and null where they have no metadata.
TEST(Safetensors, OffsetsNeedNoAlignmentAndMetadataMayBeNull) {
    const auto read = parsed(file(object({R"("__metadata__":null)", entry("u", "U8", "1", "0,1"),
                                          entry("a", "F32", "1", "1,5"), entry("b", "F64", "1", "5,13")}),
                                  13));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(read->metadata().empty());
    ASSERT_EQ(read->tensors().size(), 3u);
    EXPECT_EQ(read->find("a")->offset - read->find("u")->offset, 1u);
    EXPECT_FALSE(parsed(file(R"({"__metadata__":null,"__metadata__":null})")));
}

TEST(Safetensors, RefusesWithTheReason) {
    const std::string large = "18446744073709551615";
    std::string rank9 = "1";
    for (int i = 0; i < 8; ++i) rank9 += ",1";
    const struct {
        std::string content;
        std::vector<std::string> parts;
    } cases[] = {
        // the frame
        {"", {"empty (0 bytes)"}},
        {"1234567", {"7 bytes"}},
        {withLength(2, ""), {"header has 2 bytes", "only 8"}},
        {withLength(3, "{}"), {"incomplete: its header has 3 bytes", "only 10"}},
        {withLength(~std::uint64_t{0}, "{}"),
         {"not a .safetensors file", "begins with the bytes ff ff ff ff ff ff ff ff."}},
        {withLength(100'000'001, "{" + std::string(100'000'000, ' ')), {"100000001 bytes", "the most is 100000000"}},
        {withLength(0, "{}"), {"does not begin with '{'"}},
        {file(" {}"), {"not a .safetensors file"}},
        {file("[]"), {"not a .safetensors file"}},
        {file("\xef\xbb\xbf{}"), {"not a .safetensors file"}},
        // the JSON
        {file("{"), {"not valid JSON at byte"}},
        {file("{}}"), {"not valid JSON at byte 3 of 3"}},
        {file("{}{}"), {"not valid JSON"}},
        {file(std::string("{}\0x", 4)), {"not valid JSON at byte 3 of 4"}},
        {file(std::string("{\"a\0\":{}}", 9)), {"not valid JSON"}},
        {file("{'a':{}}"), {"not valid JSON"}},
        {file("{\"\xff\":{}}"), {"not valid JSON"}},
        {file("{\"\\ud800\":{}}"), {"not valid JSON"}},
        {file("{\"a\":{},}"), {"no dtype"}},
        {file("{/**/}"), {"not valid JSON"}},
        {file(R"({"a":1})"), {"'a' is the number 1 instead of an object"}},
        {file(R"({"a":null})"), {"'a' is null"}},
        {file(R"({"a":true})"), {"'a' is a boolean"}},
        {file(R"({"a":"b"})"), {"'a' is the text 'b'"}},
        {file(R"({"a":1e999})"), {"not valid JSON"}},
        {file("{\"a\":" + std::string(100'000, '[')), {"'a' is a list"}},
        {file(R"({"a":{"shape":)" + std::string(100'000, '[')), {"tensor 'a' has a list in its shape"}},
        {file(R"({"a":{"dtype":)" + std::string(100'000, '{')), {"tensor 'a' has an object as its dtype"}},
        {file(R"({"a":{"shape":[{}]}})"), {"an object in its shape"}},
        // metadata
        {file(R"({"__metadata__":1})"), {"'__metadata__' is the number 1"}},
        {file(R"({"__metadata__":{"a":1}})"), {"metadata 'a' is the number 1 instead of text"}},
        {file(R"({"__metadata__":{"a":{}}})"), {"metadata 'a' is an object"}},
        {file(R"({"__metadata__":{"a":"b","a":"c"}})"), {"metadata 'a' twice"}},
        {file(R"({"__metadata__":{},"__metadata__":{}})"), {"'__metadata__' twice"}},
        // fields
        {file(R"({"a":{}})"), {"tensor 'a' has no dtype"}},
        {file(R"({"a":{"dtype":"U8","data_offsets":[0,0]}})"), {"tensor 'a' has no shape"}},
        {file(R"({"a":{"dtype":"U8","shape":[0]}})"), {"tensor 'a' has no data_offsets"}},
        {file(R"({"a":{"dtype":"U8","dtype":"U8"}})"), {"tensor 'a' has dtype twice"}},
        {file(R"({"a":{"shape":[],"shape":[]}})"), {"tensor 'a' has shape twice"}},
        {file(R"({"a":{"strides":[1]}})"), {"tensor 'a' has the unknown field 'strides'"}},
        {file(R"({"a":{"dtype":8}})"), {"tensor 'a' has the number 8 as its dtype"}},
        {file(R"({"a":{"shape":8}})"), {"tensor 'a' has the number 8 as its shape"}},
        {file(R"({"a":{"dtype":[]}})"), {"tensor 'a' has a list as its dtype"}},
        {file(object({entry("a", "F31", "1", "0,4")}), 4), {"tensor 'a' has the unknown dtype 'F31'"}},
        {file(object({entry("a", "", "1", "0,4")}), 4), {"unknown dtype ''"}},
        {file(object({entry("a", "f32", "1", "0,4")}), 4), {"unknown dtype 'f32'"}},
        // shapes
        {file(object({entry("a", "F32", "-1", "0,4")}), 4), {"tensor 'a' has the number -1 in its shape"}},
        {file(object({entry("a", "F32", "-0", "0,0")})), {"in its shape"}},
        {file(object({entry("a", "F32", "1.5", "0,4")}), 4), {"tensor 'a' has the number '1.5' in its shape"}},
        {file(object({entry("a", "F32", "1e0", "0,4")}), 4), {"'1e0' in its shape"}},
        {file(object({entry("a", "F32", "\"1\"", "0,4")}), 4), {"the text '1' in its shape"}},
        {file(object({entry("a", "F32", "18446744073709551616", "0,4")}), 4), {"18446744073709551616", "in its shape"}},
        {file(object({entry("a", "U8", rank9, "0,1")}), 1), {"tensor 'a' has more than 8 dimensions"}},
        {file(object({entry("a", "F32", large + "," + large, "0,4")}), 4), {"tensor 'a'", large, "more bytes than"}},
        {file(object({entry("a", "F32", "4611686018427387905", "0,4")}), 4), {"4611686018427387905", "more bytes"}},
        {file(object({entry("a", "F4", "3", "0,1")}), 1), {"tensor 'a' of shape [3] F4 does not fill whole bytes"}},
        // places
        {file(object({entry("a", "F32", "1", "")}), 4), {"tensor 'a' has 0 data_offsets"}},
        {file(object({entry("a", "F32", "1", "0")}), 4), {"tensor 'a' has 1 data_offsets"}},
        {file(object({entry("a", "F32", "1", "0,4,4")}), 4), {"tensor 'a' has more than two data_offsets"}},
        {file(object({entry("a", "F32", "1", "-4,0")}), 4), {"the number -4 in its data_offsets"}},
        {file(object({entry("a", "F32", "1", "4,0")}), 4), {"tensor 'a' ends at byte 0 before it begins at 4"}},
        {file(object({entry("a", "F32", "2", "0,8")}), 7),
         {"incomplete: its tensors end at byte", "so 1 bytes are missing, from tensor 'a' on"}},
        {file(object({entry("a", "F32", "2", "0," + large)}), 7), {"tensor 'a' ends at byte " + large}},
        {file(object({entry("a", "F32", "2,3", "0,20")}), 20),
         {"tensor 'a' of shape [2, 3] F32 takes 24 bytes", "0 to 20 hold 20"}},
        {file(object({entry("a", "F32", "0", "0,4")}), 4), {"takes 0 bytes", "hold 4"}},
        {file(object({entry("a", "F32", "2", "0,8"), entry("b", "F32", "1", "4,8")}), 8),
         {"tensor 'b' begins at byte 4", "inside tensor 'a', which ends at 8"}},
        {file(object({entry("a", "F32", "2", "0,8"), entry("b", "F32", "2", "0,8")}), 8), {"'b'", "inside tensor 'a'"}},
        {file(object({entry("a", "F32", "2", "0,8"), entry("b", "F32", "0", "4,4")}), 8), {"'b'", "inside tensor 'a'"}},
        {file(object({entry("a", "F32", "1", "0,4"), entry("b", "F32", "1", "8,12")}), 12),
         {"bytes 4 to 8", "before tensor 'b'", "belong to no tensor"}},
        {file(object({entry("a", "F32", "1", "4,8")}), 8), {"bytes 0 to 4", "before tensor 'a'"}},
        {file(object({entry("a", "F32", "1", "0,4")}), 5), {"the tensors end at byte", "but the file has"}},
        {file("{}", 1), {"end at byte 10, but the file has 11 bytes"}},
        {file(object({entry("a", "U8", "1", "0,1"), entry("b", "U8", "1", "1,2"), entry("a", "U8", "1", "2,3")}), 3),
         {"tensor 'a' twice"}},
        {file(object({entry("a\\n\\u001b", "U9", "1", "0,1")})), {"tensor 'a\\x0a\\x1b'"}},
    };
    for (const auto& c : cases) {
        const auto read = parsed(c.content);
        ASSERT_FALSE(read) << c.parts.front();
        const Error& error = read.error();
        EXPECT_EQ(error.code, ErrorCode::BadInput);
        EXPECT_TRUE(error.message.starts_with("'x.safetensors': ") && error.message.ends_with(".")) << error.message;
        for (const std::string& part : c.parts)
            EXPECT_NE(error.message.find(part), std::string::npos) << error.message << "\n" << part;
    }
}

TEST(Safetensors, Fp8AndDoublesCanBeRead) {
    const auto read = parsed(file(object({entry("d", "F64", "1", "0,8"), entry("e4", "F8_E4M3", "2", "8,10"),
                                          entry("e5", "F8_E5M2", "1", "10,11")}),
                                  11));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->find("d")->stored, StoredType::F64);
    EXPECT_EQ(read->find("e4")->stored, StoredType::F8E4M3);
    EXPECT_EQ(read->find("e5")->stored, StoredType::F8E5M2);
    const auto values = readTensor(*read, *read->find("e4"));
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->values, std::vector<float>(2, 48.0f)); // 0x64, the letter that fills the file
}

TEST(Safetensors, NoCutOfAFileIsAccepted) {
    const std::string good = file(object({entry("a", "F32", "2,2", "0,16"), entry("b", "F16", "3", "16,22")}), 22);
    ASSERT_TRUE(parsed(good));
    for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(parsed(good.substr(0, size))) << size;
}

TEST(Safetensors, AMillionTensorsAreTheMost) {
    std::string header = "{";
    for (int i = 0; i <= 1'000'000; ++i) {
        if (i > 0) header += ',';
        header += '"';
        header += std::to_string(i);
        header += R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    }
    const auto read = parsed(file(header + "}"));
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message.find("more than 1000000 tensors"), std::string::npos) << read.error().message;
}

TEST(Safetensors, MetadataIsBounded) {
    std::string header = R"({"__metadata__":{)";
    for (int i = 0; i <= 100'000; ++i) header += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
    const auto read = parsed(file(header + "}}"));
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message.find("more than 100000 metadata entries"), std::string::npos)
        << read.error().message;
}

TEST(Safetensors, ThousandsOfTensorsAreQuick) {
    std::vector<std::string> entries;
    for (int i = 0; i < 5'000; ++i)
        entries.push_back(entry("model.diffusion_model.blocks." + std::to_string(i * 7919 % 5'000) + ".weight", "F32",
                                "1", std::to_string(i * 4) + "," + std::to_string(i * 4 + 4)));
    const std::string content = file(object(entries), 20'000);
    const auto start = std::chrono::steady_clock::now();
    const auto read = parsed(content);
    ASSERT_TRUE(read) << read.error().message;
    for (const TensorView& tensor : read->tensors()) ASSERT_EQ(read->find(tensor.name), &tensor);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1)); // some 20 ms; sanitizers are slower
}

TEST(Safetensors, OpensFilesAndNamesThem) {
    const std::string path = scratch("open");
    put(path, file(object({entry("a", "U8", "4", "0,4")}), 4));
    auto read = TensorFile::open(path);
    ASSERT_TRUE(read) << read.error().message;
    const TensorFile moved = std::move(*read);
    EXPECT_EQ(moved.fileName(), path);
    EXPECT_EQ(moved.data(*moved.find("a"))[3], std::byte{'d'});
    moved.dropPages(*moved.find("a"));
    EXPECT_EQ(moved.data(*moved.find("a"))[3], std::byte{'d'});

    put(path, "1234567");
    const auto bad = TensorFile::open(path);
    ASSERT_FALSE(bad);
    EXPECT_NE(bad.error().message.find(path), std::string::npos);
    std::remove(path.c_str());
    EXPECT_FALSE(TensorFile::open(path));
    EXPECT_FALSE(TensorFile::open("/dev/zero"));
}

TEST(Safetensors, ReplaysTheFuzzersCorpus) {
    std::size_t accepted = 0, refused = 0;
    for (const auto& place : fs::directory_iterator(SPIKESCOPE_TEST_DATA "/fuzz/corpus/safetensors")) {
        const std::string content = get(place.path().string());
        const auto read = parsed(content);
        const std::string name = place.path().filename().string();
        if (!read) {
            ++refused;
            EXPECT_EQ(read.error().code, ErrorCode::BadInput);
            EXPECT_FALSE(name.starts_with("good_")) << name << ": " << read.error().message;
            continue;
        }
        ++accepted;
        EXPECT_FALSE(name.starts_with("bad_")) << name;
        for (const TensorView& tensor : read->tensors()) {
            const auto data = read->data(tensor);
            EXPECT_LE(tensor.offset + data.size(), content.size());
            EXPECT_EQ(read->find(tensor.name), &tensor);
        }
    }
    EXPECT_GE(accepted, 5u);
    EXPECT_GE(refused, 10u);
}

class Writer : public testing::Test {
protected:
    void TearDown() override { std::remove(m_path.c_str()); }
    std::string m_path = scratch("writer");
};

template <class T> std::span<const std::byte> bytesOf(const std::vector<T>& values) {
    return std::as_bytes(std::span(values));
}

TEST_F(Writer, WhatItWritesIsReadBack) {
    const std::vector<SafetensorsWriter::Tensor> tensors = {
        {.name = "half", .dtype = DType::F16, .shape = {3}},
        {.name = "decoded", .dtype = DType::F32, .shape = {1, 2, 2}},
        {.name = "näme \"quoted\"\n", .dtype = DType::BF16, .shape = {}},
        {.name = "empty", .dtype = DType::F32, .shape = {0, 4}},
    };
    auto writer = SafetensorsWriter::create(m_path, tensors, {{"made by", "a test"}});
    ASSERT_TRUE(writer) << writer.error().message;
    const std::vector<float> first = {1, 2}, second = {3, 4};
    const std::vector<std::uint16_t> half = {5, 6, 7}, one = {8};
    ASSERT_TRUE(writer->write(2, 0, bytesOf(one)));
    ASSERT_TRUE(writer->write(1, 8, bytesOf(second))); // the later plane first
    ASSERT_TRUE(writer->write(0, 0, bytesOf(half)));
    ASSERT_TRUE(writer->write(1, 0, bytesOf(first)));
    EXPECT_FALSE(fs::exists(m_path));
    ASSERT_TRUE(writer->commit());

    const auto read = TensorFile::open(m_path);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->metadata().at("made by"), "a test");
    ASSERT_EQ(read->tensors().size(), 4u);
    for (const auto& tensor : tensors) {
        const TensorView* view = read->find(tensor.name);
        ASSERT_NE(view, nullptr) << tensor.name;
        EXPECT_EQ(heldAs(*view->stored), tensor.dtype);
        EXPECT_EQ(view->shape, tensor.shape);
        EXPECT_EQ(view->offset % 2, 0u);
    }
    const std::vector<float> all = {1, 2, 3, 4};
    EXPECT_EQ(std::memcmp(read->data(*read->find("decoded")).data(), all.data(), 16), 0);
    EXPECT_EQ(read->find("decoded")->offset % 8, 0u);
    EXPECT_EQ(std::memcmp(read->data(*read->find("half")).data(), half.data(), 6), 0);
}

TEST_F(Writer, WritesEvenNothing) {
    auto writer = SafetensorsWriter::create(m_path, {});
    ASSERT_TRUE(writer && writer->commit());
    const auto read = TensorFile::open(m_path);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(read->tensors().empty());
}

TEST_F(Writer, RefusesWithTheReason) {
    const std::uint64_t large = std::uint64_t{1} << 62;
    const std::pair<std::vector<SafetensorsWriter::Tensor>, std::string> cases[] = {
        {{{.name = "a", .shape = {1}}, {.name = "a", .dtype = DType::F16, .shape = {1}}}, "'a' is taken"},
        {{{.name = "__metadata__", .shape = {1}}}, "'__metadata__' is taken"},
        {{{.name = "\xff", .shape = {1}}}, "not valid UTF-8"},
        {{{.name = "a", .shape = {large, large}}}, "'a' is too large"},
        {{{.name = "a", .shape = {large - 1}}, {.name = "b", .shape = {large - 1}}}, "'b' is too large"},
        {{{.name = "a", .shape = {1, 1, 1, 1, 1, 1, 1, 1, 1}}}, "9 dimensions"},
    };
    for (const auto& [tensors, part] : cases) {
        const auto writer = SafetensorsWriter::create(m_path, tensors);
        ASSERT_FALSE(writer) << part;
        EXPECT_EQ(writer.error().code, ErrorCode::BadUsage);
        EXPECT_NE(writer.error().message.find(part), std::string::npos) << writer.error().message;
    }
    auto writer = SafetensorsWriter::create(m_path, {{.name = "a", .shape = {2}}});
    ASSERT_TRUE(writer);
    const std::vector<float> one = {1};
    EXPECT_FALSE(writer->write(1, 0, bytesOf(one)));
    EXPECT_FALSE(writer->write(0, 5, bytesOf(one)));
    EXPECT_FALSE(writer->write(0, ~std::uint64_t{0}, bytesOf(one)));
    EXPECT_TRUE(writer->write(0, 0, bytesOf(one)));
    const auto committed = writer->commit();
    ASSERT_FALSE(committed);
    EXPECT_NE(committed.error().message.find("4 of the 8 bytes of tensor 'a'"), std::string::npos)
        << committed.error().message;
    EXPECT_FALSE(fs::exists(m_path));
}

TEST_F(Writer, AFullDiskIsAnError) {
    auto writer = SafetensorsWriter::create("/dev/full", {{.name = "a", .shape = {1}}});
    ASSERT_TRUE(writer) << writer.error().message; // the header is still in the buffer
    const std::vector<float> one = {1};
    const auto written = writer->write(0, 0, bytesOf(one));
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::Io);
    EXPECT_NE(written.error().message.find("No space left"), std::string::npos) << written.error().message;
    EXPECT_FALSE(writer->commit());
}

} // namespace
} // namespace spikescope
