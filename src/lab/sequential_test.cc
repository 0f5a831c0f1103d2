// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "judge/judge.h"
#include "judge/reason.h"
#include "lab/simulation.h"

namespace coalmine::lab {
namespace {

using namespace judge;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

CountCell cell_of(std::int64_t index, double x1, double n1, double x0, double n0,
                  bool baseline = false) {
  CountCell out;
  out.from_ms = index * 15'000;
  out.to_ms = out.from_ms + 15'000;
  out.baseline = baseline;
  out.total = {"", {.requests = n1, .errors = x1}, {.requests = n0, .errors = x0}};
  return out;
}

SequentialOptions errors_only() {
  auto out = sequential_defaults();
  out.signals.resize(1);
  return out;
}

Evidence look(std::vector<CountCell> cells) {
  Evidence out;
  out.cells = std::move(cells);
  out.step_needed_minutes = 1;
  out.step_minutes = 2;
  out.step_min_requests = 100;
  out.step_requests = 1000;
  return out;
}

std::vector<CountCell> baseline_cells(double x0, double n0) {
  std::vector<CountCell> out;
  for (int i = 0; i < 40; ++i) out.push_back(cell_of(i, 0, 0, x0, n0, true));
  return out;
}

TEST(Sequential, ProvenAndBeyondTheMarginRollsBackAtOnce) {
  auto judge = make_sequential_judge(errors_only());
  auto cells = baseline_cells(10, 1000);
  cells.push_back(cell_of(40, 30, 60, 10, 1000));
  const auto out = judge->judge(look(cells));
  EXPECT_EQ(out.decision, Decision::rollback);
  EXPECT_EQ(out.signals[0].verdict, Verdict::regression);
  EXPECT_NE(out.reason.find("50.00% on canary against 1.00% on stable"), std::string::npos)
      << out.reason;
  EXPECT_GT(out.signals[0].weighed->evidence, out.signals[0].weighed->needed);
}

TEST(Sequential, WorseWithinTheMarginGoesOn) {
  auto options = errors_only();
  options.signals[0].automatic = false;
  options.signals[0].margin = {Margin::Unit::points, 0.05};
  auto judge = make_sequential_judge(options);
  auto evidence = look(baseline_cells(100, 10'000));
  for (int i = 40; i < 80; ++i)
    evidence.cells.push_back(cell_of(i, 40, 2'000, 100, 10'000)); // 2 % against 1 %, allowed +5pp
  const auto out = judge->judge(evidence);
  EXPECT_GT(out.signals[0].weighed->evidence, out.signals[0].weighed->needed)
      << "it is proven to be worse";
  EXPECT_EQ(out.signals[0].verdict, Verdict::pass);
  EXPECT_EQ(out.decision, Decision::promote);
  EXPECT_GT(*out.signals[0].measured.lower, 0);
}

TEST(Sequential, StrictAsksForMoreThanTheMargin) {
  for (const bool strict : {false, true}) {
    auto options = errors_only();
    options.signals[0].automatic = false;
    options.signals[0].margin = {Margin::Unit::percent, 0.5};
    options.strict = strict;
    auto judge = make_sequential_judge(options);
    auto evidence = look(baseline_cells(100, 10'000));
    for (int i = 40; i < 60; ++i)
      evidence.cells.push_back(cell_of(i, 8, 500, 100, 10'000)); // 1.6 % against 1 %, allowed 1.5 %
    EXPECT_EQ(judge->judge(evidence).decision,
              strict ? Decision::keep_watching : Decision::rollback);
  }
}

TEST(Sequential, PromotesOnlyWhatIsShownToBeSafe) {
  auto judge = make_sequential_judge(errors_only());
  auto evidence = look(baseline_cells(10, 1000));
  evidence.cells.push_back(cell_of(40, 0, 50, 10, 1000));
  auto out = judge->judge(evidence);
  EXPECT_EQ(out.decision, Decision::keep_watching);
  EXPECT_EQ(out.signals[0].cause, Cause::undecided);
  EXPECT_TRUE(out.minutes_left.has_value());
  EXPECT_NE(out.reason.find("earliest verdict in about"), std::string::npos) << out.reason;
  evidence.cells.clear();
  for (int i = 41; i < 120; ++i) evidence.cells.push_back(cell_of(i, 5, 500, 10, 1000));
  out = judge->judge(evidence);
  EXPECT_EQ(out.decision, Decision::promote) << out.reason;
  evidence.cells.clear();
  evidence.step_minutes = 0.5;
  EXPECT_EQ(judge->judge(evidence).decision, Decision::keep_watching)
      << "a step takes its own time";
}

TEST(Sequential, TheNextWeightDecidesHowMuchMustBeExcluded) {
  auto options = errors_only();
  options.signals[0].automatic = false;
  auto judge = make_sequential_judge(options);
  auto evidence = look(baseline_cells(10, 1000));
  for (int i = 40; i < 50; ++i) evidence.cells.push_back(cell_of(i, 1, 100, 10, 1000));
  evidence.next_weight = 0.25;
  EXPECT_EQ(judge->judge(evidence).decision, Decision::promote) << "+2pp is excluded";
  evidence.cells.clear();
  evidence.next_weight = 1;
  EXPECT_EQ(judge->judge(evidence).decision, Decision::keep_watching) << "+0.5pp is not";
}

TEST(Sequential, MissingDataIsNoEvidence) {
  auto judge = make_sequential_judge(sequential_defaults());
  auto out = judge->judge(look({}));
  for (const auto& v : out.signals) EXPECT_EQ(v.verdict, Verdict::no_data);
  EXPECT_EQ(out.decision, Decision::keep_watching);

  std::vector<CountCell> canary_only;
  for (int i = 0; i < 100; ++i) canary_only.push_back(cell_of(i, 100, 100, 0, 0));
  out = judge->judge(look(canary_only));
  EXPECT_EQ(out.decision, Decision::keep_watching) << "nothing to compare with";
  EXPECT_EQ(out.signals[0].cause, Cause::no_stable_data);

  auto unreachable = look({});
  unreachable.source_error = "connection refused";
  out = judge->judge(unreachable);
  EXPECT_EQ(out.signals[0].cause, Cause::source_unreachable);
  EXPECT_NE(out.reason.find("connection refused"), std::string::npos);
}

// Any cell: no crash, finite or absent numbers, and nothing unusable decides.
TEST(Sequential, BeforeTheFirstCellNothingIsMissing) {
  auto judge = make_sequential_judge(errors_only());
  auto evidence = look(baseline_cells(10, 1000));
  evidence.canary.requests = 50;
  evidence.stable.requests = 1000;
  const auto out = judge->judge(evidence);
  EXPECT_EQ(out.decision, Decision::keep_watching);
  EXPECT_EQ(out.signals[0].verdict, Verdict::watching);
  EXPECT_EQ(out.signals[0].cause, Cause::interval_open);
  EXPECT_NE(out.reason.find("Waiting for the next metrics export"), std::string::npos)
      << out.reason;
}

TEST(Sequential, BadNumbersDecideNothing) {
  const double bad[] = {kNaN, -1, std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity()};
  for (const double v : bad) {
    auto judge = make_sequential_judge(sequential_defaults());
    auto cells = baseline_cells(10, 1000);
    cells.push_back(cell_of(0, 0, 0, v, v, true));
    auto bounds = std::make_shared<const std::vector<double>>(std::vector<double>{10, 20});
    for (int i = 40; i < 60; ++i) {
      auto c = cell_of(i, v, 100, 10, 1000);
      c.total.share_bounds(bounds);
      c.total.canary.bucket_counts = {v, 1, 1};
      c.total.stable.bucket_counts = {1};
      const TrackCounts all_bad{.requests = v, .errors = v, .bounds_ms = bounds};
      c.routes.push_back({"/x", all_bad, all_bad});
      c.instances.push_back({.instance = "", .requests = v, .errors = v});
      cells.push_back(c);
    }
    const auto out = judge->judge(look(cells));
    EXPECT_EQ(out.decision, Decision::keep_watching) << v;
  }
}

TEST(Sequential, FromOneRequestToABillion) {
  for (const double n : {1.0, 1e3, 1e6, 1e9}) {
    for (const double share : {0.0, 0.01, 1.0}) {
      auto judge = make_sequential_judge(errors_only());
      auto cells = baseline_cells(std::floor(19 * n * share), 19 * n);
      for (int i = 40; i < 80; ++i)
        cells.push_back(cell_of(i, std::floor(n * share), n, std::floor(19 * n * share), 19 * n));
      const auto out = judge->judge(look(cells));
      EXPECT_NE(out.decision, Decision::rollback) << n << " " << share << " " << out.reason;
      EXPECT_LE(out.signals[0].measured.lower.value_or(-1),
                out.signals[0].measured.upper.value_or(1));
    }
    auto judge = make_sequential_judge(errors_only());
    auto cells = baseline_cells(0, 19 * n);
    for (int i = 40; i < 60; ++i) cells.push_back(cell_of(i, n, n, 0, 19 * n));
    EXPECT_EQ(judge->judge(look(cells)).decision, Decision::rollback)
        << "every request fails: " << n;
  }
}

TEST(Sequential, MixedCellsAreCountedAndNeverJudged) {
  auto judge = make_sequential_judge(errors_only());
  auto cells = baseline_cells(10, 1000);
  cells.push_back(cell_of(40, 1, 100, 10, 1000));
  for (int i = 41; i < 60; ++i) {
    cells.push_back(cell_of(i, 90, 100, 10, 1000));
    cells.back().mixed = true;
  }
  const auto out = judge->judge(look(cells));
  EXPECT_EQ(out.decision, Decision::keep_watching);
  EXPECT_EQ(out.signals[0].requests.canary, 2000);
}

// One minute of 15 s cells: errors of the canary beside 1 % on stable.
void add_minutes(std::vector<CountCell>& cells, int minutes, double errors, bool warming) {
  for (int i = 0; i < 4 * minutes; ++i) {
    auto& cell = cells.emplace_back(
        cell_of(static_cast<std::int64_t>(cells.size()), errors, 1000, 10, 1000));
    cell.warming = warming;
    if (!warming) continue;
    cell.total.canary.warming_requests = 1000;
    cell.total.canary.warming_errors = errors;
  }
}

TEST(Sequential, AWarmingCanaryHasAWiderMargin) {
  for (const bool warming : {true, false}) {
    auto judge = make_sequential_judge(errors_only());
    auto cells = baseline_cells(10, 1000);
    add_minutes(cells, 5, 40, warming); // +3pp
    const auto out = judge->judge(look(cells));
    EXPECT_EQ(out.decision, warming ? Decision::keep_watching : Decision::rollback);
    EXPECT_TRUE(out.signals[0].measured.lower.has_value());
    EXPECT_EQ(out.signals[0].reason.find("(+5pp while the canary warms up)") != std::string::npos,
              warming)
        << out.signals[0].reason;
  }
}

TEST(Sequential, WhatAWarmUpForgivesIsForgotten) {
  auto judge = make_sequential_judge(errors_only());
  auto cells = baseline_cells(10, 1000);
  add_minutes(cells, 3, 40, true);   // +3pp
  add_minutes(cells, 10, 10, false); // as stable
  const auto out = judge->judge(look(cells));
  EXPECT_EQ(out.decision, Decision::promote) << out.reason;
  EXPECT_EQ(out.reason.find("warms up"), std::string::npos) << out.reason;
}

TEST(Sequential, AWarmUpBeyondItsOwnMarginIsARegression) {
  auto judge = make_sequential_judge(errors_only());
  auto cells = baseline_cells(10, 1000);
  add_minutes(cells, 1, 120, true); // +11pp
  const auto out = judge->judge(look(cells));
  EXPECT_EQ(out.decision, Decision::rollback);
  EXPECT_NE(out.reason.find("12.00% on canary against 1.00% on stable"), std::string::npos)
      << out.reason;
  EXPECT_NE(out.reason.find("(+5pp while the canary warms up)"), std::string::npos) << out.reason;
}

TEST(Sequential, AWarmUpIsNeverJudgedMoreStrictly) {
  auto options = errors_only();
  options.signals[0].automatic = false;
  options.signals[0].margin = {Margin::Unit::points, 0.10};
  auto judge = make_sequential_judge(options);
  auto cells = baseline_cells(10, 1000);
  add_minutes(cells, 2, 80, true); // +7pp
  const auto out = judge->judge(look(cells));
  EXPECT_NE(out.decision, Decision::rollback) << out.reason;
  EXPECT_EQ(out.reason.find("warms up"), std::string::npos) << out.reason;
}

TEST(Sequential, AWarmUpHidesNeitherALimitNorARouteOfTheCanarysOwn) {
  auto limited = errors_only();
  limited.signals[0].max = 0.03; // 4 % is within the warm-up's margin
  auto judge = make_sequential_judge(limited);
  auto cells = baseline_cells(10, 1000);
  add_minutes(cells, 2, 40, true);
  auto out = judge->judge(look(cells));
  EXPECT_EQ(out.decision, Decision::rollback) << out.reason;

  judge = make_sequential_judge(errors_only());
  cells = baseline_cells(10, 1000);
  add_minutes(cells, 1, 20, true);
  for (auto i = cells.size() - 4; i < cells.size(); ++i) {
    auto& row = cells[i].routes.emplace_back();
    row.route = "/new";
    row.canary.requests = row.canary.warming_requests = 20;
    row.canary.errors = row.canary.warming_errors = 20;
  }
  out = judge->judge(look(cells));
  EXPECT_EQ(out.decision, Decision::rollback) << out.reason;
  EXPECT_NE(out.reason.find("error_rate on /new"), std::string::npos) << out.reason;
}

// What is fine from its first request on need not wait for the end of its warm-up.
TEST(Sequential, AWarmUpThatIsFineIsAReasonToPass) {
  for (const double errors : {10.0, 30.0}) {
    auto judge = make_sequential_judge(errors_only());
    auto cells = baseline_cells(10, 1000);
    add_minutes(cells, 5, errors, true);
    EXPECT_EQ(judge->judge(look(cells)).decision,
              errors > 10 ? Decision::keep_watching : Decision::promote);
  }
}

// Ten instances of stable whose error rates are 0.55 to 1.45 % for good.
CountCell cell_of_unequal(std::int64_t index, double canary_errors, bool baseline) {
  auto out = cell_of(index, canary_errors, baseline ? 0 : 1000, 0, 0, baseline);
  for (int i = 0; i < 10; ++i) {
    const double errors = 5.5 + i;
    out.instances.push_back({.instance = std::string(1, static_cast<char>('a' + i)),
                             .track = Track::stable,
                             .requests = 1000,
                             .errors = errors});
    out.total.stable.requests += 1000;
    out.total.stable.errors += errors;
  }
  if (!baseline)
    out.instances.push_back(
        {.instance = "new", .track = Track::canary, .requests = 1000, .errors = canary_errors});
  return out;
}

TEST(Sequential, WhatStablesInstancesExplainIsLeftToAPerson) {
  for (const double errors : {21.0, 60.0}) { // one of stable's may be like the first
    for (const bool ask : {true, false}) {
      auto options = errors_only();
      options.ask_about_processes = ask;
      auto judge = make_sequential_judge(options);
      std::vector<CountCell> cells;
      for (int i = 0; i < 120; ++i) cells.push_back(cell_of_unequal(i, 0, true));
      for (int i = 120; i < 400; ++i) cells.push_back(cell_of_unequal(i, errors, false));
      const auto out = judge->judge(look(cells));
      const bool asked = ask && errors < 30;
      EXPECT_EQ(out.decision, asked ? Decision::inconclusive : Decision::rollback) << out.reason;
      EXPECT_EQ(out.signals[0].cause == Cause::processes_differ, asked);
      EXPECT_EQ(out.reason.find("version and instance cannot be told apart") != std::string::npos,
                asked)
          << out.reason;
      EXPECT_NE(out.guarantee.find("the canary's only instance is like stable's 10 (whose error "
                                   "rates differ for good"),
                std::string::npos)
          << out.guarantee;
    }
  }
}

TEST(Sequential, AnAbsoluteLimitHoldsWhateverStableDoes) {
  auto options = errors_only();
  options.signals[0].max = 0.05;
  auto judge = make_sequential_judge(options);
  auto cells = baseline_cells(100, 1000);
  for (int i = 40; i < 60; ++i) cells.push_back(cell_of(i, 100, 1000, 100, 1000)); // 10 % on both
  const auto out = judge->judge(look(cells));
  EXPECT_EQ(out.decision, Decision::rollback);
  EXPECT_NE(out.reason.find("limit 5.00%"), std::string::npos) << out.reason;
}

TEST(Sequential, ReadAgainAfterARestartItIsTheSameEvidence) {
  TrafficModel model;
  model.routes = 3;
  SimulatedTraffic traffic(model, {}, 3);
  auto evidence = look(traffic.baseline());
  auto all = evidence;
  const auto first = make_sequential_judge(sequential_defaults());
  Judgement a;
  for (int n = 0; n < 2; ++n) {
    for (int i = 0; i < 30; ++i) evidence.cells.push_back(traffic.next(n == 0 ? 0.05 : 0.25));
    all.cells.insert(all.cells.end(), evidence.cells.end() - 30, evidence.cells.end());
    a = first->judge(evidence);
    evidence.cells.clear();
  }
  const auto b = make_sequential_judge(sequential_defaults())->judge(all);
  ASSERT_EQ(a.signals.size(), b.signals.size());
  for (std::size_t i = 0; i < a.signals.size(); ++i) {
    ASSERT_TRUE(a.signals[i].weighed && b.signals[i].weighed);
    EXPECT_EQ(a.signals[i].weighed->evidence, b.signals[i].weighed->evidence)
        << a.signals[i].subject.signal;
    EXPECT_EQ(a.signals[i].reason, b.signals[i].reason);
  }
}

TEST(Sequential, SlowTailIsSeenAndNamed) {
  TrafficModel model;
  CanaryChange slow;
  slow.latency_factor = 1.5;
  auto judge = make_sequential_judge(sequential_defaults());
  SimulatedTraffic traffic(model, slow, 9);
  const auto release = simulate_release(*judge, traffic, usual_steps(), 3);
  EXPECT_EQ(release.outcome, Outcome::rolled_back);
  EXPECT_LT(release.minutes, 3);
  EXPECT_NE(release.reason.find("of requests took longer than"), std::string::npos)
      << release.reason;
}

TEST(Sequential, OneBadRouteIsSeenAndNamed) {
  TrafficModel model;
  model.routes = 20;
  CanaryChange bad;
  bad.error_rate_added = 0.3;
  bad.only_route = 7;
  auto judge = make_sequential_judge(sequential_defaults());
  SimulatedTraffic traffic(model, bad, 5);
  const auto release = simulate_release(*judge, traffic, usual_steps(), 3);
  EXPECT_EQ(release.outcome, Outcome::rolled_back);
  EXPECT_NE(release.reason.find("/r7"), std::string::npos) << release.reason;
}

// Forty equal releases, and forty with four points more: the rates themselves are in
// docs/benchmarks.md. Two routes alike, of which one is critical.
CountCell two_routes(std::int64_t index, double bad, bool baseline, bool with_past = true) {
  const double n1 = baseline ? 0 : 200, x1 = baseline ? 0 : bad;
  auto out = cell_of(index, 2 * x1, 2 * n1, 20, 2000, baseline);
  if (baseline && !with_past) return out;
  for (const char* name : {"/a", "/pay"})
    out.routes.push_back({name, {.requests = n1, .errors = x1}, {.requests = 1000, .errors = 10}});
  return out;
}

TEST(Sequential, ACriticalRouteHasTwiceTheStakeAndIsNamedFirst) {
  for (const bool with_past : {true, false}) {
    auto options = errors_only();
    options.critical_routes = {"/pay"};
    auto judge = make_sequential_judge(options);
    std::vector<CountCell> cells;
    for (int i = 0; i < 40; ++i) cells.push_back(two_routes(i, 0, true, with_past));
    cells.push_back(two_routes(40, 2, false, with_past));
    auto out = judge->judge(look(cells));
    ASSERT_EQ(out.signals.size(), 3u);
    EXPECT_EQ(out.signals[1].subject.route, "/pay");
    EXPECT_NEAR(out.signals[1].weighed->needed * 2, out.signals[2].weighed->needed,
                1e-6 * out.signals[2].weighed->needed);
    double stakes = 0;
    for (const auto& v : out.signals) stakes += 100 / v.weighed->needed; // of a budget of 1 %
    EXPECT_LE(stakes, 1 + 1e-9) << "one budget for all";
    out = judge->judge(look({two_routes(41, 150, false)}));
    EXPECT_EQ(out.decision, Decision::rollback);
    EXPECT_NE(out.reason.find("error_rate on /pay: "), std::string::npos) << out.reason;
  }
}

// Ten routes with 100 canary requests each. bad: failed ones of each route. The service has their
// sum.
TEST(Sequential, ARollbackNamesTheRoutesThatAreWorse) {
  const auto routes_of = [](std::int64_t index, bool baseline, const std::vector<double>& bad) {
    double sum = 0;
    for (const double b : bad) sum += b;
    auto out = cell_of(index, baseline ? 0 : sum, baseline ? 0 : 1000, 100, 10'000, baseline);
    for (std::size_t i = 0; i < bad.size(); ++i)
      out.routes.push_back({"/" + std::to_string(i),
                            {.requests = baseline ? 0.0 : 100, .errors = baseline ? 0 : bad[i]},
                            {.requests = 1000, .errors = 10}});
    return out;
  };
  auto judge = make_sequential_judge(errors_only());
  std::vector<CountCell> cells;
  std::vector<double> bad(10, 1);
  for (int i = 0; i < 40; ++i) cells.push_back(routes_of(i, true, bad));
  EXPECT_EQ(judge->judge(look(cells)).decision, Decision::keep_watching);
  bad[3] = 60; // beyond doubt
  bad[7] = 9;  // not enough for a rollback, enough to be named beside one
  const auto out = judge->judge(look({routes_of(40, false, bad)}));
  ASSERT_EQ(out.decision, Decision::rollback);
  ASSERT_EQ(out.signals.size(), 11u);
  EXPECT_EQ(out.signals[1].subject.route, "/3");
  EXPECT_EQ(out.signals[2].subject.route, "/7");
  EXPECT_EQ(out.signals[2].verdict, Verdict::regression);
  EXPECT_LT(out.signals[2].weighed->evidence, out.signals[2].weighed->needed);
  EXPECT_NE(out.signals[3].verdict, Verdict::regression);
  // Alone it rolls nothing back, and is not called a regression.
  auto alone = make_sequential_judge(errors_only());
  bad[3] = 1;
  cells.push_back(routes_of(40, false, bad));
  const auto other = alone->judge(look(cells));
  EXPECT_NE(other.decision, Decision::rollback);
  EXPECT_EQ(other.signals[1].subject.route, "/7");
  EXPECT_EQ(other.signals[1].verdict, Verdict::watching)
      << other.signals[1].weighed->evidence << " of " << other.signals[1].weighed->needed;
}

// Three routes; a tenth of stable's requests goes to /pay, and of the canary's the given share.
CountCell shared_routes(SimulationRandom& random, std::int64_t index, double pay_of_canary) {
  const bool baseline = index < 40;
  const auto draw = [&](double mean) { return mean > 0 ? random.poisson(mean) : 0.0; };
  auto out = cell_of(index, 0, 0, 0, 0, baseline);
  for (const auto& [name, canary, stable] :
       {std::tuple("/a", 0.6, 0.6), {"/b", 0.3, 0.3}, {"/pay", pay_of_canary, 0.1}}) {
    RouteCounts route{
        name, {.requests = baseline ? 0 : draw(canary * 200)}, {.requests = draw(stable * 2000)}};
    out.total.canary.requests += route.canary.requests;
    out.total.stable.requests += route.stable.requests;
    out.routes.push_back(std::move(route));
  }
  return out;
}

SequentialOptions with_request_share() {
  auto options = errors_only();
  SignalSpec share;
  share.name = "request_share";
  share.kind = SignalKind::request_share;
  share.margin = {Margin::Unit::percent, 0.2, Worse::lower};
  options.signals.insert(options.signals.begin(), share);
  return options;
}

TEST(Sequential, ARouteThatIsNoLongerReachedIsARegression) {
  SimulationRandom random(3);
  auto judge = make_sequential_judge(with_request_share());
  Judgement out;
  int cells = 0;
  for (int i = 0; i < 80 && out.decision != Decision::rollback; ++i) {
    auto one = shared_routes(random, i, 0);
    if (i >= 40) {
      ++cells;
      if (i % 2 == 0) one.routes.pop_back(); // no row is no request
    }
    out = judge->judge(look({one}));
  }
  ASSERT_EQ(out.decision, Decision::rollback);
  EXPECT_LT(cells, 10);
  EXPECT_NE(out.reason.find("request_share on /pay: 0.00% on canary"), std::string::npos)
      << out.reason;
  EXPECT_EQ(out.signals[0].subject.signal, "error_rate") << "no line of the whole service";
  double stakes = 0;
  for (const auto& v : out.signals)
    stakes += v.weighed ? 100 / v.weighed->needed : 0; // of a budget of 1 %
  EXPECT_LE(stakes, 1 + 1e-9);
}

TEST(Sequential, EqualSharesOfRequestsKeepTheBudget) {
  int back = 0, promoted = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    SimulationRandom random(seed);
    auto judge = make_sequential_judge(with_request_share());
    bool decided = false;
    for (int i = 0; i < 120 && !decided; ++i) {
      const auto out = judge->judge(look({shared_routes(random, i, 0.1)}));
      back += out.decision == Decision::rollback ? 1 : 0;
      decided = out.decision == Decision::rollback;
      promoted += i == 119 && out.decision == Decision::promote ? 1 : 0;
    }
  }
  EXPECT_LE(back, 3); // 1 % of 300
  EXPECT_GT(promoted, 285) << "a share holds no promotion";
}

TEST(Sequential, EqualReleasesPassAndBadOnesDoNot) {
  for (const double added : {0.0, 0.04}) {
    std::vector<SimulatedRelease> releases;
    for (std::uint64_t i = 0; i < 40; ++i) {
      TrafficModel model;
      model.stable_instances = 4;
      CanaryChange change;
      change.error_rate_added = added;
      auto judge = make_sequential_judge(errors_only());
      SimulatedTraffic traffic(model, change, 100 + i);
      releases.push_back(simulate_release(*judge, traffic, usual_steps(), 3));
    }
    const auto s = summarize(releases, usual_steps());
    if (added > 0) {
      EXPECT_EQ(s.rolled_back, 1);
      EXPECT_LE(s.rollback_p95, 3);
    } else {
      EXPECT_EQ(s.promoted, 1);
      EXPECT_EQ(s.promote_median, 35);
    }
  }
}

TEST(Sequential, DefaultMarginFollowsStablesRate) {
  EXPECT_EQ(to_string(default_error_margin(0)), "+0.2pp");
  EXPECT_EQ(to_string(default_error_margin(0.006)), "+0.3pp");
  EXPECT_EQ(to_string(default_error_margin(0.02)), "+0.5pp");
  EXPECT_EQ(to_string(default_error_margin(0.05)), "+20%");
  const auto plan = sequential_defaults().plan;
  EXPECT_EQ(to_string(default_error_margin(0.005, plan, 2000)), "+0.25pp");
  EXPECT_EQ(to_string(default_error_margin(0.005, plan, 2)), "+0.5pp")
      << "little traffic shows no less";
}

} // namespace
} // namespace coalmine::lab
