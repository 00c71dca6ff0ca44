#pragma once
// Each test has an empty folder of its own, so that what is left behind can be counted.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace spikescope {

class FolderTest : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "spikescope_XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        m_folder = pattern + "/";
    }
    void TearDown() override { std::filesystem::remove_all(m_folder); }

    std::string m_folder; // ends with "/"
};

} // namespace spikescope
