//===- TestFolder.h - a folder that goes away with the test -------------------===//
#ifndef FLASHC_TEST_RUNTIME_TESTFOLDER_H
#define FLASHC_TEST_RUNTIME_TESTFOLDER_H

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdlib.h>
#include <string>

namespace flashc::test {

class TestFolder {
public:
  TestFolder() {
    std::string name = ::testing::TempDir() + "flashc-test-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string operator/(const std::string &name) const { return path + "/" + name; }

  std::string path;
};

inline std::string readText(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void writeText(const std::string &path, const std::string &text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

} // namespace flashc::test

#endif // FLASHC_TEST_RUNTIME_TESTFOLDER_H
