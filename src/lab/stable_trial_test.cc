// Stable as its own canary, on simulated pods.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdint>
#include <ctime>
#include <iostream>
#include <vector>

#include "cohort/durations.h"
#include "judge/judge.h"
#include "lab/pods.h"
#include "telemetry/durations.h"

namespace coalmine::lab {
namespace {

judge::SequentialOptions options_with_trial() {
  auto out = judge::sequential_defaults();
  out.try_stable = true;
  return out;
}

// The first look at a canary after half an hour of these pods.
judge::Judgement first_look(const PodModel& model, std::uint64_t seed) {
  SimulatedPods pods(model, {}, seed);
  judge::Evidence evidence;
  evidence.cells = pods.baseline();
  evidence.cells.push_back(pods.next(0.05));
  return judge::make_sequential_judge(options_with_trial())->judge(evidence);
}

struct Tried {
  std::size_t processes = 0;
  std::size_t rolled_back = 0;
  int widened = 0; // trials
};

Tried try_often(const PodModel& model, int runs) {
  Tried out;
  for (int run = 0; run < runs; ++run) {
    const auto trial = first_look(model, static_cast<std::uint64_t>(run) + 1).trial;
    EXPECT_TRUE(trial);
    if (!trial) continue;
    out.processes += trial->processes;
    out.rolled_back += trial->rolled_back;
    out.widened += trial->widen > 1;
  }
  return out;
}

constexpr int kTrials = 20;

TEST(StableTrialOfPods, PodsThatAreAlikeWidenNextToNothing) {
  const auto out = try_often({}, kTrials);
  EXPECT_EQ(out.processes, 19u * kTrials);
  EXPECT_LE(out.rolled_back, 2u);
  EXPECT_LE(out.widened, kTrials / 5);
}

// Phi of the first half explains what goes on all the time.
TEST(StableTrialOfPods, PausesThatStableHasAllAlongWidenLittle) {
  PodModel model;
  model.pauses = {.seconds = 1, .every_seconds = 120};
  const auto out = try_often(model, kTrials);
  EXPECT_LE(out.rolled_back, out.processes / 20);
  EXPECT_LE(out.widened, kTrials / 2);
}

// Run by hand: what a trial costs.
TEST(StableTrialOfPods, DISABLED_Cost) {
  for (const double seconds : {15.0, 5.0}) {
    for (const bool fine : {false, true}) {
      for (const int pods : {20, 60}) {
        PodModel model;
        model.stable_pods = pods;
        model.cell_seconds = seconds;
        if (fine) model.bounds_ms = cohort::judged_bounds_ms(kDurationScale);
        SimulatedPods traffic(model, {}, 1);
        auto cells = traffic.baseline();
        cells.push_back(traffic.next(0.05));
        for (const bool tries : {false, true}) {
          auto options = options_with_trial();
          options.try_stable = tries;
          judge::Evidence evidence;
          evidence.cells = cells;
          const auto judge = judge::make_sequential_judge(options);
          const auto begun = std::clock();
          const auto out = judge->judge(evidence);
          const auto ms = static_cast<double>(std::clock() - begun) * 1000 / CLOCKS_PER_SEC;
          std::cout << pods << " pods, cells of " << seconds << " s, "
                    << cells.back().total.stable.bucket_counts.size() << " buckets: " << ms
                    << " ms, " << (out.trial ? out.trial->processes : 0) << " tried\n";
        }
      }
    }
  }
}

} // namespace
} // namespace coalmine::lab
