#include "core/base/float_convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace spikescope {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(FloatConvert, EveryFp16PatternSurvives) {
    for (std::uint32_t pattern = 0; pattern < 0x10000u; ++pattern) {
        const auto bits = static_cast<std::uint16_t>(pattern);
        const float value = fp16ToFloat(bits);
        if ((bits & 0x7fffu) > 0x7c00u) {
            ASSERT_TRUE(std::isnan(value)) << std::hex << bits;
            ASSERT_TRUE(std::isnan(fp16ToFloat(floatToFp16(value)))) << std::hex << bits;
        } else {
            ASSERT_EQ(floatToFp16(value), bits) << std::hex << bits;
        }
    }
}

TEST(FloatConvert, EveryBf16PatternSurvives) {
    for (std::uint32_t pattern = 0; pattern < 0x10000u; ++pattern) {
        const auto bits = static_cast<std::uint16_t>(pattern);
        const float value = bf16ToFloat(bits);
        ASSERT_EQ(std::bit_cast<std::uint32_t>(value), pattern << 16);
        if ((bits & 0x7fffu) > 0x7f80u)
            ASSERT_TRUE(std::isnan(bf16ToFloat(floatToBf16(value)))) << std::hex << bits;
        else
            ASSERT_EQ(floatToBf16(value), bits) << std::hex << bits;
    }
}

TEST(FloatConvert, Fp16MeansWhatTheStandardSays) {
    // value = (-1)^sign × 2^(exponent-15) × (1 + mantissa/1024); subnormals 2^-14 × mantissa/1024
    for (std::uint32_t pattern = 0; pattern < 0x7c00u; ++pattern) {
        const auto exponent = static_cast<int>(pattern >> 10);
        const double mantissa = (pattern & 0x3ffu) / 1024.0;
        const double expected = exponent == 0 ? std::ldexp(mantissa, -14) : std::ldexp(1.0 + mantissa, exponent - 15);
        ASSERT_EQ(fp16ToFloat(static_cast<std::uint16_t>(pattern)), expected);
        ASSERT_EQ(fp16ToFloat(static_cast<std::uint16_t>(pattern | 0x8000u)), -expected);
    }
}

// value = (-1)^sign × 2^(exponent-bias) × (1 + mantissa/2^bits); subnormals have the exponent of 1 and no leading 1.
double ofCode(unsigned code, int mantissaBits, int bias) {
    const int mantissa = static_cast<int>(code & ((1u << mantissaBits) - 1u)), ones = 1 << mantissaBits;
    const int exponent = static_cast<int>((code & 0x7fu) >> mantissaBits);
    const double magnitude = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissaBits)
                                           : std::ldexp(ones + mantissa, exponent - bias - mantissaBits);
    return (code & 0x80u) != 0 ? -magnitude : magnitude;
}

TEST(FloatConvert, EveryFp8CodeMeansWhatItsFormatSays) {
    for (unsigned code = 0; code < 256; ++code) {
        const auto bits = static_cast<std::uint8_t>(code);
        const float e4 = fp8E4M3ToFloat(bits), e5 = fp8E5M2ToFloat(bits);
        if ((code & 0x7fu) == 0x7f) {
            EXPECT_TRUE(std::isnan(e4)) << code;
        } else {
            EXPECT_EQ(e4, ofCode(code, 3, 7)) << code;
            EXPECT_EQ(std::signbit(e4), code >= 0x80) << code;
            EXPECT_EQ(bf16ToFloat(floatToBf16(e4)), e4) << code;
        }
        if ((code & 0x7fu) > 0x7c) {
            EXPECT_TRUE(std::isnan(e5)) << code;
        } else if ((code & 0x7fu) == 0x7c) {
            EXPECT_EQ(e5, code < 0x80 ? infinity : -infinity);
        } else {
            EXPECT_EQ(e5, ofCode(code, 2, 15)) << code;
            EXPECT_EQ(std::signbit(e5), code >= 0x80) << code;
            EXPECT_EQ(bf16ToFloat(floatToBf16(e5)), e5) << code;
        }
    }
    EXPECT_EQ(fp8E4M3ToFloat(0x7e), 448.0f);
    EXPECT_EQ(fp8E5M2ToFloat(0x7b), 57344.0f);
}

