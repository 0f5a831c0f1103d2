// SPDX-License-Identifier: Apache-2.0
#include "lab/promqltest/promql_test_parse.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cctype>

#include "promql/syntax/go_text.h"

namespace coalmine::lab {
namespace {

using re2::RE2;
using Kind = TestExpectation::Kind;

// Trimmed lines; comments become empty.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (true) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    const auto first = line.find_first_not_of(" \t\r");
    line = first == std::string_view::npos
               ? std::string_view()
               : line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
    out.emplace_back(line.starts_with('#') ? std::string_view() : line);
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

Result<TestLoad> parse_load(const std::vector<std::string>& block) {
  TestLoad out;
  std::string suffix;
  std::string step;
  if (!RE2::FullMatch(block[0], R"(load(_with_nhcb)?\s+(.+?))", &suffix, &step))
    return wrong("invalid load command. (load[_with_nhcb] <step:duration>)");
  out.with_custom_histograms = !suffix.empty();
  TRY_ASSIGN(out.step_ms, promql::parse_prometheus_duration(step));
  std::optional<TestStartLine> starts;
  for (std::size_t i = 1; i < block.size(); ++i) {
    if (is_test_start_line(block[i])) {
      if (starts) return wrong("@st line has no following sample line");
      TRY_ASSIGN(starts, parse_test_start_line(block[i]));
      continue;
    }
    TestLoad::Line line;
    TRY_ASSIGN(line.series, parse_test_series(block[i]));
    if (starts) {
      if (starts->labels != line.series.labels ||
          starts->offsets_ms.size() != line.series.points.size()) {
        return wrong("an @st line must name the metric of the next line and have as many values");
      }
      line.start_offsets_ms = std::move(starts->offsets_ms);
      starts.reset();
    }
    const auto same = std::ranges::find_if(
        out.lines, [&](const TestLoad::Line& l) { return l.series.labels == line.series.labels; });
    if (same != out.lines.end()) {
      *same = std::move(line); // if one block has two, the last wins
    } else {
      out.lines.push_back(std::move(line));
    }
  }
  if (starts) return wrong("@st line has no following sample line");
  return out;
}

Result<TestExpectation> parse_expectation(const std::string& line) {
  std::string mode;
  std::string how;
  std::string what;
  if (!RE2::FullMatch(
          line, R"(expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?)",
          &mode, &how, &what)) {
    return wrong(
        "invalid expect statement, must match `expect <type> <match_type>: <string>` format");
  }
  TestExpectation out;
  out.kind = mode == "ordered"   ? Kind::ordered
             : mode == "fail"    ? Kind::fail
             : mode == "warn"    ? Kind::warn
             : mode == "info"    ? Kind::info
             : mode == "no_warn" ? Kind::no_warn
                                 : Kind::no_info;
  const auto first = what.find_first_not_of(" \t");
  what.erase(0, first == std::string::npos ? what.size() : first);
  out.by_message = how == "msg";
  (out.by_message ? out.message : out.pattern) = what;
  if (!out.by_message && !RE2(what, RE2::Quiet).ok()) return wrong("invalid regex " + what);
  return out;
}

Status check_range(std::int64_t start_ms, std::int64_t end_ms) {
  if (end_ms >= start_ms) return {};
  return wrong(fmt::format("the end of the range lies {} ms before its start; give from, then to",
                           start_ms - end_ms));
}

Status parse_head(const std::string& line, TestEval& out) {
  std::string modifier;
  std::string first;
  std::string last;
  std::string step;
  if (RE2::FullMatch(
          line,
          R"(eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+))",
          &modifier, &first, &last, &step, &out.query)) {
    out.range = true;
    TRY_ASSIGN(out.start_ms, promql::parse_prometheus_duration(first));
    TRY_ASSIGN(out.end_ms, promql::parse_prometheus_duration(last));
    TRY_ASSIGN(out.step_ms, promql::parse_prometheus_duration(step));
    TRY(check_range(out.start_ms, out.end_ms));
  } else if (RE2::FullMatch(
                 line, R"(eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+))",
                 &modifier, &first, &out.query)) {
    TRY_ASSIGN(out.eval_ms, promql::parse_prometheus_duration(first));
    out.start_ms = out.end_ms = out.eval_ms;
  } else {
    return wrong("invalid evaluation command");
  }
  out.old_ordered = modifier == "ordered";
  out.old_fail = modifier == "fail";
  out.old_warn = modifier == "warn";
  out.old_info = modifier == "info";
  return {};
}

// Expectations that contradict each other.
Status check_expectations(const TestEval& eval) {
  if (eval.has(Kind::info) && eval.has(Kind::no_info))
    return wrong("invalid expect lines, info and no_info cannot be used together");
  if (eval.has(Kind::warn) && eval.has(Kind::no_warn))
    return wrong("invalid expect lines, warn and no_warn cannot be used together");
  const auto fails = std::ranges::count_if(
      eval.expectations, [](const TestExpectation& e) { return e.kind == Kind::fail; });
  if (fails > 1) return wrong("invalid expect lines, multiple expect fail lines are not allowed");
  return {};
}

// One line under an eval that is not a series.
Result<bool> parse_directive(const std::string& line, TestEval& out) {
  std::string first;
  std::string last;
  std::string step;
  if (RE2::FullMatch(line, R"(expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+))", &first,
                     &last, &step)) {
    TRY_ASSIGN(out.start_ms, promql::parse_prometheus_duration(first));
    TRY_ASSIGN(out.end_ms, promql::parse_prometheus_duration(last));
    TRY_ASSIGN(out.step_ms, promql::parse_prometheus_duration(step));
    TRY(check_range(out.start_ms, out.end_ms));
    out.eval_ms = out.end_ms;
    out.expects_matrix = true;
    return true;
  }
  if (line.starts_with("expect string")) {
    out.expected_string =
        promql::unquote(std::string_view(line).substr(std::min<std::size_t>(line.size(), 14)));
    if (!out.expected_string)
      return wrong("expected string literal not valid - check that the string is correctly quoted");
    return true;
  }
  std::string pattern;
  if (out.old_fail && RE2::FullMatch(line, R"(expected_fail_message\s+(.+))", &pattern)) {
    out.expectations.push_back({Kind::fail, pattern, "", true});
    return true;
  }
  if (out.old_fail && RE2::FullMatch(line, R"(expected_fail_regexp\s+(.+))", &pattern)) {
    out.expectations.push_back({Kind::fail, "", pattern, false});
    return true;
  }
  if (line.starts_with("expect ")) {
    TRY_ASSIGN(TestExpectation expectation, parse_expectation(line));
    out.expectations.push_back(std::move(expectation));
    TRY(check_expectations(out));
    return true;
  }
  return false;
}

bool is_expected_failure(const std::string& line) {
  return line.starts_with("expected_fail_message") || line.starts_with("expected_fail_regexp");
}

// used: the lines of the block that belong to the eval. A number, or how an eval_fail fails, ends
// it even without an empty line.
Result<TestEval> parse_eval(const std::vector<std::string>& block, std::size_t& used) {
  TestEval out;
  used = block.size();
  TRY(parse_head(block[0], out));
  for (std::size_t i = 1; i < used; ++i) {
    if (out.old_fail && is_expected_failure(block[i])) used = i + 1;
    TRY_ASSIGN(const bool directive, parse_directive(block[i], out));
    if (directive) continue;
    std::string_view number = block[i];
    const bool negative = number.starts_with('-');
    if (negative || number.starts_with('+')) number.remove_prefix(1);
    if (const auto value = promql::parse_promql_number(number)) {
      out.expected_scalar = negative ? -*value : *value;
      used = i + 1;
      continue;
    }
    TRY_ASSIGN(TestSeriesLine series, parse_test_series(block[i]));
    if (series.points.size() > 1 && !out.range && !out.expects_matrix) {
      return wrong(
          "expecting multiple values in instant evaluation not allowed. consider using 'expect "
          "range vector' directive to enable "
          "a range "
          "vector result for an instant query");
    }
    out.expected.push_back(std::move(series));
  }
  return out;
}

bool is_clear(const std::string& line) {
  std::string word = line.substr(0, line.find_first_of(" \t"));
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word == "clear";
}

} // namespace

bool TestExpectation::matches(std::string_view text) const {
  if (by_message) return text == message;
  return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), pattern);
}

bool TestEval::has(Kind kind) const {
  return std::ranges::any_of(expectations,
                             [&](const TestExpectation& e) { return e.kind == kind; });
}

std::vector<TestCommand> parse_promql_test(std::string_view text) {
  const std::vector<std::string> lines = lines_of(text);
  std::vector<TestCommand> out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    TestCommand command{i + 1, lines[i], TestClear{}, ""};
    if (!is_clear(lines[i])) {
      const std::size_t first = i;
      std::vector<std::string> block = {lines[i]};
      while (i + 1 < lines.size() && !lines[i + 1].empty()) block.push_back(lines[++i]);
      if (block[0].starts_with("load")) {
        auto load = parse_load(block);
        if (load)
          command.what = *std::move(load);
        else
          command.error = load.error().message;
      } else if (block[0].starts_with("eval")) {
        std::size_t used = 0;
        auto eval = parse_eval(block, used);
        i = first + used - 1;
        if (eval)
          command.what = *std::move(eval);
        else
          command.error = eval.error().message;
      } else {
        command.error = "invalid command " + promql::go_quote(block[0]);
      }
    }
    out.push_back(std::move(command));
  }
  return out;
}

} // namespace coalmine::lab
