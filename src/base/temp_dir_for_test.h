// A directory for one test.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <system_error>

namespace coalmine {

// A path that no other test has, without a directory yet. Removed at the end.
class TempDir {
 public:
  TempDir() {
    static std::atomic<int> counter{0};
    // In memory where possible. Opening a database syncs files, which would take most of the time
    // of these tests.
    const std::filesystem::path memory = "/dev/shm";
    std::error_code unknown;
    const auto room = std::filesystem::space(memory, unknown);
    const bool fits = !unknown && room.available > (256u << 20);
    path_ = (fits ? memory : std::filesystem::temp_directory_path()) /
            ("coalmine-test-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
    std::filesystem::remove_all(path_);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

} // namespace coalmine