TEST(FloatConvert, DoublesBeyondFloatBecomeInfinite) {
    EXPECT_EQ(nearestFloat(1e300), infinity);
    EXPECT_EQ(nearestFloat(-1e300), -infinity);
    EXPECT_EQ(nearestFloat(0.1), 0.1f);
    EXPECT_EQ(nearestFloat(-std::numeric_limits<double>::infinity()), -infinity);
    EXPECT_TRUE(std::isnan(nearestFloat(std::numeric_limits<double>::quiet_NaN())));
}

// Halfway between two neighbours the even one wins, and the next float to either side goes to its own side.
template <class ToFloat, class FromFloat>
void expectNearestEven(std::uint16_t largest, ToFloat toFloat, FromFloat fromFloat) {
    for (std::uint32_t pattern = 0; pattern < largest; ++pattern) {
        const auto low = static_cast<std::uint16_t>(pattern), high = static_cast<std::uint16_t>(pattern + 1);
        const double middle = (static_cast<double>(toFloat(low)) + static_cast<double>(toFloat(high))) / 2.0;
        const auto halfway = static_cast<float>(middle);
        if (static_cast<double>(halfway) != middle) continue; // below float's own last bit
        const auto even = static_cast<std::uint16_t>(pattern % 2 == 0 ? low : high);
        ASSERT_EQ(fromFloat(halfway), even) << std::hex << pattern;
        ASSERT_EQ(fromFloat(-halfway), even | 0x8000u) << std::hex << pattern;
        ASSERT_EQ(fromFloat(std::nextafter(halfway, 0.0f)), low) << std::hex << pattern;
        ASSERT_EQ(fromFloat(std::nextafter(halfway, infinity)), high) << std::hex << pattern;
    }
}

TEST(FloatConvert, Fp16TiesGoToEven) { expectNearestEven(0x7bff, fp16ToFloat, floatToFp16); }
TEST(FloatConvert, Bf16TiesGoToEven) { expectNearestEven(0x7f7f, bf16ToFloat, floatToBf16); }

TEST(FloatConvert, TheEdgesOfFp16) {
    const struct {
        float value;
        std::uint16_t bits;
    } cases[] = {
        {0.0f, 0x0000},     {-0.0f, 0x8000},           {1.0f, 0x3c00},      {-2.0f, 0xc000},
        {65504.0f, 0x7bff}, {65519.99f, 0x7bff},       {65520.0f, 0x7c00},  {-65520.0f, 0xfc00},
        {1e30f, 0x7c00},    {infinity, 0x7c00},        {-infinity, 0xfc00}, {0x1p-24f, 0x0001},
        {0x1p-25f, 0x0000}, {0x1.000002p-25f, 0x0001}, {1e-45f, 0x0000},    {0x1p-14f, 0x0400},
    };
    for (const auto& c : cases) EXPECT_EQ(floatToFp16(c.value), c.bits) << c.value;
}

TEST(FloatConvert, TheEdgesOfBf16) {
    EXPECT_EQ(floatToBf16(std::numeric_limits<float>::max()), 0x7f80); // rounds up to infinity
    EXPECT_EQ(floatToBf16(bf16ToFloat(0x7f7f)), 0x7f7f);
    EXPECT_EQ(floatToBf16(infinity), 0x7f80);
    EXPECT_EQ(floatToBf16(-0.0f), 0x8000);
}

TEST(FloatConvert, NanStaysNan) {
    for (const std::uint32_t bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
        const float nan = std::bit_cast<float>(bits);
        EXPECT_TRUE(std::isnan(fp16ToFloat(floatToFp16(nan)))) << std::hex << bits;
        EXPECT_TRUE(std::isnan(bf16ToFloat(floatToBf16(nan)))) << std::hex << bits;
    }
}

#ifdef __FLT16_MANT_DIG__
TEST(FloatConvert, AgreesWithTheCompiler) {
    // A stride prime to 2^32 visits all exponents and many mantissas, ties included in the tests above.
    std::uint32_t bits = 0;
    for (int i = 0; i < 2'000'000; ++i, bits += 2654435761u) {
        const float value = std::bit_cast<float>(bits);
        if (std::isnan(value)) continue;
        ASSERT_EQ(floatToFp16(value), std::bit_cast<std::uint16_t>(static_cast<_Float16>(value))) << std::hex << bits;
    }
}
#endif

} // namespace
} // namespace spikescope
