// Files of torch.save(): tensors of every format and layout, nested dicts, what Lightning adds, and hostile ones.
// Protects: names, values, and that nothing of a pickle is more than data.

#include "core/tensors/tensor_file.h"
#include "core/tensors/tensor_values.h"
#include "tests/support/archives.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace spikescope {
namespace {

using namespace std::string_literals;
namespace pk = pickled;

Result<TensorFile> parsed(const std::string& content) {
    return TensorFile::parse(std::as_bytes(std::span(content)), "some/x.ckpt");
}

std::vector<float> valuesOf(const TensorFile& file, const std::string& name) {
    const TensorView* tensor = file.find(name);
    if (!tensor) {
        ADD_FAILURE() << "no " << name;
        return {};
    }
    const auto read = readTensor(file, *tensor, NonFinite::Keep);
    EXPECT_TRUE(read) << read.error().message;
    return read ? read->values : std::vector<float>{};
}

const std::string sixFloats = rawBytes<float>({1, 2, 3, 4, 5, 6});
const pk::Tensor twoByThree{.storageElements = 6, .shape = {2, 3}, .strides = {3, 1}};

void expectRefused(const std::string& content, const std::vector<std::string>& parts) {
    const auto file = parsed(content);
    ASSERT_FALSE(file) << parts.front();
    EXPECT_EQ(file.error().code, ErrorCode::BadInput);
    for (const std::string& part : parts)
        EXPECT_NE(file.error().message.find(part), std::string::npos) << file.error().message << "\n" << part;
    EXPECT_NE(file.error().message.find("some/x.ckpt"), std::string::npos) << file.error().message;
}

TEST(TorchFile, readsEveryNumberFormat) {
    const auto one = [](const std::string& storage, std::int64_t count, const std::string& key) {
        return pk::tensor({.storage = storage, .key = key, .storageElements = count, .shape = {count}, .strides = {1}});
    };
    const std::string value = pk::orderedDict(
        {{"f", one("FloatStorage", 2, "0")},
         {"h", one("HalfStorage", 2, "1")},
         {"b", one("BFloat16Storage", 2, "2")},
         {"d", one("DoubleStorage", 1, "3")},
         {"l", one("LongStorage", 1, "4")},
         {"e4", pk::tensorOfBytes(
                    {.storage = "UntypedStorage", .key = "5", .storageElements = 2, .shape = {2}, .strides = {1}},
                    "float8_e4m3fn")},
         {"e5",
          pk::tensorOfBytes({.storage = "UntypedStorage", .key = "6", .storageElements = 1, .shape = {}, .strides = {}},
                            "float8_e5m2")}});
    const std::string content = torchArchive(value, {{"0", rawBytes<float>({1, -2})},
                                                     {"1", rawBytes<std::uint16_t>({0x3c00, 0xc000})},
                                                     {"2", rawBytes<std::uint16_t>({0x3f80, 0xc000})},
                                                     {"3", rawBytes<double>({0.1})},
                                                     {"4", rawBytes<std::int64_t>({7})},
                                                     {"5", "\x38\xb8"},
                                                     {"6", "\x3c"}})
                                    .finish();
    const auto file = parsed(content);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->format(), TensorFile::Format::PyTorch);
    ASSERT_EQ(file->tensors().size(), 7u);
    EXPECT_EQ(file->tensors()[0].name, "f"); // the dict's order
    for (const char* name : {"f", "h", "b"}) EXPECT_EQ(valuesOf(*file, name), (std::vector<float>{1, -2})) << name;
    EXPECT_EQ(valuesOf(*file, "d"), std::vector<float>{0.1f});
    EXPECT_EQ(valuesOf(*file, "e4"), (std::vector<float>{1, -1}));
    EXPECT_EQ(valuesOf(*file, "e5"), std::vector<float>{1});
    EXPECT_EQ(file->find("e4")->dtypeText, "F8_E4M3");
    EXPECT_FALSE(file->find("l")->stored);
    EXPECT_EQ(file->find("l")->dtypeText, "I64");
}

