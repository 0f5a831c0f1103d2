// SPDX-License-Identifier: Apache-2.0
#include "judge/judge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "judge/estimate.h"
#include "judge/reason.h"

namespace coalmine::judge {
namespace {

std::vector<std::string> split(const std::string& line, const std::string& separator) {
  std::vector<std::string> out;
  std::size_t at = 0;
  for (std::size_t next = 0; next != std::string::npos; at = next + separator.size()) {
    next = line.find(separator, at);
    std::string field = line.substr(at, next == std::string::npos ? next : next - at);
    field.erase(0, field.find_first_not_of(' '));
    field.erase(field.find_last_not_of(' ') + 1);
    out.push_back(std::move(field));
    if (next == std::string::npos) break;
  }
  return out;
}

std::vector<double> numbers(const std::string& text) {
  std::istringstream in(text);
  std::vector<double> out;
  for (double n; in >> n;) out.push_back(n);
  return out;
}

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream in(std::string(COALMINE_SOURCE_DIR) + "/tests/judge/" + name);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line[0] != '#') out.push_back(line);
  }
  return out;
}

BucketBounds shared_bounds(std::vector<double> bounds_ms) {
  return std::make_shared<const std::vector<double>>(std::move(bounds_ms));
}

// A distribution whose every quantile is exactly ms.
void took(TrackCounts& track, double ms) {
  track.bounds_ms = shared_bounds({ms, ms, 1e6});
  track.bucket_counts = {0, track.requests, 0, 0};
}

TrackCounts track(double requests, double errors, double ms) {
  TrackCounts out{true, requests, errors, {}, {}};
  took(out, ms);
  return out;
}

TrackCounts parse_track(const std::string& text) {
  if (text == "-") return {};
  const auto fields = split(text, "/");
  TrackCounts out{true, std::stod(fields[0]), std::stod(fields[1]), {}, {}};
  if (fields[2] != "?") took(out, std::stod(fields[2]));
  return out;
}

std::string verdict_text(const SignalVerdict& v) {
  std::string out(to_string(v.verdict));
  return v.cause == Cause::none ? out : out + "(" + std::string(to_string(v.cause)) + ")";
}

Evidence evidence(TrackCounts canary, TrackCounts stable, double age = 15) {
  Evidence out;
  out.canary = std::move(canary);
  out.stable = std::move(stable);
  out.canary_age_minutes = age;
  return out;
}

Judgement look(const Evidence& given, const ThresholdOptions& options = seed_defaults()) {
  return make_threshold_judge(options)->judge(given);
}

TEST(Threshold, Table) {
  const auto lines = lines_of("threshold.table");
  ASSERT_GT(lines.size(), 15u);
  for (const auto& line : lines) {
    const auto row = split(line, "|");
    ASSERT_EQ(row.size(), 8u) << line;
    SCOPED_TRACE(row[0]);
    const auto got = look(evidence(parse_track(row[1]), parse_track(row[2]), std::stod(row[3])));
    EXPECT_EQ(to_string(got.decision), row[4]);
    ASSERT_EQ(got.signals.size(), 2u);
    EXPECT_EQ(verdict_text(got.signals[0]), row[5]);
    EXPECT_EQ(verdict_text(got.signals[1]), row[6]);
    EXPECT_EQ(got.reason, row[7]);
  }
}

TEST(Threshold, DecidesAsTheSeedDoes) {
  auto lines = lines_of("seed_decisions.csv");
  ASSERT_GT(lines.size(), 300u);
  lines.erase(lines.begin());
  for (const auto& line : lines) {
    SCOPED_TRACE(line);
    const auto row = split(line, ",");
    ASSERT_EQ(row.size(), 13u);
    const auto bounds = shared_bounds(numbers(row[4]));
    const TrackCounts canary{true, std::stod(row[0]), std::stod(row[1]), bounds, numbers(row[5])};
    const TrackCounts stable{true, std::stod(row[2]), std::stod(row[3]), bounds, numbers(row[6])};
    const auto got = look(evidence(canary, stable, std::stod(row[7])));
    EXPECT_EQ(to_string(got.decision), row[8]);
    EXPECT_EQ(*got.signals[0].measured.difference, std::stod(row[9]));
    EXPECT_EQ(got.signals[0].verdict == Verdict::pass, row[10] == "1");
    EXPECT_NEAR(*got.signals[1].measured.relative, std::stod(row[11]), 1e-12);
    EXPECT_EQ(got.signals[1].verdict == Verdict::pass, row[12] == "1");
  }
}

