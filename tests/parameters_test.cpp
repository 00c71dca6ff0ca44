// The values of parameters, whatever file they come from: fp8 with scales, fp64, PyTorch's files, channels last.
// Protects: that a weight means the same number in every file.

#include "core/model/parameters.h"
#include "tests/support/archives.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace spikescope {
namespace {

namespace pk = pickled;

struct Stored {
    std::string name, dtype;
    std::vector<std::uint64_t> shape;
    std::string bytes;
};

std::uint64_t elementsOf(const std::vector<std::uint64_t>& shape) {
    std::uint64_t elements = 1;
    for (const std::uint64_t dim : shape) elements *= dim;
    return elements;
}

std::vector<Weight> decoderWeights() { return buildGraph(*findFamily("taesd"), VaeTask::Decode, 64, 64, 1)->weights; }

// Small whole numbers, which every format holds.
float valueAt(std::uint64_t i) { return static_cast<float>(static_cast<int>(i % 15) - 7); }

std::vector<Stored> plainTensors() {
    std::vector<Stored> all;
    for (const Weight& weight : decoderWeights()) {
        std::vector<float> values(elementsOf(weight.dims));
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = valueAt(i);
        all.push_back({weight.name, "F32", weight.dims, rawBytes(values)});
    }
    return all;
}

class ParametersTest : public testing::Test {
protected:
    void TearDown() override { std::filesystem::remove(path); }

    Result<Parameters> open(const std::string& content) {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
        TRY(Checkpoint checkpoint, Checkpoint::open(path));
        Parameters parameters(std::move(checkpoint));
        CHECK(parameters.bind(decoderWeights(), "the decoder"));
        return parameters;
    }
    Result<Parameters> openSafetensors(const std::vector<Stored>& tensors) {
        nlohmann::ordered_json header;
        std::string data;
        for (const Stored& t : tensors) {
            header[t.name] = {
                {"dtype", t.dtype}, {"shape", t.shape}, {"data_offsets", {data.size(), data.size() + t.bytes.size()}}};
            data += t.bytes;
        }
        const std::string text = header.dump();
        return open(littleEndian(std::uint64_t{text.size()}) + text + data);
    }
    // Of every weight, from the plain file.
    std::vector<std::vector<float>> plainValues() {
        std::vector<std::vector<float>> all;
        const auto plain = openSafetensors(plainTensors());
        EXPECT_TRUE(plain) << plain.error().message;
        if (plain)
            for (const Weight& weight : decoderWeights()) all.push_back(valuesOf(*plain, weight));
        return all;
    }
    static std::vector<float> valuesOf(const Parameters& parameters, const Weight& weight) {
        std::vector<float> all(elementsOf(weight.dims));
        std::visit(
            [&](const auto& values) {
                for (std::size_t i = 0; i < all.size(); ++i) all[i] = values[i];
            },
            parameters.values(weight));
        return all;
    }

