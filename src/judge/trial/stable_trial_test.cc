// SPDX-License-Identifier: Apache-2.0
#include "judge/trial/stable_trial.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "judge/judge.h"

namespace coalmine::judge {
namespace {

constexpr std::int64_t kCellMs = 15'000;
constexpr int kHalfHour = 120; // cells

// How many of a process's requests fail in a cell.
using Errors = std::function<double(int cell, int process)>;

std::string name_of(int process) { return fmt::format("stable-{:02}", process); }

// A cell in which each process has as many requests; those of the canary come on top.
CountCell cell_at(int at, int processes, const Errors& errors, double requests = 200) {
  CountCell out;
  out.from_ms = at * kCellMs;
  out.to_ms = out.from_ms + kCellMs;
  out.baseline = true;
  for (int i = 0; i < processes; ++i) {
    const InstanceCounts one{.instance = name_of(i),
                             .track = Track::stable,
                             .requests = requests,
                             .errors = errors(at, i)};
    out.total.stable.requests += one.requests;
    out.total.stable.errors += one.errors;
    out.instances.push_back(one);
  }
  return out;
}

CountCell canary_cell_at(int at, int processes, const Errors& errors) {
  auto out = cell_at(at, processes, errors);
  out.baseline = false;
  out.total.canary.requests = 200;
  out.total.canary.errors = 2;
  out.instances.push_back(
      {.instance = "new", .track = Track::canary, .requests = 200, .errors = 2});
  return out;
}

// Binomial errors at 1 %, the same for the same seed.
Errors equal_errors(std::uint64_t seed = 1) {
  return [seed](int cell, int process) {
    std::mt19937_64 random(seed * 1'000'003 + static_cast<std::uint64_t>(cell * 100 + process));
    random.discard(8);
    return static_cast<double>(std::binomial_distribution<int>(200, 0.01)(random));
  };
}

// One process fails once in the second half of the half hour, and much.
Errors one_burst(int burst_at = 90) {
  return [burst_at, usual = equal_errors()](int cell, int process) {
    return cell == burst_at && process == 3 ? 60 : usual(cell, process);
  };
}

std::optional<TrialCells> cells_of(int cells, int processes, const Errors& errors) {
  TrialPast past;
  for (int i = 0; i < cells; ++i) past.keep(cell_at(i, processes, errors));
  return past.take();
}

SequentialOptions options_with_trial(bool try_stable = true) {
  auto out = sequential_defaults();
  out.try_stable = try_stable;
  return out;
}

Judgement judged(const SequentialOptions& options, int processes, const Errors& errors) {
  Evidence evidence;
  for (int i = 0; i < kHalfHour; ++i) evidence.cells.push_back(cell_at(i, processes, errors));
  evidence.cells.push_back(canary_cell_at(kHalfHour, processes, errors));
  return make_sequential_judge(options)->judge(evidence);
}

TEST(StableTrial, TakesWhatWasThereInTheWholeSecondHalf) {
  const auto all = cells_of(kHalfHour, 5, equal_errors());
  ASSERT_TRUE(all);
  EXPECT_EQ(all->first, 60u);
  EXPECT_EQ(all->cells.size(), 120u);
  EXPECT_EQ(all->processes.size(), 5u);

  TrialPast past;
  for (int i = 0; i < kHalfHour; ++i) {
    auto cell = cell_at(i, 6, equal_errors());
    if (i > 80) std::erase_if(cell.instances, [](auto& one) { return one.instance == name_of(0); });
    if (i < 80) std::erase_if(cell.instances, [](auto& one) { return one.instance == name_of(1); });
    if (i == 100) cell.instances.back().warming = true;
    // Gone for a minute, as one without a request is.
    if (i > 90 && i < 95) cell.instances[1].requests = 0;
    past.keep(cell);
  }
  const auto some = past.take();
  ASSERT_TRUE(some);
  EXPECT_EQ(some->processes, (std::vector{name_of(2), name_of(3), name_of(4)}));
  EXPECT_FALSE(past.take()) << "it is gone";
}

TEST(StableTrial, OfOneProcessOrOfLittlePastThereIsNone) {
  EXPECT_FALSE(cells_of(0, 5, equal_errors()));
  EXPECT_FALSE(cells_of(kHalfHour, 0, equal_errors()));
  EXPECT_FALSE(cells_of(kHalfHour, 1, equal_errors()));
  EXPECT_FALSE(cells_of(30, 5, equal_errors()));
  EXPECT_TRUE(cells_of(40, 2, equal_errors()));
  const auto one = judged(options_with_trial(), 1, equal_errors());
  EXPECT_FALSE(one.trial);
  EXPECT_EQ(one.guarantee.find("Tried"), std::string::npos) << one.guarantee;
}

TEST(StableTrial, KeepsTheNewestHalfHourAndTriesAtMostTwenty) {
  const auto trial = cells_of(400, 50, equal_errors());
  ASSERT_TRUE(trial);
  EXPECT_EQ(trial->cells.size(), 120u);
  EXPECT_EQ(trial->cells.back().to_ms, 400 * kCellMs);
  ASSERT_EQ(trial->processes.size(), kMostTried);
  EXPECT_TRUE(std::ranges::is_sorted(trial->processes));
  EXPECT_EQ(std::ranges::adjacent_find(trial->processes), trial->processes.end());
  EXPECT_EQ(trial->processes.front(), name_of(0));
  EXPECT_GE(trial->processes.back(), name_of(45)) << "spread over all names";
}

// Short cells and fine buckets: fewer processes, so that a start does not take long.
TEST(StableTrial, FewerAreTriedWhereCellsAreLarge) {
  TrialPast past;
  const auto bounds = std::make_shared<const std::vector<double>>(159, 1.0);
  for (int i = 0; i < 400; ++i) {
    auto cell = cell_at(i, 60, [](int, int) { return 0; });
    cell.from_ms = i * 5000;
    cell.to_ms = cell.from_ms + 5000;
    cell.total.share_bounds(bounds);
    cell.total.stable.bucket_counts.assign(160, 1);
    for (auto& one : cell.instances) one.bucket_counts.assign(160, 1);
    past.keep(cell);
  }
  const auto trial = past.take();
  ASSERT_TRUE(trial);
  EXPECT_EQ(trial->cells.size(), 360u);
  EXPECT_EQ(trial->processes.size(), 2u);
}

TEST(StableTrial, EachProcessIsTheCanaryOnceAndAloneAndHasNoPast) {
  auto trial = cells_of(kHalfHour, 4, equal_errors());
  ASSERT_TRUE(trial);
  std::size_t releases = 0;
  const auto out = run_trial(*trial, 0.01, [&](std::span<const CountCell> cells) {
    EXPECT_EQ(cells.size(), 120u);
    for (const auto& cell : cells) {
      EXPECT_EQ(cell.baseline, cell.from_ms < 60 * kCellMs);
      EXPECT_EQ(cell.total.canary.requests, cell.baseline ? 0 : 200);
      EXPECT_EQ(cell.total.stable.requests, 600);
      for (const auto& one : cell.instances) {
        const bool plays = one.instance == name_of(static_cast<int>(releases));
        EXPECT_EQ(one.track, plays ? Track::canary : Track::stable);
      }
    }
    ++releases;
    std::vector<TrialReading> readings(60);
    if (releases == 2) readings[5] = {.log_evidence = 9, .rolled_back = true};
    if (releases == 3) readings[50] = {.log_evidence = 1, .asked = true};
    if (releases == 3) readings[55] = {.log_evidence = 5, .rolled_back = true};
    return readings;
  });
  EXPECT_EQ(releases, 4u);
  EXPECT_EQ(out, (StableTrial{.processes = 4,
                              .minutes = 15,
                              .rolled_back = 1,
                              .asked = 1,
                              .widen = 9 / std::log(4 / trial_chance(0.01))}));
  EXPECT_EQ(trial_sentence(out),
            "Tried on stable itself: 1 of 4 instances would have been rolled back as a canary in "
            "15 min, and a person would have been asked about 1. So evidence now takes at least "
            "3.0 times the requests that it took there.");
}

TEST(StableTrial, EqualProcessesWidenNothing) {
  const auto out = judged(options_with_trial(), 10, equal_errors());
  ASSERT_TRUE(out.trial);
  EXPECT_EQ(*out.trial, (StableTrial{.processes = 10, .minutes = 15}));
  EXPECT_EQ(out.dispersion, judged(options_with_trial(false), 10, equal_errors()).dispersion);
  EXPECT_NE(out.guarantee.find("Tried on stable itself: none of 10 instances would have been "
                               "rolled back as a canary in 15 min."),
            std::string::npos)
      << out.guarantee;
}

TEST(StableTrial, ABurstThatTheFirstHalfDoesNotExplainWidens) {
  const auto out = judged(options_with_trial(), 10, one_burst());
  ASSERT_TRUE(out.trial);
  EXPECT_EQ(out.trial->rolled_back, 1u);
  EXPECT_EQ(out.trial->asked, 0u);
  EXPECT_GT(out.trial->widen, 1);
  const auto early = judged(options_with_trial(), 10, one_burst(20));
  ASSERT_TRUE(early.trial);
  EXPECT_EQ(early.trial->rolled_back, 0u) << "the first half shows it";
}

// Never lowered, whatever stable does.
TEST(StableTrial, PhiIsNeverSmallerThanWithoutTheTrial) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const auto errors = [seed, usual = equal_errors(seed)](int cell, int process) {
      const bool bursts = (static_cast<std::uint64_t>(cell * 7 + process) * seed) % 97 == 0;
      return std::min(200.0, usual(cell, process) + (bursts ? static_cast<double>(4 * seed) : 0));
    };
    const auto with = judged(options_with_trial(), 5, errors);
    const auto without = judged(options_with_trial(false), 5, errors);
    ASSERT_TRUE(with.trial && with.dispersion && without.dispersion);
    EXPECT_GE(*with.dispersion, *without.dispersion) << seed;
    EXPECT_GE(with.trial->widen, 1);
    EXPECT_LE(with.trial->rolled_back + with.trial->asked, with.trial->processes);
    // What is rolled back always widens.
    EXPECT_TRUE(with.trial->rolled_back == 0 || with.trial->widen > 1);
  }
}

