// Golden files: what a test saw is compared with a file of the repository. `./dev golden` shows how
// they differ and rewrites the files.
//
// Called from tests, on any thread. With COALMINE_GOLDEN=DIR in the environment nothing is
// compared: what was seen is written below DIR, under the file's own path in the repository.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace coalmine {

inline void write_golden(const std::filesystem::path& file, const std::string& actual) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary);
  out << actual;
  ASSERT_TRUE(out.flush()) << "cannot write " << file;
}

// `file` is an absolute path inside the repository. Fails the running test where it differs.
inline void expect_golden(const std::filesystem::path& file, const std::string& actual) {
  if (const char* seen = std::getenv("COALMINE_GOLDEN")) {
    return write_golden(seen / file.lexically_relative(COALMINE_SOURCE_DIR), actual);
  }
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in) << file << " does not exist; ./dev golden writes it";
  const std::string expected{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(actual, expected) << file << " holds something else; ./dev golden shows the difference "
                              << "and rewrites the file";
}

} // namespace coalmine
