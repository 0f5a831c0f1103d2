// SPDX-License-Identifier: Apache-2.0
#include "lab/pods.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <ostream>
#include <set>
#include <string>

#include "lab/simulate.h"

namespace coalmine::lab {
namespace {

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Everything that can happen, at once.
PodModel eventful() {
  PodModel out;
  out.canary_pods = 3;
  out.stable_pods = 5;
  out.routes = 4;
  out.baseline_minutes = 5;
  out.requests_a_user = 2;
  out.pauses = {.seconds = 1, .every_seconds = 30};
  out.error_drift = {.cv = 0.5, .minutes = 2};
  out.slow_minutes.every_minutes = 4;
  out.bursts = {.errors = 20, .every_minutes = 3};
  out.warm_up = {.seconds = 100, .errors_added = 0.02};
  out.canary_restarts_seconds = 70;
  out.lasting = {.error_cv = 0.3, .latency_cv = 0.1, .canary_latency_factor = 1.1};
  out.sticky_users.users = 200;
  out.bots.bots = 2;
  out.own_ratio.rate = 0.02;
  return out;
}

std::vector<CountCell> cells_of(const PodModel& model, const CanaryChange& change,
                                std::uint64_t seed, int cells = 40) {
  SimulatedPods pods(model, change, seed);
  auto out = pods.baseline();
  for (int i = 0; i < cells; ++i) out.push_back(pods.next(i < cells / 2 ? 0.2 : 0.5));
  return out;
}

// The stable track over a long baseline.
TrackCounts stable_over(PodModel model, double minutes, std::uint64_t seed = 1) {
  model.baseline_minutes = minutes;
  SimulatedPods pods(model, {}, seed);
  TrackCounts out;
  for (const auto& cell : pods.baseline()) {
    out.add_requests(cell.total.stable);
    out.bucket_counts.resize(cell.total.stable.bucket_counts.size());
    for (std::size_t i = 0; i < out.bucket_counts.size(); ++i)
      out.bucket_counts[i] += cell.total.stable.bucket_counts[i];
  }
  return out;
}

// The share above one of OpenTelemetry's boundaries.
double share_above(const TrackCounts& track, double bound_ms) {
  double above = 0;
  for (std::size_t i = 0; i < kOtelBoundsMs.size(); ++i)
    above += kOtelBoundsMs[i] >= bound_ms ? track.bucket_counts[i + 1] : 0;
  return above / sum_of(track.bucket_counts);
}
double error_share(const TrackCounts& track) { return track.errors / track.requests; }

TEST(LatencyShares, ArePartsOfOne) {
  const LatencyShape shape{.slow_share = 0.02, .slow_factor = 5, .pause_ms = 700};
  const auto shares = latency_shares(shape, kOtelBoundsMs);
  EXPECT_NEAR(sum_of(shares), 1, 1e-12);
  EXPECT_EQ(shares.size(), kOtelBoundsMs.size() + 1);
}

TEST(LatencyShares, OfAPauseAreThoseOfTheRestAndTheRequestItself) {
  const auto paused = latency_shares({.pause_ms = 700}, kOtelBoundsMs);
  SimulationRandom random(1);
  std::vector<double> drawn(paused.size());
  const int requests = 200'000;
  for (int i = 0; i < requests; ++i) {
    const double ms = 80 * std::exp(0.6 * random.normal()) + 700 * random.uniform();
    drawn[static_cast<std::size_t>(std::ranges::lower_bound(kOtelBoundsMs, ms) -
                                   kOtelBoundsMs.begin())] += 1.0 / requests;
  }
  for (std::size_t i = 0; i < paused.size(); ++i) EXPECT_NEAR(paused[i], drawn[i], 0.004) << i;
}

TEST(BucketSampler, DrawsEachBucketAsOftenAsItsShare) {
  const std::vector<double> shares = {0.5, 0, 0.001, 0.2, 0.299};
  const BucketSampler sampler(shares);
  SimulationRandom random(1);
  std::vector<double> drawn(shares.size());
  for (int i = 0; i < 100'000; ++i) drawn[sampler.draw(random)] += 1e-5;
  EXPECT_EQ(drawn[1], 0);
  for (std::size_t i = 0; i < shares.size(); ++i) EXPECT_NEAR(drawn[i], shares[i], 0.005) << i;
}

TEST(SimulationRandom, GammaHasItsMeanAndVariance) {
  for (const double shape : {0.25, 1.0, 4.0}) {
    SimulationRandom random(1);
    double first = 0, second = 0;
    const int draws = 100'000;
    for (int i = 0; i < draws; ++i) {
      const double x = random.gamma(shape);
      first += x / draws;
      second += x * x / draws;
    }
    EXPECT_NEAR(first, shape, 0.02 * shape);
    EXPECT_NEAR(second - first * first, shape, 0.06 * shape);
  }
}

TEST(SimulatedPods, TheSameSeedGivesTheSameCells) {
  const auto a = cells_of(eventful(), {}, 1), b = cells_of(eventful(), {}, 1),
             other = cells_of(eventful(), {}, 2);
  ASSERT_EQ(a.size(), b.size());
  bool differs = false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (const auto track : kBothTracks) {
      EXPECT_EQ(a[i].total.of(track).requests, b[i].total.of(track).requests);
      EXPECT_EQ(a[i].total.of(track).errors, b[i].total.of(track).errors);
      EXPECT_EQ(a[i].total.of(track).bucket_counts, b[i].total.of(track).bucket_counts);
      differs = differs || a[i].total.of(track).requests != other[i].total.of(track).requests;
    }
    EXPECT_EQ(a[i].from_ms, i == 0 ? 0 : a[i - 1].to_ms);
    EXPECT_EQ(a[i].metrics[0].stable.amount, b[i].metrics[0].stable.amount);
  }
  EXPECT_TRUE(differs);
}

void expect_sums(const CountCell& cell, Track track) {
  const auto& total = cell.total.of(track);
  TrackCounts by_routes, by_processes;
  std::vector<double> of_routes(total.bucket_counts.size()), of_processes = of_routes;
  const auto add = [](std::vector<double>& to, const std::vector<double>& from) {
    for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
  };
  for (const auto& route : cell.routes) {
    by_routes.add_requests(route.of(track));
    add(of_routes, route.of(track).bucket_counts);
    double requests = 0, errors = 0;
    for (const auto& part : route.parts) {
      if (cell.instances.at(part.instance).track != track) continue;
      EXPECT_FALSE(cell.instances[part.instance].warming);
      requests += part.requests;
      errors += part.errors;
    }
    EXPECT_EQ(requests, route.of(track).requests - route.of(track).warming_requests);
    EXPECT_EQ(errors, route.of(track).errors - route.of(track).warming_errors);
  }
  for (const auto& process : cell.instances) {
    if (process.track != track) continue;
    by_processes.requests += process.requests;
    by_processes.errors += process.errors;
    by_processes.warming_requests += process.warming ? process.requests : 0;
    by_processes.warming_errors += process.warming ? process.errors : 0;
    if (process.bucket_counts.empty()) continue;
    EXPECT_EQ(sum_of(process.bucket_counts), process.requests);
    add(of_processes, process.bucket_counts);
  }
  for (const auto* parts : {&by_routes, &by_processes}) {
    EXPECT_EQ(parts->requests, total.requests);
    EXPECT_EQ(parts->errors, total.errors);
    EXPECT_EQ(parts->warming_requests, total.warming_requests);
    EXPECT_EQ(parts->warming_errors, total.warming_errors);
  }
  EXPECT_EQ(of_routes, total.bucket_counts);
  EXPECT_EQ(of_processes, total.bucket_counts);
  EXPECT_EQ(sum_of(total.bucket_counts), total.timed);
  EXPECT_EQ(total.timed, total.requests - total.warming_requests);
}

TEST(SimulatedPods, RoutesAndProcessesAreTheWhole) {
  for (const auto& cell : cells_of(eventful(), {}, 3)) {
    for (const auto track : kBothTracks) expect_sums(cell, track);
    EXPECT_EQ(cell.warming, cell.total.canary.warming_requests > 0);
  }
}

TEST(SimulatedPods, OnlyTracksWithSeveralProcessesHaveDetails) {
  PodModel model;
  model.routes = 2;
  model.baseline_minutes = 1;
  for (const auto& cell : cells_of(model, {}, 1, 4)) {
    for (const auto& process : cell.instances)
      EXPECT_EQ(process.bucket_counts.empty(), process.track == Track::canary);
    for (const auto& route : cell.routes) EXPECT_EQ(route.parts.size(), 19u);
    EXPECT_EQ(cell.total.canary.bucket_counts.empty(), cell.baseline);
  }
}

TEST(SimulatedPods, ServeAsMuchAndFailAsOftenAsAsked) {
  const auto track = stable_over({}, 60);
  EXPECT_NEAR(track.requests, 720'000, 3'000);
  EXPECT_NEAR(error_share(track), 0.01, 0.0005);
  EXPECT_NEAR(share_above(track, 250), 0.0288, 0.001);
}

TEST(SimulatedPods, EffectsHaveTheirMeans) {
  PodModel model;
  model.pauses = {.seconds = 2, .every_seconds = 20};
  const auto paused = stable_over(model, 60);
  EXPECT_NEAR(share_above(paused, 1000), 0.054, 0.004)
      << "a tenth waits, of that the half that comes first";
  EXPECT_NEAR(paused.requests, 720'000, 4'000) << "no request is lost";
  model = {};
  model.error_drift = {.cv = 0.5, .minutes = 1};
  EXPECT_NEAR(error_share(stable_over(model, 60)), 0.01, 0.0007);
  model = {};
  model.slow_minutes.every_minutes = 5;
  EXPECT_NEAR(share_above(stable_over(model, 60), 250), 0.0288 * 0.8 + 0.2283 * 0.2, 0.01);
  model = {};
  model.error_rate = 0;
  model.rps = 10;
  model.bursts = {.errors = 20, .every_minutes = 6};
  EXPECT_NEAR(stable_over(model, 600).errors, 20 * 19 * 100, 20 * 3 * std::sqrt(1900));
  model = {};
  model.sticky_users.users = 2000;
  EXPECT_NEAR(error_share(stable_over(model, 20)), 0.01, 0.0008);
  model = {};
  model.bots = {.bots = 3, .rps = 10, .error_rate = 0.5};
  EXPECT_NEAR(error_share(stable_over(model, 20)), (0.01 * 200 + 0.5 * 30) / 230, 0.003);
  model = {};
  model.requests_a_user = 3;
  EXPECT_NEAR(stable_over(model, 20).requests, 240'000, 4'000);
}

// The sample variance of the errors of a pod and cell over that of independent requests.
double spread(const PodModel& model, std::uint64_t seed) {
  SimulatedPods pods(model, {}, seed);
  double squares = 0, count = 0;
  for (const auto& cell : pods.baseline()) {
    for (const auto& process : cell.instances) {
      const double expected = process.requests * model.error_rate;
      squares += (process.errors - expected) * (process.errors - expected) /
                 (expected * (1 - model.error_rate));
      count += 1;
    }
  }
  return squares / count;
}

TEST(SimulatedPods, ErrorsOfAPodBelongTogether) {
  PodModel model;
  model.baseline_minutes = 60;
  EXPECT_NEAR(spread(model, 1), 1, 0.08);
  // 158 requests of a pod and cell, 1 %: 1 + 1.58 cv².
  model.error_drift = {.cv = 0.5, .minutes = 5};
  EXPECT_NEAR(spread(model, 1), 1.39, 0.2);
  model.baseline_minutes = 5;
  model.error_drift = {};
  model.lasting.error_cv = 0.5;
  double mean = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) mean += spread(model, seed) / 10;
  EXPECT_NEAR(mean, 1.39, 0.2);
}

TEST(SimulatedPods, EffectsDoNotKnowTheEdgesOfCells) {
  PodModel model;
  model.error_rate = 0;
  model.bursts = {.errors = 20, .every_minutes = 10};
  model.baseline_minutes = 60;
  auto longer = model;
  longer.cell_seconds = 60;
  SimulatedPods a(model, {}, 5), b(longer, {}, 5);
  const auto cells = a.baseline(), minutes = b.baseline();
  ASSERT_EQ(cells.size(), 4 * minutes.size());
  for (std::size_t i = 0; i < minutes.size(); ++i) {
    double errors = 0;
    for (std::size_t k = 0; k < 4; ++k) errors += cells[4 * i + k].total.stable.errors;
    EXPECT_EQ(minutes[i].total.stable.errors, errors);
  }
}

TEST(SimulatedPods, ACanaryWarmsUpForItsTime) {
  PodModel model;
  model.warm_up = {.seconds = 180, .errors_added = 0.02};
  model.rps = 4000;
  model.baseline_minutes = 1;
  TrackCounts cold, warm;
  SimulatedPods pods(model, {}, 1);
  pods.baseline();
  for (int i = 0; i < 24; ++i) {
    const auto cell = pods.next(0.05);
    const bool warming = i < 12;
    EXPECT_EQ(cell.warming, warming);
    EXPECT_EQ(cell.instances.back().warming, warming);
    EXPECT_EQ(cell.total.canary.bucket_counts.empty(), warming);
    EXPECT_EQ(cell.total.canary.warming_requests, warming ? cell.total.canary.requests : 0);
    EXPECT_EQ(cell.total.canary.warming_errors, warming ? cell.total.canary.errors : 0);
    EXPECT_EQ(cell.total.stable.warming_requests, 0);
    (warming ? cold : warm).add_requests(cell.total.canary);
  }
  EXPECT_NEAR(error_share(cold), 0.03, 0.003);
  EXPECT_NEAR(error_share(warm), 0.01, 0.002);
}

TEST(SimulatedPods, RestartsDoNotProlongTheWarmUpOfAStep) {
  PodModel model;
  model.warm_up.seconds = 180;
  model.canary_restarts_seconds = 60;
  model.baseline_minutes = 1;
  SimulatedPods pods(model, {}, 1);
  pods.baseline();
  std::set<std::string> names;
  for (int i = 0; i < 40; ++i) {
    const auto cell = pods.next(0.05);
    EXPECT_EQ(cell.warming, i < 12) << i;
    for (const auto& process : cell.instances)
      if (process.track == Track::canary) names.insert(process.instance);
  }
  EXPECT_EQ(names.size(), 11u) << "ten restarts in ten minutes";
  bool warms = false;
  for (int i = 0; i < 4; ++i) warms = pods.next(0.25).warming || warms;
  EXPECT_TRUE(warms) << "a new step has its own warm-up";
}

TEST(SimulatedPods, TheChangeIsTheCanarysFromItsMinuteOnItsRoute) {
  PodModel model;
  model.routes = 4;
  model.baseline_minutes = 1;
  SimulatedPods pods(model, {.error_rate_added = 0.2, .from_minute = 5, .only_route = 2}, 1);
  pods.baseline();
  std::vector<TrackCounts> before(4), after(4);
  for (int i = 0; i < 80; ++i) {
    const auto cell = pods.next(0.5);
    for (std::size_t r = 0; r < 4; ++r)
      (i < 20 ? before : after)[r].add_requests(cell.routes[r].canary);
  }
  EXPECT_DOUBLE_EQ(pods.minute(), 20);
  for (std::size_t r = 0; r < 4; ++r) {
    EXPECT_NEAR(error_share(before[r]), 0.01, 0.005);
    EXPECT_NEAR(error_share(after[r]), r == 2 ? 0.21 : 0.01, 0.02);
  }
}

// What the judge must make of such traffic: releases, of 40.
struct Expected {
  const char* name;
  PodModel model;
  CanaryChange change;
  int at_least; // rolled back
  int at_most;
};

void PrintTo(const Expected& row, std::ostream* out) { *out << row.name; }

class HardTraffic : public testing::TestWithParam<Expected> {};

TEST_P(HardTraffic, IsJudgedRight) {
  constexpr std::size_t kRuns = 40;
  const auto& row = GetParam();
  std::vector<SimulatedRelease> releases(kRuns);
  for_each_run(kRuns, [&](std::size_t i) {
    const auto judge = judge::make_sequential_judge(judge::sequential_defaults());
    SimulatedPods pods(row.model, row.change, i + 1);
    releases[i] = simulate_release(*judge, pods, usual_steps(), 3); // extended twice, as by default
  });
  int rolled_back = 0;
  for (const auto& release : releases) rolled_back += release.outcome == Outcome::rolled_back;
  EXPECT_GE(rolled_back, row.at_least) << "of 40; the first: " << releases[0].reason;
  EXPECT_LE(rolled_back, row.at_most) << "of 40; the first: " << releases[0].reason;
}

PodModel with(auto&& edit) {
  PodModel out;
  out.baseline_minutes = 15;
  edit(out);
  return out;
}

const auto kNothing = with([](PodModel&) {});
const auto kPauses = with([](PodModel& m) { m.pauses = {.seconds = 1, .every_seconds = 120}; });
const auto kDrift = with([](PodModel& m) { m.error_drift = {.cv = 0.5, .minutes = 5}; });
const auto kWarmUp = with([](PodModel& m) { m.warm_up = {.seconds = 180, .errors_added = 0.02}; });

INSTANTIATE_TEST_SUITE_P(
    Pods, HardTraffic,
    testing::Values(Expected{"EqualPods", kNothing, {}, 0, 1},
                    Expected{"EqualWithPauses", kPauses, {}, 0, 1},
                    Expected{"EqualWithErrorDrift", kDrift, {}, 0, 1},
                    Expected{"EqualWithWarmUp", kWarmUp, {}, 0, 1},
                    Expected{"WorseErrors", kNothing, {.error_rate_added = 0.01}, 39, 40},
                    Expected{"SlowerWithPauses", kPauses, {.latency_factor = 1.5}, 39, 40},
                    Expected{"WorseErrorsWithDrift", kDrift, {.error_rate_added = 0.02}, 39, 40},
                    Expected{
                        "WorseErrorsAfterWarmUp", kWarmUp, {.error_rate_added = 0.02}, 39, 40}),
    [](const auto& row) { return std::string(row.param.name); });

} // namespace
} // namespace coalmine::lab
