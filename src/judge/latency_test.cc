// How the judges see latency: whatever the buckets are, something of stable's distribution is
// watched, and no verdict contradicts the numbers beside it.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "judge/judge.h"
#include "judge/reason.h"

namespace coalmine::judge {
namespace {

using Counts = std::vector<double>;

BucketBounds bounds_of(std::vector<double> bounds) {
  return std::make_shared<const std::vector<double>>(std::move(bounds));
}

const auto kSeedBounds =
    bounds_of({5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000});

// Requests by the time they took.
struct Timed {
  double ms;
  double requests;
};
TrackCounts timed(const BucketBounds& bounds, const std::vector<Timed>& parts) {
  TrackCounts out;
  out.bounds_ms = bounds;
  out.bucket_counts.assign(bounds->size() + 1, 0);
  for (const auto& part : parts) {
    const auto at = std::ranges::lower_bound(*bounds, part.ms) - bounds->begin();
    out.bucket_counts[static_cast<std::size_t>(at)] += part.requests;
    out.requests += part.requests;
  }
  out.timed = out.requests;
  out.has_data = out.requests > 0;
  return out;
}

// One service under one judge: cells of 15 seconds.
class Watched {
 public:
  explicit Watched(SequentialOptions options) : judge_(make_sequential_judge(std::move(options))) {}

  void past(const TrackCounts& stable, int cells = 40) {
    for (int i = 0; i < cells; ++i) feed({"", {}, stable}, {}, true);
  }
  // With the routes of each cell; there may be some that stable has no request of.
  void past(const TrackCounts& stable, const std::vector<RouteCounts>& routes) {
    for (int i = 0; i < 40; ++i) feed({"", {}, stable}, routes, true);
  }
  void serve(const RouteCounts& total, int cells, const std::vector<RouteCounts>& routes = {}) {
    for (int i = 0; i < cells; ++i) feed(total, routes, false);
  }
  const Judgement& out() const { return out_; }
  const SignalVerdict& line(const std::string& signal, const std::string& route = "") const {
    for (const auto& v : *out_.signals) {
      if (v.subject.signal == signal && v.subject.route == route) return v;
    }
    static const SignalVerdict none;
    ADD_FAILURE() << "no line " << signal << " " << route;
    return none;
  }

 private:
  void feed(const RouteCounts& total, const std::vector<RouteCounts>& routes, bool baseline) {
    CountCell cell;
    cell.from_ms = at_ms_;
    cell.to_ms = at_ms_ += 15'000;
    cell.baseline = baseline;
    cell.total = total;
    cell.routes = routes;
    Evidence look;
    look.cells = {cell};
    look.step_needed_minutes = 1;
    look.step_minutes = 2;
    look.step_requests = 1000;
    look.step_min_requests = 100;
    look.canary = total.canary;
    look.stable = total.stable;
    if (out_.decision != Decision::rollback) out_ = judge_->judge(look);
  }

