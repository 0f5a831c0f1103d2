// SPDX-License-Identifier: Apache-2.0
#include "lab/replay_rates.h"
#include "lab/short_spec_for_test.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

#include "lab/pods.h"
#include "lab/replay.h"
#include "lab/stable_splits.h"

namespace coalmine::lab {
namespace {

constexpr int kRuns = 40;

std::vector<CountCell> two_hours(PodModel model) {
  model.baseline_minutes = 120;
  return SimulatedPods(model, {}, 3).baseline();
}

PodModel eight_pods() {
  PodModel out;
  out.rps = 160;
  out.stable_pods = 8;
  return out;
}

TEST(ReplayRates, EqualPodsAreNotRolledBack) {
  const auto spec = short_spec(10, 10);
  const auto cells = two_hours(eight_pods());
  const auto got = measure_rates({.spec = spec, .cells = cells, .runs = kRuns});
  ASSERT_EQ(got.by_request.size(), 1u);
  EXPECT_LE(got.by_request[0].rolled_back, 1);
  ASSERT_EQ(got.by_process.known, ProcessesKnown::yes);
  EXPECT_LE(got.by_process.rate.rolled_back, 1);
  EXPECT_GE(got.by_process.rate.promoted, kRuns / 2);
  EXPECT_EQ(got.by_process.rate.runs, kRuns);
  EXPECT_EQ(got.by_process.processes, 8u);
  EXPECT_EQ(got.by_process.rate.minutes_with_data, 120);
}

// A judge that does not know that processes differ.
ReplayOutcome replay_without_processes(const rollout::RolloutSpec& spec,
                                       std::vector<CountCell> cells) {
  for (auto& cell : cells) {
    cell.instances.clear();
    for (auto& row : cell.routes) row.parts.clear();
  }
  return replay_cells(spec, cells);
}

TEST(ReplayRates, LastingDifferencesOfPodsShowByProcessAlone) {
  const auto spec = short_spec(10, 10);
  PodModel model;
  model.rps = 240;
  model.stable_pods = 16;
  model.baseline_minutes = 60;
  model.lasting.latency_cv = 0.3;
  const auto cells = SimulatedPods(model, {}, 4).baseline();
  const std::size_t first = 120;
  std::mt19937_64 random(1);
  int by_request = 0, by_process = 0, with_processes = 0;
  for (const auto& process : processes_of_stable(cells, gap_ms(spec))) {
    const auto release = split_by_process(spec, cells, first, {process.name});
    by_process += replay_without_processes(spec, release).end == ReplayEnd::rolled_back;
    with_processes += replay_cells(spec, release).end == ReplayEnd::rolled_back;
    auto mixed = split_by_request(spec, cells, first, 0, random);
    by_request += replay_without_processes(spec, std::move(mixed)).end == ReplayEnd::rolled_back;
  }
  EXPECT_EQ(by_request, 0);
  EXPECT_GE(by_process, 4);
  EXPECT_LE(with_processes, 1); // the judge has learnt how much the others differ
}

TEST(ReplayRates, TheIntervalIsOfNoMoreReleasesThanTheDataHold) {
  const auto spec = short_spec(10, 10);
  auto model = eight_pods();
  model.stable_pods = 3;
  model.baseline_minutes = 75; // half an hour of past, then two rollouts of twenty minutes
  const auto cells = SimulatedPods(model, {}, 3).baseline();
  auto got = measure_rates({.spec = spec, .cells = cells, .runs = kRuns}).by_process;
  EXPECT_EQ(got.independent, 6);
  EXPECT_GT(got.rate.interval.high, 0.3);
  got = measure_rates({.spec = spec, .cells = cells, .canary_processes = 2, .runs = 4}).by_process;
  EXPECT_EQ(got.canary, 2u);
  EXPECT_EQ(got.independent, 3);
  // One process of three at least stays stable's.
  got = measure_rates({.spec = spec, .cells = cells, .canary_processes = 7, .runs = 4}).by_process;
  EXPECT_EQ(got.canary, 2u);
}

TEST(ReplayRates, TheIntervalIsThatOfProcessesWhereTheyDiffer) {
  auto spec = short_spec(10, 10);
  spec.ask_about_pods = false;
  auto model = eight_pods();
  model.lasting.latency_cv = 0.3;
  const auto cells = two_hours(model); // one of these eight is much slower
  const auto got = measure_rates({.spec = spec, .cells = cells, .runs = kRuns}).by_process;
  EXPECT_GT(got.rate.rolled_back, 0);
  EXPECT_LT(got.rate.rolled_back, kRuns / 2);
  EXPECT_LE(got.independent, 8);
  EXPECT_GT(got.rate.interval.high, 0.3);
}

TEST(ReplayRates, ErrorsThatAreInjectedAreCaughtByRequest) {
  const auto spec = short_spec(10, 10);
  const auto cells = two_hours(eight_pods());
  const auto got =
      measure_rates({.spec = spec, .cells = cells, .injected = {0.05}, .runs = 10}).by_request;
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[1].injected, 0.05);
  EXPECT_GE(got[1].rolled_back, 9);
  EXPECT_GT(got[1].median_minutes, 0);
}

TEST(ReplayRates, OfOneProcessOrOfLittleDataNothingIsKnown) {
  const auto spec = short_spec(10, 10);
  auto model = eight_pods();
  model.stable_pods = 1;
  auto cells = two_hours(model);
  auto got = measure_rates({.spec = spec, .cells = cells, .runs = 2});
  EXPECT_EQ(got.by_process.known, ProcessesKnown::one_process);
  EXPECT_EQ(got.by_request.size(), 1u);
  cells = two_hours(eight_pods());
  cells.resize(150);
  got = measure_rates({.spec = spec, .cells = cells, .runs = 2});
  EXPECT_EQ(got.by_process.known, ProcessesKnown::too_little_data);
  EXPECT_TRUE(got.by_request.empty());
}

} // namespace
} // namespace coalmine::lab
