// tests/promql/*.test and tests/promql/upstream/*.test, in Prometheus's own test format.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "lab/promqltest/promql_test_runner.h"

namespace coalmine::lab {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

void expect_all_pass(const std::filesystem::path& folder, std::size_t at_least) {
  std::size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".test") continue;
    const PromqlTestReport report =
        run_promql_test(read(entry.path()), entry.path().filename().string());
    EXPECT_EQ(report.failed(), 0U) << report.failures();
    EXPECT_GT(report.cases.size(), 0U) << entry.path();
    cases += report.cases.size();
  }
  EXPECT_GE(cases, at_least);
}

const std::filesystem::path kFolder =
    std::filesystem::path(COALMINE_SOURCE_DIR) / "tests" / "promql";

TEST(PromqlFiles, Own) { expect_all_pass(kFolder, 9); }
TEST(PromqlFiles, Upstream) { expect_all_pass(kFolder / "upstream", 1477); }

// The runner itself distinguishes right from wrong.
TEST(PromqlTestRunner, ReportsWhatIsWrong) {
  const PromqlTestReport report = run_promql_test(R"(
load 1m
  a{x="1"} 1 2 3

eval instant at 1m a
  a{x="1"} 2

eval instant at 1m a
  a{x="1"} 2.1

eval instant at 1m a
  a{x="1"} 2
  a{x="2"} 2

eval instant at 1m a

eval instant at 1m sum(
  {} 1

eval instant at 1m a + on() a
  expect fail

eval instant at 1m rate(a[5m])
  expect info msg: something else
  {x="1"} 0.02

frobnicate
)",
                                                  "own.test");
  ASSERT_EQ(report.cases.size(), 8U);
  EXPECT_TRUE(report.cases[0].passed) << report.cases[0].detail;
  const std::vector<std::string> details = {"",
                                            "expected 2.1, got 2",
                                            "expected metric a{x=\"2\"} not found",
                                            "unexpected metric a{x=\"1\"}",
                                            "unclosed left parenthesis",
                                            "expected an error, got none",
                                            "unexpected info",
                                            "invalid command"};
  for (std::size_t i = 1; i < report.cases.size(); ++i) {
    EXPECT_FALSE(report.cases[i].passed);
    EXPECT_NE(report.cases[i].detail.find(details[i]), std::string::npos) << report.cases[i].detail;
  }
  EXPECT_EQ(report.summary(), "own.test: 1 passed, 7 failed");
  EXPECT_NE(report.failures().find("own.test:8: FAIL a: "), std::string::npos) << report.failures();
}

} // namespace
} // namespace coalmine::lab
