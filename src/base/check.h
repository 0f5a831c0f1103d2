// CHECK: an invariant of ours, on in every build. Never for input, which fails with an Error.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>

namespace coalmine {

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
  std::abort();
}

} // namespace coalmine

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) ::coalmine::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
