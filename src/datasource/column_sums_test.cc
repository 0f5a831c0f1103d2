// Sums of rates on columns equal those of the general evaluation bit for bit, and are used where
// they should be.
// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/column_sums.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>

#include "base/executor.h"
#include "datasource/store_queryable.h"
#include "promql/engine.h"
#include "promql/eval/range_slices.h"
#include "store/testing.h"

namespace coalmine::datasource {
namespace {

using store::testing::batch;
using store::testing::classic;
using store::testing::kNow;
using store::testing::point;

constexpr std::int64_t kStep = 15'000;
constexpr int kExports = 220;
constexpr std::int64_t kBegin = kNow;
constexpr std::int64_t kEnd = kBegin + (kExports - 1) * kStep;

// Counts the series read by the general evaluation.
class Watched final : public promql::Queryable {
 public:
  explicit Watched(const promql::Queryable& inner) : inner_(inner) {}
  Result<std::vector<promql::Series>> select(const promql::Selection& s) const override {
    ++selects;
    return inner_.select(s);
  }
  Result<std::unique_ptr<promql::ColumnSource>> columns(const promql::Selection& s) const override {
    return inner_.columns(s);
  }
  Result<std::vector<Labels>> series(const promql::Selection& s) const override {
    return inner_.series(s);
  }
  Result<std::vector<std::string>> label_names(const promql::Selection& s) const override {
    return inner_.label_names(s);
  }
  Result<std::vector<std::string>> label_values(std::string_view label,
                                                const promql::Selection& s) const override {
    return inner_.label_values(label, s);
  }
  mutable int selects = 0;

 private:
  const promql::Queryable& inner_;
};

// A store with all kinds of samples: resets, gaps, ends, changing bounds, late points, chunks and
// samples in the head.
class ColumnSumsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fixture_.open();
    for (int e = 0; e < kExports; ++e) {
      add_export(e);
      fixture_.clock.advance_ms(kStep);
      if (e == 130 || e == 200) {
        ASSERT_TRUE(fixture_.store->maintain());
      }
    }
    // Late points fall into chunks, and before samples in the head.
    send(late_);
    inner_ = make_store_queryable(*fixture_.store);
    data_ = std::make_unique<Watched>(*inner_);
  }

  void send(std::vector<MetricPoint> points) {
    const auto kept = fixture_.append(batch(std::move(points), fixture_.clock.wall_ms()));
    EXPECT_EQ(kept.rejected_points, 0U) << kept.reason;
  }

  static Attributes route(int r) {
    return {{"http.route", AttributeValue(std::string(r == 0 ? "/pay" : "/cart"))}};
  }