TEST(Threshold, ARouteRegressesTheWholeDecision) {
  auto given = evidence(track(10000, 40, 100), track(190000, 800, 100));
  given.routes = {{"/api/cart", track(8000, 2, 90), track(150000, 40, 90)},
                  {"/api/pay", track(1000, 97, 100), track(19000, 152, 100)},
                  {"/api/quote", track(1000, 0, 190), track(20000, 0, 100)}};
  auto options = seed_defaults();
  options.signals[0].margin = {Margin::Unit::points, 0.005};
  options.signals[1].margin = {Margin::Unit::percent, 2.0};
  const auto got = look(given, options);
  EXPECT_EQ(got.decision, Decision::rollback);
  EXPECT_EQ(
      got.reason,
      "error_rate on /api/pay: 9.70% on canary against 0.80% on stable, +8.90pp, allowed +0.5pp");
  ASSERT_EQ(got.signals.size(), 8u);
  EXPECT_EQ(got.signals[0].subject.route, "");
  EXPECT_EQ(got.signals[1].subject.route, "");
  EXPECT_EQ(got.signals[2].subject.route, "/api/pay");
  EXPECT_EQ(got.signals[2].verdict, Verdict::regression);
  EXPECT_EQ(got.signals[3].subject.route, "/api/quote"); // the passing line nearest to its margin
}

TEST(Threshold, QuietRoutesAreWatchedOnly) {
  auto given = evidence(track(1000, 4, 100), track(19000, 80, 100));
  given.routes = {{"/busy", track(901, 4, 100), track(18000, 80, 100)},
                  {"/quiet", track(99, 99, 900), track(1000, 0, 100)}};
  const auto got = look(given);
  EXPECT_EQ(got.decision, Decision::promote);
  ASSERT_EQ(got.signals.size(), 6u);
  EXPECT_EQ(got.signals[2].subject.route, "/quiet");
  EXPECT_EQ(verdict_text(got.signals[2]), "watching(too_few_requests)");
  EXPECT_EQ(got.signals[2].reason, "99 of 100 canary requests on /quiet so far");
  EXPECT_DOUBLE_EQ(*got.signals[2].measured.canary,
                   900); // still shown: p99_latency, the worse of the two
}

TEST(Threshold, NothingIsDecidedOnARouteBeforeTheWhole) {
  auto options = seed_defaults();
  options.min_route_requests = 10;
  auto given = evidence(track(50, 20, 100), track(950, 0, 100));
  given.routes = {{"/pay", track(30, 20, 100), track(500, 0, 100)}};
  const auto got = look(given, options);
  EXPECT_EQ(got.decision, Decision::keep_watching);
  EXPECT_EQ(got.reason, "50 of 100 canary requests so far");
  EXPECT_EQ(verdict_text(got.signals[2]), "watching(too_few_requests)");
  EXPECT_EQ(got.signals[2].reason, got.reason);
}

TEST(Threshold, ANewRouteOfTheCanaryHoldsNothingUp) {
  auto given = evidence(track(1000, 0, 100), track(19000, 0, 100));
  given.routes = {{"/new", track(500, 500, 100), {}},
                  {"/none-in-window", track(500, 0, 100), TrackCounts{true, 0, 0, {}, {}}}};
  const auto got = look(given);
  EXPECT_EQ(got.decision, Decision::promote);
  for (std::size_t i = 2; i < got.signals.size(); ++i)
    EXPECT_NE(got.signals[i].verdict, Verdict::regression);
}

