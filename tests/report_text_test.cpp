// Reports as text: what is JSON and what is too much of it. None of it may do harm.

#include "core/timeline/layer_table.h"
#include "core/timeline/peak.h"
#include "tests/support/reports.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace spikescope {
namespace {

using Json = nlohmann::json;

TEST(ReportText, TruncatedAnywhereIsRefused) {
    const std::string whole = reportJson(smallRun());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        // Memory of just this size, so that a sanitizer sees a read past the end.
        const std::vector<char> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        const auto read = parseReport({part.data(), part.size()}, fileName);
        ASSERT_FALSE(read) << size;
        ASSERT_EQ(read.error().code, ErrorCode::BadInput) << read.error().message;
        ASSERT_NE(read.error().message.find("not JSON"), std::string::npos) << read.error().message;
    }
    expectRefusal(whole + "x", {"not JSON from byte " + std::to_string(whole.size())});
    EXPECT_TRUE(parseReport("\xef\xbb\xbf" + whole + "\r\n\t ", fileName)); // as some editors save it
}

TEST(ReportText, ChangedBytesNeverDoHarm) {
    const std::string whole = reportJson(smallRun());
    std::mt19937 random(1);
    for (int i = 0; i < 2000; ++i) {
        std::string text = whole;
        for (auto n = 1 + random() % 3; n > 0; --n)
            text[random() % text.size()] = "0123456789-+.eE[]{},:\"\\tfu \xff"[random() % 28];
        const auto read = parseReport(text, fileName);
        // What is JSON is not for us to decide.
        if (Json::accept(text) == (!read && (read.error().message.find("not JSON") != std::string::npos ||
                                             read.error().message.find("the number at") != std::string::npos)))
            ADD_FAILURE() << i << ": " << (read ? "accepted" : read.error().message);
        if (!read) continue;
        const auto again = parseReport(Json::parse(text).dump(), fileName);
        ASSERT_TRUE(again) << again.error().message;
        expectEqual(*read, *again);
        EXPECT_FALSE(formatLayerTable(layerTable(*read), findPeak(*read), 2).empty());
    }
}

// A mapped file shows what others write to it, and what the first pass has checked the second reads again.
TEST(ReportText, ChangedWhileItIsReadDoesNoHarm) {
    Recording r = smallRun();
    for (std::uint32_t i = 0; i < 3000; ++i) r.tensors.push_back({.name = "\n\xc3\xa9", .shape = {i, 1, 2}});
    for (unsigned seed = 0; seed < 60; ++seed) {
        std::mt19937 random(seed);
        std::string text = reportJson(r);
        bool changed = false;
        const auto read = parseReport(text, fileName, [&](double fraction) {
            if (fraction < 0.5) return true; // the first pass
            for (auto n = 1 + random() % 200; n > 0; --n)
                text[random() % text.size()] = "0123456789-+.eE[]{},:\"\\tfu \xff"[random() % 28];
            return changed = true;
        });
        EXPECT_TRUE(changed);
        if (read) findPeak(*read);
    }
}

TEST(ReportText, DeepNestingIsRefused) {
    for (const char* open : {"[", "{\"a\":"}) {
        std::string text;
        for (int i = 0; i < 200000; ++i) text += open;
        expectRefusal(text, {"nested deeper than 32 levels at byte"});
    }
    const std::string brackets(40, '[');
    expectRefusal(replaced("\"kind\":\"run\"", "\"kind\":\"" + brackets + "\""), {"'kind'", "unknown value"});
    // The report itself is one level.
    EXPECT_TRUE(parseReport(withFields("\"x\":" + std::string(31, '[') + std::string(31, ']')), fileName));
    expectRefusal(withFields("\"x\":" + std::string(32, '[') + std::string(32, ']')), {"nested deeper"});
}

TEST(ReportText, TooManyValuesAreRefused) {
    std::string text = "[";
    text.resize((std::size_t{128} << 20) + 1, '0');
    for (std::size_t i = 2; i < text.size(); i += 2) text[i] = ',';
    expectRefusal(text + "0]", {"more values than the limit of 67108864"});
}