// Slices share a storage; channels last, transposed and expanded tensors have strides of their own.
TEST(TorchFile, readsViewsIntoAStorage) {
    auto with = [](std::vector<std::int64_t> shape, std::vector<std::int64_t> strides, std::int64_t offset = 0) {
        return pk::tensor(
            {.storageElements = 6, .shape = std::move(shape), .strides = std::move(strides), .offset = offset});
    };
    const std::string content = torchArchive(pk::dict({{"whole", with({2, 3}, {3, 1})},
                                                       {"row", with({3}, {1}, 3)},
                                                       {"column", with({2}, {3}, 1)},
                                                       {"transposed", with({3, 2}, {1, 3})},
                                                       {"expanded", with({2, 2}, {0, 1}, 4)},
                                                       {"nhwc", with({1, 2, 1, 3}, {6, 1, 6, 2})},
                                                       {"ones", with({1, 1, 6}, {77, 99, 1})},
                                                       {"empty", with({0, 5}, {9, 9}, 6)}}),
                                             {{"0", sixFloats}})
                                    .finish();
    const auto file = parsed(content);
    ASSERT_TRUE(file) << file.error().message;
    using F = std::vector<float>;
    EXPECT_EQ(valuesOf(*file, "whole"), (F{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(valuesOf(*file, "row"), (F{4, 5, 6}));
    EXPECT_EQ(valuesOf(*file, "column"), (F{2, 5}));
    EXPECT_EQ(valuesOf(*file, "transposed"), (F{1, 4, 2, 5, 3, 6}));
    EXPECT_EQ(valuesOf(*file, "expanded"), (F{5, 6, 5, 6}));
    EXPECT_EQ(valuesOf(*file, "nhwc"), (F{1, 3, 5, 2, 4, 6}));
    EXPECT_EQ(valuesOf(*file, "ones"), (F{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(valuesOf(*file, "empty"), F{});
    EXPECT_TRUE(file->find("whole")->plain() && file->find("row")->plain() && file->find("ones")->plain());
    EXPECT_FALSE(file->find("column")->plain());
    EXPECT_EQ(file->find("column")->bytes, 16u); // of elements 1 to 4
}

// What Lightning adds: callbacks, hyperparameters of other packages' classes, optimizer states, sets, large integers.
TEST(TorchFile, namesNestedTensorsAndIgnoresTheRest) {
    const std::string tensor = pk::tensor(twoByThree);
    const std::string object =
        pk::global("omegaconf.dictconfig", "DictConfig") + ")\x81" + pk::dict({{"a", tensor}}) + "b";
    std::string state = pk::orderedDict({{"decoder.conv_in.weight", pk::parameter(tensor)}});
    state += pk::dict({{"_metadata", pk::orderedDict({})}}) + "b"; // attributes of the dict
    const std::string content =
        torchArchive(
            pk::dict({{"epoch", pk::integer(3)},
                      {"seed", "\x8a\x10"s + std::string(16, '\x11')},
                      {"config", object},
                      {"evil", pk::global("os", "system") + "(" + pk::text("touch /tmp/x") + "tR"},
                      {"set", "\x8f("s + pk::integer(1) + "\x90"},
                      {"state_dict", state},
                      {"list", "](" + tensor + "N" + tensor + "e"},
                      {"ints", "}" + pk::integer(-5) + tensor + "s"},
                      {"v2", pk::global("torch._tensor", "_rebuild_from_type_v2") + "(" +
                                 pk::global("torch._utils", "_rebuild_tensor_v2") + pk::global("torch", "Tensor") +
                                 "(" + pk::storage(twoByThree) + pk::integer(0) + pk::tuple({6}) + pk::tuple({1}) +
                                 "\x89" + pk::orderedDict({}) + "t" + "}tR"}}),
            {{"0", sixFloats}}, "some_model")
            .finish();
    const auto file = parsed(content);
    ASSERT_TRUE(file) << file.error().message;
    std::vector<std::string> names;
    for (const TensorView& t : file->tensors()) names.push_back(t.name);
    EXPECT_EQ(names,
              (std::vector<std::string>{"state_dict.decoder.conv_in.weight", "list.0", "list.2", "ints.-5", "v2"}));
    EXPECT_EQ(valuesOf(*file, "v2").size(), 6u);
}

TEST(TorchFile, aLoneTensorHasTheFilesName) {
    const auto file = parsed(torchArchive(pk::tensor(twoByThree), {{"0", sixFloats}}).finish());
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_EQ(file->tensors().size(), 1u);
    EXPECT_EQ(file->tensors()[0].name, "x");

    const std::string path = testing::TempDir() + "spikescope_torch_" + std::to_string(::getpid()) + ".pt";
    ZipWriter zip = torchArchive(pk::tensor(twoByThree), {{"0", sixFloats}});
    zip.zip64 = true; // larger files are
    std::ofstream(path, std::ios::binary) << zip.finish();
    const auto latents = readTensorFile(path, {});
    std::filesystem::remove(path);
    ASSERT_TRUE(latents) << latents.error().message;
    EXPECT_EQ(latents->shape, (std::vector<std::uint64_t>{2, 3}));
    EXPECT_EQ(latents->values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST(TorchFile, refusesWithTheReason) {
    const auto archive = [](const std::string& value) { return torchArchive(value, {{"0", sixFloats}}).finish(); };
    const auto tensor = [&](pk::Tensor t) { return archive(pk::dict({{"w", pk::tensor(t)}})); };
    const std::int64_t huge = std::int64_t{1} << 61;
    expectRefused(archive("}"), {"is a PyTorch pickle without tensors; save"});
    expectRefused(archive(pk::global("diffusers", "AutoencoderKL") + ")\x81}b"),
                  {"object ('diffusers.AutoencoderKL')", "state_dict()"});
    expectRefused(tensor({.storageElements = 6, .shape = {7}, .strides = {1}}),
                  {"tensor 'w'", "reaches to element 7", "has 6"});
    expectRefused(tensor({.storageElements = 6, .shape = {2}, .strides = {6}}), {"reaches to element 7"});
    expectRefused(tensor({.storageElements = 6, .shape = {1}, .strides = {1}, .offset = 6}), {"from element 6"});
    expectRefused(tensor({.storageElements = 7, .shape = {1}, .strides = {1}}), {"7 elements of 4 bytes", "24 bytes"});
    expectRefused(tensor({.storageElements = 6, .shape = {huge, huge}, .strides = {0, 0}}), {"than a number can say"});
    expectRefused(tensor({.storageElements = 6, .shape = {huge}, .strides = {huge}}), {"than a number can say"});
    expectRefused(tensor({.storageElements = 6, .shape = {-1}, .strides = {1}}), {"shape is no size"});
    expectRefused(tensor({.storageElements = 6, .shape = {1}, .strides = {-1}}), {"strides is no size"});
    expectRefused(tensor({.storageElements = 6, .shape = {1, 1}, .strides = {1}}), {"2 dimensions, but 1 strides"});
    expectRefused(tensor({.storageElements = 6, .shape = std::vector<std::int64_t>(9, 1), .strides = {1}}),
                  {"more than 8 dimensions"});
    expectRefused(tensor({.storage = "QUInt4x2Storage", .storageElements = 6, .shape = {1}, .strides = {1}}),
                  {"unknown storage 'torch.QUInt4x2Storage'"});
    expectRefused(tensor({.key = "1", .storageElements = 6, .shape = {1}, .strides = {1}}),
                  {"storage '1' is not in the file"});
    expectRefused(tensor({.key = "../data.pkl", .storageElements = 6, .shape = {1}, .strides = {1}}),
                  {"is not in the file"});
    expectRefused(archive(pk::global("torch._utils", "_rebuild_tensor_v2") + ")R"), {"has 0 arguments"});
    expectRefused(
        archive(pk::dict({{"a.b", pk::tensor(twoByThree)}, {"a", pk::dict({{"b", pk::tensor(twoByThree)}})}})),
        {"'a.b' twice"});
    expectRefused(archive(pk::dict({{"\xff", pk::tensor(twoByThree)}})), {"not valid UTF-8"});
    expectRefused(archive(pk::dict({{std::string(5000, 'n'), pk::tensor(twoByThree)}})), {"longer than 4096"});
    expectRefused(archive("}\x82\x01."), {"EXT1"}); // an import by number
    expectRefused(archive("Pstorage\n."), {"PERSID"});

    ZipWriter big = torchArchive(pk::tensor(twoByThree), {{"0", sixFloats}});
    big.entries[2].content = "big";
    expectRefused(big.finish(), {"byte order 'big'"});
    ZipWriter script = torchArchive(pk::tensor(twoByThree), {{"0", sixFloats}});
    script.add("archive/constants.pkl", pk::whole(")"));
    expectRefused(script.finish(), {"TorchScript", "torch.jit.load"});
    ZipWriter packed = torchArchive(pk::tensor(twoByThree), {});
    packed.add("archive/data/0", sixFloats, true);
    expectRefused(packed.finish(), {"'archive/data/0' is compressed"});
    ZipWriter other;
    other.add("readme.txt", "hello");
    expectRefused(other.finish(), {"zip archive", "data.pkl is missing"});
    const std::string whole = torchArchive(pk::tensor(twoByThree), {{"0", sixFloats}}).finish();
    expectRefused(whole.substr(0, whole.size() / 2), {"incomplete zip archive", "download it again"});
}

TEST(TorchFile, noCutOrChangedByteMisleadsTheReader) {
    const std::string whole =
        torchArchive(pk::orderedDict({{"a", pk::tensor(twoByThree)}}), {{"0", sixFloats}}).finish();
    ASSERT_TRUE(parsed(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(parsed(whole.substr(0, size))) << size;
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (const int change : {1, 0x10, 0x80, 0xff}) {
            std::string changed = whole;
            changed[at] = static_cast<char>(changed[at] ^ change);
            const auto file = parsed(changed);
            if (!file) continue;
            for (const TensorView& tensor : file->tensors()) {
                const auto data = file->data(tensor);
                ASSERT_GE(data.data(), reinterpret_cast<const std::byte*>(changed.data()));
                ASSERT_LE(data.data() + data.size(),
                          reinterpret_cast<const std::byte*>(changed.data() + changed.size()));
                if (tensor.stored && tensor.elements < 100) (void)readTensor(*file, tensor);
            }
        }
}

TEST(TorchFile, bombsEndSoon) {
    const auto start = std::chrono::steady_clock::now();
    // A dict that holds a dict twice that holds a dict twice …, a tensor at the bottom.
    std::string bomb = pk::tensor(twoByThree) + "q\x00"s;
    for (char i = 0; i < 30; ++i)
        bomb += "0}(" + pk::text("a") + "h" + i + pk::text("b") + "h" + i + "uq" + static_cast<char>(i + 1);
    expectRefused(torchArchive(bomb, {{"0", sixFloats}}).finish(), {"more than"});
    // A dict that holds itself.
    expectRefused(torchArchive("}q\x00"s + pk::text("a") + "h\x00s"s, {}).finish(), {"without tensors"});
    // And twice: 2^32 ways down.
    expectRefused(torchArchive("}q\x00("s + pk::text("a") + "h\x00"s + pk::text("b") + "h\x00u"s, {}).finish(),
                  {"without tensors"});
    // A list of a thousand lists of a thousand lists … of nothing, found by the fuzzer in another form.
    std::string wide = "]q\x00"s;
    for (char i = 0; i < 20; ++i) {
        wide += "0](";
        for (int k = 0; k < 1000; ++k) wide += "h"s + i;
        wide += "eq"s + static_cast<char>(i + 1);
    }
    expectRefused(torchArchive(wide, {}).finish(), {"without tensors"});
    expectRefused(torchArchive(std::string(std::size_t{33} << 20, '}'), {}).finish(), {"the most is 33554432"});
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)); // some 1 s; sanitizers are slower
}

TEST(TensorFileMerge, everyNameComesFromItsShard) {
    const auto shard = [](const std::string& name, float value) {
        return torchArchive(pk::dict({{name, pk::tensor({.storageElements = 1, .shape = {1}, .strides = {1}})},
                                      {"shared", pk::tensor({.storageElements = 1, .shape = {1}, .strides = {1}})}}),
                            {{"0", rawBytes<float>({value})}})
            .finish();
    };
    const std::string first = shard("a", 1), second = shard("b", 2);
    const auto files = [&] {
        std::vector<TensorFile> list;
        for (const std::string* content : {&first, &second}) list.push_back(*parsed(*content));
        return list;
    };
    const auto twice = TensorFile::merge("m", files());
    ASSERT_FALSE(twice);
    EXPECT_NE(twice.error().message.find("'shared' twice"), std::string::npos) << twice.error().message;
    std::vector<TensorFile> kept = files();
    kept[0].keep([](const TensorView& tensor) { return tensor.name != "shared"; });
    EXPECT_EQ(kept[0].find("shared"), nullptr);
    const auto merged = TensorFile::merge("m", std::move(kept));
    ASSERT_TRUE(merged) << merged.error().message;
    EXPECT_EQ(merged->fileName(), "m");
    EXPECT_EQ(merged->tensors().size(), 3u);
    EXPECT_EQ(valuesOf(*merged, "a"), std::vector<float>{1});
    EXPECT_EQ(valuesOf(*merged, "b"), std::vector<float>{2});
    EXPECT_EQ(valuesOf(*merged, "shared"), std::vector<float>{2});
}

} // namespace
} // namespace spikescope