    std::string path = testing::TempDir() + "spikescope_parameters_" + std::to_string(::getpid());
};

// Bytes of the same values in another format.
template <class To> std::string converted(const std::string& floats, To (*convert)(float)) {
    std::vector<To> out(floats.size() / 4);
    for (std::size_t i = 0; i < out.size(); ++i) {
        float value;
        std::memcpy(&value, floats.data() + 4 * i, 4);
        out[i] = convert(value);
    }
    return rawBytes(out);
}
std::uint8_t toFp8(float value) {
    for (unsigned code = 0; code < 256; ++code)
        if (fp8E4M3ToFloat(static_cast<std::uint8_t>(code)) == value) return static_cast<std::uint8_t>(code);
    return 0x7f;
}
double toDouble(float value) { return value; }

TEST_F(ParametersTest, aWeightMeansTheSameInEveryFormat) {
    const std::vector<std::vector<float>> expected = plainValues();
    ASSERT_FALSE(expected.empty());
    const std::vector<Weight> weights = decoderWeights();
    for (const std::string format : {"F64", "F8_E4M3"}) {
        std::vector<Stored> tensors = plainTensors();
        for (Stored& t : tensors) {
            t.dtype = format;
            t.bytes = format == "F64" ? converted(t.bytes, toDouble) : converted(t.bytes, toFp8);
        }
        const auto parameters = openSafetensors(tensors);
        ASSERT_TRUE(parameters) << parameters.error().message;
        for (std::size_t w = 0; w < weights.size(); ++w) {
            EXPECT_EQ(parameters->storedType(weights[w]), format == "F64" ? DType::F32 : DType::BF16);
            ASSERT_EQ(valuesOf(*parameters, weights[w]), expected[w]) << format << " " << weights[w].name;
        }
    }
}

TEST_F(ParametersTest, scalesOfFp8AreFoundUnderTheirNames) {
    const std::vector<Weight> weights = decoderWeights();
    const Weight& weight = weights.front();
    ASSERT_TRUE(weight.name.ends_with(".weight") && weight.dims.size() == 4);
    const std::string stem = weight.name.substr(0, weight.name.size() - 7);
    const std::uint64_t channels = weight.dims[0], each = elementsOf(weight.dims) / channels;
    std::vector<float> perChannel(channels);
    for (std::size_t i = 0; i < channels; ++i) perChannel[i] = static_cast<float>(i + 1) / 64.0f;
    const auto with = [&](const std::string& name, const std::vector<std::uint64_t>& shape,
                          const std::vector<float>& scale) {
        std::vector<Stored> tensors = plainTensors();
        tensors.front().dtype = "F8_E4M3";
        tensors.front().bytes = converted(tensors.front().bytes, toFp8);
        tensors.push_back({name, "F32", shape, rawBytes(scale)});
        return openSafetensors(tensors);
    };
    for (const std::string& name : {stem + ".scale_weight", stem + ".weight_scale", stem + ".weight_scale_inv"})
        for (const std::vector<std::uint64_t>& shape :
             {std::vector<std::uint64_t>{}, {1}, {channels}, {channels, 1, 1, 1}}) {
            const bool one = elementsOf(shape) == 1;
            const auto parameters = with(name, shape, one ? std::vector<float>{0.375f} : perChannel);
            ASSERT_TRUE(parameters) << parameters.error().message;
            const std::vector<float> values = valuesOf(*parameters, weight);
            for (std::size_t i = 0; i < values.size(); ++i)
                ASSERT_EQ(values[i], valueAt(i) * (one ? 0.375f : perChannel[i / each])) << name << " " << i;
        }
    // The scale of a weight that is not fp8 belongs to something else.
    std::vector<Stored> tensors = plainTensors();
    tensors.push_back({stem + ".weight_scale", "F32", {}, rawBytes<float>({3})});
    const auto other = openSafetensors(tensors);
    ASSERT_TRUE(other) << other.error().message;
    EXPECT_EQ(valuesOf(*other, weight)[0], valueAt(0));

    const auto blocks = with(stem + ".weight_scale_inv", {2, 2}, {1, 1, 1, 1});
    ASSERT_FALSE(blocks);
    for (const std::string& part : {stem + ".weight_scale_inv", std::string("shape [2, 2]"), weight.name})
        EXPECT_NE(blocks.error().message.find(part), std::string::npos) << blocks.error().message;
}

TEST_F(ParametersTest, aPyTorchFileInChannelsLastHasTheSameValues) {
    const std::vector<std::vector<float>> expected = plainValues();
    ASSERT_FALSE(expected.empty());
    const std::vector<Weight> weights = decoderWeights();
    pk::Items items, storages;
    for (std::size_t w = 0; w < weights.size(); ++w) {
        std::vector<std::int64_t> shape(weights[w].dims.begin(), weights[w].dims.end());
        const auto elements = elementsOf(weights[w].dims);
        std::vector<float> values(elements);
        std::vector<std::int64_t> strides{1};
        if (shape.size() == 4) {
            strides = {shape[1] * shape[2] * shape[3], 1, shape[3] * shape[1], shape[1]};
            std::size_t i = 0;
            for (std::int64_t o = 0; o < shape[0]; ++o)
                for (std::int64_t c = 0; c < shape[1]; ++c)
                    for (std::int64_t y = 0; y < shape[2]; ++y)
                        for (std::int64_t x = 0; x < shape[3]; ++x)
                            values[static_cast<std::size_t>(o * strides[0] + c * strides[1] + y * strides[2] +
                                                            x * strides[3])] = valueAt(i++);
        } else {
            for (std::size_t i = 0; i < elements; ++i) values[i] = valueAt(i);
        }
        const std::string key = std::to_string(w);
        items.emplace_back(weights[w].name, pk::tensor({.key = key,
                                                        .storageElements = static_cast<std::int64_t>(elements),
                                                        .shape = shape,
                                                        .strides = strides}));
        storages.emplace_back(key, rawBytes(values));
    }
    const auto parameters = open(torchArchive(pk::orderedDict(items), storages).finish());
    ASSERT_TRUE(parameters) << parameters.error().message;
    for (std::size_t w = 0; w < weights.size(); ++w) {
        EXPECT_EQ(parameters->storedType(weights[w]), DType::F32);
        ASSERT_EQ(valuesOf(*parameters, weights[w]), expected[w]) << weights[w].name;
        parameters->consumed(weights[w]);
    }
}

} // namespace
} // namespace spikescope
