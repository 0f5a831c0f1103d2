// `coalmine vectors`: checks the judges against files of golden vectors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace coalmine::lab {

struct VectorReport {
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::string mismatches; // a line each
};
// text: a file with "vectors" (statistics: function, input, expected value, tolerance) or of the
// rank test's cases (mann_whitney, scoring, …). invalid_argument: not such a file. A vector that
// cannot be evaluated (unknown function, missing input) is a failure.
Result<VectorReport> check_vectors(std::string_view text);

inline constexpr std::size_t kMaxVectorsBytes = 64u << 20;

} // namespace coalmine::lab
