// Diagnostics as a compiler shows them: file:line:column, the line, carets, the hint.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"

namespace coalmine::config {

// What was found in one file. text is kept for the lines shown. A plain value.
struct FileReport {
  std::string path; // as the user named it
  std::string text;
  std::vector<Diagnostic> diagnostics; // by line and column
};

// checkout.yaml:5:15: error: margin "0.10" has no unit
//     5 |   error_rate: 0.10
//       |               ^^^^ write +10pp …
// Control characters of the file are shown as '?', long lines are cut.
std::string render(const FileReport& report, bool color);

struct ProblemCount {
  std::size_t errors = 0;
  std::size_t warnings = 0;
};
ProblemCount count(const std::vector<FileReport>& reports);
// "2 errors, 1 warning"; "" when there are none.
std::string count_text(const ProblemCount& problems);

void sort_by_place(std::vector<Diagnostic>& diagnostics);

} // namespace coalmine::config
