#include "core/tensors/tensor_file.h"
#include "tests/support/archives.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace spikescope {
namespace {

using namespace std::string_literals;

std::string scratch(const std::string& name) {
    return testing::TempDir() + "spikescope_npy_" + std::to_string(::getpid()) + "_" + name;
}

void put(const std::string& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

template <class T> std::string raw(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string npy(const std::string& dictionary, const std::string& data, unsigned char major = 1) {
    std::string out = "\x93NUMPY";
    out += static_cast<char>(major);
    out += '\0';
    const std::size_t size = dictionary.size();
    out += static_cast<char>(size & 0xff);
    out += static_cast<char>(size >> 8 & 0xff);
    if (major > 1) {
        out += static_cast<char>(size >> 16 & 0xff);
        out += static_cast<char>(size >> 24 & 0xff);
    }
    return out + dictionary + data;
}

std::string head(const std::string& format, const std::string& shape) {
    return "{'descr': '" + format + "', 'fortran_order': False, 'shape': " + shape + ", }          \n";
}

Result<HostTensor> parsed(const std::string& content) {
    TRY(const TensorFile file, TensorFile::parse(std::as_bytes(std::span(content)), "x.npy"));
    return readTensor(file, file.tensors().front(), NonFinite::Keep);
}

TEST(Npy, ReadsTheThreeFormatsInAllVersions) {
    for (unsigned char version = 1; version <= 3; ++version) {
        const auto f4 = parsed(npy(head("<f4", "(2, 3)"), raw<float>({1, 2, 3, 4, 5, -6.5f}), version));
        ASSERT_TRUE(f4) << f4.error().message;
        EXPECT_EQ(f4->shape, (std::vector<std::uint64_t>{2, 3}));
        EXPECT_EQ(f4->values, (std::vector<float>{1, 2, 3, 4, 5, -6.5f}));
        const auto f2 = parsed(npy(head("<f2", "(2,)"), raw<std::uint16_t>({0x3c00, 0xc000}), version));
        ASSERT_TRUE(f2) << f2.error().message;
        EXPECT_EQ(f2->values, (std::vector<float>{1, -2}));
        const auto f8 = parsed(npy(head("<f8", "(1, 2)"), raw<double>({0.1, -1e300}), version));
        ASSERT_TRUE(f8) << f8.error().message;
        EXPECT_EQ(f8->values[0], 0.1f);
        EXPECT_EQ(f8->values[1], -std::numeric_limits<float>::infinity());
    }
}

TEST(Npy, ReadsScalarsEmptyArraysAndOtherSpellings) {
    const auto scalar = parsed(npy(head("<f4", "()"), raw<float>({7})));
    ASSERT_TRUE(scalar) << scalar.error().message;
    EXPECT_TRUE(scalar->shape.empty());
    EXPECT_EQ(scalar->values, std::vector<float>{7});
    const auto empty = parsed(npy(head("<f4", "(0, 3)"), ""));
    ASSERT_TRUE(empty) << empty.error().message;
    EXPECT_TRUE(empty->values.empty());
    const auto other = parsed(npy("{\"shape\":(2L,),\"fortran_order\":False,\"descr\":\"<f4\"}", raw<float>({1, 2})));
    ASSERT_TRUE(other) << other.error().message;
    EXPECT_EQ(other->shape, std::vector<std::uint64_t>{2});
}

TEST(Npy, RefusesWithTheReason) {
    const std::string four(4, '\0');
    const struct {
        std::string file;
        std::string part;
    } cases[] = {
        {"", "empty (0 bytes)"},
        {"\x93NUMPY", "cut off after 6 bytes"},
        {std::string("\x93NUMPY\x04\0\0\0", 10), "version 4"},
        {std::string("\x93NUMPY\0\0\0\0", 10), "version 0"},
        {std::string("\x93NUMPY\x02\0\xff\xff\xff\xff", 12), "header of 4294967295 bytes, but only 12"},
        {std::string("\x93NUMPY\x02\0\xff", 9), "cut off"},
        {std::string("\x93NUMPY\x02\0\xff\0", 10), "cut off"},
        {npy(head("<f4", "(1,)"), four).substr(0, 40), "cut off"},
        {npy(std::string(70'000, ' '), four, 2), "header of 70000 bytes; the most is 65536"},
        {npy("", four), "cannot be understood"},
        {npy("[]", four), "cannot be understood"},
        {npy("{'descr'", four), "cannot be understood"},
        {npy("{'descr': '<f4", four), "cannot be understood"},
        {npy("{'descr': '<f4' 'shape': (1,)}", four), "cannot be understood"},
        {npy("{'descr': '<f4'}", four), "lacks"},
        {npy("{}", four), "lacks"},
        {npy(head("<f4", "(1,)") + "x", four), "cannot be understood"},
        {npy(head("<f4", "(1,)") + std::string("\0x", 2), four), "cannot be understood"},
        {npy(head("<f4", "(-1,)"), four), "cannot be understood"},
        {npy(head("<f4", "(1.5,)"), four), "cannot be understood"},
        {npy(head("<f4", "(99999999999999999999,)"), four), "cannot be understood"},
        {npy(head("<f4", "(1"), four), "cannot be understood"},
        {npy(head("<f4", "((1,),)"), four), "cannot be understood"},
        {npy(head("<f4", "(1,1,1,1,1,1,1,1,1)"), four), "more than 8 dimensions"},
        {npy("{'descr':'<f4','descr':'<f4'}", four), "'descr' is unknown or there twice"},
        {npy("{'surprise':1}", four), "'surprise'"},
        {npy("{'descr':'<f4','fortran_order':maybe}", four), "cannot be understood"},
        {npy(head("|O", "(1,)"), four), "Python objects of type '|O'"},
        {npy(head("<i8", "(1,)"), four), "takes 8 bytes"},
        {npy(head("<i4", "(1,)"), four), "type 'I32'"},
        {npy(head("<c8", "(1,)"), four + four), "type 'C64'"},
        {npy(head("<U3", "(1,)"), four), "type '<U3'"},
        {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", four), "records"},
        {npy(head("<f4", "(2, 3)"), four), "(2, 3) <f4 takes 24 bytes, but the file has 4"},
        {npy(head("<f4", "(1,)"), four + "x"), "takes 4 bytes, but the file has 5"},
        {npy(head("<f8", "(4294967297,)"), four), "(4294967297) has more than 4294967296 elements"},
        {npy(head("<f8", "(4294967296, 4294967296, 16)"), four), "more than 4294967296 elements"},
    };
    for (const auto& c : cases) {
        const auto array = parsed(c.file);
        ASSERT_FALSE(array) << c.part;
        EXPECT_EQ(array.error().code, ErrorCode::BadInput);
        EXPECT_TRUE(array.error().message.starts_with("'x.npy': ")) << array.error().message;
        EXPECT_NE(array.error().message.find(c.part), std::string::npos) << array.error().message << "\n" << c.part;
    }
}

TEST(Npy, NoCutOrChangedByteOfAFileMisleadsTheReader) {
    const std::string good = npy(head("<f2", "(2, 2)"), raw<std::uint16_t>({1, 2, 3, 4}));
    ASSERT_TRUE(parsed(good));
    for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(parsed(good.substr(0, size))) << size;
    for (std::size_t i = 0; i < good.size(); ++i) {
        for (int value = 0; value < 256; ++value) {
            std::string changed = good;
            changed[i] = static_cast<char>(value);
            const auto array = parsed(changed);
            EXPECT_LE(array ? array->values.size() : 0u, 4u);
        }
    }
}

TEST(Npy, ReadsFortranOrderBigEndianAndBfloat16) {
    const auto fortran =
        parsed(npy("{'descr':'<f4','fortran_order':True,'shape':(2,3)}", raw<float>({1, 4, 2, 5, 3, 6})));
    ASSERT_TRUE(fortran) << fortran.error().message;
    EXPECT_EQ(fortran->shape, (std::vector<std::uint64_t>{2, 3}));
    EXPECT_EQ(fortran->values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
    const auto big = parsed(npy(head(">f4", "(2,)"), "\x3f\x80\0\0\xc0\0\0\0"s));
    ASSERT_TRUE(big) << big.error().message;
    EXPECT_EQ(big->values, (std::vector<float>{1, -2}));
    const auto big8 = parsed(npy("{'descr':'>f8','fortran_order':True,'shape':(1,1)}", "\x3f\xf0\0\0\0\0\0\0"s));
    ASSERT_TRUE(big8) << big8.error().message;
    EXPECT_EQ(big8->values, std::vector<float>{1});
    for (const char* format : {"<V2", "|V2"}) {
        const auto bf16 = parsed(npy(head(format, "(2,)"), raw<std::uint16_t>({0x3f80, 0xc000})));
        ASSERT_TRUE(bf16) << bf16.error().message;
        EXPECT_EQ(bf16->values, (std::vector<float>{1, -2}));
    }
    const auto empty = parsed(npy("{'descr':'<f4','fortran_order':True,'shape':(0,3)}", ""));
    ASSERT_TRUE(empty) << empty.error().message;
    EXPECT_TRUE(empty->values.empty());
}

// numpy.savez stores, numpy.savez_compressed deflates.
TEST(Npz, ItsMembersAreKeys) {
    for (const bool deflate : {false, true}) {
        ZipWriter zip;
        zip.add("latents.npy", npy(head("<f4", "(1, 2)"), raw<float>({1, 2})), deflate);
        zip.add("original_size.npy", npy(head("<i8", "(2,)"), raw<std::int64_t>({64, 96})), deflate);
        zip.add("names.npy", npy(head("|O", "(1,)"), "pickle"), deflate);
        const std::string content = zip.finish();
        const auto file = TensorFile::parse(std::as_bytes(std::span(content)), "x.npz");
        ASSERT_TRUE(file) << file.error().message;
        EXPECT_EQ(file->format(), TensorFile::Format::Npz);
        ASSERT_EQ(file->tensors().size(), 3u);
        const auto latents = readTensor(*file, *file->find("latents"));
        ASSERT_TRUE(latents) << latents.error().message;
        EXPECT_EQ(latents->values, (std::vector<float>{1, 2}));
        EXPECT_EQ(latents->shape, (std::vector<std::uint64_t>{1, 2}));
        EXPECT_EQ(file->find("original_size")->dtypeText, "I64");
        EXPECT_FALSE(readTensor(*file, *file->find("names")));
    }
}

TEST(Npz, RefusesWithTheReason) {
    const auto refused = [](const ZipWriter& zip, const std::string& part) {
        const std::string content = zip.finish();
        const auto file = TensorFile::parse(std::as_bytes(std::span(content)), "x.npz");
        ASSERT_FALSE(file) << part;
        EXPECT_NE(file.error().message.find(part), std::string::npos) << file.error().message << "\n" << part;
    };
    const std::string array = npy(head("<f4", "(1, 2)"), raw<float>({1, 2}));
    ZipWriter bomb;
    bomb.add("a.npy", array, true);
    bomb.entries[0].sizeLie = std::int64_t{1} << 29;
    refused(bomb, "more than deflate can do");
    bomb.entries[0].sizeLie = -3;
    refused(bomb, "cannot be unpacked");
    bomb.entries[0].sizeLie = 3;
    refused(bomb, "cannot be unpacked");
    bomb.zip64 = true;
    bomb.entries[0].sizeLie = std::int64_t{1} << 40;
    refused(bomb, "at most 1073741824 are unpacked");
    ZipWriter cut;
    cut.add("a.npy", array.substr(0, array.size() - 1), true);
    refused(cut, "'x.npz:a'");
}

TEST(Npy, ReadsFromDisk) {
    const std::string path = scratch("a.npy");
    put(path, npy(head("<f4", "(2,)"), raw<float>({1, 2})));
    const auto array = readTensorFile(path, {});
    ASSERT_TRUE(array) << array.error().message;
    EXPECT_EQ(array->values, (std::vector<float>{1, 2}));
    EXPECT_FALSE(readTensorFile(scratch("missing.npy"), {}));
    std::remove(path.c_str());
}

// A safetensors file by hand, so that formats the writer does not write are there too.
std::string safetensors(const std::string& header, const std::string& data) {
    std::string out(8, '\0');
    out[0] = static_cast<char>(header.size() & 0xff);
    out[1] = static_cast<char>(header.size() >> 8);
    return out + header + data;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, std::size_t begin,
                  std::size_t end) {
    return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(end) + "]}";
}

class ReadTensorFile : public testing::Test {
protected:
    std::string file(const std::string& name, const std::string& content) {
        m_files.push_back(scratch(name));
        put(m_files.back(), content);
        return m_files.back();
    }
    void TearDown() override {
        for (const std::string& path : m_files) std::remove(path.c_str());
    }

    std::vector<std::string> m_files;
};

TEST_F(ReadTensorFile, ReadsEveryFormatItPromises) {
    const auto npyTensor = readTensorFile(file("latents.npy", npy(head("<f4", "(1, 2)"), raw<float>({1, 2}))), {});
    ASSERT_TRUE(npyTensor) << npyTensor.error().message;
    EXPECT_TRUE(npyTensor->name.ends_with("latents"));
    EXPECT_EQ(npyTensor->shape, (std::vector<std::uint64_t>{1, 2}));

    const std::string three = "{" + entry("a", "F32", "[1]", 0, 4) + "," + entry("b", "F16", "[1]", 4, 6) + "," +
                              entry("c", "BF16", "[1]", 6, 8) + "}";
    const std::string path = file("three.bin", safetensors(three, raw<float>({-3}) + "\x00\x3c"s + "\x00\x40"s));
    const std::pair<std::string, float> cases[] = {{"a", -3.0f}, {"b", 1.0f}, {"c", 2.0f}};
    for (const auto& [key, value] : cases) {
        const auto tensor = readTensorFile(path, key);
        ASSERT_TRUE(tensor) << tensor.error().message;
        EXPECT_EQ(tensor->name, key);
        EXPECT_EQ(tensor->values, std::vector<float>{value});
    }
    const auto only = readTensorFile(
        file("one.safetensors", safetensors("{" + entry("z", "F32", "[2]", 0, 8) + "}", raw<float>({1, 2}))), {});
    ASSERT_TRUE(only) << only.error().message;
    EXPECT_EQ(only->name, "z");
}

TEST_F(ReadTensorFile, RefusesWithTheReason) {
    std::string many = "{";
    for (std::size_t i = 0; i < 7; ++i)
        many += entry("key" + std::to_string(i), "U8", "[1]", i, i + 1) + (i < 6 ? "," : "}");
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    const struct {
        std::string path;
        std::optional<std::string> key;
        ErrorCode code;
        std::vector<std::string> parts;
    } cases[] = {
        {file("many.safetensors", safetensors(many, "1234567")),
         {},
         ErrorCode::BadUsage,
         {"holds 7 tensors", "'key0', 'key1', 'key2', 'key3', 'key4' and 2 more"}},
        {m_files.back(), "nothing", ErrorCode::BadUsage, {"no tensor 'nothing'", "'key4' and 2 more"}},
        {m_files.back(), "key2", ErrorCode::BadInput, {"'key2'", "type 'U8'"}},
        {file("none.safetensors", safetensors("{}", "")), {}, ErrorCode::BadInput, {"no tensors"}},
        {file("short.safetensors", "abc"), {}, ErrorCode::BadInput, {"3 bytes"}},
        {file("text.txt", "just a few words"), {}, ErrorCode::BadInput, {"no file of tensors", "6a 75 73 74"}},
        {file("key.npy", npy(head("<f4", "(1,)"), raw<float>({1}))), "a", ErrorCode::BadUsage, {"'a'", "one array"}},
        {file("ints.npy", npy(head("<i4", "(1,)"), raw<int>({1}))), {}, ErrorCode::BadInput, {"'I32'"}},
        {file("nan.npy", npy(head("<f4", "(2, 3)"), raw<float>({0, 0, 0, 0, nan, infinity}))),
         {},
         ErrorCode::BadInput,
         {"NaN at [1, 1]", "of shape [2, 3]"}},
        {file("inf.npy", npy(head("<f4", "()"), raw<float>({-infinity}))), {}, ErrorCode::BadInput, {"infinity at []"}},
        {file("double.npy", npy(head("<f8", "(1, 1, 2)"), raw<double>({1, 1e200}))),
         {},
         ErrorCode::BadInput,
         {"infinity at [0, 0, 1]"}},
        {file("inf.safetensors",
              safetensors("{" + entry("x", "BF16", "[2,2]", 0, 8) + "}", raw<std::uint16_t>({0, 0, 0, 0x7f80}))),
         {},
         ErrorCode::BadInput,
         {"tensor 'x'", "infinity at [1, 1]"}},
        {"/dev/zero", {}, ErrorCode::BadInput, {"'/dev/zero'"}},
        {scratch("missing.npy"), {}, ErrorCode::Io, {"No such file"}},
    };
    for (const auto& c : cases) {
        const auto tensor = readTensorFile(c.path, c.key);
        ASSERT_FALSE(tensor) << c.path;
        EXPECT_EQ(tensor.error().code, c.code) << tensor.error().message;
        EXPECT_NE(tensor.error().message.find(c.path), std::string::npos) << tensor.error().message;
        for (const std::string& part : c.parts)
            EXPECT_NE(tensor.error().message.find(part), std::string::npos) << tensor.error().message << "\n" << part;
    }
}

TEST_F(ReadTensorFile, TooManyElementsAreRefusedBeforeMemoryIsTaken) {
    // Sparse: the disk holds only the header.
    constexpr std::uint64_t elements = (std::uint64_t{1} << 32) + 1;
    const std::string header = "{" + entry("big", "F16", "[4294967297]", 0, elements * 2) + "}";
    const std::string path = file("big.safetensors", safetensors(header, ""));
    if (::truncate(path.c_str(), static_cast<off_t>(8 + header.size() + elements * 2)) != 0)
        GTEST_SKIP() << "no sparse files here";
    const auto tensor = readTensorFile(path, {});
    ASSERT_FALSE(tensor);
    EXPECT_NE(tensor.error().message.find("4294967297 elements; the most is 4294967296"), std::string::npos)
        << tensor.error().message;
}

} // namespace
} // namespace spikescope
