// Client errors (answers of 4xx) by the judges. Simulated with fixed seeds: the shares are exact
// for this code.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "judge/judge.h"
#include "lab/simulation.h"

namespace coalmine::lab {
namespace {

using namespace judge;

// The share of 4xx answers on each track. Negative: no HTTP status is known.
struct Answered {
  double canary = 0;
  double stable = 0;
};

constexpr int kBaselineCells = 40;

// One cell of 15 s at 5 % of the traffic. clump: how many client errors come at once.
RouteCounts client_row(SimulationRandom& random, const std::string& route, double canary,
                       double stable, Answered share, double clump) {
  RouteCounts out{.route = route, .canary = {}, .stable = {}};
  const auto put = [&](TrackCounts& track, double mean, double of) {
    track.requests = random.poisson(mean);
    track.errors = random.binomial(track.requests, 0.001);
    if (of < 0) return;
    track.answered = track.requests;
    track.client_errors =
        of >= 1 ? track.requests
                : std::min(track.requests, clump * random.poisson(track.requests * of / clump));
  };
  if (canary > 0) put(out.canary, canary, share.canary);
  put(out.stable, stable, share.stable);
  return out;
}

CountCell client_cell(SimulationRandom& random, int index, Answered share, double clump = 1,
                      double canary = 150, double stable = 2850) {
  CountCell out;
  out.from_ms = index * 15'000;
  out.to_ms = out.from_ms + 15'000;
  out.baseline = index < kBaselineCells;
  out.total = client_row(random, "", out.baseline ? 0 : canary, stable, share, clump);
  return out;
}

Evidence client_look(CountCell cell) {
  Evidence out;
  out.cells.push_back(std::move(cell));
  out.step_needed_minutes = 10;
  out.step_minutes = static_cast<double>(out.cells[0].to_ms) / 60'000 - kBaselineCells / 4.0;
  out.step_requests = 1000;
  return out;
}

// The defaults without latency, which is not measured here.
SequentialOptions rates_only() {
  auto out = sequential_defaults();
  std::erase_if(out.signals,
                [](const SignalSpec& s) { return s.kind == SignalKind::latency_quantile; });
  // A margin that this traffic decides within a step.
  out.signals[0].automatic = false;
  out.signals[0].margin = {Margin::Unit::points, 0.01};
  return out;
}

struct ClientRun {
  Judgement last;
  int cells = 0; // of the canary
};

// A step of ten minutes.
ClientRun client_run(std::uint64_t seed, Answered share, double clump = 1, double canary = 150,
                     double stable = 2850) {
  SimulationRandom random(seed);
  const auto judge = make_sequential_judge(rates_only());
  ClientRun out;
  for (int i = 0; i < kBaselineCells + 40; ++i) {
    out.last = judge->judge(client_look(client_cell(random, i, share, clump, canary, stable)));
    if (i >= kBaselineCells) ++out.cells;
    if (out.last.decision == Decision::rollback) break;
  }
  return out;
}

const SignalVerdict* client_line(const Judgement& judgement) {
  for (const auto& v : judgement.signals) {
    if (v.subject.kind == SignalKind::client_error_rate) return &v;
  }
  return nullptr;
}

TEST(ClientErrors, ACanaryThatAnswersOnly404IsRolledBackAtOnce) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto run = client_run(seed, {1, 0.05});
    ASSERT_EQ(run.last.decision, Decision::rollback);
    EXPECT_LE(run.cells, 2);
    EXPECT_TRUE(run.last.reason.starts_with("client_error_rate: 100.00% on canary against "))
        << run.last.reason;
    EXPECT_NE(run.last.reason.find("allowed +10pp"), std::string::npos) << run.last.reason;
    const auto* line = client_line(run.last);
    ASSERT_NE(line, nullptr);
    EXPECT_EQ(line->verdict, Verdict::regression);
  }
}

// One request in two seconds, and clients that go wrong several times in a row.
TEST(ClientErrors, AFewRequestsAreEnough) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto run = client_run(seed, {1, 0.02}, 1, 7.5, 142.5);
    ASSERT_EQ(run.last.decision, Decision::rollback) << seed;
    EXPECT_LE(run.cells, 8) << seed;
  }
}

