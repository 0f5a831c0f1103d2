// SPDX-License-Identifier: Apache-2.0
#include "lab/promqltest/promql_test_runner.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "lab/promqltest/promql_test_check.h"
#include "lab/promqltest/promql_test_parse.h"
#include "promql/engine.h"
#include "promql/engine_plain.h"
#include "promql/eval/histogram_math.h"
#include "promql/eval/memory_queryable.h"
#include "promql/syntax/go_text.h"
#include "promql/syntax/parser.h"
#include "promql/syntax/printer.h"

namespace coalmine::lab {
namespace {

constexpr std::size_t kMaxSamples = 10'000;

promql::EvalOptions test_options() {
  promql::EvalOptions out;
  out.max_samples = kMaxSamples;
  out.delayed_name_removal = true;
  out.use_start_timestamps = true;
  out.experimental = true;
  return out;
}

// Gathers the counters of a classic histogram at each time, to store them as one histogram with
// custom bounds.
class CustomHistograms {
 public:
  void add(const Labels& labels, std::int64_t time_ms, double value) {
    const std::string_view name = labels.metric_name();
    for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
      if (!name.ends_with(suffix)) continue;
      const Labels base =
          labels.with(kMetricName, name.substr(0, name.size() - suffix.size())).without("le");
      Parts& parts = all_[base][time_ms];
      if (suffix == "_sum") parts.sum = value;
      if (suffix == "_count") parts.count = value;
      if (suffix == "_bucket") {
        const auto bound = promql::parse_promql_number(
            labels.get("le").starts_with('+') ? labels.get("le").substr(1) : labels.get("le"));
        if (bound && !std::isnan(*bound)) parts.buckets.emplace(*bound, value);
      }
      return;
    }
  }

  void store(promql::MemoryQueryable& data) const {
    for (const auto& [labels, times] : all_) {
      for (const auto& [time_ms, parts] : times) data.append(labels, {time_ms, convert(parts), 0});
    }
  }

 private:
  struct Parts {
    std::map<double, double> buckets; // cumulative
    std::optional<double> count;
    double sum = 0;
  };

  static std::shared_ptr<const promql::NativeHistogram> convert(const Parts& parts) {
    auto out = std::make_shared<promql::NativeHistogram>();
    out->schema = promql::kCustomSchema;
    out->sum = parts.sum;
    out->count = parts.count.value_or(parts.buckets.empty() ? 0 : parts.buckets.rbegin()->second);
    double below = 0;
    constexpr double kInf = std::numeric_limits<double>::infinity();
    std::map<double, double> buckets = parts.buckets;
    buckets.try_emplace(kInf, out->count);
    for (const auto& [bound, count] : buckets) {
      if (bound != kInf) out->custom_bounds.push_back(bound);
      out->positive.counts.push_back(count - below);
      below = count;
    }
    compact(*out);
    return out;
  }

  std::map<Labels, std::map<std::int64_t, Parts>> all_;
};

void load(const TestLoad& command, promql::MemoryQueryable& data) {
  CustomHistograms custom;
  for (const TestLoad::Line& line : command.lines) {
    for (std::size_t i = 0; i < line.series.points.size(); ++i) {
      const TestPoint& point = line.series.points[i];
      if (point.omitted) continue;
      const std::int64_t t = static_cast<std::int64_t>(i) * command.step_ms;
      const bool has_start = !line.start_offsets_ms.empty() && line.start_offsets_ms[i];
      const std::int64_t start = has_start ? t + *line.start_offsets_ms[i] : 0;
      if (point.histogram) {
        data.append(line.series.labels, promql::HistogramSample{t, point.histogram, start});
        continue;
      }
      data.append(line.series.labels, promql::Sample{t, point.value, start});
      if (command.with_custom_histograms) custom.add(line.series.labels, t, point.value);
    }
  }
  custom.store(data);
}

// Functions whose value may differ from time to time even when all selectors are fixed.
constexpr auto kTimeDependent = std::to_array<std::string_view>(
    {"day_of_month", "day_of_week", "day_of_year", "days_in_month", "end", "hour", "minute",
     "month", "predict_linear", "range", "start", "step", "time", "timestamp", "year"});

// Puts @ on every selector and outermost subquery that has none. False when the query still depends
// on time.
bool pin(promql::Expr& expr, std::int64_t at_ms) {
  const auto put = [&](promql::TimeShift& shift) {
    if (!shift.at_ms) {
      shift.at_ms = at_ms;
      shift.at_edge = promql::TimeShift::Edge::none;
    }
  };
  if (auto* vector = as<promql::VectorSelector>(&expr)) put(vector->shift);
  if (auto* matrix = as<promql::MatrixSelector>(&expr)) put(matrix->selector->shift);
  bool fixed = true;
  if (auto* subquery = as<promql::SubqueryExpr>(&expr)) {
    put(subquery->shift);
    return true; // its inside stays unchanged
  }
  if (const auto* call = as<promql::CallExpr>(&expr)) {
    fixed = std::ranges::find(kTimeDependent, call->function->name) == kTimeDependent.end();
  }
  for (promql::ExprPtr* child : promql::child_slots(expr)) fixed = pin(**child, at_ms) && fixed;
  return fixed;
}

struct Instant {
  std::string query;
  std::int64_t time_ms = 0;
};

// The same query with fixed times, to be asked at other times.
std::vector<Instant> pinned(const TestEval& eval) {
  auto expr = promql::parse_expression(eval.query, promql::ParseOptions::all());
  if (!expr || !pin(**expr, eval.eval_ms)) return {};
  const std::string query = print(**expr);
  const std::int64_t t = eval.eval_ms;
  const std::vector<std::int64_t> times =
      t == 0 ? std::vector<std::int64_t>{-1000, 0, 1000}
             : std::vector<std::int64_t>{-10 * t, 0, t / 5, t, 10 * t};
  std::vector<Instant> out;
  for (const std::int64_t at : times) out.push_back({query, at});
  return out;
}

class Runner {
 public:
  explicit Runner(const promql::MemoryQueryable& data) : data_(data) {}