  void add_export(int e) {
    std::vector<MetricPoint> points;
    const std::int64_t now = kBegin + e * kStep;
    for (int instance = 0; instance < 6; ++instance) {
      if (instance == 4 && e > 60 && e < 110) continue; // a gap
      if (instance == 5 && e < 140) continue;           // late to begin
      const auto from =
          store::testing::resource("checkout-service", instance % 3 == 0 ? "canary" : "stable", "1",
                                   "i" + std::to_string(instance));
      const int restarted = instance == 1 && e >= 90 ? 90 : instance == 2 && e >= 171 ? 171 : 0;
      const std::int64_t start = kBegin - 1000 + restarted * kStep;
      for (int r = 0; r < 2; ++r) {
        auto& count = counts_[static_cast<std::size_t>(instance * 2 + r)];
        if (restarted != 0 && e == restarted) count = {};
        count.resize(8);
        for (std::size_t b = 0; b < 7; ++b) count[b] += random_() % (b < 4 ? 40 : 3);
        if (random_() % 5 == 0) count[7] += random_() % 3;
        std::vector<std::uint64_t> buckets(count.begin(), count.begin() + 7);
        const bool other = instance == 3 && e >= 120;
        ClassicHistogram h = other
                                 ? classic(other_bounds_, {buckets[0], buckets[1], buckets[2]}, 0.3)
                                 : classic(bounds_, buckets, static_cast<double>(count[0]) * 1.7);
        const auto total = static_cast<double>(h.count);
        add(points, from, "http_server_request_total", MetricKind::counter, r,
            point_of(start, now, total));
        add(points, from, "http_server_request_errors_total", MetricKind::counter, r,
            point_of(start, now, static_cast<double>(count[7])));
        add(points, from, "busy", MetricKind::gauge, r, point_of(start, now, std::sin(e) * 10));
        add(points, from, "odd_total", MetricKind::counter, r,
            point_of(start, now, e % 50 == 13 ? std::nan("") : total * 0.1 * (e % 40)));
        add(points, from, instance == 3 ? "mixed" : "http_server_request_duration",
            MetricKind::histogram, r, h);
        ClassicHistogram demo = classic(bounds_, buckets, 1);
        add(points, from, "demo_api_request_duration_seconds", MetricKind::histogram, r, demo);
        add(points, from, "demo_cpu_usage_seconds_total", MetricKind::counter, r,
            point_of(start, now, total * 0.01));
        add(points, from, "demo_memory_usage_bytes", MetricKind::gauge, r,
            point_of(start, now, total));
        ExponentialHistogram native;
        native.scale = 1;
        native.positive = {0, {count[0], count[1]}};
        native.count = count[0] + count[1];
        native.sum = 3;
        add(points, from, "native", MetricKind::exponential, r, native);
        // A histogram as Prometheus sends it.
        for (std::size_t b = 0; b < 3; ++b) {
          auto made =
              store::testing::series(from, "", "sent_bucket", MetricKind::counter,
                                     {{"le", AttributeValue(std::string(b == 0   ? "0.1"
                                                                        : b == 1 ? "1"
                                                                                 : "+Inf"))},
                                      route(r)[0]});
          points.push_back(point(made, start, now, static_cast<double>(count[0] * (b + 1))));
        }
      }
    }
    if (e % 37 == 5 && e > 40 && points.size() > 8) {
      late_.insert(late_.end(), points.end() - 8, points.end());
      points.resize(points.size() - 8);
    }
    if (e % 11 == 3) {
      for (MetricPoint& one : points) one.no_recorded_value = random_() % 7 == 0;
    }
    send(std::move(points));
  }

  struct At {
    std::int64_t start;
    std::int64_t now;
    double value;
  };
  static At point_of(std::int64_t start, std::int64_t now, double value) {
    return {start, now, value};
  }
  void add(std::vector<MetricPoint>& points, const std::shared_ptr<const Resource>& from,
           const std::string& name, MetricKind kind, int r, At at) {
    points.push_back(
        point(store::testing::series(from, "", name, kind, route(r)), at.start, at.now, at.value));
    last_ = at;
  }
  template <typename H>
  void add(std::vector<MetricPoint>& points, const std::shared_ptr<const Resource>& from,
           const std::string& name, MetricKind kind, int r, H value) {
    points.push_back(point(store::testing::series(from, "", name, kind, route(r)), last_.start,
                           last_.now, std::move(value)));
  }

  struct When {
    std::int64_t start = kEnd;
    std::int64_t end = kEnd;
    std::int64_t step = 0; // 0: instant
  };
  promql::QueryOutcome<promql::QueryResult> ask(std::string_view text, const When& when,
                                                bool plans) {
    options_.column_plans = plans;
    if (when.step == 0) return instant(*data_, text, when.end, options_, fixture_.clock);
    return range(*data_, text, when.start, when.end, when.step, options_, fixture_.clock);
  }