TEST(ClientErrors, OneRouteOfManyIsEnough) {
  SimulationRandom random(7);
  const auto judge = make_sequential_judge(rates_only());
  Judgement out;
  int cells = 0;
  for (int i = 0; i < kBaselineCells + 40 && out.decision != Decision::rollback; ++i) {
    auto cell = client_cell(random, i, {0.01, 0.01});
    auto route = client_row(random, "/pay", cell.baseline ? 0 : 8, 150, {1, 0}, 1);
    cell.total.canary.add_requests(route.canary);
    cell.total.stable.add_requests(route.stable);
    cell.routes.push_back(std::move(route));
    cell.routes.push_back(client_row(random, "/", cell.baseline ? 0 : 142, 2700, {0.01, 0.01}, 1));
    if (!cell.baseline) ++cells;
    out = judge->judge(client_look(std::move(cell)));
  }
  ASSERT_EQ(out.decision, Decision::rollback);
  EXPECT_LE(cells, 12);
  EXPECT_TRUE(out.reason.starts_with("client_error_rate on /pay: 100.00% on canary against 0.00%"))
      << out.reason;
  double stakes = 0;
  for (const auto& v : out.signals)
    stakes += v.weighed ? 100 / v.weighed->needed : 0; // of a budget of 1 %
  EXPECT_LE(stakes, 1 + 1e-9);
}

TEST(ClientErrors, EqualOnesPromoteAlsoWhenTheyComeInClumps) {
  for (const double clump : {1.0, 5.0, 12.0}) {
    int back = 0, promoted = 0;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      const auto run = client_run(1000 + seed, {0.05, 0.05}, clump);
      back += run.last.decision == Decision::rollback ? 1 : 0;
      promoted += run.last.decision == Decision::promote ? 1 : 0;
    }
    EXPECT_LE(back, 1) << clump;
    EXPECT_GE(promoted, 95) << clump;
  }
}

// Bots that one track happens to get more of.
TEST(ClientErrors, WithinTheMarginTheyHoldUpNothing) {
  const auto run = client_run(3, {0.09, 0.01});
  EXPECT_EQ(run.last.decision, Decision::promote) << run.last.reason;
  const auto* line = client_line(run.last);
  ASSERT_NE(line, nullptr);
  EXPECT_NE(line->verdict, Verdict::regression);
  EXPECT_EQ(run.last.reason.find("client_error_rate"), std::string::npos) << run.last.reason;
}

TEST(ClientErrors, WithoutHttpStatusesNothingIsSaid) {
  for (const auto share : {Answered{-1, -1}, Answered{1, -1}, Answered{-1, 0.01}}) {
    const auto run = client_run(5, share);
    EXPECT_EQ(run.last.decision, Decision::promote) << run.last.reason;
    EXPECT_EQ(client_line(run.last), nullptr);
  }
}

// The newest seconds of a split that is broken decide nothing about them.
TEST(ClientErrors, ABrokenSplitSuspendsThem) {
  SimulationRandom random(2);
  const auto judge = make_sequential_judge(rates_only());
  Judgement out;
  for (int i = 0; i < kBaselineCells + 4; ++i) {
    auto look = client_look(client_cell(random, i, {1, 0.05}));
    look.comparison_suspended.why = "the split is broken";
    out = judge->judge(look);
  }
  EXPECT_EQ(out.decision, Decision::keep_watching) << out.reason;
}

TEST(ClientErrors, TheThresholdJudgeComparesThemWhereTheyAreKnown) {
  auto options = seed_defaults();
  options.signals.push_back(default_client_errors());
  options.signals.erase(options.signals.begin() + 1); // no latency is measured here
  const auto judge = make_threshold_judge(options);
  Evidence evidence;
  evidence.canary_age_minutes = 20;
  evidence.canary = {.has_data = true, .requests = 500};
  evidence.stable = {.has_data = true, .requests = 5000};
  EXPECT_EQ(judge->judge(evidence).decision, Decision::promote);
  EXPECT_EQ(judge->judge(evidence).signals.size(), 1u);
  evidence.canary.answered = evidence.canary.client_errors = 500;
  EXPECT_EQ(judge->judge(evidence).decision, Decision::promote) << "stable's are unknown";
  evidence.stable.answered = 5000;
  evidence.stable.client_errors = 250;
  const auto out = judge->judge(evidence);
  EXPECT_EQ(out.decision, Decision::rollback);
  EXPECT_EQ(out.reason,
            "client_error_rate: 100.00% on canary against 5.00% on stable, +95.00pp, allowed "
            "+10pp");
}

} // namespace
} // namespace coalmine::lab