  std::string run(const TestEval& eval) {
    if (eval.range) return run_range(eval);
    std::vector<Instant> all = {{eval.query, eval.eval_ms}};
    const std::vector<Instant> more = pinned(eval);
    all.insert(all.end(), more.begin(), more.end());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::string wrong = run_instant(eval, all[i]);
      if (!wrong.empty())
        return i == 0 ? wrong
                      : fmt::format("as {} at {} ms: {}", all[i].query, all[i].time_ms, wrong);
    }
    return "";
  }

 private:
  template <typename Outcome>
  static std::string judge(const TestEval& eval, const Outcome& outcome) {
    if (!outcome)
      return eval.must_fail() ? check_failure(eval, outcome.error())
                              : "error: " + outcome.error().message;
    if (eval.must_fail()) return "expected an error, got none";
    std::string wrong = check_annotations(eval, *outcome);
    return wrong.empty() ? check_result(eval, *outcome) : wrong;
  }

  std::string run_range(const TestEval& eval) {
    std::string wrong = judge(
        eval, range(data_, eval.query, eval.start_ms, eval.end_ms, eval.step_ms, options_, clock_));
    if (!wrong.empty()) return wrong;
    wrong = judge(eval, promql::range_plain(data_, eval.query, eval.start_ms, eval.end_ms,
                                            eval.step_ms, options_, clock_));
    return wrong.empty() ? "" : "without shortcuts: " + wrong;
  }

  std::string run_instant(const TestEval& eval, const Instant& one) {
    const auto outcome = instant(data_, one.query, one.time_ms, options_, clock_);
    std::string wrong = judge(eval, outcome);
    if (!wrong.empty() || !outcome || eval.expects_matrix || eval.expected_string) return wrong;
    const re2::RE2 context(R"((start|end|range|step)\(\))");
    if (re2::RE2::PartialMatch(one.query, context)) return "";
    const bool scalar = std::holds_alternative<promql::Scalar>(outcome->value);
    wrong = run_as_range(eval, one, scalar, promql::range);
    if (!wrong.empty()) return "as a range query: " + wrong;
    wrong = run_as_range(eval, one, scalar, promql::range_plain);
    return wrong.empty() ? "" : "as a range query without shortcuts: " + wrong;
  }

  // One minute to either side; the middle step must say the same.
  std::string run_as_range(const TestEval& eval, const Instant& one, bool scalar,
                           decltype(promql::range)* evaluate) {
    constexpr std::int64_t kMinute = 60'000;
    const auto outcome = evaluate(data_, one.query, one.time_ms - kMinute, one.time_ms + kMinute,
                                  kMinute, options_, clock_);
    if (!outcome) return "error: " + outcome.error().message;
    if (eval.ordered()) return "";
    const auto& series = std::get<promql::Matrix>(outcome->value).series;
    if (!std::ranges::is_sorted(series, {}, &promql::ResultSeries::labels))
      return "the matrix is not sorted by labels";
    promql::Vector middle;
    for (const promql::ResultSeries& one_series : series) {
      for (const promql::Point& point : one_series.points) {
        if (point.time_ms == one.time_ms) middle.series.push_back({one_series.labels, {point}});
      }
    }
    promql::QueryResult result;
    if (scalar) {
      if (middle.series.size() != 1) return "a scalar has no value in the middle";
      result.value = promql::Scalar{one.time_ms, middle.series[0].points[0].value};
    } else {
      result.value = std::move(middle);
    }
    return check_result(eval, result);
  }

  const promql::MemoryQueryable& data_;
  promql::EvalOptions options_ = test_options();
  SystemClock clock_;
};

} // namespace

std::size_t PromqlTestReport::passed() const {
  return static_cast<std::size_t>(std::ranges::count_if(cases, &PromqlTestCase::passed));
}

std::string PromqlTestReport::summary() const {
  return fmt::format("{}: {} passed, {} failed", file, passed(), failed());
}

std::string PromqlTestReport::failures() const {
  std::string out;
  for (const PromqlTestCase& one : cases) {
    if (!one.passed)
      out += fmt::format("{}:{}: FAIL {}: {}\n", file, one.line, one.query, one.detail);
  }
  return out;
}

PromqlTestReport run_promql_test(std::string_view text, std::string_view file) {
  PromqlTestReport report;
  report.file = file;
  promql::MemoryQueryable data;
  for (const TestCommand& command : parse_promql_test(text)) {
    if (!command.error.empty()) {
      report.cases.push_back({command.line, command.text, false, command.error});
    } else if (std::holds_alternative<TestClear>(command.what)) {
      data.clear();
    } else if (const auto* loaded = std::get_if<TestLoad>(&command.what)) {
      load(*loaded, data);
    } else {
      const auto& eval = std::get<TestEval>(command.what);
      std::string detail = Runner(data).run(eval);
      const bool passed = detail.empty();
      report.cases.push_back({command.line, eval.query, passed, std::move(detail)});
    }
  }
  return report;
}

} // namespace coalmine::lab