TEST(Threshold, TelemetryWithoutRoutesIsNotJudgedTwice) {
  auto given = evidence(track(1000, 0, 100), track(19000, 0, 100));
  given.routes = {{"", given.canary, given.stable}};
  EXPECT_EQ(look(given).signals.size(), 2u);
  given.routes.push_back({"/a", given.canary, given.stable});
  const auto got = look(given);
  ASSERT_EQ(got.signals.size(), 6u);
  EXPECT_EQ(got.signals[2].subject.route, "(none)");
}

TEST(Threshold, UnreachableStoreIsNotNoData) {
  auto given = evidence(track(1000, 1000, 100), track(19000, 0, 100));
  given.source_error = "http://mimir:9009: connection refused";
  const auto got = look(given);
  EXPECT_EQ(got.decision, Decision::keep_watching);
  ASSERT_EQ(got.signals.size(), 2u);
  EXPECT_EQ(verdict_text(got.signals[0]), "no_data(source_unreachable)");
  EXPECT_EQ(got.reason,
            "The telemetry store could not be reached (http://mimir:9009: connection refused): "
            "nothing is decided");
  EXPECT_EQ(got.reason, got.signals[0].reason);
}

TEST(Threshold, AbsoluteLimitsHoldWhateverStableDoes) {
  auto options = seed_defaults();
  options.signals[0].max = 0.05;
  options.signals[1].max = 500;
  auto got = look(evidence(track(1000, 60, 100), track(19000, 1140, 100)), options);
  EXPECT_EQ(got.decision, Decision::rollback);
  EXPECT_EQ(got.reason, "error_rate: 6.00% on canary, limit 5.00%");
  got = look(evidence(track(1000, 0, 600), {}), options); // not even stable is needed
  EXPECT_EQ(got.decision, Decision::rollback);
  EXPECT_EQ(got.reason, "p99_latency: 600 ms on canary, limit 500 ms");
  got = look(evidence(track(1000, 50, 500), track(19000, 950, 500)), options);
  EXPECT_EQ(got.decision, Decision::promote);
  // Beyond both: the comparison says more.
  got = look(evidence(track(1000, 300, 100), track(19000, 0, 100)), options);
  EXPECT_EQ(got.reason,
            "error_rate: 30.00% on canary against 0.00% on stable, +30.00pp, allowed +10pp");
}

TEST(Threshold, UnitsOfMargins) {
  auto options = seed_defaults();
  options.signals[0].margin = {Margin::Unit::percent, 0.5};
  options.signals[1].margin = {Margin::Unit::millis, 25};
  EXPECT_EQ(look(evidence(track(1000, 15, 125), track(1000, 10, 100)), options).decision,
            Decision::promote);
  auto got = look(evidence(track(1000, 16, 126), track(1000, 10, 100)), options);
  EXPECT_EQ(got.signals[0].reason,
            "error_rate: 1.60% on canary against 1.00% on stable, +60.0%, allowed +50%");
  EXPECT_EQ(got.signals[1].reason,
            "p99_latency: 126 ms on canary against 100 ms on stable, +26.0ms, allowed +25ms");
  // Percent of nothing is nothing: an error rate above 0 is beyond it, a latency above 0 is not
  // (the seed).
  got = look(evidence(track(1000, 1, 100), track(1000, 0, 100)), options);
  EXPECT_EQ(got.reason, "error_rate: 0.10% on canary against 0.00% on stable, allowed +50%");
  // A margin that does not fit its signal fails closed, towards risk and towards rollback alike.
  options.signals[0].margin = {Margin::Unit::millis, 25};
  got = look(evidence(track(1000, 900, 100), track(1000, 0, 100)), options);
  EXPECT_EQ(got.decision, Decision::keep_watching);
  EXPECT_EQ(got.reason,
            "error_rate: the margin +25ms does not fit an error rate, so nothing is decided");
}

TEST(Threshold, SignalsThatDoNotGateDecideNothing) {
  auto options = seed_defaults();
  options.signals[1].gate = false;
  auto given = evidence(track(1000, 0, 900), track(19000, 0, 100));
  auto got = look(given, options);
  EXPECT_EQ(got.decision, Decision::promote);
  EXPECT_EQ(got.signals[1].verdict, Verdict::regression);
  EXPECT_EQ(got.reason.find("p99"), std::string::npos);
  options.signals[0].gate = false;
  got = look(given, options);
  EXPECT_EQ(got.decision, Decision::keep_watching);
  EXPECT_EQ(got.reason, "No signal gates: nothing is decided");
  options.signals.clear();
  EXPECT_EQ(look(given, options).decision, Decision::keep_watching);
}

