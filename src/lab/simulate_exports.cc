// Judging telemetry as it really comes: every instance exports at its own moments.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "cohort/count_grid.h"
#include "lab/simulate.h"
#include "rollout/evidence/evidence_feed.h"

namespace coalmine::lab {
namespace {

constexpr std::int64_t kOriginMs = 1'700'000'000'000;
constexpr int kPastSeconds = 30 * 60;
constexpr int kHourSeconds = 60 * 60;
constexpr int kInstances = 20; // one of them the canary
constexpr double kRps = 10;    // of each
constexpr double kErrors = 0.01;
constexpr double kNoRollback = -1;

struct Exports {
  const char* name;
  int canary_seconds;
  int stable_seconds;
  bool aligned;
};
constexpr Exports kExports[] = {
    {"every 15 s, all at once", 15, 15, true},
    {"every 15 s, unsynchronised", 15, 15, false},
    {"every 60 s, all at once", 60, 60, true},
    {"every 60 s, unsynchronised", 60, 60, false},
    {"canary every 15 s, stable every 60 s, unsynchronised", 15, 60, false},
    {"canary every 60 s, stable every 15 s, unsynchronised", 60, 15, false},
};

struct Instance {
  Track track = Track::stable;
  int phase = 0;
  int interval = 15;
  double requests = 0;
  double bad = 0;
};

cohort::CountSeries series_of(const Instance& instance, int number, std::uint64_t hour,
                              cohort::Measure measure, std::int64_t time_ms,
                              std::int64_t start_ms) {
  cohort::CountSeries out;
  out.id = static_cast<std::uint64_t>(number) * 2 + (measure == cohort::Measure::bad ? 1 : 0);
  out.track = instance.track;
  out.measure = measure;
  out.instance = fmt::format("{}-{}", hour, number);
  out.floats = {
      {time_ms, start_ms, measure == cohort::Measure::bad ? instance.bad : instance.requests}};
  return out;
}

// Three incidents of a minute, in which everything fails ten times as often, on both tracks.
bool incident(int second) {
  for (const int at : {600, 1500, 2700}) {
    if (second >= at && second < at + 60) return true;
  }
  return false;
}

// Minutes until the rollback; kNoRollback: none within the hour.
double run_hour(const Exports& exports, double added, std::uint64_t seed) {
  lab::SimulationRandom random(seed);
  std::vector<Instance> instances(kInstances);
  for (int i = 0; i < kInstances; ++i) {
    auto& one = instances[static_cast<std::size_t>(i)];
    one.track = i == 0 ? Track::canary : Track::stable;
    one.interval = one.track == Track::canary ? exports.canary_seconds : exports.stable_seconds;
    one.phase = exports.aligned ? 0 : static_cast<int>(random.uniform() * one.interval);
  }
  cohort::GridOptions grid_options;
  grid_options.origin_ms = kOriginMs;
  grid_options.warm_up_ms = 0; // warm-up is a rule of its own, not measured here
  cohort::CountGrid grid(grid_options);
  const std::int64_t begin_ms = kOriginMs + kPastSeconds * 1000;
  grid.weight_changed(begin_ms, begin_ms, 1.0 / kInstances);

  auto options = judge::sequential_defaults();
  options.signals.resize(1);
  options.signals[0].automatic = false;
  options.signals[0].margin = {judge::Margin::Unit::points, 0.0025};
  const auto judge = judge::make_sequential_judge(options);
  judge::Evidence evidence;
  evidence.step_needed_minutes = 10'000;
  for (int second = -kPastSeconds; second < kHourSeconds; ++second) {
    const auto now_ms = begin_ms + (second + 1) * 1000;
    for (int i = 0; i < kInstances; ++i) {
      auto& one = instances[static_cast<std::size_t>(i)];
      if (one.track == Track::canary && second < 0) continue;
      const double rate =
          (kErrors + (one.track == Track::canary ? added : 0)) * (incident(second) ? 10 : 1);
      const double requests = random.poisson(kRps);
      one.requests += requests;
      one.bad += random.binomial(requests, rate);
      if ((second + 1 + kPastSeconds) % one.interval != one.phase) continue;
      const auto start_ms = one.track == Track::canary ? begin_ms : kOriginMs;
      for (const auto measure : {cohort::Measure::requests, cohort::Measure::bad})
        grid.add(series_of(one, i, seed, measure, now_ms, start_ms));
    }
    if ((second + 1) % 15 != 0) continue;
    evidence.cells = grid.close(now_ms);
    for (auto& cell : evidence.cells) rollout::mark_baseline(cell, begin_ms);
    if (second < 0 && evidence.cells.empty()) continue;
    if (judge->judge(evidence).decision == judge::Decision::rollback) return (second + 1) / 60.0;
  }
  return kNoRollback;
}

} // namespace

std::string export_tables(std::size_t runs, std::uint64_t seed) {
  std::string out = fmt::format(
      "\n### Exports that are not synchronised, with three shared incidents an hour\n\n"
      "One canary and 19 stable instances of 10 requests a second, 1 % errors, ten times as many "
      "in each incident, alpha 1 %; "
      "through the same\n"
      "grid of cells as in a rollout. {} runs a row, seed {}.\n\n"
      "| exports | equal: rolled back | errors 1 to 2 %: found within the hour | median / 95 % "
      "after minutes "
      "|\n|---|---|---|---|\n",
      runs, seed);
  for (const auto& exports : kExports) {
    std::vector<double> equal(runs), worse(runs);
    for_each_run(runs, [&](std::size_t i) {
      equal[i] = run_hour(exports, 0, seed + 2 * i);
      worse[i] = run_hour(exports, 0.01, seed + 2 * i + 1);
    });
    const auto found = [&](const std::vector<double>& all) {
      return static_cast<double>(
                 std::ranges::count_if(all, [](double t) { return t != kNoRollback; })) /
             static_cast<double>(runs);
    };
    std::erase(worse, kNoRollback);
    std::ranges::sort(worse);
    const double share = static_cast<double>(worse.size()) / static_cast<double>(runs);
    const auto quantile = [&](double q) {
      return worse.empty()
                 ? 0
                 : worse[std::min(worse.size() - 1,
                                  static_cast<std::size_t>(q * static_cast<double>(worse.size())))];
    };
    out += fmt::format("| {} | {:.4g} | {:.4g} | {:.3g} / {:.3g} |\n", exports.name, found(equal),
                       share, quantile(0.5), quantile(0.95));
  }
  return out;
}

} // namespace coalmine::lab