TEST(ReportText, NumbersOutOfRangeAreRefused) {
    const auto duration = [](const std::string& number) {
        return replaced("\"duration_ms\":1.25", "\"duration_ms\":" + number);
    };
    for (const auto& [number, value] :
         std::vector<std::pair<std::string, double>>{{"1e308", 1e308},
                                                     {"1e-999", 0.0},
                                                     {"-0", 0.0},
                                                     {"0.5E+1", 5.0},
                                                     {"18446744073709551616", 18446744073709551616.0},
                                                     {"1e-99999999999999999999", 0.0},
                                                     {"0e99999999999999999999", 0.0},
                                                     {std::string(400, '9') + "e-400", 1.0},
                                                     {"0." + std::string(400, '0') + "1e401", 1.0}}) {
        const auto read = parseReport(duration(number), fileName);
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_DOUBLE_EQ(read->durationMs, value) << number;
    }
    for (const std::string& number :
         {std::string("1e999"), std::string("-1e309"), std::string("1E99999999999999999999"), std::string(310, '9'),
          "0." + std::string(400, '0') + "1e999"}) {
        expectRefusal(duration(number), {"number at byte", "out of range"});
        expectRefusal(withFields("\"x\":[" + number + "]"), {"number at byte", "out of range"});
    }
    for (const char* number :
         {"01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "Infinity", "--1", "1_0", "\xc2\xb2"})
        expectRefusal(duration(number), {"not JSON from byte"});
    for (const char* number : {"-1", "-0", "1.0", "1e2", "18446744073709551616", "\"1\"", "null", "[1]", "true"})
        expectRefusal(replaced("\"refusals\":0", std::string("\"refusals\":") + number),
                      {"'refusals' is not an unsigned integer"});
    const auto most = parseReport(replaced("\"refusals\":0", "\"refusals\":18446744073709551615"), fileName);
    ASSERT_TRUE(most) << most.error().message;
    EXPECT_EQ(most->refusals, ~std::uint64_t{0});

    const auto time = [](const std::string& number) {
        return replaced("900,30,200,500", "900,30," + number + ",500"); // conv_in's op
    };
    for (const auto& [number, value] : std::vector<std::pair<std::string, std::int64_t>>{
             {"-0", 0}, {"-7", -7}, {"4611686018427387904", std::int64_t{1} << 62}}) {
        const auto read = parseReport(time(number), fileName);
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(read->ops[2].beginNs, value);
    }
    for (const char* number :
         {"4611686018427387905", "-4611686018427387905", "-9223372036854775808", "9223372036854775808"})
        expectRefusal(time(number), {"row 2 column begin_ns", "out of range"});
    for (const char* number : {"-9223372036854775809", "0.0", "18446744073709551616"})
        expectRefusal(time(number), {"row 2 column begin_ns", "not an integer"});
}

TEST(ReportText, TextThatIsNotUtf8IsRefused) {
    const auto named = [](const std::string& text) { return replaced("\"latents\"", "\"" + text + "\""); };
    for (const auto& [text, value] : std::vector<std::pair<std::string, std::string>>{
             {R"(\u0041\/\b\f\n\r\t\"\\)", "A/\b\f\n\r\t\"\\"},
             {R"(\u00e9\u2192\uD83C\udf88)", "\xc3\xa9\xe2\x86\x92\xf0\x9f\x8e\x88"},
             {R"(\u0000)", std::string(1, '\0')},
             {"\x7f\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xf4\x8f\xbf\xbf",
              "\x7f\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xf4\x8f\xbf\xbf"}}) {
        const auto read = parseReport(named(text), fileName);
        ASSERT_TRUE(read) << text << ": " << read.error().message;
        EXPECT_EQ(read->tensors[4].name, value);
    }
    for (const char* text : {"\x80",
                             "\xc3",
                             "\xc0\x80",
                             "\xc1\xbf",
                             "\xe2\x86",
                             "\xe0\x9f\xbf",
                             "\xed\xa0\x80",
                             "\xf0\x8f\xbf\xbf",
                             "\xf4\x90\x80\x80",
                             "\xf5\x80\x80\x80",
                             "\xff",
                             "\x01",
                             "\n",
                             R"(\x)",
                             R"(\u12)",
                             R"(\u-123)",
                             R"(\uD83C)",
                             R"(\uD83Cx)",
                             R"(\uD83C\n)",
                             R"(\uD83C\u0041)",
                             R"(\uDF88)",
                             R"(\)"}) {
        expectRefusal(named(text), {"not JSON from byte"});
        expectRefusal(withFields("\"" + std::string(text) + "\":0"), {"not JSON from byte"});
    }
}

} // namespace
} // namespace spikescope
