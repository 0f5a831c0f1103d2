// Child processes of the demo, and the few services of the operating system that it needs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace coalmine::demo {

// A running child; destruction stops it (SIGTERM, after three seconds SIGKILL) and waits. It also
// dies when this process does.
class Child {
 public:
  // environment is added to our own. Output of the child goes to log_path.
  static Result<Child> spawn(const std::vector<std::string>& command,
                             const std::vector<std::pair<std::string, std::string>>& environment,
                             const std::string& log_path);
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Child& operator=(Child&& other) noexcept;
  ~Child() { stop(); }

  pid_t pid() const { return pid_; }
  bool running();
  void stop();

 private:
  explicit Child(pid_t pid) : pid_(pid) {}
  pid_t pid_ = 0;
};

// A port of 127.0.0.1 that is free at this moment; preferred when that one is, 0 for any.
std::uint16_t free_port(std::uint16_t preferred);

// Where a program is, searched in PATH and in /usr/sbin; not_found names the Debian package.
Result<std::string> find_program(const std::string& name, const std::string& package);

} // namespace coalmine::demo
