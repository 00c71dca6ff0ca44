// Controls by name: what is accepted comes back as it was said, everything else is refused with what is allowed.

#include "core/program/controls.h"

#include <gtest/gtest.h>

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
             {"lifetime", {"planned", "stream"}},
             {"allocator", {"auto", "arena", "direct"}},
             {"conv", {"direct"}},
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
                          Case{"lifetime", "lazy", "planned, stream"},
                          Case{"allocator", "caching", "arena, direct"},
                          Case{"budget", "0", "above 0"},
                          Case{"budget", "nan", "nan"},
                          Case{"budget", "inf", "inf"},
                          Case{"budget", "1e300", "1e300"},
                          Case{"budget", "-1", "-1"},
                          Case{"budget", "1GiB", "1GiB"},
                          Case{"budget", "", "''"},
                          Case{"precision", "fp32", "activations"}}) {
        Controls controls;
        const auto set = setControl(controls, c.control, c.value);
        ASSERT_FALSE(set) << c.control << " " << c.value;
        EXPECT_EQ(set.error().code, ErrorCode::BadUsage);
        EXPECT_NE(set.error().message.find(c.part), std::string::npos) << set.error().message;
    }
}

TEST(Controls, refuseContradictions) {
    Controls controls;
    EXPECT_TRUE(checkControls(controls));
    EXPECT_EQ(controls.allocatorPolicy(), AllocatorPolicy::Arena);
    controls.lifetime = LifetimePolicy::Stream;
    EXPECT_TRUE(checkControls(controls));
    EXPECT_EQ(controls.allocatorPolicy(), AllocatorPolicy::Direct);
    controls.allocator = AllocatorPolicy::Arena;
    const auto checked = checkControls(controls);
    ASSERT_FALSE(checked);
    EXPECT_NE(checked.error().message.find("lifetime planned"), std::string::npos);
}

} // namespace
} // namespace spikescope
