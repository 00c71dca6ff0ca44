// Controls by name: what is accepted comes back as it was said, everything else is refused with what is allowed.

#include "core/program/presets.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace spikescope {
namespace {

TEST(Controls, comeBackAsTheyWereSaid) {
    for (const auto& [control, values] : std::vector<std::pair<std::string, std::vector<std::string>>>{
             {"model", {"flux1", "sd15", "sdxl", "sd3", "z-image", "flux2", "taesd", "taef1", "taef2"}},
             {"weights", {"synthetic:0", "synthetic:18446744073709551615", "some/file.safetensors"}},
             {"op", {"decode", "encode"}},
             {"size", {"8x16", "65536x65536"}},
             {"batch", {"1", "1024"}},
             {"activations", {"bf16", "fp16", "fp32"}},
             {"weights-dtype", {"auto", "bf16", "fp16", "fp32"}},
             {"promote", {"off", "on"}},
             {"lifetime", {"planned", "stream", "lazy"}},
             {"evaluate",
              {"auto", "layer", "block", "stage", "none", "ops:1", "bytes:18446744073709551615",
               "ops:50,bytes:52428800"}},
             {"ahead", {"0", "1024"}},
             {"conv", {"direct", "im2col", "im2col:1", "im2col:16777216", "winograd"}},
             {"upsample", {"fused", "nearest", "broadcast", "folded"}},
             {"norm", {"fused", "separate"}},
             {"attention", {"chunked", "naive"}},
             {"layout-copies", {"off", "on", "after-norm"}},
             {"hold", {"off", "on"}},
             {"load", {"decoder", "full"}},
             {"apply", {"stream", "dictionary"}},
             {"resident", {"0", "text=8", "transformer=0.5", "text=8,transformer=32"}},
             {"offload", {"before-load", "after-decode", "never"}},
             {"tile", {"off", "512", "512x256", "stripe:16", "stripe:1/4"}},
             {"tile-norm", {"auto", "own", "shared"}},
             {"tile-attention", {"auto", "own", "global"}},
             {"spill", {"device", "host", "recompute-doubled", "recompute"}},
             {"allocator", {"auto", "arena", "direct", "caching", "expandable", "cache-limit:0", "cache-limit:1.5"}},
             {"enforce", {"off", "on"}},
             {"device", {"0", "cpu", "H200"}},
             {"budget", {"device", "8", "0.5"}}})
        for (const std::string& value : values) {
            Controls controls;
            const auto set = setControl(controls, control, value);
            ASSERT_TRUE(set) << set.error().message;
            for (const auto& [name, said] : controlValues(controls))
                if (name == control) {
                    EXPECT_EQ(said, value) << control;
                }
        }
}

TEST(Controls, budgetsMaySayTheirUnit) {
    for (const auto& [text, bytes] : {std::pair{"2", std::uint64_t{2} << 30}, std::pair{"2GiB", std::uint64_t{2} << 30},
                                      std::pair{"300MiB", std::uint64_t{300} << 20}}) {
        Controls controls;
        ASSERT_TRUE(setControl(controls, "budget", text));
        EXPECT_EQ(controls.budgetBytes, bytes) << text;
    }
}

TEST(Controls, refuseEverythingElseWithWhatIsAllowed) {
    struct Case {
        const char *control, *value, *part;
    };
    for (const Case& c : {Case{"model", "sd", "sdxl"},
                          Case{"weights", "synthetic:-1", "-1"},
                          Case{"weights", "", "safetensors"},
                          Case{"op", "train", "decode, encode"},
                          Case{"size", "8", "8"},
                          Case{"size", "8x", "WIDTHxHEIGHT"},
                          Case{"size", "8x8x8", "8x8x8"},
                          Case{"size", "65537x8", "65536"},
                          Case{"size", "0x0", "0x0"},
                          Case{"size", "-8x8", "-8x8"},
                          Case{"batch", "0", "1 to 1024"},
                          Case{"batch", "1e3", "1e3"},
                          Case{"activations", "int8", "bf16, fp16, fp32"},
                          Case{"weights-dtype", "x", "auto"},
                          Case{"lifetime", "eager", "planned, stream, lazy"},
                          Case{"evaluate", "ops:0", "ops:0"},
                          Case{"evaluate", "ops:-1", "ops:-1"},
                          Case{"evaluate", "ops:1,steps:2", "steps:2"},
                          Case{"evaluate", "bytes:99999999999999999999", "bytes:99999999999999999999"},
                          Case{"evaluate", "never", "layer, block, stage"},
                          Case{"ahead", "-1", "-1"},
                          Case{"ahead", "1025", "1024"},
                          Case{"ahead", "nan", "nan"},
                          Case{"conv", "im2col:0", "im2col:0"},
                          Case{"conv", "im2col:-5", "im2col:-5"},
                          Case{"conv", "im2col:1e9", "im2col:1e9"},
                          Case{"conv", "im2col:16777217", "16777216"},
                          Case{"conv", "fft", "direct, im2col"},
                          Case{"upsample", "bilinear", "fused, nearest, broadcast, folded"},
                          Case{"promote", "1", "off, on"},
                          Case{"resident", "", "text=GIB"},
                          Case{"resident", "8", "text=GIB"},
                          Case{"resident", "vae=1", "vae=1"},
                          Case{"resident", "text=-1", "resident text"},
                          Case{"resident", "text=nan", "resident text"},
                          Case{"resident", "transformer=1025", "1024"},
                          Case{"resident", "text=1,transformer=1025", "1024"},
                          Case{"tile", "stripe:15", "from 16 to 65536 rows"},
                          Case{"tile", "stripe:1/65", "from 2 to 64"},
                          Case{"tile", "24", "multiples of 8 from 32"},
                          Case{"tile", "on", "stripe:N"},
                          Case{"tile-attention", "shared", "auto, own, global"},
                          Case{"spill", "disk", "device, host, recompute-doubled, recompute"},
                          Case{"allocator", "slab", "arena, direct, caching"},
                          Case{"allocator", "cache-limit:-1", "cache-limit"},
                          Case{"allocator", "cache-limit:inf", "inf"},
                          Case{"enforce", "yes", "off, on"},
                          Case{"budget", "0", "above 0"},
                          Case{"budget", "nan", "nan"},
                          Case{"budget", "inf", "inf"},
                          Case{"budget", "1e300", "1e300"},
                          Case{"budget", "-1", "-1"},
                          Case{"budget", "1 GB", "1 GB"},
                          Case{"budget", "GiB", "GiB"},
                          Case{"budget", "1e-12", "1e-12"},
                          Case{"budget", "", "''"},
                          Case{"precision", "fp32", "activations"}}) {
        Controls controls;
        ASSERT_TRUE(setControl(controls, "tile", "stripe:1/4"));
        ASSERT_TRUE(setControl(controls, "resident", "text=8,transformer=32"));
        const auto before = controlValues(controls);
        const auto set = setControl(controls, c.control, c.value);
        EXPECT_EQ(controlValues(controls), before) << c.control << " " << c.value;
        ASSERT_FALSE(set) << c.control << " " << c.value;
        EXPECT_EQ(set.error().code, ErrorCode::BadUsage);
        EXPECT_NE(set.error().message.find(c.part), std::string::npos) << set.error().message;
    }
}

TEST(Controls, refuseContradictionsWithBothNamesAndWhatGoes) {
    struct Case {
        std::vector<std::pair<const char*, const char*>> values;
        std::vector<const char*> parts;
    };
    for (const Case& c :
         {Case{{{"allocator", "arena"}, {"lifetime", "lazy"}}, {"allocator arena", "lifetime lazy", "cache-limit"}},
          Case{{{"allocator", "arena"}, {"lifetime", "stream"}}, {"allocator arena", "lifetime stream", "caching"}},
          Case{{{"upsample", "folded"}, {"conv", "im2col"}}, {"upsample folded", "conv im2col", "nearest"}},
          Case{{{"upsample", "folded"}, {"conv", "winograd"}}, {"upsample folded", "conv winograd", "nearest"}},
          Case{{{"promote", "on"}, {"activations", "fp32"}}, {"promote on", "activations fp32", "bf16"}},
          Case{{{"tile", "512"}, {"tile-norm", "shared"}}, {"tile 512", "tile-norm shared", "stripe:N"}},
          Case{{{"tile", "512"}, {"tile-attention", "global"}}, {"tile 512", "tile-attention global", "stripe:N"}},
          Case{{{"tile", "stripe:512"}, {"tile-norm", "own"}, {"tile-attention", "global"}},
               {"tile stripe:512", "tile-attention global", "tile-norm shared"}},
          Case{{{"tile", "512"}, {"overlap", "512"}}, {"overlap 512", "at most 504"}},
          Case{{{"tile", "512"}, {"tile-grid", "three-passes"}, {"overlap", "256"}}, {"overlap 256", "at most 248"}},
          Case{{{"tile", "520x512"}, {"tile-grid", "three-passes"}},
               {"tile 520x512", "three-passes", "multiples of 16 from 32"}},
          Case{{{"enforce", "on"}}, {"enforce on", "budget device", "GiB"}}}) {
        Controls controls;
        for (const auto& [control, value] : c.values) ASSERT_TRUE(setControl(controls, control, value));
        const auto checked = checkControls(controls);
        ASSERT_FALSE(checked);
        EXPECT_EQ(checked.error().code, ErrorCode::BadUsage);
        for (const char* part : c.parts)
            EXPECT_NE(checked.error().message.find(part), std::string::npos) << checked.error().message;
    }
}

TEST(Controls, autoFollowsTheLifetime) {
    Controls controls;
    EXPECT_TRUE(checkControls(controls));
    EXPECT_EQ(controls.allocatorPolicy(), AllocatorPolicy::Arena);
    EXPECT_EQ(controls.evaluateAt(), EvaluatePolicy::At::None);
    controls.lifetime = LifetimePolicy::Stream;
    EXPECT_EQ(controls.allocatorPolicy(), AllocatorPolicy::Caching);
    controls.lifetime = LifetimePolicy::Lazy;
    EXPECT_EQ(controls.allocatorPolicy(), AllocatorPolicy::CacheLimit);
    EXPECT_EQ(controls.evaluateAt(), EvaluatePolicy::At::Layer);
    EXPECT_TRUE(checkControls(controls));
}

// What advice tries and what the window offers must be possible, and a preset must be what its names say.
TEST(Controls, flipsSuggestionsAndPresetsAreValid) {
    for (const ControlInfo& info : controlTable()) {
        for (const auto& values : {info.flips, info.suggestions})
            for (const std::string_view value : values) {
                Controls controls;
                ASSERT_TRUE(setControl(controls, info.name, value)) << info.name << " " << value;
                EXPECT_EQ(info.get(controls), value) << info.name;
            }
        // A value that is neither offered nor can be typed would never be shown.
        if (!info.isEditable) {
            EXPECT_TRUE(std::ranges::count(info.suggestions, info.get(defaultControls()))) << info.name;
            for (const std::string_view value : info.flips)
                EXPECT_TRUE(std::ranges::count(info.suggestions, value)) << info.name << " " << value;
        }
    }
    for (const Preset& preset : presets()) {
        Controls controls;
        ASSERT_TRUE(applyPreset(controls, preset.name));
        EXPECT_TRUE(checkControls(controls)) << preset.name;
        // Whatever was set before, a preset sets all that decides the memory of an op.
        Controls other;
        for (const char* before : {"mlx-before", "pytorch-eager", "fastest"}) {
            ASSERT_TRUE(applyPreset(other, before));
            ASSERT_TRUE(applyPreset(other, preset.name));
            EXPECT_EQ(controlValues(other), controlValues(controls)) << preset.name << " after " << before;
        }
        EXPECT_FALSE(applyPreset(controls, "mlx"));
    }
}

// Protects: what was typed stays as it was typed, in reports, sessions and on the command line.
TEST(Controls, numbersOfGiBStayAsTheyWereWritten) {
    for (const char* text :
         {"0.3", "0.1", "0.7", "1", "8", "12.5", "141", "0.001", "1048576", "0.000000001", "3.14159"}) {
        Controls controls;
        ASSERT_TRUE(setControl(controls, "budget", text)) << text;
        EXPECT_EQ(controlValue(controls, "budget"), text);
    }
    // Any number of bytes is one that comes back.
    for (std::uint64_t bytes = 1; bytes < (std::uint64_t{1} << 49); bytes = bytes * 7 / 3 + 1) {
        Controls controls, again;
        controls.budgetBytes = bytes;
        const std::string text = *controlValue(controls, "budget");
        ASSERT_TRUE(setControl(again, "budget", text)) << text;
        EXPECT_EQ(again.budgetBytes, bytes) << text;
    }
}

TEST(Controls, sizesMayHaveBlanks) {
    Controls controls;
    ASSERT_TRUE(setControl(controls, "size", "512 x 256"));
    EXPECT_EQ(controlValue(controls, "size"), "512x256");
    ASSERT_TRUE(setControl(controls, "tile", "64 x 96"));
    EXPECT_EQ(controlValue(controls, "tile"), "64x96");
    for (const char* wrong : {"512 256", "x256", "512x", "5 12x256", " x "})
        EXPECT_FALSE(setControl(controls, "size", wrong)) << wrong;
}

} // namespace
} // namespace spikescope