TEST(Threshold, RubbishInDecidesNothing) {
  const double nan = std::nan("");
  for (const double bad : {nan, -1.0, std::numeric_limits<double>::infinity()}) {
    auto canary = track(1000, bad, 100);
    canary.bucket_counts[1] = bad;
    auto got = look(evidence(canary, track(1000, 0, 100)));
    EXPECT_EQ(got.decision, Decision::keep_watching) << bad;
    got = look(evidence(track(bad, 0, 100), track(1000, 0, 100)));
    EXPECT_EQ(got.decision, Decision::keep_watching) << bad;
    got = look(evidence(track(1000, 0, 100), track(bad, 0, 100)));
    EXPECT_EQ(got.decision, Decision::keep_watching) << bad;
  }
  auto odd = track(1000, 0, 100);
  odd.bucket_counts.pop_back();
  EXPECT_EQ(look(evidence(odd, track(1000, 0, 100))).decision, Decision::keep_watching);
  EXPECT_EQ(look(evidence(track(1000, 0, 100), track(1000, 0, 100), nan)).decision,
            Decision::keep_watching);
}

// Invariances, on random evidence.
class Properties : public ::testing::Test {
 protected:
  TrackCounts random_track() {
    TrackCounts out{true, static_cast<double>(100 + random_() % 5000), 0,
                    shared_bounds({10, 25, 50, 100, 250, 500}), std::vector<double>(7, 0.0)};
    out.errors = std::floor(out.requests * std::pow(uniform_(random_), 4));
    const auto middle = random_() % 5;
    for (int i = 0; i < out.requests; ++i)
      ++out.bucket_counts[(middle + (random_() % 10 == 0) + (random_() % 100 == 0)) % 7];
    return out;
  }
  Evidence random_evidence() {
    auto out = evidence(random_track(), random_track(), static_cast<double>(random_() % 20));
    if (random_() % 3 == 0) out.stable = out.canary;
    const auto routes = random_() % 4;
    for (unsigned i = 0; i < routes; ++i)
      out.routes.push_back({"/r" + std::to_string(i), random_track(), random_track()});
    return out;
  }
  static void scale(TrackCounts& t, double by) {
    t.requests *= by;
    t.errors *= by;
    for (auto& n : t.bucket_counts) n *= by;
  }
  std::mt19937 random_{7};
  std::uniform_real_distribution<double> uniform_{0, 1};
};

TEST_F(Properties, ScalingCountsChangesNoDecision) {
  for (int i = 0; i < 200; ++i) {
    auto given = random_evidence();
    const auto before = look(given);
    const double by =
        std::exp2(static_cast<double>(random_() % 8)); // a power of two: exact in doubles
    for (auto* t : {&given.canary, &given.stable}) scale(*t, by);
    for (auto& r : given.routes) {
      scale(r.canary, by);
      scale(r.stable, by);
    }
    EXPECT_EQ(look(given).decision, before.decision);
  }
}

TEST_F(Properties, SwappingTheTracksMirrorsTheDifferences) {
  for (int i = 0; i < 200; ++i) {
    const auto given = random_evidence();
    auto mirrored = given;
    std::swap(mirrored.canary, mirrored.stable);
    const auto a = look(given), b = look(mirrored);
    for (std::size_t s = 0; s < 2; ++s) {
      EXPECT_EQ(*a.signals[s].measured.difference, -*b.signals[s].measured.difference);
      const bool both = a.signals[s].verdict == Verdict::regression &&
                        b.signals[s].verdict == Verdict::regression;
      EXPECT_FALSE(both); // with a margin of 0 or more, only one side can be the worse one
    }
  }
}

