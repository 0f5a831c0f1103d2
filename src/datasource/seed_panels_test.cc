// The seed's dashboard panels and analyzer queries, verbatim, over the store's view.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "datasource/store_queryable.h"
#include "promql/engine.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::datasource {
namespace {

constexpr std::int64_t kMinute = 60'000;

// A store that holds the series put in by a test.
class SeededStore final : public store::Store {
 public:
  std::vector<SeriesData> series;

  Result<store::AppendResult> append(const Batch&) override { return store::AppendResult{}; }
  Result<std::vector<SeriesData>> select(const store::SelectRequest& request) const override {
    const promql::SeriesMatcher matcher(request.matchers);
    std::vector<SeriesData> out;
    for (const SeriesData& one : series) {
      if (!matcher.matches(*one.labels)) continue;
      SeriesData copy = one;
      const auto outside = [&](const auto& s) {
        return s.time_ms < request.from_ms || s.time_ms > request.to_ms;
      };
      std::erase_if(copy.floats, outside);
      std::erase_if(copy.classic, outside);
      std::erase_if(copy.exponential, outside);
      if (!request.with_samples)
        copy.floats.clear(), copy.classic.clear(), copy.exponential.clear();
      out.push_back(std::move(copy));
    }
    return out;
  }
  std::vector<std::string> label_names(const store::SelectRequest&) const override { return {}; }
  std::vector<std::string> label_values(std::string_view,
                                        const store::SelectRequest&) const override {
    return {};
  }
  std::vector<MetricMetadata> metadata() const override { return {}; }
  Result<std::vector<StoredSpan>> find_spans(const SpanFilter&) const override {
    return std::vector<StoredSpan>{};
  }
  Result<std::vector<StoredSpan>> trace(const TraceId&) const override {
    return std::vector<StoredSpan>{};
  }
  std::vector<Presence> presence() const override { return {}; }
  StoreStats stats() const override { return {}; }
  Status maintain() override { return {}; }
};

std::shared_ptr<const Labels> labels_of(std::string_view name, std::string_view track,
                                        std::string_view pod) {
  return std::make_shared<const Labels>(Labels::of({{"__name__", std::string(name)},
                                                    {"service_name", "checkout-service"},
                                                    {"deployment_track", std::string(track)},
                                                    {"k8s_pod_name", std::string(pod)}}));
}

// One sample every 15 s for 20 minutes; per_step is added each time.
void add_counter(SeededStore& store, std::string_view name, std::string_view track,
                 std::string_view pod, double per_step) {
  SeriesData data;
  data.labels = labels_of(name, track, pod);
  data.kind = MetricKind::counter;
  for (int i = 0; i <= 80; ++i) data.floats.push_back({i * 15'000LL, 0, i * per_step});
  store.series.push_back(std::move(data));
}

void add_histogram(SeededStore& store, std::string_view track, std::string_view pod,
                   const std::vector<std::uint64_t>& per_step) {
  SeriesData data;
  data.labels = labels_of("http_server_request_duration", track, pod);
  data.kind = MetricKind::histogram;
  const auto bounds =
      std::make_shared<const std::vector<double>>(std::vector<double>{5, 10, 25.5, 100});
  for (std::uint64_t i = 0; i <= 80; ++i) {
    ClassicSample sample;
    sample.time_ms = static_cast<std::int64_t>(i) * 15'000;
    sample.value.bounds = bounds;
    for (const std::uint64_t n : per_step) {
      sample.value.counts.push_back(n * i);
      sample.value.count += n * i;
    }
    sample.value.sum = static_cast<double>(sample.value.count) * 7;
    data.classic.push_back(std::move(sample));
  }
  store.series.push_back(std::move(data));
}

class SeedPanels : public ::testing::Test {
 protected:
  SeedPanels() : data_(make_store_queryable(store_)) {
    for (const std::string_view pod : {"stable-a", "stable-b"}) {
      add_counter(store_, "http_server_request_total", "stable", pod, 30);
      add_counter(store_, "http_server_request_errors_total", "stable", pod, 0.3);
      add_histogram(store_, "stable", pod, {20, 8, 1, 1, 0});
    }
    add_counter(store_, "http_server_request_total", "canary", "canary-a", 6);
    add_counter(store_, "http_server_request_errors_total", "canary", "canary-a", 0.6);
    add_histogram(store_, "canary", "canary-a", {0, 2, 3, 1, 0});
  }

  promql::QueryResult ask(std::string_view text) {
    auto result = instant(*data_, text, 20 * kMinute, promql::EvalOptions{}, clock_);
    if (!result) {
      ADD_FAILURE() << text << ": " << result.error().message;
      return {};
    }
    return *std::move(result);
  }
  double number(std::string_view text) {
    const promql::QueryResult result = ask(text);
    const auto* vector = std::get_if<promql::Vector>(&result.value);
    if (vector == nullptr || vector->series.size() != 1) {
      ADD_FAILURE() << text << ": not one element";
      return std::nan("");
    }
    EXPECT_TRUE(vector->series[0].labels.empty()) << vector->series[0].labels.to_string();
    EXPECT_TRUE(result.warnings.empty());
    return vector->series[0].points.at(0).value;
  }

  SeededStore store_;
  std::unique_ptr<promql::Queryable> data_;
  ManualClock clock_;
};

std::string error_ratio(std::string_view track) {
  const auto rate = [&](std::string_view name) {
    return "sum(rate(" + std::string(name) +
           "{\n            service_name=\"checkout-service\",\n            deployment_track=\"" +
           std::string(track) + "\"\n          }[5m]))\n";
  };
  return rate("http_server_request_errors_total") + "/\n" + rate("http_server_request_total");
}

std::string p99(std::string_view track) {
  return "histogram_quantile(0.99,\n  sum(rate(http_server_request_duration_bucket{\n    "
         "service_name=\"checkout-service\",\n    "
         "deployment_track=\"" +
         std::string(track) + "\"\n  }[5m])) by (le)\n)\n";
}

TEST_F(SeedPanels, ErrorRate) {
  EXPECT_DOUBLE_EQ(number(error_ratio("stable")), 0.01);
  EXPECT_DOUBLE_EQ(number(error_ratio("canary")), 0.1);
}

TEST_F(SeedPanels, P99) {
  // There are 30 observations a step. The 29.7th lies in (25.5, 100], which holds only the 30th.
  EXPECT_NEAR(number(p99("stable")), 25.5 + 74.5 * 0.7, 1e-9);
  // There are 6 observations a step. The 5.94th lies in (25.5, 100], which holds only the 6th.
  EXPECT_NEAR(number(p99("canary")), 25.5 + 74.5 * 0.94, 1e-9);
}

TEST_F(SeedPanels, TrafficSplit) {
  EXPECT_NEAR(number("sum(rate(http_server_request_total{service_name=\"checkout-service\", "
                     "deployment_track=\"canary\"}[5m]))\n/\n"
                     "sum(rate(http_server_request_total{service_name=\"checkout-service\"}[5m]))"),
              6.0 / 66.0, 1e-12);
}

// Every query of the seed's panel file evaluates unchanged.
TEST_F(SeedPanels, PanelFileVerbatim) {
  std::ifstream file(std::string(COALMINE_SOURCE_DIR) +
                     "/tests/promql/canary-dashboard-queries.txt");
  ASSERT_TRUE(file.is_open());
  std::stringstream all;
  all << file.rdbuf();
  std::string text = all.str();
  int queries = 0;
  for (std::size_t at = 0; at < text.size(); ++queries) {
    const std::size_t end = std::min(text.find("---\n", at), text.size());
    EXPECT_TRUE(std::isfinite(number(text.substr(at, end - at))));
    at = end + 4;
  }
  EXPECT_EQ(queries, 5);
}

TEST_F(SeedPanels, RangeGivesTheSameNumbers) {
  auto result = range(*data_, error_ratio("canary"), 6 * kMinute, 20 * kMinute, kMinute,
                      promql::EvalOptions{}, clock_);
  ASSERT_TRUE(result);
  const auto& matrix = std::get<promql::Matrix>(result->value);
  ASSERT_EQ(matrix.series.size(), 1U);
  ASSERT_EQ(matrix.series[0].points.size(), 15U);
  for (const promql::Point& point : matrix.series[0].points) EXPECT_DOUBLE_EQ(point.value, 0.1);
}

TEST_F(SeedPanels, NothingIsEmptyNotZero) {
  const promql::QueryResult result = ask(error_ratio("nobody"));
  EXPECT_TRUE(std::get<promql::Vector>(result.value).series.empty());
}

TEST_F(SeedPanels, HistogramViews) {
  const auto series = [&](std::string_view text) {
    return std::get<promql::Vector>(ask(text).value).series;
  };
  EXPECT_TRUE(series("http_server_request_duration").empty());
  EXPECT_EQ(series("http_server_request_duration_bucket{k8s_pod_name=\"canary-a\"}").size(), 5U);
  EXPECT_EQ(series("http_server_request_duration_bucket{le=\"25.5\"}").size(), 3U);
  EXPECT_EQ(series("http_server_request_duration_bucket{le=~\"5|[+]Inf\"}").size(), 6U);
  EXPECT_EQ(
      series(
          "{__name__=~\"http_server_request_duration_(sum|count)\", deployment_track=\"stable\"}")
          .size(),
      4U);
  const auto inf =
      series("http_server_request_duration_bucket{le=\"+Inf\", deployment_track=\"canary\"}");
  ASSERT_EQ(inf.size(), 1U);
  EXPECT_EQ(inf[0].points[0].value, 6 * 80);
  EXPECT_EQ(
      series("http_server_request_duration_count{deployment_track=\"canary\"}")[0].points[0].value,
      6 * 80);
  EXPECT_EQ(
      series("http_server_request_duration_sum{deployment_track=\"canary\"}")[0].points[0].value,
      6 * 80 * 7);
}

TEST_F(SeedPanels, LabelsOfViews) {
  promql::Selection all{{}, 0, 20 * kMinute, 1'000'000};
  const auto names = data_->label_values("__name__", all);
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, (std::vector<std::string>{
                        "http_server_request_duration_bucket", "http_server_request_duration_count",
                        "http_server_request_duration_sum", "http_server_request_errors_total",
                        "http_server_request_total"}));
  const auto bounds = data_->label_values("le", all);
  ASSERT_TRUE(bounds);
  EXPECT_EQ(*bounds, (std::vector<std::string>{"+Inf", "10", "100", "25.5", "5"}));
  const auto labels = data_->label_names(all);
  ASSERT_TRUE(labels);
  EXPECT_EQ(*labels, (std::vector<std::string>{"__name__", "deployment_track", "k8s_pod_name", "le",
                                               "service_name"}));
  all.matchers = {{"__name__", Matcher::Op::equal, "http_server_request_duration_sum"}};
  const auto series = data_->series(all);
  ASSERT_TRUE(series);
  EXPECT_EQ(series->size(), 3U);
}

TEST_F(SeedPanels, ExponentialHistogramIsNative) {
  SeriesData data;
  data.labels = std::make_shared<const Labels>(Labels::of({{"__name__", "work_seconds"}}));
  data.kind = MetricKind::exponential;
  for (std::uint64_t i = 0; i <= 40; ++i) {
    ExponentialSample sample;
    sample.time_ms = 10 * kMinute + static_cast<std::int64_t>(i) * 15'000;
    sample.value.scale = 0;
    sample.value.positive = {0, {i, 0, i}}; // (1, 2] and (4, 8]
    sample.value.count = 2 * i;
    sample.value.sum = static_cast<double>(i) * 7;
    data.exponential.push_back(sample);
  }
  store_.series.push_back(std::move(data));
  EXPECT_DOUBLE_EQ(number("histogram_quantile(0.4, rate(work_seconds[5m]))"), std::exp2(0.8));
  EXPECT_DOUBLE_EQ(number("histogram_quantile(1, rate(work_seconds[5m]))"), 8);
  EXPECT_DOUBLE_EQ(number("histogram_avg(rate(work_seconds[5m]))"), 3.5);
  EXPECT_DOUBLE_EQ(number("histogram_count(increase(work_seconds[5m]))"), 40);
}

} // namespace
} // namespace coalmine::datasource
