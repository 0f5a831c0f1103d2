// Metrics of the user's own, by every judge. Simulated with fixed seeds: the shares are exact for
// this code.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "judge/judge.h"
#include "judge/reason.h"
#include "lab/simulation.h"

namespace coalmine::lab {
namespace {

using namespace judge;

SignalSpec metric(SignalKind kind, Margin margin) {
  SignalSpec out;
  out.name = "own";
  out.kind = kind;
  out.margin = margin;
  out.per_route = false;
  return out;
}

Margin percent(double amount, Worse worse = Worse::higher) {
  return {Margin::Unit::percent, amount, worse};
}

CountCell cell_at(std::int64_t index, bool baseline = false) {
  CountCell out;
  out.from_ms = index * 15'000;
  out.to_ms = out.from_ms + 15'000;
  out.baseline = baseline;
  out.total = {"", {.requests = baseline ? 0.0 : 150}, {.requests = 2850}};
  return out;
}

// Fills in one metric of a cell. False: nothing was measured in it.
using Draw = std::function<bool(SimulationRandom&, int index, MetricNumbers& out)>;

struct Run {
  Judgement last;
  int cells = 0;
};

// One step at 5 % of the traffic that lasts `minutes`, looked at after every cell; ends with a
// decision.
Run run(Judge& judge, const Draw& draw, std::uint64_t seed, int minutes = 10,
        double next_weight = 0.25) {
  SimulationRandom random(seed);
  Run out;
  Evidence evidence;
  evidence.canary = {true, 150, 0, {}, {}};
  evidence.stable = {true, 2850, 0, {}, {}};
  evidence.next_weight = next_weight;
  evidence.step_needed_minutes = minutes;
  evidence.step_requests = 10'000;
  evidence.step_min_requests = 100;
  for (int i = 0; i < 40; ++i) {
    auto past = cell_at(i, true);
    MetricNumbers numbers;
    numbers.signal = "own";
    if (i == 39 && draw(random, -1, numbers)) {
      numbers.canary = {};
      past.metrics = {numbers};
    }
    evidence.cells.push_back(std::move(past));
  }
  for (int i = 0; i < minutes * 8; ++i) {
    auto cell = cell_at(40 + i);
    MetricNumbers numbers;
    numbers.signal = "own";
    if (draw(random, i, numbers)) cell.metrics.push_back(numbers);
    evidence.cells.push_back(std::move(cell));
    evidence.step_minutes = (i + 1) / 4.0;
    out.last = judge.judge(evidence);
    out.cells = i + 1;
    evidence.cells.clear();
    if (out.last.decision != Decision::keep_watching) break;
  }
  return out;
}

std::unique_ptr<Judge> sequential(const SignalSpec& signal, bool strict = false) {
  SequentialOptions options;
  options.signals = {signal};
  options.strict = strict;
  options.plan = {{0.05, 10}, {0.25, 10}, {0.5, 15}};
  return make_sequential_judge(options);
}

// Shares of many runs.
struct Shares {
  double rolled_back = 0, promoted = 0;
};
Shares shares(const SignalSpec& signal, const Draw& draw, int runs, bool strict = false) {
  Shares out;
  for (int i = 0; i < runs; ++i) {
    const auto judge = sequential(signal, strict);
    const auto end = run(*judge, draw, static_cast<std::uint64_t>(i) + 1);
    out.rolled_back += end.last.decision == Decision::rollback ? 1.0 / runs : 0;
    out.promoted += end.last.decision == Decision::promote ? 1.0 / runs : 0;
  }
  return out;
}

// Checkouts that become orders.
Draw conversion(double stable, double canary, double checkouts = 100) {
  return [=](SimulationRandom& random, int, MetricNumbers& out) {
    const double n1 = random.poisson(checkouts), n0 = random.poisson(19 * checkouts);
    out.canary = {true, random.binomial(n1, canary), n1};
    out.stable = {true, random.binomial(n0, stable), n0};
    return true;
  };
}

TEST(Metrics, AnEqualConversionIsPromotedAndHardlyEverRolledBack) {
  for (const double rate : {0.02, 0.3, 0.9}) {
    const auto out =
        shares(metric(SignalKind::ratio, percent(0.1, Worse::lower)), conversion(rate, rate), 200);
    EXPECT_LE(out.rolled_back, 0.01) << rate;
    if (rate > 0.1) {
      EXPECT_GE(out.promoted, 0.95) << rate;
    }
  }
}

TEST(Metrics, TwentyPercentLowerConversionGoesBack) {
  for (const double rate : {0.3, 0.6, 0.9}) {
    const auto out = shares(metric(SignalKind::ratio, percent(0.05, Worse::lower)),
                            conversion(rate, 0.8 * rate), 100);
    EXPECT_GE(out.rolled_back, 0.99) << rate;
  }
}

TEST(Metrics, ConversionAtTheHarmOfTheNextStepIsSeldomPassed) {
  // A margin of -5 % at the next weight of 25 %: 20 % lower must not pass.
  for (const double rate : {0.05, 0.3, 0.9}) {
    const auto out = shares(metric(SignalKind::ratio, percent(0.05, Worse::lower)),
                            conversion(rate, 0.8 * rate), 200);
    EXPECT_LE(out.promoted, 0.05) << rate;
  }
}

TEST(Metrics, AHigherShareIsWorseWhereTheMarginSaysSo) {
  const auto up = metric(SignalKind::ratio, percent(0.2));
  EXPECT_GE(shares(up, conversion(0.02, 0.06), 100).rolled_back, 0.99);
  EXPECT_EQ(shares(up, conversion(0.06, 0.02), 100).rolled_back, 0);
  const auto either = metric(SignalKind::ratio, percent(0.2, Worse::either));
  EXPECT_GE(shares(either, conversion(0.02, 0.06), 100).rolled_back, 0.99);
  EXPECT_GE(shares(either, conversion(0.3, 0.15), 100).rolled_back, 0.99);
  EXPECT_LE(shares(either, conversion(0.3, 0.3), 200).rolled_back, 0.01);
}

// Sums of lognormal order values.
Draw order_value(double factor, double orders = 50) {
  return [=](SimulationRandom& random, int, MetricNumbers& out) {
    const auto arm = [&](double mean_orders, double scale) {
      const double n = random.poisson(mean_orders);
      double sum = 0;
      for (int i = 0; i < static_cast<int>(n); ++i)
        sum += scale * std::exp(3.5 + 0.5 * random.normal());
      return MetricTrack{true, sum, n};
    };
    out.canary = arm(orders, factor);
    out.stable = arm(4 * orders, 1);
    return true;
  };
}

TEST(Metrics, MeansAreJudgedApproximately) {
  const auto signal = metric(SignalKind::mean, percent(0.05, Worse::lower));
  const auto equal = shares(signal, order_value(1), 200),
             worse = shares(signal, order_value(0.8), 50);
  EXPECT_LE(equal.rolled_back, 0.01);
  EXPECT_GE(equal.promoted, 0.9);
  EXPECT_GE(worse.rolled_back, 0.99);
  const auto judge = sequential(signal);
  const auto end = run(*judge, order_value(0.8), 1);
  EXPECT_TRUE(end.last.signals[0].measured.approximate);
  EXPECT_NE(end.last.reason.find("allowed -5% (approximate)"), std::string::npos)
      << end.last.reason;
}

// A number every third cell, with heavy tails.
Draw gauge(double stable, double canary, double noise) {
  return [=](SimulationRandom& random, int index, MetricNumbers& out) {
    if (index < 0 || index % 3 != 2) return false;
    const auto draw = [&](double level) {
      return level * std::exp(noise * random.normal() / std::sqrt(random.uniform() + 0.05));
    };
    out.canary = {true, draw(canary), 1};
    out.stable = {true, draw(stable), 1};
    return true;
  };
}

// Values of 100 that come in clumps: each cell's mean is off by as much as its only clump is. Five
// cells that happen to be alike say nothing where stable's past varies.
TEST(Metrics, AMeanLearnsFromStablesPastHowMuchItVaries) {
  for (const bool varied : {true, false}) {
    auto judge = sequential(metric(SignalKind::mean, percent(0.01)));
    Evidence evidence;
    evidence.next_weight = 1;
    evidence.step_needed_minutes = 10;
    const auto numbers = [](double canary, double stable) {
      MetricNumbers out;
      out.signal = "own";
      if (canary > 0) out.canary = {true, 100 * canary, 100};
      out.stable = {true, 1900 * stable, 1900};
      return out;
    };
    for (int i = 0; i < 40; ++i) {
      evidence.cells.push_back(cell_at(i, true));
      const double off = varied ? (i % 2 == 0 ? 10 : -10) : 0.1 * (i % 3);
      evidence.cells.back().metrics = {numbers(0, 100 + off)};
    }
    for (int i = 40; i < 46; ++i) {
      evidence.cells.push_back(cell_at(i));
      evidence.cells.back().metrics = {numbers(110 + 0.1 * (i % 3), 100 + 0.1 * (i % 3))};
    }
    const auto out = judge->judge(evidence);
    EXPECT_EQ(out.decision, varied ? Decision::keep_watching : Decision::rollback) << out.reason;
  }
}

TEST(Metrics, AnyNumberIsJudgedByTheSideItIsOn) {
  const auto signal = metric(SignalKind::value, percent(0.2));
  const auto equal = shares(signal, gauge(100, 100, 0.05), 300),
             worse = shares(signal, gauge(100, 150, 0.05), 100);
  EXPECT_LE(equal.rolled_back, 0.01);
  EXPECT_GE(equal.promoted, 0.95);
  EXPECT_GE(worse.rolled_back, 0.99);
  // More, but within the margin: proven worse, and tolerated.
  EXPECT_EQ(shares(signal, gauge(100, 110, 0.01), 50).rolled_back, 0);
  EXPECT_NEAR(shares(signal, gauge(100, 110, 0.01), 50).promoted, 1, 1e-9);
  // Noise far larger than the margin hardly ever causes a rollback, as promised.
  EXPECT_LE(shares(signal, gauge(100, 100, 2), 500).rolled_back, 0.01);
}

TEST(Metrics, NumbersBelowZeroAndEqualOnes) {
  const auto signal = metric(SignalKind::value, percent(0.2));
  EXPECT_NEAR(shares(signal, gauge(0, 0, 0.1), 3).promoted, 1,
              1e-9); // no difference is within any margin
  EXPECT_NEAR(shares(signal, gauge(-100, -100, 0.01), 20).promoted, 1, 1e-9);
  EXPECT_NEAR(shares(signal, gauge(-100, -50, 0.01), 20).rolled_back, 1, 1e-9);
  const auto falls = metric(SignalKind::value, percent(0.2, Worse::lower));
  EXPECT_NEAR(shares(falls, gauge(-100, -150, 0.01), 20).rolled_back, 1, 1e-9);
}

TEST(Metrics, AbsoluteLimits) {
  auto signal = metric(SignalKind::ratio, percent(0.5, Worse::lower));
  signal.max = 0.5; // at least half
  EXPECT_GE(shares(signal, conversion(0.3, 0.3), 50).rolled_back, 0.99);
  auto share = metric(SignalKind::ratio, percent(0.5));
  share.max = 0.1;
  EXPECT_GE(shares(share, conversion(0.2, 0.2), 50).rolled_back, 0.99);
  auto memory = metric(SignalKind::value, percent(0.5));
  memory.max = 90;
  memory.unit = ValueUnit::bytes;
  EXPECT_GE(shares(memory, gauge(100, 100, 0.01), 50).rolled_back, 0.99);
}

TEST(Metrics, StrictNeedsProofThatItIsBeyondTheMargin) {
  const auto signal = metric(SignalKind::ratio, percent(0.1, Worse::lower));
  EXPECT_EQ(shares(signal, conversion(0.5, 0.46), 50, true).rolled_back, 0);
  EXPECT_GE(shares(signal, conversion(0.5, 0.25), 50, true).rolled_back, 0.99);
  EXPECT_GE(
      shares(metric(SignalKind::value, percent(0.1)), gauge(100, 150, 0.01), 50, true).rolled_back,
      0.99);
}

TEST(Metrics, NothingMeasuredNeverPromotes) {
  const auto signal = metric(SignalKind::ratio, percent(0.1, Worse::lower));
  const auto judge = sequential(signal);
  const auto none = run(*judge, [](SimulationRandom&, int, MetricNumbers&) { return false; }, 1);
  EXPECT_EQ(none.last.decision, Decision::keep_watching);
  EXPECT_EQ(none.last.signals[0].verdict, Verdict::no_data);
  EXPECT_EQ(none.last.reason, "own: no value for the canary");
  const auto broken = run(
      *sequential(signal),
      [](SimulationRandom&, int, MetricNumbers& out) {
        out.problem = "it gives 3 series";
        return true;
      },
      1);
  EXPECT_EQ(broken.last.decision, Decision::keep_watching);
  EXPECT_EQ(broken.last.signals[0].cause, Cause::not_measurable);
  EXPECT_EQ(broken.last.reason, "own: cannot be measured: it gives 3 series");
}

TEST(Metrics, SharesWithTheErrorsOneBudget) {
  auto options = sequential_defaults();
  options.signals.push_back(metric(SignalKind::ratio, percent(0.05, Worse::lower)));
  const auto judge = make_sequential_judge(options);
  const auto end = run(*judge, conversion(0.5, 0.4), 1);
  ASSERT_EQ(end.last.decision, Decision::rollback);
  EXPECT_NE(end.last.reason.find("own: 40.86% on canary against 50.61% on stable"),
            std::string::npos)
      << end.last.reason;
  // A tenth of the budget beside the twentieth for client errors: ten and a half times the evidence
  // of a rollout's whole.
  for (const auto& v : end.last.signals) {
    if (v.subject.signal == "own") {
      EXPECT_NEAR(v.weighed->needed, 1050, 1);
    }
  }
}

TEST(Metrics, OddNumbersDoNoHarm) {
  const double odd[] = {0, -1, 1e300, std::numeric_limits<double>::quiet_NaN(),
                        std::numeric_limits<double>::infinity()};
  for (const auto kind : {SignalKind::ratio, SignalKind::mean, SignalKind::value}) {
    for (const double a : odd) {
      for (const double b : odd) {
        const auto judge = sequential(metric(kind, percent(0.1, Worse::either)));
        const auto end = run(
            *judge,
            [&](SimulationRandom&, int, MetricNumbers& out) {
              out.canary = {true, a, b};
              out.stable = {true, b, a};
              return true;
            },
            1, 2);
        if (a == 1e300 && b == 1e300) continue; // large, and equal
        EXPECT_NE(end.last.decision, Decision::promote)
            << to_string(kind) << " " << a << " " << b << ": " << end.last.reason;
        EXPECT_FALSE(end.last.reason.empty());
      }
    }
  }
}

Evidence window(MetricTrack canary, MetricTrack stable, std::string problem = "") {
  Evidence out;
  out.canary = {true, 1000, 0, {}, {}};
  out.stable = {true, 19000, 0, {}, {}};
  out.canary_age_minutes = 20;
  MetricNumbers numbers;
  numbers.signal = "own";
  numbers.canary = canary;
  numbers.stable = stable;
  numbers.problem = std::move(problem);
  out.metrics = {numbers};
  return out;
}

TEST(Metrics, ThresholdsOnAMetric) {
  ThresholdOptions options;
  options.signals = {metric(SignalKind::ratio, percent(0.05, Worse::lower))};
  const auto judge = make_threshold_judge(options);
  EXPECT_EQ(judge->judge(window({true, 290, 1000}, {true, 5700, 19000})).decision,
            Decision::promote);
  const auto worse = judge->judge(window({true, 240, 1000}, {true, 5700, 19000}));
  EXPECT_EQ(worse.decision, Decision::rollback);
  EXPECT_EQ(worse.reason, "own: 24.00% on canary against 30.00% on stable, -20.0%, allowed -5%");
  EXPECT_EQ(judge->judge(window({}, {true, 5700, 19000})).decision, Decision::keep_watching);
  EXPECT_EQ(judge->judge(window({true, 290, 1000}, {})).decision, Decision::keep_watching);
  EXPECT_EQ(judge->judge(window({true, 290, 1000}, {true, 1, 2}, "no")).signals[0].cause,
            Cause::not_measurable);
}

TEST(Metrics, ValuesAreShownInTheirUnits) {
  EXPECT_EQ(format_value(SignalKind::value, 1.5e6, ValueUnit::bytes), "1.5 MB");
  EXPECT_EQ(format_value(SignalKind::value, 0.25, ValueUnit::seconds), "0.25 s");
  EXPECT_EQ(format_value(SignalKind::value, 12, ValueUnit::per_second), "12/s");
  EXPECT_EQ(format_value(SignalKind::mean, 49.99, ValueUnit::number), "49.99");
  EXPECT_EQ(format_value(SignalKind::value, 0.015, ValueUnit::ratio), "1.50%");
  EXPECT_EQ(to_string(Margin{Margin::Unit::bytes, 1e7, Worse::higher}), "+10MB");
  EXPECT_EQ(to_string(Margin{Margin::Unit::seconds, 0.025, Worse::higher}), "+25ms");
  EXPECT_EQ(to_string(Margin{Margin::Unit::percent, 0.05, Worse::either}), "±5%");
}

// The rank test: error rates of 15 s cells around a level.
Draw errors_as_metric(double stable, double canary) {
  return [=](SimulationRandom& random, int index, MetricNumbers& out) {
    if (index < 0) return false;
    out.canary = {true, random.poisson(canary * 1000) / 1000, 1};
    out.stable = {true, random.poisson(stable * 1000) / 1000, 1};
    return true;
  };
}

TEST(RankJudge, ScoresAndDecides) {
  RankOptions options;
  options.signals = {metric(SignalKind::value, percent(0.2))};
  const auto equal = run(*make_rank_judge(options), errors_as_metric(0.05, 0.05), 1);
  EXPECT_EQ(equal.last.decision, Decision::promote) << equal.last.reason;
  EXPECT_NE(equal.last.reason.find("Score 100 of 100, 95 passes"), std::string::npos)
      << equal.last.reason;
  const auto worse = run(*make_rank_judge(options), errors_as_metric(0.05, 0.1), 1);
  EXPECT_EQ(worse.last.decision, Decision::rollback);
  EXPECT_EQ(worse.cells, 10); // the first time it is judged
  EXPECT_NE(worse.last.reason.find("shifted up"), std::string::npos) << worse.last.reason;
  // The other direction is no harm, unless both count as worse.
  EXPECT_EQ(run(*make_rank_judge(options), errors_as_metric(0.1, 0.05), 1).last.decision,
            Decision::promote);
  options.metrics["own"].options = rank::MetricOptions{};
  EXPECT_EQ(run(*make_rank_judge(options), errors_as_metric(0.1, 0.05), 1).last.decision,
            Decision::rollback);
}

TEST(RankJudge, MarginalIsWatchedOn) {
  RankOptions options;
  options.signals = {metric(SignalKind::value, percent(0.2)),
                     metric(SignalKind::value, percent(0.2))};
  options.signals[1].name = "other";
  options.marginal = 40;
  const auto draw = errors_as_metric(0.05, 0.1);
  const auto judge = make_rank_judge(options);
  SimulationRandom random(1);
  Evidence evidence;
  evidence.canary = evidence.stable = {true, 1000, 0, {}, {}};
  evidence.step_needed_minutes = 5;
  evidence.step_requests = 1000;
  Judgement last;
  for (int i = 0; i < 40; ++i) {
    auto cell = cell_at(i);
    MetricNumbers bad, good;
    draw(random, i, bad);
    bad.signal = "own";
    errors_as_metric(0.05, 0.05)(random, i, good);
    good.signal = "other";
    cell.metrics = {bad, good};
    evidence.cells = {cell};
    evidence.step_minutes = (i + 1) / 4.0;
    last = judge->judge(evidence);
    EXPECT_EQ(last.decision, Decision::keep_watching) << i;
  }
  EXPECT_NE(last.reason.find("Score 50 of 100"), std::string::npos) << last.reason;
}

TEST(RankJudge, NoDataIsNoVerdict) {
  RankOptions options;
  options.signals = {metric(SignalKind::value, percent(0.2))};
  const auto none = run(
      *make_rank_judge(options), [](SimulationRandom&, int, MetricNumbers&) { return false; }, 1);
  EXPECT_EQ(none.last.decision, Decision::keep_watching);
  EXPECT_NE(none.last.reason.find("no data"), std::string::npos) << none.last.reason;
  // If the metric must have values, their absence counts against the canary.
  options.metrics["own"].options.emplace().must_have_data = true;
  EXPECT_EQ(run(
                *make_rank_judge(options),
                [](SimulationRandom&, int, MetricNumbers&) { return false; }, 1)
                .last.decision,
            Decision::rollback);
}

// A route is tested once it has ten cells, over its newest fifty, and decides nothing.
TEST(RankJudge, RoutesAreShownAndDecideNothing) {
  RankOptions options;
  options.signals = {sequential_defaults().signals[0]};
  const auto judge = make_rank_judge(options);
  SimulationRandom random(7);
  Evidence evidence;
  evidence.canary = evidence.stable = {true, 1000, 0, {}, {}};
  evidence.step_needed_minutes = 60;
  Judgement last;
  const auto line = [&](const std::string& route) {
    return *std::ranges::find(last.signals, route, [](const auto& v) { return v.subject.route; });
  };
  const auto counts = [&](const std::string& route, double rate) {
    return RouteCounts{route,
                       {.requests = 1000, .errors = random.poisson(rate * 1000)},
                       {.requests = 1000, .errors = random.poisson(10)}};
  };
  for (int i = 0; i < 130; ++i) {
    auto cell = cell_at(i);
    cell.total = counts("", 0.01);
    cell.routes = {counts("/fine", 0.01), counts("/pay", i < 60 ? 0.1 : 0.01)};
    if (i % 20 == 0) cell.routes.push_back(counts("/rare", 0.1));
    evidence.cells = {cell};
    last = judge->judge(evidence);
    EXPECT_NE(last.decision, Decision::rollback);
    if (i == 8) {
      EXPECT_EQ(line("/pay").verdict, Verdict::watching) << line("/pay").reason;
    }
    if (i == 30) {
      EXPECT_EQ(last.signals[0].subject.route, "");
      EXPECT_EQ(last.signals[1].subject.route, "/pay") << "worst first";
      EXPECT_EQ(line("/pay").verdict, Verdict::regression);
      EXPECT_FALSE(line("/pay").subject.gate);
      EXPECT_NE(line("/pay").reason.find("error_rate on /pay: "), std::string::npos)
          << line("/pay").reason;
      EXPECT_EQ(line("/fine").verdict, Verdict::pass) << line("/fine").reason;
      EXPECT_EQ(line("/rare").verdict, Verdict::watching) << line("/rare").reason;
    }
  }
  EXPECT_EQ(line("/pay").verdict, Verdict::pass)
      << "what is more than fifty cells ago is forgotten: " << line("/pay").reason;
}

TEST(RankJudge, RequestsOfCells) {
  RankOptions options;
  options.signals = {sequential_defaults().signals[0], sequential_defaults().signals[1]};
  for (const bool slow : {false, true}) {
    TrafficModel model;
    CanaryChange change;
    if (slow) change.latency_factor = 2;
    SimulatedTraffic traffic(model, change, 5);
    const auto judge = make_rank_judge(options);
    Evidence evidence;
    evidence.canary = evidence.stable = {true, 1000, 0, {}, {}};
    evidence.step_needed_minutes = 10;
    evidence.step_requests = 1000;
    Judgement last;
    for (int i = 0; i < 40 && last.decision == Decision::keep_watching; ++i) {
      evidence.cells = {traffic.next(0.25)};
      evidence.step_minutes = (i + 1) / 4.0;
      last = judge->judge(evidence);
    }
    EXPECT_EQ(last.decision, slow ? Decision::rollback : Decision::promote) << last.reason;
  }
}

} // namespace
} // namespace coalmine::lab