  std::unique_ptr<Judge> judge_;
  Judgement out_;
  std::int64_t at_ms_ = 0;
};

SequentialOptions only(const std::string& name, double quantile = 0.99,
                       std::optional<double> max = std::nullopt) {
  SequentialOptions out;
  SignalSpec latency;
  latency.name = name;
  latency.kind = SignalKind::latency_quantile;
  latency.quantile = quantile;
  latency.margin = {Margin::Unit::percent, 0.20};
  latency.max = max;
  out.signals = {latency};
  return out;
}

// One of each kind, of the same signals.
std::vector<std::unique_ptr<Judge>> judges_of(const std::vector<SignalSpec>& signals) {
  SequentialOptions options;
  ThresholdOptions thresholds;
  RankOptions ranks;
  options.signals = thresholds.signals = ranks.signals = signals;
  std::vector<std::unique_ptr<Judge>> out;
  out.push_back(make_sequential_judge(options));
  out.push_back(make_threshold_judge(thresholds));
  out.push_back(make_rank_judge(ranks));
  return out;
}

TEST(Latency, ATailBeyondAllOfStableIsSeen) {
  Watched service(sequential_defaults());
  const auto stable = timed(kSeedBounds, {{3, 600}, {8, 400}});
  service.past(stable);
  service.serve({"", timed(kSeedBounds, {{3, 588}, {8, 392}, {9000, 20}}), stable}, 40);
  EXPECT_EQ(service.out().decision, Decision::rollback);
  EXPECT_EQ(service.line("p99_latency").verdict, Verdict::regression);
  EXPECT_NE(
      service.out().reason.find("2.00% of requests took longer than 10.0 ms on canary against "
                                "0.00% on stable"),
      std::string::npos)
      << service.out().reason;
}

TEST(Latency, AStableInOneBucketCanBeJudged) {
  for (const bool strict : {false, true}) {
    auto options = sequential_defaults();
    options.strict = strict;
    const auto stable = timed(kSeedBounds, {{3, 1000}});
    Watched equal(options), slow(options);
    equal.past(stable);
    equal.serve({"", stable, stable}, 60);
    EXPECT_EQ(equal.out().decision, Decision::promote) << equal.out().reason;
    EXPECT_EQ(equal.line("p99_latency").verdict, Verdict::pass);
    slow.past(stable);
    slow.serve({"", timed(kSeedBounds, {{90, 1000}}), stable}, 20);
    EXPECT_EQ(slow.out().decision, Decision::rollback) << slow.out().reason;
  }
}

TEST(Latency, AStableThatWarmsUpIsJudgedAfterwards) {
  auto warming = timed(kSeedBounds, {});
  warming.requests = warming.warming_requests = 1000;
  const auto stable = timed(kSeedBounds, {{3, 600}, {30, 400}});
  const auto slow = timed(kSeedBounds, {{3, 600}, {300, 400}});
  Watched service(only("p99_latency"));
  service.past(warming, 4);
  service.serve({"", warming, warming}, 12);
  EXPECT_EQ(service.line("p99_latency").cause, Cause::warming_up);
  EXPECT_EQ(service.line("p99_latency").verdict, Verdict::watching);
  EXPECT_NE(service.out().reason.find("warming up"), std::string::npos) << service.out().reason;
  for (int cell = 0; cell < 3; ++cell) { // durations that came are not denied
    service.serve({"", slow, stable}, 1);
    EXPECT_NE(service.line("p99_latency").verdict, Verdict::no_data) << cell;
    EXPECT_EQ(service.out().reason.find("unknown"), std::string::npos) << service.out().reason;
  }
  service.serve({"", slow, stable}, 20);
  EXPECT_EQ(service.out().decision, Decision::rollback) << service.out().reason;
}

TEST(Latency, BoundariesThatDisappearAreChosenAnew) {
  const auto before = timed(kSeedBounds, {{8, 600}, {30, 400}});
  const auto others = bounds_of({4, 16, 64, 256, 1024});
  Watched service(only("p99_latency"));
  service.past(before);
  service.serve({"", before, before}, 20);
  // The release of the views comes with other buckets on both sides.
  service.serve({"", timed(others, {{8, 600}, {30, 400}}), timed(others, {{8, 600}, {30, 400}})},
                4);
  EXPECT_NE(service.out().decision, Decision::rollback);
  service.serve({"", timed(others, {{8, 600}, {200, 400}}), timed(others, {{8, 600}, {30, 400}})},
                40);
  EXPECT_EQ(service.out().decision, Decision::rollback) << service.out().reason;
}

TEST(Latency, VersionsWithoutACommonBoundAreToldSo) {
  const auto stable = timed(kSeedBounds, {{8, 600}, {30, 400}});
  auto without = [](double requests) {
    TrackCounts out;
    out.has_data = true;
    out.requests = requests;
    out.bounds_note = "the canary has bounds at 1, 2 and 3 ms, stable at 5 and 10 ms";
    return out;
  };
  Watched service(only("p99_latency"));
  service.past(stable);
  service.serve({"", stable, stable}, 60);
  EXPECT_EQ(service.line("p99_latency").verdict, Verdict::pass);
  service.serve({"", without(1000), without(1000)}, 1);
  EXPECT_EQ(service.line("p99_latency").cause, Cause::not_measurable);
  EXPECT_NE(service.out().decision, Decision::promote);
  EXPECT_NE(service.out().reason.find("the canary has bounds at 1, 2 and 3 ms"), std::string::npos)
      << service.out().reason;
  Evidence look;
  look.canary = look.stable = without(1000);
  const auto judge = make_threshold_judge(seed_defaults());
  EXPECT_EQ(judge->judge(look).signals[1].cause, Cause::not_measurable);
}

TEST(Latency, AHigherQuantileDoesNotSpeakForALowerOne) {
  // 0.5 % take ten seconds: p99 stays where it was, p999 does not.
  const auto stable = timed(kSeedBounds, {{3, 600}, {8, 400}});
  const auto canary = timed(kSeedBounds, {{3, 597}, {8, 398}, {9000, 5}});
  Watched p99(only("p99_latency")), p999(only("p999_latency", 0.999));
  for (auto* service : {&p99, &p999}) {
    service->past(stable);
    service->serve({"", canary, stable}, 100);
  }
  EXPECT_EQ(p99.line("p99_latency").verdict, Verdict::pass) << p99.out().reason;
  EXPECT_EQ(p999.line("p999_latency").verdict, Verdict::regression) << p999.out().reason;
}

TEST(Latency, ALimitBetweenBoundsIsNeverLoosened) {
  const auto slow = timed(kSeedBounds, {{8, 500}, {70, 2500}, {450, 400}, {950, 600}});
  Watched between(only("p99_latency", 0.99, 800));
  between.past(slow);
  between.serve({"", slow, slow}, 60);
  EXPECT_EQ(between.out().decision, Decision::keep_watching);
  EXPECT_EQ(between.line("p99_latency").cause, Cause::limit_unclear);
  EXPECT_NE(between.out().reason.find("15.00% of the canary's requests took longer than 750 ms and "
                                      "0.00% longer than 1000 ms"),
            std::string::npos)
      << between.out().reason;

  Watched above(only("p99_latency", 0.99, 12'000)); // above the last bound
  const auto slowest = timed(kSeedBounds, {{8, 500}, {11'000, 500}});
  above.past(slowest);
  above.serve({"", slowest, slowest}, 60);
  EXPECT_EQ(above.line("p99_latency").cause, Cause::limit_unclear) << above.out().reason;

  Watched beyond(only("p99_latency", 0.99, 800));
  const auto seconds = timed(kSeedBounds, {{8, 500}, {1500, 500}});
  beyond.past(seconds);
  beyond.serve({"", seconds, seconds}, 60);
  EXPECT_EQ(beyond.out().decision, Decision::rollback) << beyond.out().reason;

  Watched within(only("p99_latency", 0.99, 800));
  const auto quick = timed(kSeedBounds, {{8, 500}, {70, 500}});
  within.past(quick);
  within.serve({"", quick, quick}, 60);
  EXPECT_EQ(within.out().decision, Decision::promote) << within.out().reason;
}

TEST(Latency, ALimitHoldsWhateverStableDoes) {
  const auto stable = timed(kSeedBounds, {{8, 5000}});
  TrackCounts counted; // stable sends no durations at all
  counted.requests = 5000;
  const auto slow = timed(kSeedBounds, {{1500, 500}});
  Watched blind(only("p99_latency", 0.99, 800));
  blind.past(counted);
  blind.serve({"", slow, counted}, 40);
  EXPECT_EQ(blind.out().decision, Decision::rollback) << blind.out().reason;

  // A route: one that stable has, and one that only the canary has.
  for (const bool known : {true, false}) {
    Watched service(only("p99_latency", 0.99, 800));
    service.past(stable);
    const RouteCounts route{"/new", timed(kSeedBounds, {{1500, 20}}),
                            known ? timed(kSeedBounds, {{1500, 200}}) : TrackCounts{}};
    const RouteCounts rest{"/pay", timed(kSeedBounds, {{8, 4980}}), stable};
    service.serve({"", timed(kSeedBounds, {{8, 4980}, {1500, 20}}), stable}, 60, {rest, route});
    EXPECT_EQ(service.out().decision, Decision::rollback) << known << service.out().reason;
    EXPECT_EQ(service.line("p99_latency", "/new").verdict, Verdict::regression);
  }
}

TEST(Errors, ARouteThatOnlyTheCanaryHasIsJudged) {
  for (const bool limit : {false, true}) {
    auto options = sequential_defaults();
    options.signals.resize(1);
    if (limit) options.signals[0].max = 0.05;
    const auto row = [](const std::string& name, double requests, double errors, double stable) {
      RouteCounts out{name, {}, {}};
      out.canary = {.requests = requests, .errors = errors};
      out.stable = {.requests = stable};
      return out;
    };
    Watched failing(options), fine(options);
    for (auto* service : {&failing, &fine}) {
      service->past(row("", 0, 0, 1000).stable, {row("/pay", 0, 0, 1000), row("/new", 0, 0, 0)});
      const double errors = service == &failing ? 3 : 0;
      service->serve(row("", 1003, errors, 1000), 60,
                     {row("/pay", 1000, 0, 1000), row("/new", 3, errors, 0)});
    }
    EXPECT_EQ(failing.out().decision, Decision::rollback) << failing.out().reason;
    EXPECT_EQ(failing.line("error_rate", "/new").verdict, Verdict::regression);
    EXPECT_EQ(fine.line("error_rate", "/new").verdict, Verdict::no_data);
    EXPECT_EQ(fine.out().decision, Decision::promote) << fine.out().reason;
  }
}

TEST(Errors, TheIntervalContainsItsEstimate) {
  auto options = sequential_defaults();
  options.signals.resize(1);
  Watched service(options);
  const auto row = [](double errors) {
    RouteCounts out;
    out.canary = {.requests = 100, .errors = errors};
    out.stable = {.requests = 300};
    return out;
  };
  service.past(row(0).stable);
  service.serve(row(0), 150);
  for (int i = 0; i < 20 && service.out().decision != Decision::rollback; ++i) {
    service.serve(row(30), 1); // the regression begins late
    const auto& m = service.line("error_rate").measured;
    if (m.lower) {
      EXPECT_LE(*m.lower, *m.difference);
    }
    if (m.upper) {
      EXPECT_GE(*m.upper, *m.difference);
    }
    if (m.lower) {
      EXPECT_GE(*m.lower, -*m.stable);
    }
  }
  EXPECT_EQ(service.out().decision, Decision::rollback);
}

TEST(Metrics, AnInfiniteOrUndefinedNumberIsAStateOfItsOwn) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  SignalSpec own;
  own.name = "own";
  own.kind = SignalKind::value;
  own.margin = {Margin::Unit::percent, 0.2};
  for (const double value : {nan, infinite}) {
    for (const bool canary : {true, false}) {
      MetricNumbers numbers;
      numbers.signal = "own";
      numbers.canary = {true, canary ? value : 1, 1};
      numbers.stable = {true, canary ? 1 : value, 1};
      Evidence look;
      for (int i = 0; i < 30; ++i) {
        CountCell cell;
        cell.from_ms = i * 15'000;
        cell.to_ms = cell.from_ms + 15'000;
        cell.baseline = i < 10;
        cell.total.stable.requests = 1000;
        cell.total.canary.requests = cell.baseline ? 0 : 100;
        cell.metrics = {numbers};
        look.cells.push_back(cell);
      }
      look.metrics = {numbers};
      look.canary = {.has_data = true, .requests = 2000};
      look.stable = {.has_data = true, .requests = 30'000};
      for (const auto& judge : judges_of({own})) {
        const auto out = judge->judge(look);
        const auto& line = (*out.signals)[0];
        EXPECT_EQ(line.verdict, Verdict::no_data) << judge->name();
        EXPECT_EQ(line.cause, Cause::not_measurable) << judge->name();
        EXPECT_NE(line.reason.find(std::isnan(value) ? "not a number" : "infinite"),
                  std::string::npos)
            << line.reason;
      }
    }
  }
}

TEST(Latency, ALimitHoldsUnderEveryJudge) {
  const auto slow = timed(kSeedBounds, {{8, 500}, {1500, 500}});
  const auto signals = only("p99_latency", 0.99, 800).signals;
  for (const auto& judge : judges_of(signals)) {
    Evidence look;
    for (int i = 0; i < 60; ++i) {
      CountCell cell;
      cell.from_ms = i * 15'000;
      cell.to_ms = cell.from_ms + 15'000;
      cell.baseline = i < 20;
      cell.total = {"", cell.baseline ? TrackCounts{} : slow, slow};
      look.cells.push_back(cell);
    }
    look.canary = look.stable = slow;
    look.canary_age_minutes = 20;
    const auto out = judge->judge(look);
    EXPECT_EQ(out.decision, Decision::rollback) << judge->name() << ": " << out.reason;
    EXPECT_NE(out.reason.find("limit 800 ms"), std::string::npos) << out.reason;
  }
}

TEST(Errors, AShareNeverFallsByMoreThanAllOfIt) {
  auto options = sequential_defaults();
  options.signals.resize(1);
  Watched service(options);
  RouteCounts row;
  row.canary = {.requests = 20};
  row.stable = {.requests = 300, .errors = 3};
  service.past(row.stable);
  service.serve(row, 30);
  const auto& m = service.line("error_rate").measured;
  ASSERT_TRUE(m.lower);
  EXPECT_GE(*m.lower, -*m.stable);
}

// Random distributions in random buckets.
class Shapes {
 public:
  explicit Shapes(std::uint64_t seed) : random_(seed) {}
  double uniform(double from, double to) {
    return std::uniform_real_distribution<double>(from, to)(random_);
  }
  BucketBounds bounds() {
    std::vector<double> out;
    const double growth = std::exp(uniform(0.1, 1.5));
    double bound = std::exp(uniform(-1, 5));
    for (auto n = static_cast<int>(uniform(1, 20)); n >= 0; --n, bound *= growth)
      out.push_back(bound);
    return bounds_of(out);
  }
  std::vector<Timed> latencies(double requests) {
    std::vector<Timed> out;
    for (auto n = static_cast<int>(uniform(1, 5)); n > 0; --n)
      out.push_back({std::exp(uniform(-1, 9)), std::exp(uniform(-6, 0))});
    double all = 0;
    for (const auto& part : out) all += part.requests;
    for (auto& part : out) part.requests = std::round(part.requests / all * requests);
    return out;
  }

 private:
  std::mt19937_64 random_;
};

std::vector<std::pair<std::string, std::unique_ptr<Judge>>> all_judges() {
  auto strict = sequential_defaults();
  strict.strict = true;
  auto seed = seed_defaults();
  RankOptions ranks;
  ranks.signals = seed.signals;
  std::vector<std::pair<std::string, std::unique_ptr<Judge>>> out;
  out.emplace_back("sequential", make_sequential_judge(sequential_defaults()));
  out.emplace_back("strict", make_sequential_judge(std::move(strict)));
  out.emplace_back("threshold", make_threshold_judge(std::move(seed)));
  out.emplace_back("rank", make_rank_judge(std::move(ranks)));
  return out;
}

// A quantile is known to lie in its bucket. When even the nearest ends of the two buckets are more
// than twice apart, and many requests were seen, no judge may call that a pass.
bool far_apart(const TrackCounts& canary, const TrackCounts& stable, double q) {
  const auto bucket = [&](const TrackCounts& t) {
    double above = t.requests;
    std::size_t i = 0;
    for (; i < t.bounds_ms->size(); ++i) {
      above -= t.bucket_counts[i];
      if (above <= (1 - q) * t.requests) break;
    }
    return i;
  };
  const auto slow = bucket(canary), fast = bucket(stable);
  if (slow == 0 || fast >= stable.bounds_ms->size()) return false;
  return (*canary.bounds_ms)[slow - 1] > 2 * (*stable.bounds_ms)[fast];
}

TEST(Latency, AMeasuredDifferenceFarBeyondTheMarginIsNeverAPass) {
  int apart = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Shapes shapes(seed);
    const auto bounds = shapes.bounds();
    const auto stable = timed(bounds, shapes.latencies(20'000));
    const auto canary = timed(bounds, shapes.latencies(2'000));
    const bool far = far_apart(canary, stable, 0.99);
    apart += far ? 1 : 0;
    for (auto& [name, judge] : all_judges()) {
      Judgement out;
      for (int i = 0; i < 60 && out.decision != Decision::rollback; ++i) {
        CountCell cell;
        cell.from_ms = i * 15'000;
        cell.to_ms = cell.from_ms + 15'000;
        cell.baseline = i < 20;
        cell.total.stable = stable;
        if (!cell.baseline) cell.total.canary = canary;
        Evidence look;
        look.cells = {cell};
        look.canary = canary;
        look.stable = stable;
        look.canary_age_minutes = 60;
        look.step_needed_minutes = 1;
        look.step_minutes = 2;
        look.step_requests = 10'000;
        out = judge->judge(look);
      }
      for (const auto& v : *out.signals) {
        if (v.subject.signal != "p99_latency" || !far) continue;
        EXPECT_NE(v.verdict, Verdict::pass) << name << " seed " << seed << ": " << line_sentence(v);
      }
      if (far) {
        EXPECT_NE(out.decision, Decision::promote) << name << " seed " << seed;
      }
    }
  }
  EXPECT_GT(apart, 50);
}

TEST(Latency, AnEqualCanaryIsAlwaysJudged) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Shapes shapes(seed);
    const auto bounds = shapes.bounds();
    const auto stable = timed(bounds, shapes.latencies(20'000));
    // Slower than every bound: nothing can be told about it, and nothing is.
    if (stable.bucket_counts.back() > 0.01 * stable.requests) continue;
    Watched service(only("p99_latency"));
    service.past(stable);
    service.serve({"", stable, stable}, 100);
    EXPECT_EQ(service.line("p99_latency").verdict, Verdict::pass)
        << "seed " << seed << ": " << service.out().reason;
  }
}

} // namespace
} // namespace coalmine::judge
