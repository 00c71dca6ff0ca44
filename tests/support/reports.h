#pragma once
// Reports that tests change and read.

#include "core/formats/read_report.h"
#include "core/formats/write_report.h"
#include "tests/support/recordings.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace spikescope {

inline const std::string fileName = "report.json";

inline void expectRefusal(const std::string& report, const std::vector<std::string>& words) {
    const auto read = parseReport(report, fileName);
    ASSERT_FALSE(read) << words.front();
    EXPECT_EQ(read.error().code, ErrorCode::BadInput);
    EXPECT_NE(read.error().message.find(fileName), std::string::npos) << read.error().message;
    for (const std::string& word : words)
        EXPECT_NE(read.error().message.find(word), std::string::npos) << read.error().message;
}

// smallRun()'s report with this text after its first brace.
inline std::string withFields(const std::string& fields) {
    return "{" + fields + "," + reportJson(smallRun()).substr(1);
}

// smallRun()'s report with another text in place of this one.
inline std::string replaced(const std::string& what, const std::string& with) {
    std::string report = reportJson(smallRun());
    const std::size_t at = report.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return report.replace(at, what.size(), with);
}

} // namespace spikescope
