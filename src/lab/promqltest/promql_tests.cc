// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "lab/commands.h"
#include "lab/promqltest/promql_test_runner.h"

namespace coalmine::lab {

// `coalmine promql-test FILE...`: one line per failed case, one summary per file and one for all;
// exit code 1 on any failure.
int run_promql_tests(const std::vector<std::string>& files, const cli::CommonFlags& common) {
  std::size_t passed = 0, failed = 0;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
      std::fputs(fmt::format("coalmine: cannot read {}\n", file).c_str(), stderr);
      return 2;
    }
    std::ostringstream text;
    text << in.rdbuf();
    const auto report = lab::run_promql_test(text.str(), file);
    passed += report.passed();
    failed += report.failed();
    if (!common.quiet) std::fputs((report.failures() + report.summary() + "\n").c_str(), stdout);
  }
  std::fputs(fmt::format("{} passed, {} failed\n", passed, failed).c_str(), stdout);
  return failed == 0 ? 0 : 1;
}

} // namespace coalmine::lab