// A process that differs for good is left to a person, and widens nothing: more requests would not
// tell version from process. That it is one of stable's is known from the whole past.
TEST(StableTrial, LastingDifferencesAreAskedAbout) {
  const Errors unequal = [](int, int process) { return process == 9 ? 6.0 : 2.0; };
  auto options = options_with_trial();
  options.signals.resize(1);
  const auto out = judged(options, 10, unequal);
  ASSERT_TRUE(out.trial);
  EXPECT_EQ(out.trial->rolled_back, 0u);
  EXPECT_EQ(out.trial->asked, 1u);
  EXPECT_EQ(out.trial->widen, 1);
}

// As after a restart, which gives out the same cells in other looks.
TEST(StableTrial, IsTheSameHoweverTheCellsCome) {
  const auto at_once = judged(options_with_trial(), 10, one_burst());
  const auto judge = make_sequential_judge(options_with_trial());
  Judgement out;
  for (int i = 0; i <= kHalfHour; ++i) {
    Evidence evidence;
    evidence.cells = {i < kHalfHour ? cell_at(i, 10, one_burst())
                                    : canary_cell_at(i, 10, one_burst())};
    EXPECT_FALSE(out.trial);
    out = judge->judge(evidence);
  }
  EXPECT_EQ(out.trial, at_once.trial);
  EXPECT_EQ(out.dispersion, at_once.dispersion);
  EXPECT_EQ(out.guarantee, at_once.guarantee);
}

} // namespace
} // namespace coalmine::judge
