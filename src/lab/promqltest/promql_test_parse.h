// The commands of PromQL test files, read but not run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lab/promqltest/promql_test_series.h"

namespace coalmine::lab {

struct TestClear {};

struct TestLoad {
  std::int64_t step_ms = 0;
  bool with_custom_histograms = false; // load_with_nhcb
  struct Line {
    TestSeriesLine series;
    std::vector<std::optional<std::int64_t>> start_offsets_ms; // empty: none
  };
  std::vector<Line> lines;
};

// The expected text: exactly this, or one that matches this pattern.
struct TestExpectation {
  enum class Kind { ordered, fail, warn, no_warn, info, no_info } kind = Kind::fail;
  std::string message;
  std::string pattern;
  bool by_message = false;
  bool matches(std::string_view text) const;
};

struct TestEval {
  std::string query;
  bool range = false;
  // For an instant query: its time, unless an expected range vector says otherwise.
  std::int64_t start_ms = 0;
  std::int64_t end_ms = 0;
  std::int64_t step_ms = 0;
  std::int64_t eval_ms = 0; // of an instant query
  bool expects_matrix = false;
  std::optional<std::string> expected_string;
  std::optional<double> expected_scalar;
  std::vector<TestSeriesLine> expected; // in the order written
  std::vector<TestExpectation> expectations;
  bool old_ordered = false; // eval_ordered and its kin
  bool old_fail = false;
  bool old_warn = false;
  bool old_info = false;

  bool has(TestExpectation::Kind kind) const;
  bool must_fail() const { return old_fail || has(TestExpectation::Kind::fail); }
  bool ordered() const { return old_ordered || has(TestExpectation::Kind::ordered); }
};

struct TestCommand {
  std::size_t line = 0; // from 1
  std::string text;     // of that line
  std::variant<TestClear, TestLoad, TestEval> what;
  std::string error; // could not be read, and why
};

std::vector<TestCommand> parse_promql_test(std::string_view text);

} // namespace coalmine::lab