  static std::vector<promql::ResultSeries> series_of(const promql::QueryResult& result) {
    if (const auto* vector = std::get_if<promql::Vector>(&result.value)) return vector->series;
    if (const auto* matrix = std::get_if<promql::Matrix>(&result.value)) return matrix->series;
    return {};
  }
  static std::string print(const promql::QueryOutcome<promql::QueryResult>& outcome) {
    if (!outcome) return "error: " + outcome.error().message;
    std::string out;
    for (const promql::ResultSeries& one : series_of(*outcome)) {
      out += one.labels.to_string();
      for (const promql::Point& p : one.points) {
        // Compares all bits, except that any NaN equals any other.
        const std::uint64_t bits = std::isnan(p.value) ? 1 : std::bit_cast<std::uint64_t>(p.value);
        out += fmt::format(" {}={:x}{}", p.time_ms, bits,
                           p.histogram ? fmt::format("h{}", p.histogram->count) : "");
      }
      out += '\n';
    }
    if (const auto* scalar = std::get_if<promql::Scalar>(&outcome->value))
      out += fmt::format("{}", scalar->value);
    for (const std::string& note : outcome->warnings) out += note + '\n';
    for (const std::string& note : outcome->infos) out += note + '\n';
    return out;
  }
  void expect_same(const std::string& text, const When& when) {
    const auto whole = print(ask(text, when, true));
    EXPECT_EQ(whole, print(ask(text, when, false)))
        << text << " from " << when.start << " to " << when.end << " step " << when.step;
    options_.helpers = &helpers_;
    options_.slices = 4;
    EXPECT_EQ(whole, print(ask(text, when, true)))
        << "in slices: " << text << " from " << when.start << " to " << when.end;
    options_.helpers = nullptr;
  }

  store::testing::Fixture fixture_;
  const BucketBounds bounds_ = store::testing::bounds({5, 10, 25.5, 50, 100, 250});
  const BucketBounds other_bounds_ = store::testing::bounds({5, 10});
  std::array<std::vector<std::uint64_t>, 12> counts_;
  std::vector<MetricPoint> late_;
  At last_{};
  std::mt19937 random_{7};
  std::unique_ptr<promql::Queryable> inner_;
  std::unique_ptr<Watched> data_;
  promql::EvalOptions options_;
  Executor helpers_{{.name = "slices", .threads = 3}};
};

const std::vector<std::string>& panels() {
  static const std::vector<std::string> kPanels = [] {
    std::vector<std::string> out;
    for (const char* track : {"stable", "canary"}) {
      const std::string of =
          fmt::format("{{service_name=\"checkout-service\",deployment_track=\"{}\"}}", track);
      out.push_back("sum(rate(http_server_request_errors_total" + of +
                    "[5m])) / sum(rate(http_server_request_total" + of + "[5m]))");
      out.push_back("histogram_quantile(0.99, sum(rate(http_server_request_duration_bucket" + of +
                    "[5m])) by (le))");
      out.push_back(
          "sum(rate(http_server_request_total" + of +
          "[5m])) / sum(rate(http_server_request_total{service_name=\"checkout-service\"}[5m]))");
      out.push_back("sum(rate(http_server_request_duration_sum" + of +
                    "[5m])) / sum(rate(http_server_request_duration_count" + of + "[5m]))");
    }
    return out;
  }();
  return kPanels;
}

