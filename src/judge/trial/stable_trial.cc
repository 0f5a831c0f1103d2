// SPDX-License-Identifier: Apache-2.0
#include "judge/trial/stable_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

#include "judge/stats/multiplicity.h"
#include "judge/trial/process_split.h"

namespace coalmine::judge {
namespace {

constexpr std::int64_t kTriedMs = 30 * 60'000; // both halves
constexpr std::int64_t kShortestMs = 10 * 60'000;
// Half an hour of cells of 5 s. Shorter cells have a shorter past, or none.
constexpr std::size_t kMostCells = 360;
// A process that is silent for longer is not there all the time.
constexpr std::int64_t kLongestPauseMs = 2 * 60'000;
// What one trial may cost: buckets of processes, over all cells and all processes tried.
constexpr double kMostWork = 4e6;
constexpr double kWorkOfACell = 200; // beside its processes

// Whether the process's counts are known apart from the others'. Where several are there and the
// whole has durations, each has some.
bool told_apart(const CountCell& cell, const InstanceCounts& one) {
  return !one.warming && (!one.bucket_counts.empty() || cell.total.stable.bucket_counts.empty());
}

// Those with requests from the first of these cells to the last, in the order of their names.
std::vector<std::string> lasting_processes(std::span<const CountCell> cells) {
  struct Seen {
    std::int64_t until_ms = 0;
    bool fits = true;
  };
  std::map<std::string, Seen> seen;
  for (const auto& cell : cells) {
    for (const auto& one : cell.instances) {
      if (!is_of_stable(one) || !(one.requests > 0)) continue;
      auto& of =
          seen.try_emplace(one.instance, Seen{.until_ms = cells.front().from_ms, .fits = true})
              .first->second;
      if (cell.from_ms - of.until_ms > kLongestPauseMs || !told_apart(cell, one)) of.fits = false;
      of.until_ms = cell.to_ms;
    }
  }
  std::vector<std::string> out;
  for (const auto& [name, of] : seen)
    if (of.fits && cells.back().to_ms - of.until_ms <= kLongestPauseMs) out.push_back(name);
  return out;
}

// Of one made-up release.
double work_of(std::span<const CountCell> cells) {
  constexpr std::size_t kMostWatched = 64; // as TailDispersion does
  double out = 0;
  for (const auto& cell : cells) {
    out += kWorkOfACell;
    for (const auto& one : cell.instances)
      out += 1 + static_cast<double>(std::min(one.bucket_counts.size(), kMostWatched));
  }
  return out;
}

// Spread evenly over the names.
std::vector<std::string> choose(std::vector<std::string> from, std::size_t most) {
  if (from.size() <= most) return from;
  std::vector<std::string> out;
  for (std::size_t i = 0; i < most; ++i) out.push_back(std::move(from[i * from.size() / most]));
  return out;
}

// The cells with one process as the canary.
std::vector<CountCell> release_of(const TrialCells& trial, const std::string& process) {
  auto out = trial.cells;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].baseline = i < trial.first;
    play_canary(out[i], {process});
  }
  return out;
}

} // namespace

double trial_chance(double alpha_rollback) {
  return std::min(0.5, static_cast<double>(kMostTried) * alpha_rollback);
}

std::string trial_sentence(const StableTrial& trial) {
  auto out = fmt::format(
      "Tried on stable itself: {} of {} instances would have been rolled back as a canary in "
      "{:.0f} "
      "min",
      trial.rolled_back == 0 ? "none" : fmt::to_string(trial.rolled_back), trial.processes,
      trial.minutes);
  if (trial.asked > 0)
    out += fmt::format(", and a person would have been asked about {}", trial.asked);
  if (trial.widen > 1.005)
    out +=
        fmt::format(". So evidence now takes at least {:.1f} times the requests that it took there",
                    std::max(1.1, trial.widen));
  return out + ".";
}

void TrialPast::keep(const CountCell& cell) {
  CountCell kept;
  kept.from_ms = cell.from_ms;
  kept.to_ms = cell.to_ms;
  kept.source = cell.source;
  kept.total.stable = cell.total.stable;
  // Cells do not know whose the 4xx answers are.
  kept.total.stable.answered = kept.total.stable.client_errors = 0;
  std::ranges::copy_if(cell.instances, std::back_inserter(kept.instances), is_of_stable);
  cells_.push_back(std::move(kept));
  while (cells_.size() > kMostCells || cells_.back().to_ms - cells_.front().from_ms > kTriedMs)
    cells_.pop_front();
}

std::optional<TrialCells> TrialPast::take() {
  TrialCells out;
  out.cells.assign(std::make_move_iterator(cells_.begin()), std::make_move_iterator(cells_.end()));
  cells_.clear();
  if (out.cells.empty()) return std::nullopt;
  const auto from_ms = out.cells.front().from_ms, to_ms = out.cells.back().to_ms;
  if (to_ms - from_ms < kShortestMs) return std::nullopt;
  const auto middle =
      std::ranges::lower_bound(out.cells, from_ms + (to_ms - from_ms) / 2, {}, &CountCell::from_ms);
  out.first = static_cast<std::size_t>(middle - out.cells.begin());
  const auto release = std::span(out.cells).subspan(out.first);
  if (out.first == 0 || release.empty()) return std::nullopt;
  auto processes = lasting_processes(release);
  if (processes.size() < 2) return std::nullopt;
  const auto affordable = static_cast<std::size_t>(kMostWork / work_of(out.cells));
  out.processes = choose(std::move(processes), std::clamp<std::size_t>(affordable, 2, kMostTried));
  return out;
}

StableTrial run_trial(const TrialCells& trial, double alpha_rollback, const JudgeRelease& judge) {
  StableTrial out;
  out.processes = trial.processes.size();
  out.minutes =
      static_cast<double>(trial.cells.back().to_ms - trial.cells[trial.first].from_ms) / 60'000.0;
  std::vector<std::vector<double>> nats(trial.cells.size() - trial.first); // by cell and process
  for (const auto& process : trial.processes) {
    const auto readings = judge(release_of(trial, process));
    for (std::size_t i = 0; i < nats.size() && i < readings.size(); ++i)
      nats[i].push_back(readings[i].log_evidence);
    const auto end = std::ranges::find_if(
        readings, [](const TrialReading& r) { return r.rolled_back || r.asked; });
    if (end != readings.end()) ++(end->rolled_back ? out.rolled_back : out.asked);
  }
  for (auto& of : nats)
    out.widen = std::max(out.widen, evidence_excess(std::move(of), trial_chance(alpha_rollback)));
  return out;
}

} // namespace coalmine::judge
