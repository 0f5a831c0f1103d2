// Runs Prometheus's PromQL test files (promqltest): load, eval, expect. For `coalmine promql-test
// FILE...` and the tests.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coalmine::lab {

// One eval, or one command that could not be read.
struct PromqlTestCase {
  std::size_t line = 0;
  std::string query;
  bool passed = false;
  std::string detail; // why it failed, "" when it passed
};

struct PromqlTestReport {
  std::string file;
  std::vector<PromqlTestCase> cases;
  std::size_t passed() const;
  std::size_t failed() const { return cases.size() - passed(); }
  // FILE: N passed, N failed
  std::string summary() const;
  // FILE:LINE: FAIL query: detail, a line for each failed case.
  std::string failures() const;
};

// Every instant eval is also run as the middle step of a range query, and with @ added to each
// selector at other times, as the reference runner does. A case that fails does not stop the rest.
PromqlTestReport run_promql_test(std::string_view text, std::string_view file);

} // namespace coalmine::lab