TEST_F(ColumnSumsTest, ThePanelsReadNoSeries) {
  for (const std::string& text : panels()) {
    for (const When& when : {When{}, When{kBegin + 600'000, kEnd, kStep}}) {
      const auto answer = ask(text, when, true);
      ASSERT_TRUE(answer) << text << answer.error().message;
      EXPECT_EQ(series_of(*answer).size(), 1U) << text;
      EXPECT_EQ(data_->selects, 0) << text;
      expect_same(text, when);
      data_->selects = 0;
    }
  }
}

TEST(RangeSlices, CoverEveryStepOnce) {
  for (const std::int64_t steps : {1, 29, 59, 60, 61, 241, 11'000}) {
    const promql::Frame frame{1'000, 1'000 + (steps - 1) * 15, 15};
    for (const std::size_t most : {1u, 2u, 3u, 16u}) {
      const auto slices = promql::slices_of(frame, most);
      EXPECT_LE(slices.size(), most);
      std::size_t seen = 0;
      for (std::size_t i = 0; i < slices.size(); ++i) {
        EXPECT_EQ(slices[i].start, i == 0 ? frame.start : slices[i - 1].end + frame.step);
        seen += slices[i].steps();
      }
      EXPECT_EQ(slices.back().end, frame.end);
      EXPECT_EQ(seen, frame.steps());
    }
  }
}

TEST(RangeSlices, OnlyWhatIsComputedStepByStep) {
  const auto can = [](std::string_view text) { return promql::sliceable(**promql::parse(text)); };
  for (const auto& panel : panels()) EXPECT_TRUE(can(panel)) << panel;
  EXPECT_TRUE(can("-(1 - sum by (a) (increase(x[1m]))) > bool 3"));
  for (const auto* whole : {"1", "x", "rate(x[1m])", "sum(x)", "topk(2, sum by (a) (rate(x[1m])))",
                            "sum(rate(x[1m])) + on() group_left y",
                            "label_replace(sum(rate(x[1m])), \"a\", \"b\", \"\", \"\")",
                            "max_over_time(sum(rate(x[1m]))[5m:1m])"}) {
    EXPECT_FALSE(can(whole)) << whole;
  }
}

TEST_F(ColumnSumsTest, TheComplianceQueries) {
  std::ifstream file(std::string(COALMINE_SOURCE_DIR) + "/tests/promql/compliance/queries.jsonl");
  std::size_t queries = 0;
  for (std::string line; std::getline(file, line); ++queries) {
    std::string text;
    const std::size_t from = line.find("\"query\": \"") + 10;
    for (std::size_t i = from; i < line.size() && line[i] != '"'; ++i) {
      if (line[i] == '\\') ++i;
      text += line[i];
    }
    expect_same(text, {});
    expect_same(text, {kBegin + 600'000, kBegin + 1'200'000, 10'000});
  }
  EXPECT_EQ(queries, 539U);
}

// Chunks within a window are read as their first and last row; the result is the same bit for bit.
TEST_F(ColumnSumsTest, LongWindowsTouchTheEndsOfChunks) {
  const std::string text =
      "sum by (le, instance) (increase(http_server_request_duration_bucket[50m]))";
  const auto whole = print(ask(text, {}, true));
  EXPECT_EQ(whole, print(ask(text, {}, false)));
  options_.block_summaries = false;
  EXPECT_EQ(whole, print(ask(text, {}, true)));

  promql::Selection selection;
  selection.matchers = {{"__name__", Matcher::Op::equal, "http_server_request_duration_bucket"}};
  selection.from_ms = kBegin - 1;
  selection.to_ms = kEnd;
  std::size_t samples[2] = {0, 0};
  std::size_t hidden = 0;
  for (const bool ends : {false, true}) {
    selection.one_window = ends;
    auto source = inner_->columns(selection);
    ASSERT_TRUE(source && *source);
    std::vector<std::size_t> all((*source)->size());
    std::iota(all.begin(), all.end(), 0);
    ASSERT_TRUE((*source)->read(all, [&](std::size_t, const SampleColumns& columns) {
      samples[ends ? 1 : 0] += columns.times.size() + columns.hidden;
      hidden += columns.hidden;
      return true;
    }));
    EXPECT_TRUE(ends || hidden == 0);
  }
  EXPECT_EQ(samples[0], samples[1]);
  EXPECT_GT(hidden, samples[0] / 5) << "much happens in this store";
}

// Sums of rates of all forms, at all times, inside all kinds of expressions.
TEST_F(ColumnSumsTest, RandomQueries) {
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto pick = [&](const std::vector<std::string>& list) { return list[below(list.size())]; };
  const auto sum = [&] {
    const std::string name =
        pick({"http_server_request_total", "http_server_request_errors_total",
              "http_server_request_duration_bucket", "http_server_request_duration_sum",
              "http_server_request_duration_count", "mixed_bucket", "mixed_count", "odd_total",
              "busy", "native", "sent_bucket", "nothing"});
    const std::string matchers =
        pick({"", "{deployment_track=\"stable\"}", "{service_instance_id!=\"i1\"}",
              "{http_route=~\"/p.*\"}", "{le=\"10\"}", "{le=~\"1.*\"}",
              "{le!=\"+Inf\",http_route=\"/cart\"}", "{instance=~\".+\"}"});
    const std::string grouping =
        pick({"", " by (le)", " by (le, http_route)", " by (http_route)", " by (instance, le)",
              " without (le)", " without (http_route)", " by (__name__, le)",
              " without (le, instance, http_route)", " by (deployment_track)"});
    const std::string shift = pick({"", "", "", " offset 7m", " @ end()", " offset -2m",
                                    fmt::format(" @ {}", (kBegin + 1'000'000) / 1000)});
    return pick({"sum", "sum", "sum", "avg", "max"}) + grouping + "(" +
           pick({"rate", "increase", "rate", "delta"}) + "(" + name + matchers + "[" +
           pick({"1m", "5m", "5m", "20s", "17m", "50m", "35m"}) + "]" + shift + "))";
  };
  for (int i = 0; i < 1500; ++i) {
    std::string text = sum();
    switch (below(7)) {
      case 0: text = text + " / " + sum(); break;
      case 1:
      case 2: text = "histogram_quantile(" + pick({"0.5", "0.99", "1"}) + ", " + text + ")"; break;
      case 3: text = "max_over_time((" + text + ")[10m:45s])"; break;
      case 4: text = "topk(2, " + text + ")"; break;
      default: break;
    }
    const std::int64_t end = kBegin + static_cast<std::int64_t>(below(kExports * 16)) * 1000;
    const bool at_once = below(3) == 0;
    const std::int64_t step = static_cast<std::int64_t>(1 + below(90)) * 1000;
    expect_same(text, at_once ? When{end, end, 0}
                              : When{end - static_cast<std::int64_t>(below(40)) * step, end, step});
    if (HasFailure()) break; // one is enough to read
  }
}

TEST_F(ColumnSumsTest, BudgetsHold) {
  const std::string text = panels()[1];
  const When hour{kBegin + 600'000, kEnd, kStep};
  const auto error = [&](bool plans) {
    const auto answer = ask(text, hour, plans);
    return answer ? std::string("answers") : answer.error().message;
  };
  options_.max_samples = 5000;
  EXPECT_EQ(error(true), error(false));
  EXPECT_NE(error(true), "answers");
  options_ = {};
  options_.max_series = 5;
  EXPECT_EQ(error(true), error(false));
  EXPECT_NE(error(true), "answers");
  options_ = {};
  options_.max_bytes = 10'000;
  EXPECT_EQ(error(true), error(false));
  EXPECT_NE(error(true), "answers");
  options_ = {};
  options_.deadline_steady_ms = fixture_.clock.steady_ms() - 1;
  EXPECT_EQ(error(true), error(false));
  EXPECT_EQ(ask(text, hour, true).error().kind, promql::QueryError::Kind::timeout);
  options_ = {};
  int asked = 0;
  options_.canceled = [&] { return ++asked > 2; };
  EXPECT_EQ(ask(text, hour, true).error().kind, promql::QueryError::Kind::canceled);
}

// A cancelled query stops while its samples are read, not only when all have been read.
TEST_F(ColumnSumsTest, SelectionIsGivenUp) {
  promql::Selection selection;
  selection.matchers = {{"__name__", Matcher::Op::equal, "http_server_request_total"}};
  selection.from_ms = kBegin;
  selection.to_ms = kEnd;
  selection.give_up = [] { return true; };
  const auto answer = inner_->select(selection);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::deadline_exceeded);
}

} // namespace
} // namespace coalmine::datasource
