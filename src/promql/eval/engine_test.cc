// Limits, refusals and the switches of the engine.
// SPDX-License-Identifier: Apache-2.0
#include "promql/engine.h"

#include <gtest/gtest.h>

#include <cmath>

#include "promql/eval/memory_queryable.h"

namespace coalmine::promql {
namespace {

constexpr std::int64_t kMinute = 60'000;

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    for (const std::string name : {"a_total", "b_total"}) {
      for (int i = 0; i <= 60; ++i)
        data_.append(Labels::of({{"__name__", name}, {"x", "1"}}), Sample{i * kMinute, i * 1.0, 0});
    }
  }
  QueryOutcome<QueryResult> ask(std::string_view text) {
    return instant(data_, text, 30 * kMinute, options_, clock_);
  }
  std::string error(std::string_view text) {
    const auto result = ask(text);
    return result ? "" : result.error().message;
  }

  MemoryQueryable data_;
  EvalOptions options_;
  ManualClock clock_;
};

TEST_F(EngineTest, KindsOfValues) {
  EXPECT_EQ(std::get<Scalar>(ask("1 + 1")->value).value, 2);
  EXPECT_EQ(std::get<StringValue>(ask("(\"a\")")->value).value, "a");
  EXPECT_EQ(std::get<Vector>(ask("a_total")->value).series.at(0).points.at(0).value, 30);
  EXPECT_EQ(std::get<Matrix>(ask("a_total[5m]")->value).series.at(0).points.size(), 5U);
  EXPECT_TRUE(std::get<Vector>(ask("vector(NaN)")->value).series.at(0).labels.empty());
}

TEST_F(EngineTest, RangeIsChecked) {
  const auto message = [&](std::string_view text, std::int64_t start, std::int64_t end,
                           std::int64_t step) {
    const auto result = range(data_, text, start, end, step, options_, clock_);
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(
      message("1", 0, 10, 0),
      "zero or negative query resolution step widths are not accepted. Try a positive integer");
  EXPECT_EQ(message("1", 10, 0, 1), "end timestamp must not be before start time");
  EXPECT_EQ(message("1", 0, 11'001, 1),
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
            "resolution (?step=XX)");
  EXPECT_EQ(message("1", 0, 11'000, 1), "");
  EXPECT_EQ(
      message("a_total[5m]", 0, 10, 1),
      "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector");
  EXPECT_EQ(message("\"x\"", 0, 10, 1),
            "invalid expression type \"string\" for range query, must be Scalar or instant Vector");
}

TEST_F(EngineTest, SeriesAndMemoryLimits) {
  options_.max_series = 1;
  EXPECT_EQ(error("a_total"), "");
  EXPECT_EQ(error("a_total + ignoring(none) b_total"),
            "the query selects more than 1 series; add matchers to its selectors");
  options_.max_series = 10;
  options_.max_bytes = 1U << 20;
  EXPECT_EQ(error("sum_over_time(a_total[30m])"), "");
  EXPECT_EQ(error("sum_over_time(vector(1)[1000h:1m])"),
            "the query needs more than 1 MiB of memory; select fewer series, a shorter range or a "
            "larger step");
  options_.max_bytes = 500;
  EXPECT_EQ(error("sum_over_time(a_total[30m])"),
            "the query needs more than 0 MiB of memory; select fewer series, a shorter range or a "
            "larger step");
}

TEST_F(EngineTest, CanceledQueriesEnd) {
  int asked = 0;
  options_.canceled = [&] { return ++asked > 2; };
  const auto result = ask("sum(rate(a_total[5m])) / sum(rate(b_total[5m]))");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, QueryError::Kind::canceled);
}

TEST_F(EngineTest, SampleLimit) {
  options_.max_samples = 20;
  const auto result = range(data_, "a_total", 0, 60 * kMinute, kMinute, options_, clock_);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, QueryError::Kind::execution);
  EXPECT_EQ(result.error().message,
            "query processing would load too many samples into memory in query execution");
  EXPECT_FALSE(ask("count_over_time((1 + vector(1))[1000y:1m])"));
}

TEST_F(EngineTest, Deadline) {
  options_.deadline_steady_ms = clock_.steady_ms() + 1;
  EXPECT_TRUE(ask("sum(a_total)"));
  clock_.advance_ms(2);
  const auto result = ask("sum(a_total)");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, QueryError::Kind::timeout);
}

TEST_F(EngineTest, ErrorsCarryTheirPlace) {
  const auto result = ask("sum(a_total) +\n rate(b_total)");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, QueryError::Kind::bad_data);
  EXPECT_EQ(result.error().span.line, 2U);
  EXPECT_EQ(result.error().span.column, 7U);
}

TEST_F(EngineTest, NamesAreDroppedAtOnceUnlessDelayed) {
  EXPECT_EQ(error("rate({x=\"1\"}[5m])"), "vector cannot contain metrics with the same labelset");
  EXPECT_EQ(error("count(rate({x=\"1\"}[5m]))"),
            "vector cannot contain metrics with the same labelset");
  options_.delayed_name_removal = true;
  EXPECT_EQ(error("rate({x=\"1\"}[5m])"), "vector cannot contain metrics with the same labelset");
  const auto count = ask("count(rate({x=\"1\"}[5m]))");
  ASSERT_TRUE(count) << count.error().message;
  EXPECT_EQ(std::get<Vector>(count->value).series.at(0).points.at(0).value, 2);
}

TEST_F(EngineTest, StartTimesOnlyWhenSwitchedOn) {
  const Labels labels = Labels::of({{"__name__", "young_total"}});
  data_.append(labels, Sample{28 * kMinute, 6, 27 * kMinute});
  data_.append(labels, Sample{29 * kMinute, 12, 27 * kMinute});
  const auto value = [&] {
    return std::get<Vector>(ask("increase(young_total[5m])")->value)
        .series.at(0)
        .points.at(0)
        .value;
  };
  const double extrapolated = value();
  options_.use_start_timestamps = true;
  EXPECT_NE(value(), extrapolated);
  EXPECT_DOUBLE_EQ(value(),
                   12.0 * 3 / 2); // counted from zero at its start, carried on for the last minute
}

TEST_F(EngineTest, AnnotationsAreLimited) {
  for (int i = 0; i < 30; ++i)
    data_.append(Labels::of({{"__name__", "gauge" + std::to_string(i)}}),
                 Sample{30 * kMinute - 1000, 1, 0});
  for (int i = 0; i < 30; ++i)
    data_.append(Labels::of({{"__name__", "gauge" + std::to_string(i)}}),
                 Sample{30 * kMinute, 1, 0});
  options_.delayed_name_removal = true;
  const auto result = ask("count(rate({__name__=~\"gauge.*\"}[5m]))");
  ASSERT_TRUE(result) << result.error().message;
  ASSERT_EQ(result->infos.size(), 11U);
  EXPECT_EQ(result->infos.back(), "20 more info annotations omitted");
}

TEST_F(EngineTest, FormatKeepsMeaning) {
  EXPECT_EQ(*format("sum(rate(a_total{x='1'}[5m]))by(x)"),
            "sum by (x) (rate(a_total{x=\"1\"}[5m]))");
  EXPECT_FALSE(format("sum("));
}

} // namespace
} // namespace coalmine::promql