TEST_F(Properties, MoreErrorsOrSlowerNeverHelps) {
  const auto rank = [](Decision d) {
    return d == Decision::promote ? 0 : d == Decision::keep_watching ? 1 : 2;
  };
  for (int i = 0; i < 300; ++i) {
    auto given = random_evidence();
    const auto before = look(given);
    auto worse = given;
    auto& target = worse.routes.empty() || random_() % 2 == 0
                       ? worse.canary
                       : worse.routes[random_() % worse.routes.size()].canary;
    if (random_() % 2 == 0) {
      target.errors += static_cast<double>(random_() % 500);
    } else {
      for (std::size_t b = 0; b + 1 < target.bucket_counts.size(); ++b) {
        const double moved = std::floor(target.bucket_counts[b] / 3);
        target.bucket_counts[b] -= moved;
        target.bucket_counts.back() += moved;
      }
    }
    EXPECT_GE(rank(look(worse).decision), rank(before.decision)) << i;
  }
}

TEST_F(Properties, SameEvidenceSameJudgementWhateverTheOrderOfRoutes) {
  for (int i = 0; i < 100; ++i) {
    auto given = random_evidence();
    const auto a = look(given);
    std::ranges::reverse(given.routes);
    const auto b = look(given);
    EXPECT_EQ(a.reason, b.reason);
    ASSERT_EQ(a.signals.size(), b.signals.size());
    for (std::size_t s = 0; s < a.signals.size(); ++s)
      EXPECT_EQ(a.signals[s].reason, b.signals[s].reason);
  }
}

TEST_F(Properties, AgeOnlyGatesPromotion) {
  for (int i = 0; i < 200; ++i) {
    auto given = random_evidence();
    given.canary_age_minutes = 0;
    const auto young = look(given);
    given.canary_age_minutes = 60;
    const auto old = look(given);
    EXPECT_NE(young.decision, Decision::promote);
    EXPECT_EQ(young.decision == Decision::rollback, old.decision == Decision::rollback);
  }
}

TEST(Estimate, QuantileAsPromQlInterpolates) {
  TrackCounts t{true, 20, 0, shared_bounds({10, 20, 40}), {0, 10, 10, 0}};
  EXPECT_DOUBLE_EQ(latency_quantile(t, 0.5)->value, 20);
  EXPECT_DOUBLE_EQ(latency_quantile(t, 0.75)->value, 30);
  t.bucket_counts = {4, 0, 0, 0};
  EXPECT_DOUBLE_EQ(latency_quantile(t, 0.5)->value, 5);
  t.bucket_counts = {0, 0, 0, 3};
  EXPECT_DOUBLE_EQ(latency_quantile(t, 0.5)->value, 40);
  EXPECT_TRUE(latency_quantile(t, 0.5)->at_least);
  t.bounds_ms = shared_bounds({0, 20, 40});
  t.bucket_counts = {4, 0, 0, 0};
  EXPECT_DOUBLE_EQ(latency_quantile(t, 0.99)->value, 0);
  t.bucket_counts = {0, 0, 0, 0};
  EXPECT_FALSE(latency_quantile(t, 0.99));
  EXPECT_FALSE(latency_quantile(TrackCounts{true, 5, 0, {}, {5}}, 0.99));
}

TEST(Reason, Numbers) {
  EXPECT_EQ(to_string(Margin{Margin::Unit::points, 0.005}), "+0.5pp");
  EXPECT_EQ(to_string(Margin{Margin::Unit::points, 0.1}), "+10pp");
  EXPECT_EQ(to_string(Margin{Margin::Unit::percent, 0.29}), "+29%");
  EXPECT_EQ(to_string(Margin{Margin::Unit::millis, 25}), "+25ms");
  EXPECT_EQ(to_string(Margin{Margin::Unit::percent, -0.05}), "-5%");
  EXPECT_EQ(format_value(SignalKind::error_rate, 0.00004), "0.004%");
  EXPECT_EQ(format_value(SignalKind::error_rate, 0), "0.00%");
  EXPECT_EQ(format_value(SignalKind::latency_quantile, 4.25), "4.25 ms");
  EXPECT_EQ(format_value(SignalKind::latency_quantile, 42.51), "42.5 ms");
  EXPECT_EQ(format_value(SignalKind::latency_quantile, 10000, ValueUnit::number, true),
            "at least 10000 ms");
}

// A look at a service with many routes sorts and copies hundreds of lines.
static_assert(sizeof(SignalVerdict) <= 448);

TEST(Reason, IntervalWhereTheJudgeHasOne) {
  SignalVerdict v;
  v.subject.signal = "error_rate";
  v.subject.route = "/api/pay";
  v.verdict = Verdict::regression;
  v.measured.canary = 0.097;
  v.measured.stable = 0.008;
  v.measured.difference = 0.089;
  v.measured.lower = 0.051;
  v.measured.upper = 0.127;
  v.limits.margin = {Margin::Unit::points, 0.005};
  EXPECT_EQ(reason_sentence(v),
            "error_rate on /api/pay: 9.70% on canary against 0.80% on stable, +8.90pp (+5.10 to "
            "+12.70), allowed +0.5pp");
}

TEST(Reason, WhatIsAllowedIsSaidWhereStableHasNoTail) {
  SignalVerdict v;
  v.subject = {.signal = "p99_latency", .route = "", .kind = SignalKind::latency_quantile};
  v.verdict = Verdict::regression;
  v.limits.margin = {Margin::Unit::percent, 0.2};
  v.measured.canary = 60;
  v.measured.stable = 44;
  v.measured.tail = {.boundary_ms = 60, .canary = 0.0153, .stable = 0, .allowed = 0};
  EXPECT_EQ(reason_sentence(v),
            "p99_latency: 1.53% of requests took longer than 60.0 ms on canary against 0.00% on "
            "stable, allowed: up to 52.8 ms (stable 44.0 ms, +20%)");
}

TEST(Reason, NeverRoundsARegressionOntoItsMargin) {
  auto given = evidence(track(1000, 0, 120.04), track(1000, 0, 100));
  EXPECT_EQ(look(given).reason,
            "p99_latency: 120 ms on canary against 100 ms on stable, +20.04%, allowed +20%");
}

// A sample of the requests that depends on how they ended passes nothing and proves nothing: here
// the canary is far worse, or far better, or beyond its limit.
TEST(SampledRequests, AreNotMeasurableForAnyJudge) {
  const std::string sampled = "the spans say that a sampler kept them";
  const auto counts = [&](double errors) {
    auto out = track(400, errors, 100);
    out.sampled = sampled;
    return out;
  };
  auto limited = sequential_defaults();
  limited.signals[0].max = 0.05;
  auto threshold = seed_defaults();
  threshold.signals[0].max = 0.05;
  RankOptions ranks;
  ranks.signals = limited.signals;
  for (const double errors : {0.0, 390.0}) {
    std::vector<std::unique_ptr<Judge>> judges;
    judges.push_back(make_sequential_judge(limited));
    judges.push_back(make_threshold_judge(threshold));
    judges.push_back(make_rank_judge(ranks));
    for (const auto& judge : judges) {
      Evidence evidence;
      evidence.canary = counts(errors);
      evidence.stable = counts(200);
      evidence.canary_age_minutes = evidence.step_minutes = 60;
      evidence.step_requests = 20'000;
      for (int i = 0; i < 60; ++i) {
        CountCell cell;
        cell.from_ms = 60'000 * i;
        cell.to_ms = cell.from_ms + 60'000;
        cell.baseline = i < 10;
        cell.total = {"", counts(cell.baseline ? 0 : errors), counts(200)};
        cell.routes = {{"/pay", counts(errors), counts(200)}};
        evidence.cells.push_back(std::move(cell));
      }
      const auto judgement = judge->judge(evidence);
      EXPECT_EQ(judgement.decision, Decision::keep_watching) << judge->name();
      EXPECT_NE(judgement.reason.find(sampled), std::string::npos) << judgement.reason;
      ASSERT_FALSE(judgement.signals.empty());
      for (const auto& line : judgement.signals) {
        EXPECT_EQ(to_string(line.cause), "not_measurable") << judge->name() << line.reason;
        EXPECT_FALSE(line.measured.canary) << judge->name();
      }
    }
  }
}

} // namespace
} // namespace coalmine::judge
